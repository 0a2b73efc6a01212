import { closest } from "fastest-levenshtein";
import { Address4 } from "ip-address";
import { configOfAgents } from "../cluster/agent-groups.ts";
import { flavorKey, GROUPS } from "../cluster/groups.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import { type Config, required } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { type DnsFacts, findZone } from "./dns.ts";
import { CloudError, unlessRefused } from "./errors.ts";
import { Findings, PreflightError } from "./findings.ts";
import type { Flavor } from "./flavor.ts";
import { checkGuestSystem, type GuestSystem } from "./guest-system.ts";
import { checkContents, type Wanted } from "./image-contents.ts";
import { type ExistingMachine, existingMachines, machineOf } from "./inventory.ts";
import { findObjectStore, type ObjectStoreFacts } from "./object-store.ts";
import { checkQuota } from "./quota.ts";
import { serverGroups } from "./server-groups.ts";
import { findShare, type ShareFacts } from "./share.ts";
import { checkSources } from "./sources.ts";

export { PreflightError, type PreflightProblem } from "./findings.ts";

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
  checkSizes(cluster, used, image, findings);
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

/** Seconds that two clocks may differ without harm: certificates and signed requests allow for some minutes. */
export const CLOCK_SECONDS = 60;

/** Whether the credentials may make something, and whether both sides have the same time. */
export async function checkProject(cloud: Cloud, findings: Findings): Promise<void> {
  const roles = await cloud.roles();
  if (roles.length > 0 && roles.every((role) => role === "reader")) {
    const fix = "ask for the role member, or make the application credential with it";
    findings.refuse("credentials", undefined, `their only role in ${await cloud.projectName()} is reader`, fix);
  }
  const { interface: asked, engineInterface, setting } = cloud.credentials;
  if (asked !== engineInterface)
    findings.warn(
      `credentials: ${setting("interface")} is ${asked}, which Pulumi does not read: it takes ${engineInterface} addresses. Fix: export OS_ENDPOINT_TYPE=${asked}`,
    );
  const minutes = await cloud.minutesLeft();
  if (minutes !== undefined)
    findings.warn(
      `credentials: a token that nobody can renew, and it ends in ${minutes} min; an update that takes longer fails in the middle. Fix: make an application credential, or log in anew before`,
    );
  const ahead = (await cloud.clockAheadSeconds()) ?? 0;
  if (Math.abs(ahead) <= CLOCK_SECONDS) return;
  const where = ahead > 0 ? "behind" : "ahead of";
  findings.warn(
    `clock: this machine is ${Math.abs(ahead)} s ${where} the cloud; tokens, certificates and signed requests may be refused. Fix: timedatectl set-ntp true`,
  );
}

/** Names offered in place of one that does not exist, the most alike first. */
export function instead(wanted: string, names: readonly string[]): string {
  if (names.length === 0) return "there is none that this project may use";
  const best = closest(wanted, names);
  const others = names.filter((name) => name !== best).slice(0, 7);
  const more = names.length > others.length + 1 ? ", …" : "";
  return `use ${best}${others.length > 0 ? ` (there are also ${others.join(", ")}${more})` : ""}`;
}

interface NovaFlavor {
  id: string;
  name: string;
  vcpus: number;
  ram: number;
  disk: number;
  "OS-FLV-DISABLED:disabled"?: boolean;
}

export async function listFlavors(cloud: Cloud): Promise<Flavor[]> {
  const found = await cloud.list<NovaFlavor>("compute", "/flavors/detail", "flavors");
  // Of one that is disabled no server can be made.
  const usable = found.filter((f) => f["OS-FLV-DISABLED:disabled"] !== true);
  return usable.map((f) => ({ id: f.id, name: f.name, vcpus: f.vcpus, ramMiB: f.ram, diskGb: f.disk }));
}

