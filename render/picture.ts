import { peers } from "../cluster/firewall.ts";
import { GROUP_NAMES } from "../cluster/groups.ts";
import type { Cluster, Group } from "../cluster/types.ts";

/**
 * The cluster as a picture: a box for each group of machines with its services, and an arrow for whoever may connect, with the ports.
 * In Mermaid's language, which pull requests and READMEs show as a drawing.
 */
export function renderPicture(cluster: Cluster): string {
  const groups = GROUP_NAMES.filter((group) => cluster.machines.some((machine) => machine.group === group));
  const lines = ["flowchart LR"];
  if (cluster.firewall.some((rule) => rule.fromCidr !== undefined)) lines.push(`  people([${text("people, by SSH")}])`);
  for (const group of groups) {
    lines.push(`  subgraph ${group}[${text(titleOf(cluster, group))}]`);
    const services = servicesOf(cluster, group);
    if (services.length === 0) lines.push(`    ${group}-machine[${text("no service")}]`);
    for (const service of services) lines.push(`    ${group}-${service}[${text(service)}]`);
    lines.push("  end");
  }
  for (const [from, to, ports] of connections(cluster, groups)) lines.push(`  ${from} -->|${text(ports)}| ${to}`);
  return `${lines.join("\n")}\n`;
}

/** A label: names of the config stand in it, and none may end it. */
const text = (label: string): string => `"${label.replaceAll("#", "#35;").replaceAll('"', "#quot;")}"`;

function titleOf(cluster: Cluster, group: Group): string {
  const machines = cluster.machines.filter((machine) => machine.group === group);
  const [first] = machines;
  const flavors = new Set(machines.flatMap((machine) => machine.flavor ?? []));
  const names = machines.length === 1 ? (first?.name ?? group) : `${machines.length} × ${group}`;
  return [names, ...flavors].join(", ");
}

function servicesOf(cluster: Cluster, group: Group): string[] {
  const machines = new Set(cluster.machines.filter((machine) => machine.group === group).map(({ name }) => name));
  return [...new Set(cluster.services.filter(({ machine }) => machines.has(machine)).map(({ name }) => name))];
}

/** From whom, to which service, at which ports; each once, however many machines there are. */
function connections(cluster: Cluster, groups: readonly Group[]): [from: string, to: string, ports: string][] {
  const groupOf = new Map(cluster.machines.map(({ name, group }) => [name, group]));
  const ports = new Map<string, Set<string>>();
  const connect = (from: string, to: string, port: number, last?: number): void => {
    const key = `${from} ${to}`;
    ports.set(key, (ports.get(key) ?? new Set()).add(last === undefined ? `${port}` : `${port}-${last}`));
  };
  for (const service of cluster.services) {
    const group = groupOf.get(service.machine);
    if (group === undefined) continue;
    for (const port of service.ports) {
      for (const peer of peers(cluster.config, port, group, groups))
        connect(peer, `${group}-${service.name}`, port.port, port.last);
    }
  }
  for (const { group, first, last, fromCidr, protocol } of cluster.firewall) {
    if (fromCidr !== undefined && protocol === "tcp")
      connect("people", group, first, last === first ? undefined : last);
  }
  return [...ports].map(([key, numbers]) => {
    const [from = "", to = ""] = key.split(" ");
    return [from, to, [...numbers].join(", ")];
  });
}
