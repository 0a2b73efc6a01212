import { GROUPS } from "../cluster/groups.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { CloudError, unlessRefused } from "./errors.ts";
import type { Findings } from "./findings.ts";
import type { Flavor } from "./flavors.ts";
import { dataVolumeName, type ExistingMachine, resourceName } from "./inventory.ts";
import { serverGroups } from "./server-groups.ts";

/**
 * Whether the project's quota has room for what is still to be added. What the cloud holds of the cluster already is part of what the
 * project uses, so a second `up` of a cluster that fills the quota has nothing to ask for.
 */

/** What the checks of quotas work with. */
export interface QuotaSubject {
  cluster: Cluster;
  cloud: Cloud;
  existing: ReadonlyMap<string, ExistingMachine>;
  /** The flavor of a planned machine; `undefined` where it does not exist, which another check reports. */
  flavorOf: (machine: Machine) => Flavor | undefined;
  /** Flavors by id, for machines that exist. */
  flavorsById: ReadonlyMap<string, Flavor>;
}

/** A limit of -1 is none; an absent one is not known. */
interface Limit {
  limit?: number;
  used?: number;
}

export async function checkQuota(subject: QuotaSubject, findings: Findings): Promise<void> {
  await Promise.all([
    readable("compute", findings, () => computeQuota(subject, findings)),
    readable("network", findings, () => networkQuota(subject, findings)),
    readable("volume", findings, () => volumeQuota(subject, findings)),
  ]);
}

/** Some clouds do not show a project its own quota; that is no reason not to try. */
async function readable(service: string, findings: Findings, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (!(error instanceof CloudError) || (error.status !== 403 && error.status !== 404)) throw error;
    findings.warn(`quota: the ${service} service does not show this project's quota; it was not checked`);
  }
}

/** Refuses what is more than a limit leaves. @param adding How many more are needed. */
export function compare(
  findings: Findings,
  what: string,
  adding: number,
  { limit = -1, used = 0 }: Limit,
  key: string,
  value: unknown,
  less: string,
): void {
  if (limit < 0 || adding <= 0 || used + adding <= limit) return;
  findings.refuse(
    key,
    value,
    `${adding} more ${what} needed, but the quota leaves ${Math.max(0, limit - used)} (${used} of ${limit} used)`,
    `${less}, or ask the cloud for a quota of ${used + adding} ${what}`,
  );
}

interface Limits {
  limits?: { absolute?: Partial<Record<string, number>> };
}

async function computeQuota(subject: QuotaSubject, findings: Findings): Promise<void> {
  const { cluster, cloud, existing } = subject;
  const c = cluster.config;
  const groups = serverGroups(cluster);
  const [{ limits }, groupsThere] = await Promise.all([
    cloud.get<Limits>("compute", "/limits"),
    groups.length > 0 ? cloud.list<{ name: string }>("compute", "/os-server-groups", "server_groups") : [],
  ]);
  const a = limits?.absolute ?? {};
  const of = (max: string, used: string): Limit => limitOf(a[max], a[used]);
  const check = (
    what: string,
    adding: number,
    limit: Limit,
    key: "agentCount" | "agentFlavor" | "antiAffinity",
    less: string,
  ) => compare(findings, what, adding, limit, key, c[key], less);

  const added = { instances: 0, vcpus: 0, ramMiB: 0 };
  for (const machine of cluster.machines) {
    const there = existing.get(machine.name);
    const before = there?.serverId ? subject.flavorsById.get(there.flavorId ?? "") : undefined;
    const after = subject.flavorOf(machine);
    if (!there?.serverId) added.instances++;
    // A server whose flavor is gone from the list is taken to be as large as it will be.
    if (!after || (there?.serverId && !before)) continue;
    added.vcpus += after.vcpus - (before?.vcpus ?? 0);
    added.ramMiB += after.ramMiB - (before?.ramMiB ?? 0);
  }
  const smaller = "use smaller flavors or fewer agents";
  check("instances", added.instances, of("maxTotalInstances", "totalInstancesUsed"), "agentCount", "use fewer agents");
  check("vCPUs", added.vcpus, of("maxTotalCores", "totalCoresUsed"), "agentFlavor", smaller);
  check("MiB of RAM", added.ramMiB, of("maxTotalRAMSize", "totalRAMUsed"), "agentFlavor", smaller);

  const names = new Set(groupsThere.map((g) => g.name));
  const newGroups = groups.filter((g) => !names.has(resourceName(cluster.name, g.name))).length;
  const none = "set antiAffinity to none";
  check("server groups", newGroups, of("maxServerGroups", "totalServerGroupsUsed"), "antiAffinity", none);
  const largest = Math.max(0, ...groups.map((g) => g.members.length));
  check("members in one server group", largest, limitOf(a.maxServerGroupMembers, 0), "antiAffinity", none);
}

