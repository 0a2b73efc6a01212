import type { Config } from "../config/schema.ts";
import { GROUPS } from "./groups.ts";
import type { FirewallRule, Group, Machine, Peer, Service } from "./types.ts";

/**
 * Who may connect to what: one security group for each group of machines, and rules that name groups. Only the
 * bastion's SSH (or every machine's, where there is no bastion) is open to addresses, and those are the config's.
 *
 * @returns Rules, each once, in the order of the groups and of their services' ports.
 */
export function firewall(c: Config, machines: readonly Machine[], services: readonly Service[]): FirewallRule[] {
  const groups = [...new Set(machines.map((m) => m.group))];
  const groupOf = new Map(machines.map((m) => [m.name, m.group]));
  const rules = new Map<string, FirewallRule>();
  const add = (rule: FirewallRule): void => {
    const from = rule.fromGroup ?? rule.fromCidr;
    const key = `${rule.group} ${rule.protocol} ${rule.first} ${rule.last} ${from}`;
    if (!rules.has(key)) rules.set(key, rule);
  };

  const jumpHost = groups.find((group) => GROUPS[group].jumpHost);
  for (const group of groups) {
    const ssh = { group, what: "ssh", protocol: "tcp", first: 22, last: 22 } as const;
    if (jumpHost !== undefined && group !== jumpHost) add({ ...ssh, fromGroup: jumpHost });
    else for (const fromCidr of c.adminCidrs) add({ ...ssh, fromCidr });
  }
  const seen = new Set<string>();
  for (const service of services) {
    const group = groupOf.get(service.machine);
    if (!group) continue;
    // Machines of a group are alike: the first one's services speak for all.
    const kind = `${group} ${service.name}`;
    if (seen.has(kind)) continue;
    seen.add(kind);
    for (const port of service.ports) {
      for (const fromGroup of peers(port.from, group, groups)) {
        const what = `${service.name} ${port.name}`;
        add({ group, what, protocol: "tcp", first: port.port, last: port.last ?? port.port, fromGroup });
      }
    }
  }
  return [...rules.values()];
}

function peers(from: readonly Peer[], self: Group, groups: readonly Group[]): Group[] {
  const named = new Set(from.map((peer) => (peer === "self" ? self : peer)));
  return groups.filter((group) => named.has(group));
}
