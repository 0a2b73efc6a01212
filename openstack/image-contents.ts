import { createHash } from "node:crypto";
import type { Findings } from "./findings.ts";
import type { Image } from "./guest-images.ts";

/** What an image that `triplewide image` made says of itself: of what it was made, and which packages are in it. */

/** Property with the id of the image that it was made of. */
export const SOURCE_KEY = "triplewide_source_image";
/** Property with the name that this had. */
export const SOURCE_NAME_KEY = "triplewide_source_name";
/** Property with the version of this program that made it. */
export const VERSION_KEY = "triplewide_version";

/** Property with a hash of their names: by it a run knows whether another image is needed. */
export const PACKAGES_KEY = "triplewide_packages";
/** Property with their names, sorted, with spaces between. */
const NAMES_KEY = "triplewide_package_names";

/** A property of an image; `undefined` where it has none of that name. */
export const property = (image: Image, key: string): unknown => (image as unknown as Record<string, unknown>)[key];

/** Debian packages that machines install, and the environment that they are of. */
export interface Wanted {
  packages: readonly string[];
  environment: string;
}

/** Hash of names of packages, in whatever order. */
export const hashOf = (packages: readonly string[]): string =>
  createHash("sha256")
    .update([...packages].sort().join("\n"))
    .digest("hex");

/** Properties of an image that holds these packages. */
export const contentsOf = (packages: readonly string[]): [key: string, value: string][] => [
  [PACKAGES_KEY, hashOf(packages)],
  [NAMES_KEY, [...packages].sort().join(" ")],
];

/** Warns where an image was made for other packages than the config needs now. Machines install what is missing, where they can. */
export function checkContents(
  image: { name: string } & object,
  { packages, environment }: Wanted,
  findings: Findings,
): void {
  const { [PACKAGES_KEY]: hash, [NAMES_KEY]: names } = image as Record<string, unknown>;
  if (typeof hash !== "string" || hash === hashOf(packages)) return;
  const then = `each new machine installs what is missing at its first boot, which takes longer and needs a way to a mirror. Fix: triplewide image ${environment} makes another`;
  if (typeof names !== "string") {
    findings.warn(`image: ${image.name} was made for other packages than the config needs now; ${then}`);
    return;
  }
  const there = new Set(names.split(" "));
  const missing = packages.filter((name) => !there.has(name));
  if (missing.length > 0) findings.warn(`image: ${image.name} was made without ${missing.join(", ")}; ${then}`);
}
