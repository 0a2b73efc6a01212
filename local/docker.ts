import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { UserError } from "../lib/errors.ts";

/** This machine's Docker: which client, which Compose, and how to call them. */
export interface Docker {
  /** Path of a client that can do BuildKit builds. */
  client: string;
  /** Program and first arguments of Compose. */
  compose: [string, ...string[]];
}

const run = promisify(execFile);

/** Every executable of that name on PATH, first come first. */
function onPath(name: string): string[] {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((dir) => join(dir, name))
    .filter((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

async function works(program: string, args: string[]): Promise<boolean> {
  try {
    await run(program, args);
    return true;
  } catch {
    return false;
  }
}

/**
 * Finds a Docker that answers and a Compose.
 *
 * @throws UserError saying what is missing and how to get it.
 */
export async function findDocker(): Promise<Docker> {
  const clients = onPath("docker");
  const client = clients[0];
  if (!client)
    throw new UserError(
      "Docker is not installed. As root, `make up` installs it on Debian and Ubuntu; elsewhere install Docker Engine first.",
    );
  try {
    await run(client, ["version", "--format", "{{.Server.Version}}"]);
  } catch (error) {
    const reason = String((error as { stderr?: string }).stderr ?? error).trim();
    throw new UserError(
      `Docker does not answer: ${reason}\nStart it (systemctl start docker), or join the group docker if permission is denied.`,
    );
  }
  for (const candidate of clients) {
    if (await works(candidate, ["compose", "version"])) return { client, compose: [candidate, "compose"] };
  }
  const standalone = onPath("docker-compose")[0];
  if (standalone) return { client, compose: [standalone] };
  throw new UserError(
    "Docker Compose is not installed. Install docker-compose-v2 (Ubuntu) or docker-compose (Debian).",
  );
}

/** Standard output of a Docker command. */
export async function docker(d: Docker, args: string[]): Promise<string> {
  const { stdout } = await run(d.client, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout.trim();
}

/** Lines of a Docker command's output. */
export async function dockerLines(d: Docker, args: string[]): Promise<string[]> {
  const out = await docker(d, args);
  return out === "" ? [] : out.split("\n");
}
