import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { hasMesos, mesosStartsExecutors } from "../config/ports.ts";
import type { Config } from "../config/schema.ts";
import type { ImageName, MarathonApp } from "./types.ts";

const MARK = /\{\{image:([a-z-]+)\}\}/g;

/** Names of the images that a text has marks of, each once. */
export function imagesIn(text: string): ImageName[] {
  return [...new Set([...text.matchAll(MARK)].map((match) => match[1] as ImageName))];
}

/** Puts an image's reference in place of each mark. */
export function fillImages(text: string, referenceOf: (name: ImageName) => string): string {
  return text.replace(MARK, (_, name: ImageName) => referenceOf(name));
}

/** Apps with every mark filled in. */
export function filledApps(apps: readonly MarathonApp[], fill: (text: string) => string): MarathonApp[] {
  return JSON.parse(fill(JSON.stringify(apps)));
}

/** What `images/versions.env` pins. */
export function pinnedVersions(root: string): Record<string, string> {
  const values = parseEnv(readFileSync(join(root, "images", "versions.env"), "utf8"));
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value ?? ""]));
}

/** First characters of a source's digest, by which images that hold it are told apart. */
const SHORT_DIGEST = 12;

/** The sha256 that a source ends with, however it is written: `@sha256:…` or `#sha256=…`. */
export function sourceDigest(source: string): string {
  return /sha256[:=]([0-9a-f]{64})$/.exec(source)?.[1] ?? "";
}

/** Images that may hold a Mesos. */
export const MESOS_IMAGES = ["spark-python", "client"] as const satisfies readonly ImageName[];

/** Where libmesos comes from that drivers load. */
const librarySource = (c: Config): string => c.libmesosSource || c.mesosSource;

/** Whether Mesos' master and agent run in an image, and not on the machines themselves. */
const holdsDaemons = (name: ImageName, c: Config): boolean =>
  name === "spark-python" && (c.platform === "docker" || c.architecture === "mesos-in-docker");

/** Whether drivers run in an image that talk to Mesos. Marathon's Spark is a standalone one: its drivers do not. */
const holdsDrivers = (name: ImageName, c: Config): boolean =>
  mesosStartsExecutors(c) && (name === "client" || (name === "spark-python" && c.architecture === "docker-executors"));

/** Where the Mesos inside of an image comes from; empty where it holds none. */
export function mesosIn(name: ImageName, c: Config): string {
  if (!hasMesos(c)) return "";
  if (holdsDaemons(name, c)) return c.mesosSource;
  return holdsDrivers(name, c) ? librarySource(c) : "";
}

/**
 * What the images that hold a source's Mesos need of it: `daemons` (master and agent), `java` (libmesos with its Java
 * bindings), or both. All of them stand on one image: what one needs, the others have as well.
 */
export function mesosParts(source: string, c: Config): string {
  const images = MESOS_IMAGES.filter((name) => mesosIn(name, c) === source);
  const java = images.some((name) => holdsDrivers(name, c)) && source === librarySource(c);
  return [...(images.some((name) => holdsDaemons(name, c)) ? ["daemons"] : []), ...(java ? ["java"] : [])].join(" ");
}

/** Appendix to the tag of an image that holds a Mesos, by the digest of its source. */
export const mesosTag = (source: string): string =>
  source === "" ? "" : `-mesos-${sourceDigest(source).slice(0, SHORT_DIGEST)}`;

/** The image of Marathon that the config names, as Docker knows it. */
export const marathonImage = (c: Config): string => c.marathonSource.replace("docker://", "");

/**
 * Name and tag of an image of ours. On this machine's Docker, Marathon is what the config names; a registry gets it as one of
 * ours. Images with a Mesos inside are others than those without, so that environments of both kinds live side by side.
 */
export function localReference(name: ImageName, c: Config, versions: Readonly<Record<string, string>>): string {
  if (name === "marathon" && c.platform === "docker") return marathonImage(c);
  return `triplewide/${name}:${versions.TRIPLEWIDE_VERSION}${mesosTag(mesosIn(name, c))}`;
}
