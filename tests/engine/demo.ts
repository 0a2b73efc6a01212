import type { RawConfig } from "../../config/validate.ts";

/** Images that exist: nothing is built, and a digest that changes is a change that people ask for. */
export const PREBUILT_IMAGES = Object.fromEntries(
  ["spark-python", "client", "zookeeper"].map((name) => [
    name,
    `registry.example.org/${name}@sha256:${"d".repeat(64)}`,
  ]),
);

/** A standalone cluster on the OpenStack in memory (fake-cloud.ts). */
export const DEMO: RawConfig = {
  clusterName: "demo",
  architecture: "standalone",
  image: "debian-12",
  masterFlavor: "m1.medium",
  agentFlavor: "m1.large",
  bastionFlavor: "m1.small",
  externalNetwork: "public",
  adminCidrs: ["198.51.100.7/32"],
  prebuiltImages: PREBUILT_IMAGES,
};
