import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { sourceDigest } from "../cluster/images.ts";
import { MESOS_HOME } from "../cluster/services/mesos.ts";
import type { Config } from "../config/schema.ts";
import { ConfigError } from "../config/validate.ts";
import { explain, Http } from "../openstack/http.ts";
import { captured, type Docker, docker } from "./docker.ts";

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

export interface FetchOptions {
  config: Config;
  environment: string;
  /** Folder of the checkout. Downloads are kept below its `.triplewide/`. */
  root: string;
  docker: Docker;
  signal: AbortSignal;
}

/** Hours may be a slow line's; a server that says nothing is given up much sooner. */
const DOWNLOAD_MS = 3_600_000;

/**
 * Gets what a key names, unless it is here already.
 *
 * @throws ConfigError naming key, value, rule and fix.
 */
export async function fetchMesos(key: SourceKey, options: FetchOptions): Promise<MesosArchive> {
  const value = options.config[key];
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

/**
 * Whether agents can start containers here. Mesos up to 1.x looks for the CPU's control group of version 1 before it does, and
 * would else only say so in an agent's log.
 *
 * @param image The agents' image, with Mesos in it.
 * @throws ConfigError where they cannot.
 */
export async function checkControlGroups(d: Docker, image: string, config: Config, environment: string): Promise<void> {
  if ((await docker(d, ["info", "--format", "{{.CgroupVersion}}"])) !== "2") return;
  const agent = [image, `${MESOS_HOME}/sbin/mesos-agent`, "--version"];
  const version = await docker(d, ["run", "--rm", "--network", "none", ...agent]);
  if (!version.startsWith("mesos 1.")) return;
  const rule = `a Mesos that starts containers with control groups version 2, which this machine's Docker has (it is ${version})`;
  const fix =
    "use architecture vanilla or mesos-in-docker here, boot with systemd.unified_cgroup_hierarchy=0, or name another Mesos";
  throw new ConfigError(environment, [{ key: "mesosSource", value: config.mesosSource, rule, fix }]);
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
async function takeOutOfImage(
  image: string,
  target: string,
  { root, docker: d, signal }: FetchOptions,
): Promise<string> {
  const there = await captured(d.client, ["image", "inspect", image], signal);
  if (there.code !== 0) {
    const pull = await captured(d.client, ["pull", "--quiet", image], signal);
    signal.throwIfAborted();
    if (pull.code !== 0) return lastLine(pull.output);
  }
  const taken = await captured(join(root, "images", "mesos-from-image.sh"), [d.client, image, target], signal);
  signal.throwIfAborted();
  return taken.code === 0 ? "" : lastLine(taken.output);
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1) ?? "";
}
