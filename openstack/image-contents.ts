import { createHash } from "node:crypto";
import type { Findings } from "./findings.ts";

/** What an image that `triplewide image` made says of the packages in it. */

/** Property with a hash of their names: by it a run knows whether another image is needed. */
export const PACKAGES_KEY = "triplewide_packages";
/** Property with their names, sorted, with spaces between. */
const NAMES_KEY = "triplewide_package_names";

/** Debian packages that machines install, and the environment that they are of. */
export interface Wanted {
  packages: readonly string[];
  environment: string;
}

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
