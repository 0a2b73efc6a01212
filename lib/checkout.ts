import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { ROOT } from "./root.ts";

/** The files of this checkout that a definition needs. The caller of `defineCluster` reads them once. */
export interface Checkout {
  /** Folder of the checkout. */
  root: string;
  /** What `images/versions.env` pins. */
  versions: Readonly<Record<string, string>>;
  /** `images/spark-python/requirements.txt`. */
  requirements: string;
  /**
   * The text of a file: a script of the checkout, or a file that the config names.
   *
   * @param path Absolute, or below the checkout's folder.
   */
  script: (path: string) => string;
}

/** What `images/versions.env` pins. */
export function pinnedVersions(root: string): Record<string, string> {
  const values = parseEnv(readFileSync(join(root, "images", "versions.env"), "utf8"));
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value ?? ""]));
}

/**
 * Reads a checkout.
 *
 * @param root Its folder. @default the checkout that this file is part of
 */
export function readCheckout(root: string = ROOT): Checkout {
  const scripts = new Map<string, string>();
  return {
    root,
    versions: pinnedVersions(root),
    requirements: readFileSync(join(root, "images", "spark-python", "requirements.txt"), "utf8"),
    script: (path) => {
      const text = scripts.get(path) ?? readFileSync(resolve(root, path), "utf8");
      scripts.set(path, text);
      return text;
    },
  };
}
