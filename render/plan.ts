import { agentConfigs } from "../cluster/agent-groups.ts";
import { architectureOf, hasMesos } from "../cluster/architectures/index.ts";
import { costByDay, costsOfRange, money, withoutPrice } from "../cluster/costs.ts";
import { agentRange } from "../cluster/features.ts";
import { GROUPS } from "../cluster/groups.ts";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { localReference } from "../cluster/images.ts";
import { agentSize, besideSystem, DAEMON_MIB, daemonsMiB, executorMiB, overheadMiB } from "../cluster/memory.ts";
import { COMPLETE_MESOS } from "../cluster/mesos-sources.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Health } from "../cluster/probe.ts";
import { ownRegistry } from "../cluster/services/registry/registry.ts";
import type { Cluster, Port, Service } from "../cluster/types.ts";
import { type Filled, fill, type LookUp, placeholder } from "../cluster/values.ts";
import type { Config } from "../config/schema.ts";
import { SPARK_VERSION } from "../config/versions.ts";
import { machinePackages } from "./cloud-init/software.ts";
import { type RenderedContent, renderService } from "./content.ts";
import { type MarathonApp, renderApps } from "./marathon-apps.ts";
import { probeCommand } from "./probe.ts";

/** A service as `plan --json` prints it. */
export interface PlannedService extends Pick<Service, "name" | "machine" | "runtime" | "command"> {
  /** Left out where the service is a process of its machine. */
  image?: string;
  env: Record<string, string>;
  files: RenderedContent[];
  ports: Filled<Omit<Port, "key">>[];
  health: Omit<Health, "probe"> & { command: string[] };
}

/** What `plan --json` prints. Secrets stand as `{{secret:NAME}}`. */
export interface PlanDocument {
  architecture: string;
  machines: { name: string; roles: string[]; address: string }[];
  services: PlannedService[];
  spark: Filled<Cluster["spark"]>;
  quota: Cluster["quota"];
  /** What it costs by the day; left out where `prices` does not have all of its flavors. */
  costByDay?: { amount: number; currency: string };
  /** How many agents there may be, of no group, and what it costs by the day with the fewest and with the most; left out where the config gives a number. */
  agents?: { min: number; max: number; costByDay?: { least: number; most: number; currency: string } };
  /** What Marathon keeps running; left out where there is no Marathon. */
  apps?: MarathonApp[];
}

type Versions = Readonly<Record<string, string>>;

/** Reference by which a machine pulls an image. By tag: the digest is known only after the image was pushed. */
function referenceOf(cluster: Cluster, versions: Versions): (name: ImageName) => string {
  const c = cluster.config;
  if (!platformOf(c).pullsImages) return (name) => localReference(name, c, versions);
  const prefix = c.registry ?? ownRegistry(cluster);
  return (name) => `${prefix}/${localReference(name, c, versions)}`;
}

/** The plan as one document, for programs. */
export function planDocument(cluster: Cluster, versions: Versions): PlanDocument {
  const reference = referenceOf(cluster, versions);
  const shown: LookUp = (ref) => (ref.kind === "image" ? reference(ref.name) : placeholder(ref));
  const { machinesAreContainers } = platformOf(cluster.config);
  const cost = costByDay(cluster.config, cluster.machines);
  return {
    architecture: cluster.architecture,
    machines: cluster.machines.map(({ name, roles, address }) => ({ name, roles, address })),
    services: cluster.services.map((service) => {
      const { image } = service;
      const s = renderService(service, shown);
      const { probe, ...timing } = service.health;
      return {
        name: s.name,
        machine: s.machine,
        runtime: s.runtime,
        ...(image !== undefined && (s.runtime === "docker" || machinesAreContainers)
          ? { image: reference(image) }
          : {}),
        command: s.command,
        env: s.env,
        files: s.files,
        ports: fill(
          service.ports.map(({ key: _, ...port }) => port),
          shown,
        ),
        health: { command: probeCommand(probe), ...timing },
      };
    }),
    spark: fill(cluster.spark, shown),
    quota: cluster.quota,
    ...(cost === undefined ? {} : { costByDay: { amount: cost, currency: cluster.config.currency } }),
    ...agentsDocument(cluster),
    ...(cluster.apps.length > 0 ? { apps: renderApps(cluster, shown) } : {}),
  };
}

function agentsDocument({ config, machines }: Cluster): Pick<PlanDocument, "agents"> {
  const range = agentRange(config);
  if (range === undefined) return {};
  const costs = costsOfRange(config, machines);
  return { agents: { ...range, ...(costs ? { costByDay: { ...costs, currency: config.currency } } : {}) } };
}

