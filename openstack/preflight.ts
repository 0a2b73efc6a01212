import { configOfAgents } from "../cluster/agent-groups.ts";
import { flavorKey, GROUPS } from "../cluster/groups.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { type DnsFacts, findZone } from "./dns.ts";
import { CloudError, unlessRefused } from "./errors.ts";
import { Findings, instead, PreflightError } from "./findings.ts";
import { type Flavor, listFlavors, usedFlavors } from "./flavors.ts";
import { diskNeeded, findImage, type Image } from "./guest-images.ts";
import { checkGuestSystem } from "./guest-system.ts";
import { checkContents, type Wanted } from "./image-contents.ts";
import { type ExistingMachine, existingMachines } from "./inventory.ts";
import { checkExistingNetwork, checkNetworkService, findExternalNetwork } from "./networks.ts";
import { findObjectStore, type ObjectStoreFacts } from "./object-store.ts";
import { checkProject } from "./project.ts";
import { checkQuota } from "./quota.ts";
import { serverGroups } from "./server-groups.ts";
import { findShare, type ShareFacts } from "./share.ts";
import { checkSources } from "./sources.ts";
import { checkBootVolume, checkVolumes } from "./volumes.ts";
import { checkZones } from "./zones.ts";

export { PreflightError } from "./findings.ts";

/**
 * What is looked at before anything is created. The engine would find most of this too, one thing at a time and after
 * it has made half of the cluster: authentication is lazy, and a preview passes with a flavor that does not exist.
 */

/** What the checks learned. */
export interface PreflightFacts {
  projectId: string;
  imageId: string;
  /** By the name (or id) that the config gives. */
  flavors: Record<string, Flavor>;
  /** Empty where the config needs no external network. */
  externalNetworkId: string;
  /** Its name, which floating IPs are asked for by. */
  externalNetworkName: string;
  /** Public key of the key pair that the config names; empty where it names none. */
  publicKey: string;
  /** How drivers reach the cloud's object store; absent where the config asks for no container there. */
  objectStore: ObjectStoreFacts | undefined;
  /** What is known of the share type; absent where the config asks for no share. */
  share: ShareFacts | undefined;
  /** The zone of `domain`; absent where the config asks for no record. */
  dns: DnsFacts | undefined;
  /** What the cloud holds of this cluster already. */
  existing: Map<string, ExistingMachine>;
  /** What may be wrong but cannot be told from here, one line each. */
  warnings: string[];
}

export interface PreflightOptions {
  /** For each download address that is looked at; default 10 000. */
  timeoutMs?: number;
  /** What an image that holds packages is compared with. @default it is not looked at */
  wanted?: Wanted | undefined;
}

/**
 * Checks that the cloud can hold the cluster: credentials, image, flavors, networks, keys, zones, quota, and the places
 * that software comes from. Changes nothing.
 *
 * @throws PreflightError with every problem at once.
 */
export async function preflight(
  cluster: Cluster,
  cloud: Cloud,
  options: PreflightOptions = {},
): Promise<PreflightFacts> {
  const findings = new Findings();
  const sources = checkSources(cluster.config, findings, options.timeoutMs ?? 10_000);
  const facts = await checkCloud(cluster, cloud, findings, options.wanted);
  await sources;
  if (!facts || findings.problems.length > 0) {
    throw new PreflightError(cluster.name, findings.problems, findings.warnings);
  }
  return { ...facts, warnings: findings.warnings };
}

type CloudFacts = Omit<PreflightFacts, "warnings">;

/** Runs all checks of the cloud at the same time. Returns nothing where not even the credentials work. */
async function checkCloud(
  cluster: Cluster,
  cloud: Cloud,
  findings: Findings,
  wanted: Wanted | undefined,
): Promise<CloudFacts | undefined> {
  const c = cluster.config;
  /** A service that does not answer is a problem like any other, and must not hide the rest. */
  const guard = async <T>(check: Promise<T>, otherwise: T, key = "cloud"): Promise<T> => {
    try {
      return await check;
    } catch (error) {
      if (!(error instanceof CloudError)) throw error;
      findings.refuse(key, undefined, error.message, "");
      return otherwise;
    }
  };
  const projectId = await guard(cloud.projectId(), "", "credentials");
  if (projectId === "") return undefined;
  await checkProject(cloud, findings);

  const machines = guard(existingMachines(cloud, cluster.name), new Map<string, ExistingMachine>());
  const [flavors, image, externalNetwork, existing, publicKey, objectStore, share, dns] = await Promise.all([
    guard(listFlavors(cloud), undefined),
    guard(
      machines.then((there) => findImage(cloud, cluster, there, findings)),
      undefined,
    ),
    guard(findExternalNetwork(cloud, c, findings), undefined),
    machines,
    guard(findKeyPair(cloud, c, machines, findings), ""),
    guard(findObjectStore(cloud, cluster, findings), undefined, "objectStore"),
    guard(findShare(cloud, cluster, findings), undefined, "sharedStorage"),
    guard(findZone(cloud, cluster, findings), undefined, "dnsZone"),
    guard(checkComputeService(cloud, cluster, findings), undefined),
    guard(checkNetworkService(cloud, c, findings), undefined),
    guard(checkZones(cloud, c, findings), undefined),
    guard(checkVolumes(cloud, cluster, findings), undefined),
    guard(checkExistingNetwork(cloud, cluster, findings), undefined),
  ]);
  const used = usedFlavors(cluster, flavors, findings);
  checkFlavorSizes(cluster, used, image, findings);
  if (image) checkGuestSystem(cluster, image, findings);
  if (image && wanted) checkContents(image, wanted, findings);
  const subject = {
    cluster,
    cloud,
    existing,
    flavorOf: (machine: Machine) => used[machine.flavor ?? ""],
    flavorsById: new Map((flavors ?? []).map((f) => [f.id, f])),
  };
  await guard(checkQuota(subject, findings), undefined);
  return {
    projectId,
    imageId: image?.id ?? "",
    flavors: used,
    externalNetworkId: externalNetwork?.id ?? "",
    externalNetworkName: externalNetwork?.name ?? "",
    publicKey,
    objectStore,
    share,
    dns,
    existing,
  };
}