/** @param flavors Those that the cloud has; `undefined` where it did not tell, which has been said. */
export function usedFlavors(
  cluster: Cluster,
  flavors: readonly Flavor[] | undefined,
  findings: Findings,
): Record<string, Flavor> {
  const used: Record<string, Flavor> = {};
  if (flavors === undefined) return used;
  const names = flavors.map((f) => f.name).sort();
  for (const { flavor: wanted = "", group, subgroup } of cluster.machines) {
    const found = flavors.find((f) => f.name === wanted) ?? flavors.find((f) => f.id === wanted);
    const key = subgroup === undefined ? flavorKey(cluster.config, group) : `agentGroups.${subgroup}.flavor`;
    if (found) used[wanted] = found;
    else findings.refuse(key, wanted, "there is no such flavor", instead(wanted, names));
  }
  for (const [name, told] of Object.entries(cluster.config.flavorSizes)) {
    const real = used[name];
    if (real && (real.vcpus !== told.vcpus || real.ramMiB !== told.ramMiB)) {
      findings.warn(
        `flavorSizes: ${name} has ${real.vcpus} vCPUs and ${real.ramMiB} MiB, not ${told.vcpus} and ${told.ramMiB}`,
      );
    }
  }
  return used;
}

/** An image as Glance describes it; its properties stand beside these. */
export interface Image extends GuestSystem {
  id: string;
  status: string;
  min_ram?: number;
  min_disk?: number;
  size?: number | null;
  disk_format?: string;
  visibility?: string;
  virtual_size?: number | null;
}

/** The image that machines are made from: the one that they have, as long as the config calls it the same. */
async function findImage(
  cloud: Cloud,
  cluster: Cluster,
  existing: ReadonlyMap<string, ExistingMachine>,
  findings: Findings,
): Promise<Image | undefined> {
  const wanted = required(cluster.config, "image");
  const servers = [...existing.values()].filter((m) => m.imageId !== undefined && m.status !== "ERROR");
  const newest = servers.sort((a, b) => (a.created ?? "").localeCompare(b.created ?? "")).at(-1);
  if (newest?.imageId === undefined || UUID.test(wanted)) return lookUpImage(cloud, wanted, findings);
  const there = await cloud.find<Image>("image", `/images/${newest.imageId}`);
  // Servers of before the name was kept: the image's own name, which a cloud may have changed since.
  if ((newest.image ?? there?.name) !== wanted) return lookUpImage(cloud, wanted, findings);
  const others = await cloud.list<Image>("image", "/images", "images", { name: wanted, status: "active" });
  const newer = others.filter((i) => i.id !== newest.imageId && i.status === "active").map((i) => i.id);
  const move = "To move every machine to another one, set image to its id";
  if (there?.status !== "active") {
    const gone = `the image ${newest.imageId} that its machines have is ${there?.status ?? "not there any more"}`;
    const complete = cluster.machines.every(
      (m) => existing.get(m.name)?.serverId && existing.get(m.name)?.status !== "ERROR",
    );
    if (!complete) {
      const fix = `set image to the id of another one${newer.length > 0 ? `, such as ${newer[0]}` : ""}; every machine is then replaced`;
      findings.refuse("image", wanted, `${gone}, so that no machine can be made`, fix);
      return undefined;
    }
    findings.warn(`image: ${gone}; machines that have to be made anew cannot be. ${move}`);
    return { ...(there ?? {}), id: newest.imageId, name: wanted, status: "active" };
  }
  if (newer.length > 0) {
    findings.warn(`image: ${wanted} now also means ${newer.join(", ")}; machines keep ${newest.imageId}. ${move}`);
  }
  return there;
}

/** Formats of what no machine boots from as its own disk. */
const NO_DISKS: ReadonlySet<string> = new Set(["iso", "aki", "ari"]);

