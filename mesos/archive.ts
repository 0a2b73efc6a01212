import {
  copyFileSync,
  createWriteStream,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { MESOS_IMAGES, mesosIn, sourceDigest } from "../cluster/images.ts";
import { platformOf } from "../cluster/platforms.ts";
import { ConfigError } from "../config/problems.ts";
import { withoutLogins } from "../config/redact.ts";
import { type Config, required } from "../config/schema.ts";
import { fileSha256 } from "../lib/digest.ts";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { explain, Http } from "../lib/http.ts";
import { printable } from "../lib/text.ts";
import { digestOfTag } from "./registry.ts";

/** Where the Mesos of the images comes from: `mesosSource` and `libmesosSource` as files of this machine, digests checked. */

export type SourceKey = "mesosSource" | "libmesosSource";

/** An archive that `images/build.sh` takes: a tarball of an installed prefix, or a `.deb`. */
export interface MesosArchive {
  path: string;
  /** sha256 of the file. */
  sha256: string;
  /** Digest that the config gives: the file's own, or that of the image that it was taken out of. */
  id: string;
}

/** What a source is fetched with. */
export interface SourceOptions {
  /** Folder of the checkout. Downloads are kept below its `.triplewide/`. */
  root: string;
  /** Docker's command, for sources that are images. */
  docker: string;
  /** Ends the download. */
  signal: AbortSignal;
}

/** What `fetchArchives` works with. */
export interface FetchOptions extends SourceOptions {
  config: Config;
  /** Name of the environment, for messages. */
  environment: string;
}

/** A source that cannot be had: what it must be, why it is not, and what to do. */
class SourceError extends UserError {
  override name = "SourceError";
  readonly rule: string;
  readonly fix: string;
  constructor(source: string, rule: string, fix: string) {
    super(`${withoutLogins(printable(source))}: must be ${withoutLogins(rule)}. Fix: ${withoutLogins(fix)}.`);
    this.rule = rule;
    this.fix = fix;
  }
}

/** A source with its digest. */
export interface Pinned {
  source: string;
  /** Digest that the image's tag names by now, where that is another; null where the registry does not say. */
  moved?: string | null;
}

/** Limit of a whole download. A slow connection may need an hour; a server that stops sending is given up much sooner. */
const DOWNLOAD_MS = 3_600_000;

/** Every Mesos that images built here are to hold, by the source that names it. */
export async function fetchArchives(options: FetchOptions): Promise<Map<string, MesosArchive>> {
  const { config: c } = options;
  const isBuilt = (name: ImageName): boolean => !platformOf(c).pullsImages || !(name in c.prebuiltImages);
  const wanted = new Set(MESOS_IMAGES.filter(isBuilt).map((name) => mesosIn(name, c)));
  const found = new Map<string, MesosArchive>();
  for (const key of ["mesosSource", "libmesosSource"] as const) {
    const source = c[key];
    if (source !== undefined && wanted.has(source) && !found.has(source))
      found.set(source, await fetchMesos(key, options));
  }
  return found;
}

/**
 * Puts archives where the Dockerfile of `spark-python` finds them, and removes all others: what lies in an image's folder
 * decides whether the engine builds it anew.
 *
 * @param images Folder that holds one folder for each image.
 */
export function placeArchives(images: string, archives: Iterable<MesosArchive>): void {
  const folder = join(images, "spark-python", "mesos");
  mkdirSync(folder, { recursive: true });
  const wanted = new Map([...archives].map((a) => [`${a.sha256}.${a.path.endsWith(".deb") ? "deb" : "tar"}`, a.path]));
  for (const name of readdirSync(folder)) if (!name.startsWith(".") && !wanted.has(name)) rmSync(join(folder, name));
  for (const [name, path] of wanted) {
    const place = join(folder, name);
    if (existsSync(place)) continue;
    try {
      linkSync(path, place);
    } catch {
      // On another file system, or not ours.
      copyFileSync(path, `${folder}/.${name}`);
      renameSync(`${folder}/.${name}`, place);
    }
  }
}

/**
 * Gets what a key names, unless it is here already.
 *
 * @throws ConfigError naming key, value, rule and fix.
 */
export async function fetchMesos(key: SourceKey, options: FetchOptions): Promise<MesosArchive> {
  const value = required(options.config, key);
  try {
    return await fetchSource(value, options);
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    const { rule, fix } = error;
    throw new ConfigError(options.environment, [{ key, value, rule, fix }]);
  }
}

/**
 * A source with the digest that it has now, where it names none. What was downloaded for that is kept.
 *
 * @param value An image with or without tag and digest, an address or a file with or without digest.
 * @throws SourceError where it cannot be had.
 */
export async function pinSource(value: string, options: SourceOptions): Promise<Pinned> {
  const digest = sourceDigest(value);
  if (value.startsWith("docker://")) {
    const image = value.slice("docker://".length).replace(/@.*$/, "");
    const tagged = /:[^/]+$/.test(image);
    if (digest === "") return { source: `docker://${image}@sha256:${await pull(value, image, options)}` };
    if (!tagged) return { source: value };
    const now = await digestOfTag(image, options.signal);
    return now === digest ? { source: value } : { source: value, moved: now ?? null };
  }
  if (digest !== "") return { source: value };
  const address = value.replace(/#.*$/, "");
  if (address.startsWith("file://")) return { source: `${address}#sha256=${await fileDigest(value, address)}` };
  const { folder, ending } = keptAs(address, options);
  const part = join(folder, `new-${process.pid}.part`);
  try {
    const sha256 = await downloaded(value, address, part, options.signal, true);
    renameSync(part, join(folder, `${sha256}${ending}`));
    return { source: `${address}#sha256=${sha256}` };
  } finally {
    rmSync(part, { force: true });
  }
}

/**
 * Gets a source that has its digest, unless it is here already.
 *
 * @throws SourceError where it cannot be had.
 */
export async function fetchSource(value: string, options: SourceOptions): Promise<MesosArchive> {
  const id = sourceDigest(value);
  const address = value.replace(/#.*$/, "");

  if (address.startsWith("file://")) {
    const sha256 = await fileDigest(value, address);
    if (sha256 !== id)
      throw new SourceError(value, `a file with that digest (its own is ${sha256})`, wrongDigest(sha256));
    return { path: fileURLToPath(address), sha256, id };
  }

  const { folder, ending } = keptAs(address, options);
  if (address.startsWith("docker://")) {
    const path = join(folder, `${id}.image.tar.gz`);
    if (!existsSync(path)) await takeOutOfImage(value, path, options);
    return { path, sha256: await fileSha256(path), id };
  }

  const path = join(folder, `${id}${ending}`);
  // A file under this name was checked before it got the name.
  if (!existsSync(path)) {
    const part = `${path}.part`;
    try {
      const sha256 = await downloaded(value, address, part, options.signal);
      if (sha256 !== id)
        throw new SourceError(
          value,
          `an address of a file with that digest (its own is ${sha256})`,
          wrongDigest(sha256),
        );
      renameSync(part, path);
    } finally {
      rmSync(part, { force: true });
    }
  }
  return { path, sha256: id, id };
}

/** Where what is fetched is kept: beside the clusters' folders, under a name that no cluster can have. */
function keptAs(address: string, { root }: SourceOptions): { folder: string; ending: string } {
  const folder = join(root, ".triplewide", "_mesos");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return { folder, ending: address.startsWith("deb+") || address.endsWith(".deb") ? ".deb" : ".tar.gz" };
}

/** Digest of a source's file on this machine. */
async function fileDigest(source: string, address: string): Promise<string> {
  const path = fileURLToPath(address);
  if (!existsSync(path) || !statSync(path).isFile())
    throw new SourceError(
      source,
      "a file that there is on this machine",
      `put the archive at ${path}, or correct the path`,
    );
  return fileSha256(path).catch((error: Error) => {
    throw new SourceError(source, "a file that this user may read", `make ${path} readable (${error.message})`);
  });
}

/** Downloads a source. @param unknown Whether nothing is known of it but its address. @returns Its digest. */
async function downloaded(
  source: string,
  address: string,
  target: string,
  signal: AbortSignal,
  unknown = false,
): Promise<string> {
  const failure = await download(address.replace(/^deb\+/, ""), target, signal, unknown);
  if (failure)
    throw new SourceError(
      source,
      `an address that this machine can download (${failure})`,
      "correct it, or name a copy that this machine reaches (a mirror of yours, or file:///…)",
    );
  return fileSha256(target);
}

const wrongDigest = (actual: string): string =>
  `find out why it differs; if this is the file that you mean, end the value with #sha256=${actual}`;

/** Why the download failed; empty where it did not. */
async function download(url: string, target: string, signal: AbortSignal, staysEncrypted: boolean): Promise<string> {
  const http = new Http();
  try {
    const into = () => createWriteStream(target, { mode: 0o600 });
    const { status } = await http.send(url, { timeoutMs: DOWNLOAD_MS, redirects: 5, staysEncrypted, into, signal });
    return status === 200 ? "" : `its server answers ${status}`;
  } catch (error) {
    signal.throwIfAborted();
    return explain(error);
  } finally {
    http.close();
  }
}

async function takeOutOfImage(source: string, target: string, options: SourceOptions): Promise<void> {
  const { root, docker, signal } = options;
  const image = source.replace("docker://", "");
  const there = await captured(docker, ["image", "inspect", image], signal);
  if (there.code !== 0) await pull(source, image, options);
  const taken = await captured(join(root, "images", "mesos-from-image.sh"), [docker, image, target], signal);
  signal.throwIfAborted();
  if (taken.code !== 0)
    throw new SourceError(
      source,
      `an image with an installed Mesos (${lastLine(taken.output)})`,
      "name an image that has one: triplewide mesos list",
    );
}

/** Has Docker pull an image. @returns The digest that the registry has it under. */
async function pull(source: string, image: string, { docker, signal }: SourceOptions): Promise<string> {
  const { code, output } = await captured(docker, ["pull", image], signal);
  signal.throwIfAborted();
  if (code === 0) return /^Digest: sha256:([0-9a-f]{64})$/m.exec(output)?.[1] ?? "";
  const [rule, fix] = pullProblem(image, lastLine(output).replace(/^Error response from daemon: /, ""));
  throw new SourceError(source, rule, fix);
}

/** What is wrong with an image that Docker could not pull, and what to do, by Docker's words. */
function pullProblem(image: string, words: string): [rule: string, fix: string] {
  const copy = "name a copy in a registry that this machine reaches, or another source (triplewide mesos list)";
  if (/toomanyrequests|too many requests|\b429\b/i.test(words))
    return [
      `an image that its registry hands out now: it limits how often it is asked (${words})`,
      `log in (docker login), wait until the limit is over, or ${copy}`,
    ];
  if (/manifest .*unknown|not found/i.test(words)) {
    const digest = image.includes("@");
    const without = image.replace(/@.*$/, "");
    return digest
      ? [
          `an image that the registry has under that digest (${words})`,
          `see which one it has now: triplewide mesos check docker://${without}`,
        ]
      : [`an image that the registry has (${words})`, "correct its name or its tag"];
  }
  if (/denied|unauthorized|authentication required/i.test(words))
    return [`an image that Docker may pull (${words})`, "correct its name, or log in: docker login"];
  return [`an image whose registry answers this machine's Docker (${words})`, `try again later, or ${copy}`];
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1) ?? "";
}
