import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileSha256 } from "../lib/digest.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { unfitCharacter } from "../lib/text.ts";
import { SCRATCH_LABEL } from "../render/compose.ts";
import { type Docker, docker, dockerLines } from "./docker.ts";
import { find, type Project, projectFilter, restoreSecrets, secretsFile } from "./project.ts";

/**
 * Backups of a cluster on this machine's Docker: every volume with data as an archive, and the secrets that its data can only be read with.
 * Containers are stopped while volumes are read or written, so that all volumes of a backup are of the same moment.
 */

/** What a backup says of itself, in `backup.json`. */
interface Manifest {
  format: 1;
  cluster: string;
  architecture: string;
  made: string;
  /** sha256 of each archive, by the volume's name without the cluster's. */
  volumes: Record<string, string>;
}

const MANIFEST = "backup.json";
const SECRETS = "secrets.json";

export interface BackupRequest {
  d: Docker;
  project: Project;
  architecture: string;
  /** Image with `tar` and `gzip`. */
  image: string;
  folder: string;
  say: (line: string) => void;
}

/** Volumes of a cluster that hold data, by their names without the cluster's. */
async function dataVolumes(d: Docker, project: Project): Promise<string[]> {
  const list = (...more: string[]): Promise<string[]> =>
    dockerLines(d, ["volume", "ls", "-q", "--filter", projectFilter(project), ...more]);
  const scratch = new Set(await list("--filter", `label=${SCRATCH_LABEL}`));
  return (await list())
    .filter((name) => !scratch.has(name))
    .map((name) => name.slice(`${project.name}_`.length))
    .sort();
}

/**
 * Writes a backup. The containers are stopped for it; the caller starts them again.
 *
 * @throws UserError where the folder holds something, or the cluster has no data.
 */