/** @param key What named it. */
export async function lookUpImage(
  cloud: Cloud,
  wanted: string,
  findings: Findings,
  key = "image",
): Promise<Image | undefined> {
  const named = await cloud.list<Image>("image", "/images", "images", { name: wanted });
  const [byId] = named.length > 0 ? [] : [await findById<Image>(cloud, "image", "/images", wanted)];
  const active = (byId ? [byId] : named).filter((i) => i.status === "active");
  const [image] = active;
  if (image && active.length === 1) {
    if (NO_DISKS.has(image.disk_format ?? ""))
      findings.refuse(
        key,
        wanted,
        `it is no disk (its disk_format is ${image.disk_format})`,
        "use a cloud image: qcow2 or raw",
      );
    return image;
  }
  if (image) {
    const ids = active.map((i) => i.id).join(", ");
    findings.refuse(key, wanted, `${active.length} images have this name`, `give the id of one: ${ids}`);
    return undefined;
  }
  const [other] = byId ? [byId] : named;
  if (other) {
    findings.refuse(key, wanted, `its status is ${other.status}`, "use an image whose status is active");
  } else {
    const [all, offered] = await Promise.all([
      cloud.list<Image>("image", "/images", "images", { status: "active" }),
      // Anybody may offer one, under any name: lists do not show them.
      unlessRefused(cloud.list<Image>("image", "/images", "images", { name: wanted, visibility: "community" }), []),
    ]);
    const ids = offered.filter((i) => i.name === wanted && i.visibility === "community").map((i) => i.id);
    const names = [...new Set(all.map((i) => i.name).filter(Boolean))].sort();
    const trusted = `where you trust whose it is, give its id: ${ids.join(", ")}`;
    findings.refuse(
      key,
      wanted,
      ids.length > 0 ? "only others of the cloud's users offer one of that name" : "there is no such image",
      ids.length > 0 ? trusted : instead(wanted, names),
    );
  }
  return undefined;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Asks for an id only where the text can be one: services answer anything else with all kinds of errors. */
export async function findById<T>(
  cloud: Cloud,
  service: "image" | "network",
  path: string,
  id: string,
): Promise<T | undefined> {
  return UUID.test(id) ? cloud.find<T>(service, `${path}/${id}`) : undefined;
}

const GIB = 1024 ** 3;

/** GB of the disk that an image needs. */
export const diskNeeded = (image: Image): number =>
  Math.max(image.min_disk ?? 0, Math.ceil(Math.max(image.virtual_size ?? 0, image.size ?? 0) / GIB));

/** Whether the flavors are large enough for the image and for what the config promises of them. */
function checkSizes(
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

export interface Network {
  id: string;
  name: string;
  project_id?: string;
  "router:external"?: boolean;
  port_security_enabled?: boolean;
}

export async function findExternalNetwork(cloud: Cloud, c: Config, findings: Findings): Promise<Network | undefined> {
  const wanted = c.externalNetwork;
  if (wanted === undefined || (c.existingNetworkId !== undefined && !c.bastion)) return undefined;
  const named = await cloud.list<Network>("network", "/networks", "networks", { name: wanted });
  const byId = (await findById<{ network: Network }>(cloud, "network", "/networks", wanted))?.network;
  const found = byId ? [byId] : named;
  const external = found.filter((n) => n["router:external"]);
  const [one] = external;
  if (one && external.length === 1) {
    await checkExternalNetwork(cloud, c, one, findings);
    return one;
  }
  if (external.length > 1) {
    // Floating IPs are asked for by the network's name, so an id would not help.
    const fix = "name a network whose name no other external network has";
    findings.refuse("externalNetwork", wanted, `${external.length} external networks have this name`, fix);
    return undefined;
  }
  const all = await cloud.list<Network>("network", "/networks", "networks", { "router:external": "true" });
  findings.refuse(
    "externalNetwork",
    wanted,
    found.length > 0 ? "that network is not external" : "there is no such network",
    instead(wanted, all.map((n) => n.name).sort()),
  );
  return undefined;
}

/** Whether floating IPs can be had of an external network by its name, and whether its addresses are none of the cluster's. */
async function checkExternalNetwork(cloud: Cloud, c: Config, network: Network, findings: Findings): Promise<void> {
  const wanted = c.externalNetwork;
  const [alike, subnets] = await Promise.all([
    c.bastion ? cloud.list<Network>("network", "/networks", "networks", { name: network.name }) : [],
    // Most clouds show no project the subnets of such a network.
    cloud.list<Subnet>("network", "/subnets", "subnets", { network_id: network.id }),
  ]);
  const others = alike.filter(({ id, name }) => id !== network.id && name === network.name);
  if (others.length > 0) {
    const wrong = `floating IPs are asked for by its name, ${network.name}, which ${others.map(({ id }) => id).join(", ")} has too`;
    findings.refuse("externalNetwork", wanted, wrong, "give that one another name, or set bastion to false");
  }
  if (subnets.length > 0 && subnets.every((subnet) => subnet.ip_version === 6)) {
    const fix = "name an external network with an IPv4 subnet: addresses of machines are IPv4";
    findings.refuse("externalNetwork", wanted, "all of its subnets are IPv6", fix);
  }
  if (c.existingNetworkId !== undefined) return;
  const own = new Address4(c.networkCidr);
  const ipv4 = subnets.filter((subnet) => subnet.ip_version === 4).map(({ cidr }) => cidr);
  const over = ipv4.filter((cidr) => own.isInSubnet(new Address4(cidr)) || new Address4(cidr).isInSubnet(own));
  if (over.length === 0) return;
  const wrong = `externalNetwork ${network.name} has the addresses ${over.join(", ")}`;
  // Neutron refuses where the router's own address is in one of these.
  if (over.length < ipv4.length) findings.warn(`networkCidr: ${wrong}, which machines do not reach then`);
  else {
    const fix = "use addresses that it does not have";
    findings.refuse("networkCidr", c.networkCidr, `${wrong}, and no router leads from a network into itself`, fix);
  }
}

/** Whether Neutron has what a cluster is made of: some clouds have networks alone. */
async function checkNetworkService(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  const [routers, groups] = await Promise.all(
    ["routers", "security-groups"].map((kind) => unlessRefused(cloud.find("network", `/${kind}?limit=1`), {})),
  );
  if (groups === undefined) {
    const wrong = "its networks have no security groups, so that nothing would keep others out";
    findings.refuse("cloud", undefined, wrong, "use a cloud whose Neutron has them (extension security-group)");
  }
  if (routers !== undefined) return;
  const wrong = "this cloud's networks have no routers (extension router)";
  if (c.existingNetworkId === undefined) {
    const fix = "set existingNetworkId and existingSubnetId to a network that leads outside, and bastion to false";
    findings.refuse("existingNetworkId", undefined, wrong, fix);
  } else if (c.bastion) findings.refuse("bastion", true, `${wrong}, and so no floating IPs`, "set bastion to false");
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

interface Zone {
  zoneName: string;
  zoneState: { available: boolean };
}

/** Zones of a service; `undefined` where it does not show them, as some clouds' policies have it. */
async function zonesOf(cloud: Cloud, service: "compute" | "volume"): Promise<Zone[] | undefined> {
  const asked = cloud.get<{ availabilityZoneInfo?: Zone[] }>(service, "/os-availability-zone");
  return (await unlessRefused(asked, undefined))?.availabilityZoneInfo;
}

async function checkZones(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  if (c.availabilityZones.length === 0) return;
  const availabilityZoneInfo = await zonesOf(cloud, "compute");
  if (availabilityZoneInfo === undefined) {
    findings.warn("availabilityZones: Nova does not show its zones; they were not checked");
    return;
  }
  const names = availabilityZoneInfo.filter((z) => z.zoneState.available).map((z) => z.zoneName);
  for (const zone of c.availabilityZones) {
    if (names.includes(zone)) continue;
    const known = availabilityZoneInfo.some((z) => z.zoneName === zone);
    const wrong = known ? "this zone is not available now" : "there is no such zone";
    findings.refuse("availabilityZones", zone, wrong, instead(zone, names));
  }
}

const NO_CINDER = "this cloud has no volume service (Cinder)";

export function refuseBootVolume(bootVolumeGb: number, findings: Findings): void {
  findings.refuse("bootVolumeGb", bootVolumeGb, NO_CINDER, "remove it, and use flavors with a disk");
}

/** Whether a volume that machines boot from is large enough for the image. */
export function checkBootVolume(bootVolumeGb: number, image: Image, findings: Findings): void {
  const disk = diskNeeded(image);
  if (bootVolumeGb >= disk) return;
  findings.refuse("bootVolumeGb", bootVolumeGb, `image ${image.name} needs ${disk} GB`, `use ${disk} or more`);
}

async function checkVolumes(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<void> {
  const c = cluster.config;
  if (cluster.quota.volumes === 0) return;
  if (!(await cloud.has("volume"))) {
    if (cluster.machines.some((m) => m.volumeGb !== undefined)) {
      const without = "state then lies on the machines' own disks and goes when a machine is replaced";
      findings.refuse("dataVolumes", true, NO_CINDER, `set dataVolumes to false; ${without}`);
    }
    if (c.bootVolumeGb !== undefined) refuseBootVolume(c.bootVolumeGb, findings);
    if (c.scratchGb !== undefined) {
      findings.refuse("scratchGb", c.scratchGb, NO_CINDER, "remove it, and name an agentFlavor with a larger disk");
    }
    return;
  }
  if (cluster.machines.some((m) => m.volumeGb !== undefined)) await checkVolumeZones(cloud, c, findings);
  await checkVolumeType(cloud, c, findings);
}

export async function checkVolumeType(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  if (c.volumeType === undefined) return;
  const types = await cloud.list<{ id: string; name: string }>("volume", "/types", "volume_types");
  if (types.some((t) => t.name === c.volumeType || t.id === c.volumeType)) return;
  const names = types.map((t) => t.name).sort();
  findings.refuse("volumeType", c.volumeType, "there is no such volume type", instead(c.volumeType, names));
}

/** Whether the zones of data volumes are there; which of them a zone's machines can have, no cloud tells. */
async function checkVolumeZones(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  if (c.availabilityZones.length === 0 && c.volumeZones.length === 0) return;
  const zones = await zonesOf(cloud, "volume");
  if (!zones) {
    if (c.volumeZones.length > 0) findings.warn("volumeZones: Cinder does not show its zones; they were not checked");
    return;
  }
  const names = zones.filter((z) => z.zoneState.available).map((z) => z.zoneName);
  for (const zone of c.volumeZones.filter((z) => !names.includes(z)))
    findings.refuse("volumeZones", zone, "Cinder has no such zone now", instead(zone, names));
  if (c.volumeZones.length === 0 && names.length > 1)
    findings.warn(
      `volumeZones: Cinder has the zones ${names.join(", ")}, and data volumes go to its default one; where machines can have volumes of their own zone only, name one for each of availabilityZones`,
    );
}

interface Subnet {
  network_id: string;
  cidr: string;
  ip_version: number;
  gateway_ip?: string | null;
  enable_dhcp?: boolean;
  dns_nameservers?: string[];
}

interface NetworkPort {
  name: string;
  device_owner?: string;
  fixed_ips?: { ip_address: string; subnet_id?: string }[];
}

/** What Neutron has as the owner of a router's port, whatever the kind of router. */
const ROUTER = /^network:(router|ha_router)/;

/** Checks that an existing network contains `networkCidr`, and that none of the machines' addresses is in use. */
async function checkExistingNetwork(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<void> {
  const c = cluster.config;
  if (c.existingNetworkId === undefined) return;
  const subnetId = required(c, "existingSubnetId");
  const [network, subnet] = await Promise.all([
    findById<{ network: Network }>(cloud, "network", "/networks", c.existingNetworkId),
    findById<{ subnet: Subnet }>(cloud, "network", "/subnets", subnetId),
  ]);
  if (!network) {
    const fix = "give the id of a network of this project: openstack network list";
    findings.refuse("existingNetworkId", c.existingNetworkId, "there is no network with this id", fix);
  }
  if (!subnet) {
    const fix = "give the id of a subnet of existingNetworkId: openstack subnet list";
    findings.refuse("existingSubnetId", subnetId, "there is no subnet with this id", fix);
  }
  if (network?.network.port_security_enabled === false) {
    const fix = "enable it (openstack network set --enable-port-security), or leave existingNetworkId out";
    const wrong = "its port security is off, so that no security group holds there";
    findings.refuse("existingNetworkId", c.existingNetworkId, wrong, fix);
  }
  if (!network || !subnet) return;
  const { network_id: owner, cidr, ip_version: version, gateway_ip: gateway } = subnet.subnet;
  if (owner !== c.existingNetworkId) {
    const fix = "give the id of a subnet of existingNetworkId";
    findings.refuse("existingSubnetId", subnetId, `it belongs to network ${owner}`, fix);
    return;
  }
  if (version !== 4 || !new Address4(c.networkCidr).isInSubnet(new Address4(cidr))) {
    const fix = version === 4 ? `use a free part of ${cidr}` : "give the id of an IPv4 subnet in existingSubnetId";
    findings.refuse("networkCidr", c.networkCidr, `existingSubnetId has the addresses ${cidr}`, fix);
    return;
  }
  await checkForeign(cloud, network.network, subnet.subnet, c, findings);
  const ports = await cloud.list<NetworkPort>("network", "/ports", "ports", {
    network_id: c.existingNetworkId,
    fields: ["id", "name", "fixed_ips", "device_owner"],
  });
  const leadsOut = ports.some(
    ({ device_owner = "", fixed_ips = [] }) =>
      ROUTER.test(device_owner) && fixed_ips.some(({ subnet_id }) => subnet_id === subnetId),
  );
  // Who does not own a network may not see its router.
  if (c.bastion && !leadsOut && network.network.project_id === (await cloud.projectId())) {
    const fix = "openstack router add subnet, with a router to externalNetwork, or set bastion to false";
    findings.refuse(
      "existingSubnetId",
      subnetId,
      "no router leads out of it, and the bastion's floating IP needs one",
      fix,
    );
  }
  const ours = new Map(cluster.machines.map((m) => [m.address, m.name]));
  const taken = ports.flatMap((port) => {
    const machine = machineOf(cluster.name, port.name);
    return (port.fixed_ips ?? [])
      .map((ip) => ip.ip_address)
      .filter((address) => ours.has(address) && ours.get(address) !== machine);
  });
  if (gateway && ours.has(gateway)) taken.push(gateway);
  if (taken.length > 0) {
    const fix = `use another part of ${cidr}, in which no address is in use`;
    findings.refuse("networkCidr", c.networkCidr, `in use by others: ${[...new Set(taken)].join(", ")}`, fix);
  }
}

/** What a network that others run may lack. */
async function checkForeign(
  cloud: Cloud,
  network: Network,
  subnet: Subnet,
  c: Config,
  findings: Findings,
): Promise<void> {
  if (network.project_id && network.project_id !== (await cloud.projectId()))
    findings.warn(
      `existingNetworkId: ${network.name} belongs to another project, and most clouds let only its owner choose addresses in it (policy create_port:fixed_ips): use a network of this project, or ask for that policy`,
    );
  if (subnet.enable_dhcp === false && !c.configDrive)
    findings.refuse(
      "configDrive",
      false,
      "existingSubnetId has no DHCP, so that machines learn neither their address nor their user data",
      "set configDrive to true, or enable it (openstack subnet set --dhcp)",
    );
  if (subnet.dns_nameservers?.length === 0)
    findings.warn(
      `existingSubnetId: it names no DNS servers, and not every cloud has one of its own: openstack subnet set --dns-nameserver`,
    );
}
