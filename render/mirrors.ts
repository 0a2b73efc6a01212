import { hasMesos } from "../cluster/architectures/index.ts";
import { hasRegistry } from "../cluster/features.ts";
import { IMAGE_NAMES, imageRecord } from "../cluster/image-catalogue.ts";
import { marathonImage } from "../cluster/images.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Cluster } from "../cluster/types.ts";
import { withoutLogins } from "../config/redact.ts";
import type { Checkout } from "../lib/checkout.ts";
import { machinePackages } from "./cloud-init/software.ts";

/** What a network without a way out has to mirror, made from the config. */

/** One place that software comes from. */
export interface Mirror {
  /** What is fetched there. */
  what: string;
  /** Where from, as the config stands. */
  from: string;
  /** Who fetches it. */
  who: "builder" | "machines" | "client";
  /** What names another place: a config key, or a variable of the builder. */
  setting: string;
}

/** Every place that a cluster's software comes from. */
export function mirrorsOf(cluster: Cluster, parts: Pick<Checkout, "versions" | "requirements" | "script">): Mirror[] {
  const c = cluster.config;
  const { versions } = parts;
  const mirrors: Mirror[] = [];
  const add = (who: Mirror["who"], what: string, from: string, setting: string): void => {
    mirrors.push({ who, what, from: withoutLogins(from), setting });
  };
  const used = new Set(cluster.services.map((s) => s.image));
  const here = IMAGE_NAMES.filter((name) => used.has(name) && !(name in c.prebuiltImages));
  const built = here.filter((name) => imageRecord(name).origin === "built");
  if (built.length > 0) {
    add(
      "builder",
      `${versions.BASE_IMAGE}@${versions.BASE_DIGEST}`,
      "docker.io",
      "a registry mirror of Docker, or APT_MIRROR",
    );
    add(
      "builder",
      `packages of Debian ${versions.DEBIAN_SUITE} for ${built.join(", ")}`,
      "deb.debian.org",
      "APT_MIRROR, APT_SECURITY_MIRROR",
    );
    add("builder", "images/*/requirements.txt, with their hashes", "pypi.org", "PIP_INDEX_URL, UV_INDEX_URL");
    add(
      "builder",
      "images/*/pom.xml, and Hadoop of images/hdfs/checksums.sha256",
      "repo.maven.apache.org",
      "MAVEN_MIRROR",
    );
  }
  if (here.some((name) => imageRecord(name).origin === "copied"))
    add("builder", marathonImage(c), "its registry", "marathonSource");
  if (hasMesos(c)) {
    for (const key of ["mesosSource", "libmesosSource"] as const) {
      const source = c[key];
      if (source === undefined) continue;
      add(platformOf(c).servers && key === "mesosSource" ? "machines" : "builder", "Mesos", source, key);
    }
  }
  if (platformOf(c).servers) {
    const packages = machinePackages(cluster, parts);
    if (packages.length > 0)
      add(
        "machines",
        `packages ${packages.join(", ")}`,
        c.aptMirror ?? "the guest image's own mirror",
        "aptMirror, or a guest image that has them",
      );
    if (cluster.services.some((s) => s.runtime === "systemd" && s.software?.python))
      add("machines", "images/spark-python/requirements.txt", c.pythonIndex ?? "pypi.org", "pythonIndex");
    if (!hasRegistry(c)) add("machines", "the cluster's images", c.registry ?? "", "registry");
    for (const [name, reference] of Object.entries(c.prebuiltImages))
      add("machines", name, reference, "prebuiltImages");
  }
  add(
    "client",
    "jars of spark.jars.packages, where notebooks ask for some",
    c.mavenMirror ?? "repo1.maven.org",
    "mavenMirror",
  );
  add("client", "packages that notebooks install", "pypi.org", "pip's own settings");
  return mirrors;
}

/** The list for people. */
export function mirrorsText(cluster: Cluster, mirrors: readonly Mirror[]): string {
  const c = cluster.config;
  const way =
    c.httpProxy === undefined
      ? "Without a way out each of these has to be mirrored; with httpProxy, machines and client reach them through it."
      : `Machines and client reach these through ${c.httpProxy}.`;
  const lines = mirrors.map(
    ({ who, what, from, setting }) => `  ${who.padEnd(8)}  ${what}\n            from ${from}; elsewhere by ${setting}`,
  );
  return `${[`${cluster.name}: where its software comes from. ${way}`, ...lines].join("\n")}\n`;
}