/** Whether the flavors are large enough for the image and for what the config promises of them. */
function checkFlavorSizes(
  cluster: Cluster,
  flavors: Record<string, Flavor>,
  image: Image | undefined,
  findings: Findings,
): void {
  const c = cluster.config;
  for (const { flavor: name = "", group, subgroup } of cluster.machines) {
    const flavor = flavors[name];
    if (!flavor) continue;
    const key = subgroup === undefined ? flavorKey(c, group) : `agentGroups.${subgroup}.flavor`;
    const larger = "use a larger flavor";
    if (image) {
      const disk = diskNeeded(image);
      const ram = image.min_ram ?? 0;
      if (c.bootVolumeGb !== undefined) {
        checkBootVolume(c.bootVolumeGb, image, findings);
      } else if (flavor.diskGb === 0) {
        const fix = `set bootVolumeGb to ${Math.max(20, disk)}, or use a flavor with a disk`;
        findings.refuse(key, name, "it has no disk of its own to boot from", fix);
      } else if (flavor.diskGb < disk) {
        findings.refuse(key, name, `it has ${flavor.diskGb} GB of disk, and image ${image.name} needs ${disk}`, larger);
      }
      if (flavor.ramMiB < ram) {
        findings.refuse(key, name, `it has ${flavor.ramMiB} MiB of RAM, and image ${image.name} needs ${ram}`, larger);
      }
    }
    const { offeredMemoryKey } = GROUPS[group];
    const offered = offeredMemoryKey && configOfAgents(c, subgroup)[offeredMemoryKey];
    if (offeredMemoryKey && offered !== undefined && offered >= flavor.ramMiB) {
      findings.refuse(
        offeredMemoryKey,
        offered,
        `${key} ${name} has ${flavor.ramMiB} MiB, and the system needs some of them`,
        `use 0 (all but the system's share), or a larger ${key}`,
      );
    }
  }
}

/** The first of Nova's microversions that has groups whose members need not be apart. */
const SOFT_GROUPS = 15;

/** Whether Nova knows the kind of server groups that machines are spread in. */
async function checkComputeService(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<void> {
  if (!serverGroups(cluster).some(({ policy }) => policy.startsWith("soft-"))) return;
  const found = await unlessRefused(cloud.find<{ version?: { version?: string } }>("compute", "/"), undefined);
  const [, minor] = /^2\.(\d+)$/.exec(found?.version?.version ?? "") ?? [];
  if (minor === undefined || Number(minor) >= SOFT_GROUPS) return;
  const wrong = `agents are spread by soft-anti-affinity, for which Nova has to have API 2.${SOFT_GROUPS}, and this one ends at 2.${minor}`;
  findings.refuse("antiAffinity", cluster.config.antiAffinity, wrong, "set it to none");
}

/** @returns Its public key; empty where there is none. */
async function findKeyPair(
  cloud: Cloud,
  c: Config,
  existing: Promise<ReadonlyMap<string, ExistingMachine>>,
  findings: Findings,
): Promise<string> {
  if (c.keyPair === undefined) {
    const path = `/os-keypairs/${encodeURIComponent(c.clusterName)}`;
    const [there, machines] = await Promise.all([unlessRefused(cloud.find("compute", path), undefined), existing]);
    if (there && machines.size === 0)
      findings.warn(
        `keyPair: this user has a key pair ${c.clusterName} already, in whatever project, and one of that name is to be made. Fix: where this stack did not make it, choose another clusterName`,
      );
    return "";
  }
  const path = `/os-keypairs/${encodeURIComponent(c.keyPair)}`;
  const found = await cloud.find<{ keypair: { public_key?: string } }>("compute", path);
  if (found) return found.keypair.public_key ?? "";
  const all = await cloud.list<{ keypair: { name: string } }>("compute", "/os-keypairs", "keypairs");
  const names = all.map((k) => k.keypair.name).sort();
  const fix = names.length > 0 ? instead(c.keyPair, names) : "remove keyPair: one is then made";
  findings.refuse("keyPair", c.keyPair, "this user has no such key pair", fix);
  return "";
}
