import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
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

/** Tag by which this machine's Docker knows an image of ours; for Marathon, the image that the config names. */
export function localReference(name: ImageName, c: Config, versions: Readonly<Record<string, string>>): string {
  if (name === "marathon") return c.marathonSource.replace("docker://", "");
  return `triplewide/${name}:${versions.TRIPLEWIDE_VERSION}`;
}