interface NetworkQuota {
  quota?: Partial<Record<string, Limit>>;
}

async function networkQuota(subject: QuotaSubject, findings: Findings): Promise<void> {
  const { cluster, cloud, existing } = subject;
  const { config: c, quota: plan } = cluster;
  const projectId = await cloud.projectId();
  const owned = { project_id: projectId };
  const bastionPort = existing.get("bastion")?.portId;
  const named = async (kind: "networks" | "subnets" | "routers"): Promise<{ id: string }[]> =>
    c.existingNetworkId === undefined
      ? cloud.list("network", `/${kind}`, kind, { ...owned, name: cluster.name, fields: ["id"] })
      : [];
  const [{ quota }, networks, subnets, routers, floatingIps, securityGroups] = await Promise.all([
    cloud.get<NetworkQuota>("network", `/quotas/${projectId}/details`),
    named("networks"),
    named("subnets"),
    named("routers"),
    bastionPort
      ? cloud.list<{ id: string }>("network", "/floatingips", "floatingips", { ...owned, port_id: bastionPort })
      : [],
    cloud.list<{ name: string; security_group_rules?: unknown[] }>("network", "/security-groups", "security_groups", {
      ...owned,
      fields: ["id", "name", "security_group_rules"],
    }),
  ]);
  const check = (kind: string, what: string, adding: number, key: string, value: unknown, less: string): void =>
    compare(findings, what, adding, quota?.[kind] ?? {}, key, value, less);

  const portsThere = cluster.machines.filter((m) => existing.get(m.name)?.portId).length;
  const routerAndDhcp = plan.ports - cluster.machines.length;
  const networkThere = networks.length > 0;
  check(
    "port",
    "ports",
    plan.ports - portsThere - (networkThere ? routerAndDhcp : 0),
    "agentCount",
    c.agentCount,
    "use fewer agents",
  );
  if (c.existingNetworkId === undefined) {
    const use = "set existingNetworkId and existingSubnetId";
    for (const [kind, there] of [
      ["network", networks],
      ["subnet", subnets],
      ["router", routers],
    ] as const) {
      check(kind, `${kind}s`, 1 - there.length, "existingNetworkId", c.existingNetworkId, use);
    }
  }
  check(
    "floatingip",
    "floating IPs",
    plan.floatingIps - floatingIps.length,
    "bastion",
    c.bastion,
    "release one, or set bastion to false",
  );
  const planned = new Set(cluster.machines.map((m) => resourceName(cluster.name, m.group)));
  const ours = securityGroups.filter((g) => planned.has(g.name));
  const rules = ours.reduce((sum, g) => sum + (g.security_group_rules?.length ?? 0), 0);
  const remove = "remove some that are not in use";
  check("security_group", "security groups", plan.securityGroups - ours.length, "quota", undefined, remove);
  check("security_group_rule", "security group rules", plan.securityGroupRules - rules, "quota", undefined, remove);
}

