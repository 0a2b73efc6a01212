import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { localReference } from "../cluster/images.ts";
import type { Cluster, Secret } from "../cluster/types.ts";
import { givenSecrets } from "../config/secrets.ts";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { LEAVE_LABEL, projectName, renderCompose, SCRATCH_LABEL, TASKS_LABEL } from "../render/compose.ts";
import { type Docker, dockerLines } from "./docker.ts";

/** A cluster on this machine: its folder under `.triplewide/` and everything in Docker that carries its name. */
export interface Project {
  /** Compose's project name; prefix of containers, networks and volumes. */
  name: string;
  /** Folder of the Compose file, the mounted files and the secrets; readable by its owner alone. */
  dir: string;
}

/**
 * The names and the folder of a cluster on this machine. Reads nothing: the cluster need not exist.
 *
 * @param root Folder of the checkout.
 */
export function projectOf(root: string, clusterName: string): Project {
  return { name: projectName(clusterName), dir: join(root, ".triplewide", clusterName) };
}

/** Path of the cluster's Compose file. */
export const composeFile = (p: Project): string => join(p.dir, "compose.yaml");
/** Path of the file with the cluster's secrets. */
export const secretsFile = (p: Project): string => join(p.dir, "secrets.json");

/** File whose time is that of the last `up` that a person ran. */
const lastUpFile = (p: Project): string => join(p.dir, "last-up");

/** Keeps in mind that a person has brought the cluster up now. */
export const keepLastUp = (p: Project): void => writeFileSync(lastUpFile(p), "", { mode: 0o600 });

/** When a person last brought the cluster up; of one that an older release brought up, when its Compose file was written. */
export function lastUpHere(p: Project): Date {
  const file = [lastUpFile(p), composeFile(p)].find((path) => existsSync(path));
  if (file === undefined)
    throw new UserError(`${p.dir} does not say when "${p.name}" was brought up. Fix: make up, in this checkout`);
  return statSync(file).mtime;
}

/** What the file with the cluster's secrets holds; empty where there is none. */
const knownSecrets = (p: Project): Record<string, string> =>
  existsSync(secretsFile(p)) ? JSON.parse(readFileSync(secretsFile(p), "utf8")) : {};

/**
 * The config's secrets as they are. The others are made on first use and kept as long as the cluster's volumes: some data can only be read
 * with the secret that it was written with.
 */
function keepSecrets(
  p: Project,
  wanted: readonly Secret[],
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  const known = knownSecrets(p);
  const values = Object.fromEntries(
    wanted.map((s) => [s.name, given[s.name] ?? known[s.name] ?? randomText(s.length)]),
  );
  // In the order of their names: people take lines of passwords out, and none of those is the last.
  const kept = Object.entries({ ...known, ...values }).sort(([a], [b]) => (a < b ? -1 : 1));
  writeSecrets(p, Object.fromEntries(kept));
  return values;
}