/** How many agents there may be, and when; and when the cluster ends. */
function agentLines(c: Config): string[] {
  const range = agentRange(c);
  const end =
    c.ttlHours === undefined
      ? []
      : [`Ends ${c.ttlHours} hours after its last up, by triplewide scale; volumes stay`, ""];
  if (range === undefined) return end;
  const hours = Object.entries(c.hours).map(([text, least]) => `at least ${least} ${text}`);
  return [
    `Agents: ${range.min} to ${range.max}, as triplewide scale finds them needed; a first up makes ${c.agentCount}`,
    ...(hours.length > 0 ? [`  ${hours.join("; ")} (${c.timeZone})`] : []),
    "",
    ...end,
  ];
}

/**
 * Settings that a plan can do without but `up` cannot, with the commands that set them.
 *
 * @param environment Name of the environment that they are to be set in.
 */
export function missingBeforeUp({ config: c }: Pick<Cluster, "config">, environment: string): string[] {
  if (!hasMesos(c) || c.mesosSource !== undefined) return [];
  const env = environment === "local" ? "" : ` ENV=${environment}`;
  return [
    `mesosSource: where Mesos comes from. To check and pin one: make mesos USE=${COMPLETE_MESOS[0]}${env} (others: make mesos)`,
  ];
}

/** What an executor takes and how many of them there is room for, in words. */
export function capacity({ config: c }: Pick<Cluster, "config">): string[] {
  const facts = architectureOf(c);
  const each = `an executor takes ${executorMiB(c)} MiB: ${c.executorMemoryMiB} of heap and ${overheadMiB(c)} beside it`;
  return agentConfigs(c).map(({ name, config }) => {
    const { memoryMiB } = agentSize(config, facts);
    const what = name === undefined ? `${each}; an agent` : `an agent of ${name}`;
    if (memoryMiB === undefined) {
      const keys = name === undefined ? "agentMemoryMiB" : `agentGroups.${name}.memoryMiB`;
      return name === undefined
        ? `${each}; what an agent has is not in ${keys} or flavorSizes`
        : `what ${what} has is not in ${keys} or flavorSizes`;
    }
    // Where Marathon runs Spark's workers, these take their own share first.
    const fit = Math.floor((memoryMiB - (facts.sparkMaster === "marathon" ? 2 * DAEMON_MIB : 0)) / executorMiB(c));
    return `${what} has ${memoryMiB} MiB for ${fit} of them, beside ${daemonsMiB(c, facts)} MiB for its daemons`;
  });
}

/** How many servers of the hub's users the client has memory for, in words: nothing where it has no hub, or no flavor. */
export function roomForUsers({ config: c, machines, services }: Cluster): string[] {
  const client = services.find(({ startsContainers }) => startsContainers?.includes("hub"))?.machine;
  const flavor = machines.find(({ name }) => name === client)?.flavor;
  if (client === undefined || flavor === undefined) return [];
  const each = `a user's notebook server takes up to ${c.notebookMemoryMiB} MiB of the client`;
  const ramMiB = c.flavorSizes[flavor]?.ramMiB;
  if (ramMiB === undefined) return [`${each}; what ${flavor} has is not in flavorSizes`];
  const others = services.filter(({ machine }) => machine === client).map(({ memoryMiB = 0 }) => memoryMiB);
  const taken = others.reduce((sum, one) => sum + one, c.driverMemoryMiB);
  const fit = Math.max(0, Math.floor((besideSystem(ramMiB) - taken) / c.notebookMemoryMiB));
  const users = Object.keys(c.users).length;
  const few = fit < users ? `, of ${users}: set clientFlavor to a larger one, or lower notebookMemoryMiB` : "";
  return [`${each}, and ${flavor} has memory for ${fit} at a time beside all that its services may take${few}`];
}

/** More machines of one group than this are shown as a range. */
const SHOWN = 8;

