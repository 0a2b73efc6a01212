import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import { hostKeyAlias } from "../cluster/host-keys.ts";
import { MESOS_IMAGES } from "../cluster/images.ts";
import { checkToday } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Cluster } from "../cluster/types.ts";
import { ConfigError } from "../config/problems.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import { keyProblem } from "../machines/keys.ts";
import { fetchArchives, placeArchives } from "../mesos/archive.ts";
import { Cloud } from "../openstack/cloud.ts";
import { CloudError } from "../openstack/errors.ts";
import { PreflightError, preflight } from "../openstack/preflight.ts";
import { machinePackages } from "../render/cloud-init/software.ts";
import { missingBeforeUp } from "../render/plan.ts";
import { baseImage } from "./base-image.ts";
import { ApiOnlyOperations, LiveOperations } from "./live-operations.ts";
import { passive } from "./operations.ts";
import type { SparkClusterArgs } from "./spark-cluster.ts";

/** What is found out about a cluster and its cloud before the first resource is registered. */
export type Found = Pick<
  SparkClusterArgs,
  "imageId" | "flavorIds" | "externalNetworkId" | "externalNetwork" | "objectStore" | "share" | "dns" | "operations"
> &
  Required<Pick<SparkClusterArgs, "mesosArchives" | "baseImage">>;

/**
 * Checks that the cloud can hold the cluster, in a preview as well. The engine itself would find one problem at a time,
 * and only after it has created half of the cluster.
 *
 * @throws RunError with every problem in one message.
 */
export async function lookAround(cluster: Cluster, root: string): Promise<Found> {
  const c = cluster.config;
  if (!platformOf(c).servers) {
    throw new pulumi.RunError(`this stack is for platform ${c.platform}: run \`make up ENV=${pulumi.getStack()}\``);
  }
  const missing = missingBeforeUp(cluster, pulumi.getStack());
  if (missing.length > 0) throw new pulumi.RunError(`not set:\n${missing.map((text) => `  ${text}`).join("\n")}`);
  for (const warning of stateWithoutVolume(cluster)) await pulumi.log.warn(warning);
  try {
    checkToday(c, pulumi.getStack());
    const cloud = Cloud.fromEnvironment({ folder: root });
    const packages = machinePackages(cluster, { versions: pinnedVersions(root) });
    const facts = await preflight(cluster, cloud, { wanted: { packages, environment: pulumi.getStack() } });
    for (const warning of facts.warnings) await pulumi.log.warn(warning);
    await checkKey(cluster, facts.publicKey);
    const mesosArchives = await prepareBuilds(cluster, root);
    return {
      imageId: facts.imageId,
      flavorIds: Object.fromEntries(Object.entries(facts.flavors).map(([name, { id }]) => [name, id])),
      externalNetworkId: facts.externalNetworkId,
      externalNetwork: facts.externalNetworkName,
      objectStore: facts.objectStore,
      share: facts.share,
      dns: facts.dns,
      mesosArchives,
      baseImage: await baseImage(pinnedVersions(root), "docker"),
      operations: operationsFor(cluster, root, cloud, facts.existing),
    };
  } catch (error) {
    if ([PreflightError, CloudError, ConfigError].some((kind) => error instanceof kind))
      throw new pulumi.RunError((error as Error).message);
    throw error;
  }
}

/**
 * Whether this computer has the private key of the key pair. Without it an update would wait in vain for machines that it cannot log in to.
 * A preview only warns.
 */
async function checkKey(cluster: Cluster, publicKey: string): Promise<void> {
  if (publicKey === "" || process.env.TRIPLEWIDE_READINESS === "api") return;
  const found = await keyProblem(publicKey, hostKeyAlias(cluster, { name: "bastion" }));
  if (!found) return;
  if (pulumi.runtime.isDryRun()) {
    await pulumi.log.warn(`keyPair: ${found.wrong}. Fix: ${found.fix}`);
    return;
  }
  throw new pulumi.RunError(
    `keyPair: got "${cluster.config.keyPair}"; ${found.wrong}. Fix: ${found.fix}. Nothing was changed.`,
  );
}

/**
 * Puts beside the Dockerfiles what images are built from besides the repository, where they are built here: the Mesos that
 * they are to hold, certificate authorities and mirrors of this machine. Before a preview, too, because the engine compares
 * an image's folder with what it was built from.
 */
async function prepareBuilds(cluster: Cluster, root: string): Promise<Found["mesosArchives"]> {
  const found = await fetchArchives({
    config: cluster.config,
    environment: pulumi.getStack(),
    root,
    docker: "docker",
    signal: new AbortController().signal,
  });
  const { prebuiltImages } = cluster.config;
  if (!MESOS_IMAGES.every((name) => name in prebuiltImages)) {
    placeArchives(join(root, "images"), found.values());
  }
  await promisify(execFile)(join(root, "images", "site.sh"));
  return new Map([...found].map(([source, { sha256 }]) => [source, sha256]));
}

function operationsFor(
  cluster: Cluster,
  root: string,
  cloud: Cloud,
  existing: Awaited<ReturnType<typeof preflight>>["existing"],
): Found["operations"] {
  if (pulumi.runtime.isDryRun()) {
    cloud.close();
    return passive(existing);
  }
  const Live = process.env.TRIPLEWIDE_READINESS === "api" ? ApiOnlyOperations : LiveOperations;
  return new Live({
    cloud,
    clusterName: cluster.name,
    existing,
    user: cluster.config.sshUser,
    olderKnownHostsFile: join(root, ".triplewide", `${cluster.name}-known-hosts`),
  });
}

/** A warning where machines keep state without a data volume: a replacement would lose it. */
function stateWithoutVolume(cluster: Cluster): string[] {
  const keeps = new Set(
    cluster.services.filter((s) => s.dirs.some((dir) => dir.lasts === "data")).map((s) => s.machine),
  );
  const names = cluster.machines.filter((m) => m.volumeGb === undefined && keeps.has(m.name)).map((m) => m.name);
  if (names.length === 0) return [];
  const why = cluster.config.dataVolumes ? "" : " (dataVolumes: false)";
  return [`no data volume${why}: when it is replaced, a machine loses the state it keeps: ${names.join(", ")}`];
}