/** Written beside the old file and then renamed: a half-written file would lose secrets that data can only be read with. */
function writeSecrets(p: Project, values: Readonly<Record<string, string>>): void {
  writeFileSync(`${secretsFile(p)}.new`, `${JSON.stringify(values, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${secretsFile(p)}.new`, secretsFile(p));
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function randomText(length: number): string {
  let text = "";
  // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
  while (text.length < length) for (const b of randomBytes(length)) if (b < 248) text += LETTERS[b % 62];
  return text.slice(0, length);
}

/** The secret by that name, of a cluster that was written. */
export function readSecret(p: Project, name: string): string | undefined {
  return knownSecrets(p)[name];
}

/** Forgets secrets of a cluster, so that the next `writeProject` makes new ones. */
export function renewSecrets(p: Project, names: readonly string[]): void {
  if (!existsSync(secretsFile(p))) return;
  writeSecrets(p, Object.fromEntries(Object.entries(knownSecrets(p)).filter(([name]) => !names.includes(name))));
}

/** Takes a cluster's secrets from a backup of it; those that it does not have stay. */
export function restoreSecrets(p: Project, backup: Readonly<Record<string, string>>): void {
  mkdirSync(p.dir, { recursive: true, mode: 0o700 });
  writeSecrets(p, { ...knownSecrets(p), ...backup });
}

/** Every secret of a cluster that was written. */
export function secretsOf(p: Project): string[] {
  return Object.values(knownSecrets(p));
}

/** Writes the Compose file and everything that it mounts. */
export function writeProject(p: Project, cluster: Cluster, versions: Readonly<Record<string, string>>): void {
  mkdirSync(p.dir, { recursive: true, mode: 0o700 });
  chmodSync(p.dir, 0o700);
  const secrets = keepSecrets(p, cluster.secrets, givenSecrets<string>(cluster.config));
  const rendered = renderCompose({
    cluster,
    imageOf: (name) => localReference(name, cluster.config, versions),
    secretOf: (name) => secrets[name] ?? "",
  });
  for (const file of rendered.files) {
    const path = join(p.dir, file.path);
    mkdirSync(dirname(path), { recursive: true });
    // Written in place, not replaced: a running container has this very file mounted. Readable inside of containers,
    // whose users are others than ours; the folder above keeps everyone else out.
    const mode = file.executable ? 0o755 : 0o644;
    if (!existsSync(path) || readFileSync(path, "utf8") !== file.content) writeFileSync(path, file.content, { mode });
    chmodSync(path, mode);
  }
  writeFileSync(composeFile(p), rendered.compose, { mode: 0o600 });
}

/** Docker's filter of what Compose has made for a cluster. */
export const projectFilter = (p: Pick<Project, "name">): string => `label=com.docker.compose.project=${p.name}`;

/** What of a cluster there is in Docker, by kind. */
export interface Found {
  containers: string[];
  networks: string[];
  volumes: string[];
}

/** Ids of what there is, found by Compose's label, so that it works without the Compose file too. */
export async function find(d: Docker, p: Project): Promise<Found> {
  const [containers, networks, volumes] = await Promise.all([
    dockerLines(d, ["ps", "-aq", "--no-trunc", "--filter", projectFilter(p)]),
    dockerLines(d, ["network", "ls", "-q", "--filter", projectFilter(p)]),
    dockerLines(d, ["volume", "ls", "-q", "--filter", projectFilter(p)]),
  ]);
  return { containers, networks, volumes };
}

/** Ids of the cluster's containers that run. */
export const runningContainers = (d: Docker, p: Project): Promise<string[]> =>
  dockerLines(d, ["ps", "-q", "--no-trunc", "--filter", projectFilter(p)]);

/** Folder of the checkout whose cluster of this name is here, if that is another one than ours and is still there. */
export async function otherHome(d: Docker, p: Project, found: Found): Promise<string | undefined> {
  const [first] = found.containers;
  if (first === undefined) return undefined;
  const format = '{{index .Config.Labels "com.docker.compose.project.working_dir"}}';
  const [home = ""] = await dockerLines(d, ["inspect", "--format", format, first]);
  return home !== "" && home !== p.dir && existsSync(home) ? dirname(dirname(home)) : undefined;
}

/** Names of the cluster's volumes that hold no data worth keeping. */
export function scratchVolumes(d: Docker, p: Project): Promise<string[]> {
  return dockerLines(d, ["volume", "ls", "-q", "--filter", projectFilter(p), "--filter", `label=${SCRATCH_LABEL}`]);
}

/** Containers that the cluster's agents started, running or not. */
function findTasks(d: Docker, p: Project): Promise<string[]> {
  return dockerLines(d, ["ps", "-aq", "--no-trunc", "--filter", `label=${TASKS_LABEL}=${p.name}`]);
}

/** Runs a command that removes things. Another run may be at it, an `up` that was interrupted, and is no reason to fail. */
async function removed(d: Docker, args: string[]): Promise<void> {
  const { code, output } = await captured(d.client, args);
  const errors = output.split("\n").filter((line) => line.startsWith("Error"));
  const byOthers = errors.every((line) => /No such|not found|is already in progress/.test(line));
  if (code !== 0 && (errors.length === 0 || !byOthers)) throw new UserError(`docker ${args[0]} failed:\n${output}`);
}

/** Waits for those containers whose removal another run has begun. */
async function containersGone(d: Docker, p: Project): Promise<void> {
  for (let left = 60; left > 0; left--) {
    const { containers } = await find(d, p);
    if (containers.length === 0) return;
    await sleep(500);
  }
  throw new UserError("some containers are still being removed; run it again in a moment");
}

/**
 * Signals agents to leave the cluster for good. Otherwise masters wait ten minutes for Mesos' agents to come back, and Marathon takes their
 * tasks for running until then.
 */
async function leave(d: Docker, p: Project): Promise<void> {
  const search = ["ps", "--no-trunc", "--filter", projectFilter(p), "--filter", `label=${LEAVE_LABEL}`];
  const leaving = await dockerLines(d, [...search, "--format", `{{.ID}} {{.Label "${LEAVE_LABEL}"}}`]);
  for (const line of leaving) {
    const [id = "", signal = ""] = line.split(" ");
    // Docker would start it again.
    await captured(d.client, ["update", "--restart", "no", id]);
    await captured(d.client, ["kill", "--signal", signal, id]);
  }
  for (let left = 30; left > 0 && (await dockerLines(d, [...search, "-q"])).length > 0; left--) await sleep(500);
}

/**
 * Removes everything that the cluster made. Without `volumes`, its volumes stay, and the secrets that their data can only be read with.
 *
 * @returns What was removed.
 */
export async function remove(d: Docker, p: Project, volumes: boolean): Promise<Found> {
  const found = await find(d, p);
  if (found.containers.length > 0) {
    if (!volumes) await leave(d, p);
    // Stop first: daemons that keep state write it down. Then remove with the anonymous volumes.
    await removed(d, ["stop", "--time", "10", ...found.containers]);
    await removed(d, ["rm", "--force", "--volumes", ...found.containers]);
  }
  await containersGone(d, p);
  // No container that would start another one is left now.
  const tasks = await findTasks(d, p);
  if (tasks.length > 0) await removed(d, ["rm", "--force", "--volumes", ...tasks]);
  if (found.networks.length > 0) await removed(d, ["network", "rm", ...found.networks]);
  const scratch = await scratchVolumes(d, p);
  const unwanted = volumes ? found.volumes : scratch;
  if (unwanted.length > 0) await removed(d, ["volume", "rm", "--force", ...unwanted]);
  const keepVolumes = unwanted.length < found.volumes.length;
  if (keepVolumes) {
    rmSync(composeFile(p), { force: true });
    rmSync(join(p.dir, "files"), { recursive: true, force: true });
  } else {
    rmSync(p.dir, { recursive: true, force: true });
  }
  return { ...found, volumes: unwanted };
}