/** The plan for people. */
export function planText(cluster: Cluster, versions: Versions, environment: string, files: boolean): string {
  const c = cluster.config;
  const out: string[] = [];
  const line = (text = ""): void => void out.push(text);

  line(
    `${cluster.name}: ${cluster.architecture} on ${c.platform}, Spark ${SPARK_VERSION} (environment ${environment})`,
  );
  line();
  line("Machines");
  const rows: string[][] = [["name", "address", "roles", "flavor", "volume", "zone"]];
  for (const [, members] of Map.groupBy(cluster.machines, (m) => m.group)) {
    const shown = members.length > SHOWN ? [...members.slice(0, 2), undefined, ...members.slice(-1)] : members;
    for (const m of shown) {
      if (!m) rows.push([`… ${members.length - 3} more`, "", "", "", "", ""]);
      else {
        const volume = m.volumeGb !== undefined ? `${m.volumeGb} GB` : "-";
        rows.push([m.name, m.address, m.roles.join(", "), m.flavor || "-", volume, m.availabilityZone || "-"]);
      }
    }
  }
  line(table(rows));
  for (const text of agentLines(c)) line(text);
  line("Services");
  const serviceRows: string[][] = [["service", "on", "runs as", "ports (who may connect)"]];
  for (const [name, group] of Map.groupBy(cluster.services, (s) => s.name)) {
    const first = group[0] as Service;
    const on = group.length > SHOWN ? `${group.length} machines` : group.map((s) => s.machine).join(", ");
    const ports = first.ports.map(
      (p) =>
        `${p.port}${p.last ? `-${p.last}` : ""} ${p.name} (${[...p.from, ...(p.fromCidrs ?? [])].join(", ") || "itself"})`,
    );
    serviceRows.push([name, on, platformOf(c).machinesAreContainers ? "docker" : first.runtime, ports.join("; ")]);
  }
  line(table(serviceRows));
  line("Spark");
  line(`  MASTER ${cluster.spark.master}`);
  const document = planDocument(cluster, versions);
  for (const [key, value] of Object.entries(document.spark.env)) line(`  ${key}=${value}`);
  for (const key of Object.keys(document.spark.conf).sort()) line(`  ${key} ${document.spark.conf[key]}`);
  for (const text of [...capacity(cluster), ...roomForUsers(cluster)]) line(`  ${text}`);
  if (!c.encryption) {
    line("  encryption is off: whoever reads the private network, or an agent's disk, reads what jobs work with");
  }
  line();
  if (platformOf(c).servers) {
    const q = cluster.quota;
    line("Quota");
    line(
      table([
        ["instances", "vCPUs", "RAM MiB", "ports", "volumes", "GB", "floating IPs", "security groups", "rules"],
        [
          q.instances,
          q.vcpus ?? "?",
          q.ramMiB ?? "?",
          q.ports,
          q.volumes,
          q.gigabytes,
          q.floatingIps,
          q.securityGroups,
          q.securityGroupRules,
        ].map(String),
      ]),
    );
    if (q.vcpus === null)
      line("  ? the flavors' sizes are not in flavorSizes; the cloud is asked before anything is created\n");
    const cost = costByDay(c, cluster.machines);
    const costs = document.agents?.costByDay;
    const spread = costs
      ? `: ${money(c, costs.least)} with the fewest agents, ${money(c, costs.most)} with the most`
      : "";
    if (cost !== undefined) line(`By the day it costs ${money(c, cost)}, by the prices of the config${spread}\n`);
    else if (Object.keys(c.prices).length > 0) {
      line(`What it costs by the day is not known: prices lacks ${withoutPrice(c, cluster.machines).join(", ")}\n`);
    }
    const packages = machinePackages(cluster, { versions });
    if (packages.length > 0) {
      line(`First boot installs ${packages.length} Debian packages and what they need, where the image has them not.`);
      line(`An image that has them: triplewide image ${environment}`);
      line();
    }
    const lost = cluster.machines.filter((m) => GROUPS[m.group].volumeKey !== undefined && m.volumeGb === undefined);
    if (!c.dataVolumes && lost.length > 0) {
      line(`Without data volumes, replacing a machine loses its state: ${lost.map((m) => m.name).join(", ")}`);
      line();
    }
  }
  if (files) {
    line("Files");
    for (const s of document.services) {
      for (const f of s.files) {
        line(`--- ${s.machine}: ${f.path} (${f.mode}, ${s.name})`);
        line(f.content.trimEnd());
      }
    }
    for (const app of document.apps ?? []) {
      line(`--- Marathon: ${app.id}`);
      line(JSON.stringify(app, null, 2));
    }
    line();
  }
  const missing = missingBeforeUp(cluster, environment);
  if (missing.length > 0) {
    line("Still to be set before `up`");
    for (const text of missing) line(`  ${text}`);
  }
  return `${out.join("\n").trimEnd()}\n`;
}

function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => (r[i] ?? "").length)));
  return rows
    .map((r) => `  ${r.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd().concat("\n"))
    .join("");
}
