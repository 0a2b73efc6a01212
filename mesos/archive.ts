import { createHash } from "node:crypto";
import {
  copyFileSync,
  createReadStream,
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
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { MESOS_IMAGES, mesosIn, sourceDigest } from "../cluster/images.ts";
import { platformOf } from "../cluster/platforms.ts";
import { ConfigError } from "../config/problems.ts";
import { type Config, required } from "../config/schema.ts";
import { captured } from "../lib/exec.ts";
import { explain, Http } from "../lib/http.ts";

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

/** What `fetchArchives` works with. */
export interface FetchOptions {
  config: Config;
  /** Name of the environment, for messages. */
  environment: string;
  /** Folder of the checkout. Downloads are kept below its `.triplewide/`. */
  root: string;
  /** Docker's command, for sources that are images. */
  docker: string;
  /** Ends the download. */
  signal: AbortSignal;
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
  const refuse = (rule: string, fix: string): ConfigError =>
    new ConfigError(options.environment, [{ key, value, rule, fix }]);
  const id = sourceDigest(value);
  const address = value.replace(/#.*$/, "");
  // Beside the clusters' folders, under a name that no cluster can have.
  const kept = join(options.root, ".triplewide", "_mesos");

  if (address.startsWith("file://")) {
    const path = fileURLToPath(address);
    if (!existsSync(path) || !statSync(path).isFile())
      throw refuse("a file that there is on this machine", `put the archive at ${path}, or correct the path`);
    const sha256 = await digestOf(path).catch((error: Error) => {
      throw refuse("a file that this user may read", `make ${path} readable (${error.message})`);
    });
    if (sha256 !== id) throw refuse(`a file with that digest (its own is ${sha256})`, wrongDigest(sha256));
    return { path, sha256, id };
  }

  mkdirSync(kept, { recursive: true, mode: 0o700 });
  if (address.startsWith("docker://")) {
    const path = join(kept, `image-${id}.tar.gz`);
    if (!existsSync(path)) {
      const failure = await takeOutOfImage(address.replace("docker://", ""), path, options);
      if (failure)
        throw refuse(
          `an image with Mesos that Docker can pull (${failure})`,
          "correct the name, or use another source",
        );
    }
    return { path, sha256: await digestOf(path), id };
  }

  const path = join(kept, `${id}${address.startsWith("deb+") || address.endsWith(".deb") ? ".deb" : ".tar.gz"}`);
  // A file under this name was checked before it got the name.
  if (!existsSync(path)) {
    const part = `${path}.part`;
    try {
      const failure = await download(address.replace(/^deb\+/, ""), part, options.signal);
      if (failure)
        throw refuse(
          `an address that this machine can download (${failure})`,
          "correct it, or name a copy that this machine reaches (a mirror of yours, or file:///…)",
        );
      const sha256 = await digestOf(part);
      if (sha256 !== id)
        throw refuse(`an address of a file with that digest (its own is ${sha256})`, wrongDigest(sha256));
      renameSync(part, path);
    } finally {
      rmSync(part, { force: true });
    }
  }
  return { path, sha256: id, id };
}

const wrongDigest = (actual: string): string =>
  `find out why it differs; if this is the file that you mean, end the value with #sha256=${actual}`;

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Why the download failed; empty where it did not. */
async function download(url: string, target: string, signal: AbortSignal): Promise<string> {
  const http = new Http();
  try {
    const into = () => createWriteStream(target, { mode: 0o600 });
    const { status } = await http.send(url, { timeoutMs: DOWNLOAD_MS, redirects: 5, into, signal });
    return status === 200 ? "" : `its server answers ${status}`;
  } catch (error) {
    signal.throwIfAborted();
    return explain(error);
  } finally {
    http.close();
  }
}

/** Why the image's Mesos could not be had; empty where it could. */
async function takeOutOfImage(image: string, target: string, { root, docker, signal }: FetchOptions): Promise<string> {
  const there = await captured(docker, ["image", "inspect", image], signal);
  if (there.code !== 0) {
    const pull = await captured(docker, ["pull", "--quiet", image], signal);
    signal.throwIfAborted();
    if (pull.code !== 0) return lastLine(pull.output);
  }
  const taken = await captured(join(root, "images", "mesos-from-image.sh"), [docker, image, target], signal);
  signal.throwIfAborted();
  return taken.code === 0 ? "" : lastLine(taken.output);
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1) ?? "";
}