export async function backup({ d, project, architecture, image, folder, say }: BackupRequest): Promise<void> {
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new UserError(`${folder} is not empty. Fix: name a folder for this backup alone.`);
  const names = await dataVolumes(d, project);
  if (names.length === 0 || !existsSync(secretsFile(project)))
    throw new UserError(`cluster "${project.name}" has no data on this machine; nothing was written.`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await stop(d, project);
  const volumes: Record<string, string> = {};
  for (const name of names) {
    const path = join(folder, `${name}.tar.gz`);
    const mount = `${project.name}_${name}:/data:ro`;
    await inContainer(d, image, mount, "tar -C /data --numeric-owner -cf - . | gzip -1", { to: path });
    volumes[name] = await fileSha256(path);
    say(`  ${name}`);
  }
  writeFileSync(join(folder, SECRETS), readFileSync(secretsFile(project)), { mode: 0o600 });
  const manifest: Manifest = {
    format: 1,
    cluster: project.name,
    architecture,
    made: new Date().toISOString(),
    volumes,
  };
  // Written last: a folder without it is no backup.
  writeFileSync(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
}

export interface RestoreRequest extends BackupRequest {
  /** Names of the volumes that the cluster's definition has, without the cluster's. */
  wanted: readonly string[];
  /** Whether what the cluster holds now may be removed. */
  replace: boolean;
}

/**
 * Puts a backup into a cluster's volumes. Its containers are stopped for it; the caller brings the cluster up.
 *
 * @throws UserError, before anything is changed, where the backup is damaged or of another kind of cluster, or where the
 * cluster holds data and `replace` is not set.
 */
export async function restore({
  d,
  project,
  architecture,
  image,
  folder,
  say,
  wanted,
  replace,
}: RestoreRequest): Promise<void> {
  const manifest = readManifest(folder);
  const secrets = readSecrets(folder);
  if (manifest.architecture !== architecture)
    throw new UserError(
      `the backup is of architecture ${manifest.architecture}, and this config has ${architecture}; nothing was changed. Fix: restore it into a cluster of its kind.`,
    );
  const names = Object.keys(manifest.volumes);
  const strange = names.filter((name) => !wanted.includes(name));
  if (strange.length > 0)
    throw new UserError(
      `this config has no place for ${strange.join(", ")} of the backup; nothing was changed. Fix: bring back the counts of machines and the services that it was made with.`,
    );
  for (const name of names) {
    const path = join(folder, `${name}.tar.gz`);
    if (!existsSync(path) || (await fileSha256(path)) !== manifest.volumes[name])
      throw new UserError(`the backup is damaged: ${name}.tar.gz is not what ${MANIFEST} says; nothing was changed.`);
  }
  if (!replace && (await dataVolumes(d, project)).length > 0)
    throw new UserError(
      `cluster "${project.name}" holds data here; nothing was changed. Fix: --replace removes it in favour of the backup.`,
    );
  await stop(d, project);
  const labels = (name: string): string[] =>
    [`project=${project.name}`, `volume=${name}`].flatMap((text) => ["--label", `com.docker.compose.${text}`]);
  // Volumes that the backup does not have are emptied: they are of another time than the backup's.
  for (const name of new Set([...names, ...(await dataVolumes(d, project))])) {
    const volume = `${project.name}_${name}`;
    // As Compose makes it. One that is there stays as it is, whatever its labels.
    await docker(d, ["volume", "create", ...labels(name), volume]);
    const clean = "find /data -mindepth 1 -delete";
    const unpack = name in manifest.volumes ? " && gzip -dc | tar -C /data --numeric-owner -xpf -" : "";
    const from = name in manifest.volumes ? { from: join(folder, `${name}.tar.gz`) } : {};
    await inContainer(d, image, `${volume}:/data`, clean + unpack, from);
    say(`  ${name}`);
  }
  restoreSecrets(project, secrets);
}

function readManifest(folder: string): Manifest {
  if (!existsSync(join(folder, MANIFEST))) throw new UserError(`${folder} holds no backup: there is no ${MANIFEST}.`);
  const manifest = readJson<Manifest>(folder, MANIFEST);
  if (manifest.format !== 1)
    throw new UserError(`the backup in ${folder} was made by a newer version of this program.`);
  return manifest;
}

/** The secrets of a backup, by their names: text of one line, as every secret is, for whatever reads them. */
function readSecrets(folder: string): Record<string, string> {
  const secrets = readJson<Record<string, unknown>>(folder, SECRETS);
  const wrong = Object.entries(secrets ?? {}).find(
    ([name, value]) =>
      !/^[A-Za-z0-9._-]+$/.test(name) || typeof value !== "string" || unfitCharacter(value) !== undefined,
  );
  if (wrong)
    throw new UserError(`the backup is damaged: ${SECRETS} holds no secret as ${wrong[0]}; nothing was changed.`);
  return secrets as Record<string, string>;
}

/** @throws UserError where the file is not there, or not whole. */
function readJson<T>(folder: string, file: string): T {
  try {
    return JSON.parse(readFileSync(join(folder, file), "utf8")) as T;
  } catch (error) {
    throw new UserError(`the backup is damaged: ${file} cannot be read (${messageOf(error)}); nothing was changed.`);
  }
}

async function stop(d: Docker, project: Project): Promise<void> {
  const { containers } = await find(d, project);
  // Daemons that keep state write it down.
  if (containers.length > 0) await docker(d, ["stop", "--time", "30", ...containers]);
}

/** Runs a shell script as root in a container with one volume and nothing else; its input or output is a file. */
async function inContainer(
  d: Docker,
  image: string,
  mount: string,
  script: string,
  { from, to }: { from?: string; to?: string },
): Promise<void> {
  const run = ["run", "--rm", ...(from ? ["-i"] : []), "--network", "none", "--user", "0:0", "--volume", mount];
  const args = [...run, "--entrypoint", "bash", image, "-o", "pipefail", "-ec", script];
  const child = spawn(d.client, args, { stdio: [from ? "pipe" : "ignore", to ? "pipe" : "ignore", "pipe"] });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "close");
  const cut = await Promise.all([
    from && child.stdin ? pipeline(createReadStream(from), child.stdin) : undefined,
    to && child.stdout ? pipeline(child.stdout, createWriteStream(to, { mode: 0o600 })) : undefined,
  ]).then(() => undefined, messageOf);
  const [code] = (await ended) as [number | null];
  // The container's own output says why it failed. Where it says nothing, the error of the pipe tells, such as a full disk.
  if (code !== 0 || cut !== undefined) throw new UserError(`docker run failed:\n${said.trim() || cut}`);
}
