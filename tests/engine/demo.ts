import type { RawConfig } from "../../config/validate.ts";
import { CLOUD } from "../fixtures/configs.ts";

/** Existing images, so that nothing is built, and a digest changes only if a test changes it. */
export const PREBUILT_IMAGES = Object.fromEntries(
  ["spark-python", "client", "gateway", "zookeeper"].map((name) => [
    name,
    `registry.example.org/${name}@sha256:${"d".repeat(64)}`,
  ]),
);

/** A standalone cluster on the OpenStack in memory (fake-cloud.ts). */
export const DEMO: RawConfig = {
  ...CLOUD,
  clusterName: "demo",
  architecture: "standalone",
  bastionFlavor: "m1.small",
  prebuiltImages: PREBUILT_IMAGES,
};