async function volumeQuota({ cluster, cloud, existing }: QuotaSubject, findings: Findings): Promise<void> {
  const { config: c, quota: plan } = cluster;
  if (plan.volumes === 0 || !(await cloud.has("volume"))) return;
  const [{ limits }, details, volumes] = await Promise.all([
    cloud.get<Limits>("volume", "/limits"),
    volumeQuotaDetails(cloud),
    cloud.list<{ name: string | null; size: number }>("volume", "/volumes/detail", "volumes"),
  ]);
  const sizes = new Map(volumes.map((v) => [v.name, v.size]));
  let [count, gigabytes] = [0, 0];
  for (const { name, volumeGb, scratchGb } of cluster.machines) {
    const size = sizes.get(dataVolumeName(cluster.name, name));
    if (c.bootVolumeGb !== undefined && existing.get(name)?.serverId === undefined) {
      count++;
      gigabytes += c.bootVolumeGb;
    }
    // It has no name of its own, and is there whenever its machine is.
    if (scratchGb !== undefined && existing.get(name)?.serverId === undefined) {
      count++;
      gigabytes += scratchGb;
    }
    if (volumeGb === undefined) continue;
    if (size === undefined) count++;
    gigabytes += Math.max(0, volumeGb - (size ?? 0));
  }
  const a = limits?.absolute ?? {};
  const [volumesKey, none] =
    c.bootVolumeGb !== undefined
      ? (["bootVolumeGb", "remove it, and use flavors with a disk"] as const)
      : c.scratchGb === undefined
        ? (["dataVolumes", "set dataVolumes to false"] as const)
        : (["scratchGb", "remove it, so that agents use their own disks"] as const);
  const volumesLimit = limitOf(a.maxTotalVolumes, a.totalVolumesUsed);
  compare(findings, "volumes", count, volumesLimit, volumesKey, c[volumesKey], none);
  const key =
    c.bootVolumeGb !== undefined
      ? "bootVolumeGb"
      : c.scratchGb !== undefined
        ? "scratchGb"
        : c.datanodeCount > 0
          ? "datanodeVolumeGb"
          : "masterVolumeGb";
  const limit = limitOf(a.maxTotalVolumeGigabytes, a.totalGigabytesUsed);
  compare(findings, "GB of volumes", gigabytes, limit, key, c[key], "use smaller volumes");
  checkVolumeSizes(cluster, details.per_volume_gigabytes?.limit ?? -1, findings);
  const type = Object.keys(details).some((kind) => kind.startsWith("gigabytes_"))
    ? await volumeTypeName(cloud, c)
    : undefined;
  if (type === undefined) return;
  const ofType = (kind: string): Limit => {
    const { limit, in_use: used = 0, reserved = 0 } = details[`${kind}_${type}`] ?? {};
    return limitOf(limit, used + reserved);
  };
  const other = "name another type";
  compare(findings, `volumes of type ${type}`, count, ofType("volumes"), "volumeType", c.volumeType, other);
  compare(findings, `GB of volumes of type ${type}`, gigabytes, ofType("gigabytes"), "volumeType", c.volumeType, other);
}

type VolumeQuota = Partial<Record<string, { limit?: number; in_use?: number; reserved?: number }>>;

/** What Cinder's limits do not tell: quotas of each type (`volumes_<type>`), and how large one volume may be. Empty where it does not say. */
async function volumeQuotaDetails(cloud: Cloud): Promise<VolumeQuota> {
  const path = `/os-quota-sets/${await cloud.projectId()}`;
  const asked = cloud.get<{ quota_set?: VolumeQuota }>("volume", path, { usage: "true" });
  return (await unlessRefused(asked, {})).quota_set ?? {};
}

/** Name of the type that volumes are made of; `undefined` where the cloud has none of its own. */
async function volumeTypeName(cloud: Cloud, { volumeType }: Config): Promise<string | undefined> {
  interface VolumeType {
    id: string;
    name: string;
  }
  if (volumeType === undefined) {
    const own = cloud.find<{ volume_type: VolumeType }>("volume", "/types/default");
    return (await unlessRefused(own, undefined))?.volume_type.name;
  }
  const types = await cloud.list<VolumeType>("volume", "/types", "volume_types");
  return types.find(({ name, id }) => name === volumeType || id === volumeType)?.name;
}

/** Whether one volume may be as large as each of them. */
function checkVolumeSizes({ config: c, machines }: Cluster, largest: number, findings: Findings): void {
  if (largest < 0) return;
  const check = (key: keyof Config, size: number | undefined): void => {
    if (size !== undefined && size > largest)
      findings.refuse(
        key,
        size,
        `one volume may have ${largest} GB in this project`,
        `use ${largest} or less, or ask for more`,
      );
  };
  check("bootVolumeGb", c.bootVolumeGb);
  for (const { group, volumeGb, scratchGb } of machines) {
    const { volumeKey } = GROUPS[group];
    if (volumeKey !== undefined) check(volumeKey, volumeGb);
    check("scratchGb", scratchGb);
  }
}

/** A limit as a service gives it, whose parts may be absent. */
export function limitOf(limit: number | undefined, used: number | undefined): Limit {
  return { ...(limit === undefined ? {} : { limit }), ...(used === undefined ? {} : { used }) };
}
