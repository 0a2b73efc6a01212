import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import { redactedConfig } from "../config/redact.ts";
import { scrubber, secretsIn } from "../config/scrub.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import type { Check } from "../lib/checks.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { ROOT } from "../lib/root.ts";
import { findDocker } from "../local/docker.ts";
import { containerStates } from "../local/health.ts";
import { composeFile, find, projectOf, secretsOf } from "../local/project.ts";
import { asRoot } from "../machines/operator.ts";
import { planDocument } from "../render/plan.ts";
import { presentCluster } from "./present.ts";
import { pulumi } from "./pulumi.ts";
import { machinesOfStack } from "./stack.ts";

/** The bundle for a bug report: versions, the plan, states and logs, without secrets. */

/** The number of last lines of each log. */
const LINES = 2000;

interface Contents {
  /** Text by its path in the bundle. */
  files: Map<string, string>;
  /** Values that must not be in the bundle. */
  secrets: string[];
}

export interface BundleRequest {
  /** Folder of the project. */
  folder: string;
  environment: string;
  set: readonly string[];
  checks: readonly Check[];
  /** Where the bundle is written. */
  path: string;
}

/**
 * Writes a bundle that only this user can read.
 *
 * @returns Paths of the files in it.
 * @throws UserError if the secrets of a stack cannot be read, because they then could not be removed.
 */
export async function writeBundle({ folder, environment, set, checks, path }: BundleRequest): Promise<string[]> {
  const files = new Map<string, string>([
    ["checks.json", JSON.stringify(checks, null, 2)],
    [
      "versions.json",
      JSON.stringify({ node: process.versions, os: await systemOf(), images: pinnedVersions(ROOT) }, null, 2),
    ],
  ]);
  const contents: Contents = { files, secrets: secretsIn(process.env) };
  let cluster: Cluster | undefined;
  try {
    const config = loadConfig(folder, environment, set);
    contents.secrets.push(...secretsIn(config));
    cluster = describeCluster(config);
    const shown = describeCluster(redactedConfig(config));
    files.set("plan.json", JSON.stringify(planDocument(shown, pinnedVersions(ROOT)), null, 2));
  } catch (error) {
    files.set("config-error.txt", messageOf(error));
  }
  if (cluster)
    await (platformOf(cluster.config).servers
      ? fromStack(await presentCluster(cluster.config, environment), folder, environment, contents)
      : fromDocker(cluster, contents));
  return pack(contents, resolve(path));
}

async function systemOf(): Promise<string> {
  const { output } = await captured("uname", ["-srm"]);
  return output.trim();
}

async function fromDocker(cluster: Cluster, { files, secrets }: Contents): Promise<void> {
  const project = projectOf(ROOT, cluster.name);
  secrets.push(...secretsOf(project));
  if (existsSync(composeFile(project))) files.set("compose.yaml", readFileSync(composeFile(project), "utf8"));
  const d = await findDocker().catch(() => undefined);
  if (!d) return;
  const { containers } = await find(d, project);
  const states = await containerStates(d, containers);
  files.set("containers.json", JSON.stringify(states, null, 2));
  for (const { id, name } of states) {
    const { output } = await captured(d.client, ["logs", "--timestamps", "--tail", String(LINES), id]);
    files.set(`logs/${name}.txt`, output);
  }
}

async function fromStack(
  cluster: Cluster,
  folder: string,
  environment: string,
  { files, secrets }: Contents,
): Promise<void> {
  const stack = ["--stack", environment];
  // Read to learn which texts are secret; only the export without them goes into the bundle.
  const plain: unknown = JSON.parse(await pulumi(folder, ["stack", "export", "--show-secrets", ...stack], "read"));
  secrets.push(...secretsIn(plain));
  files.set("state.json", await pulumi(folder, ["stack", "export", ...stack], "read"));
  const { ssh } = await machinesOfStack(cluster, environment);
  try {
    const ask = async (machine: Machine, file: string, command: string[]): Promise<void> => {
      const { output } = await asRoot(ssh, machine, command).catch((error: unknown) => ({ output: messageOf(error) }));
      files.set(`logs/${machine.name}/${file}.txt`, output);
    };
    await Promise.all(
      cluster.machines.flatMap((m) => [
        ask(m, "journal", ["journalctl", "--no-pager", "--lines", String(LINES), "--unit", "triplewide-*"]),
        ask(m, "cloud-init", ["tail", "--lines", String(LINES), "/var/log/cloud-init-output.log"]),
        ask(m, "ready", ["triplewide-ready"]),
      ]),
    );
  } finally {
    await ssh.close();
  }
}

/** Only text without secrets reaches the disk. */
async function pack({ files, secrets }: Contents, path: string): Promise<string[]> {
  const scrub = scrubber(secrets);
  const folder = mkdtempSync(join(tmpdir(), "triplewide-bundle-"));
  try {
    for (const [name, text] of files) {
      const file = join(folder, "triplewide", name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, scrub(text));
    }
    // An existing bundle would keep its permissions, with which others might read it.
    rmSync(path, { force: true });
    writeFileSync(path, "", { mode: 0o600, flag: "wx" });
    const { code, output } = await captured("tar", ["-czf", path, "-C", folder, "triplewide"]);
    if (code !== 0) throw new UserError(`tar failed: ${output}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return [...files.keys()];
}
