import { Address4 } from "ip-address";
import type { Config } from "../config/schema.ts";
import { isBehindGateway } from "./features.ts";
import { GROUPS } from "./groups.ts";
import type { FirewallRule, Group, Machine, Port, Service } from "./types.ts";

/**
 * Who may connect to what: one security group for each group of machines, and rules that name groups. Only the
 * bastion's SSH (or every machine's, where there is no bastion), and there the gateway, are open to addresses, and those are the config's.
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
      for (const fromGroup of peers(c, port, group, groups)) {
        const what = `${service.name} ${port.name}`;
        add({ group, what, protocol: "tcp", first: port.port, last: port.last ?? port.port, fromGroup });
      }
      // Without a jump host, people connect from their own addresses.
      const people = jumpHost === undefined && port.link !== undefined && !isBehindGateway(c, port) ? c.adminCidrs : [];
      for (const fromCidr of [...(port.fromCidrs ?? []), ...people]) {
        const what = `${service.name} ${port.name}`;
        add({ group, what, protocol: "tcp", first: port.port, last: port.last ?? port.port, fromCidr });
      }
    }
  }
  return [...rules.values()];
}

/**
 * The groups among these that may connect to a port of the group `self`. Where there is a gateway, people reach the pages behind it
 * through it: the jump host, by which they come, leads to no such page.
 */
export function peers(c: Config, port: Port, self: Group, groups: readonly Group[]): Group[] {
  const named = new Set(port.from.map((peer) => (peer === "self" ? self : peer)));
  return groups.filter((group) => named.has(group) && !(GROUPS[group].jumpHost && isBehindGateway(c, port)));
}

/** What each machine may connect to: a network, or all that there is of a version of IP. */
export type Egress =
  | { ethertype: "IPv4"; remoteIpPrefix: string }
  | { ethertype: "IPv4" | "IPv6"; remoteIpPrefix?: never };

/** Where machines get their user data from, on every cloud. */
const METADATA = "169.254.169.254/32";

/** A network without what its address says of a host in it. */
const networkOf = (address: Address4): string => `${address.startAddress().correctForm()}/${address.subnetMask}`;

/** The rules of each security group for what its machines connect to. */
export function egressOf(
  c: Pick<Config, "egressCidrs" | "networkCidr" | "dnsServers" | "ntpServers" | "httpProxy">,
): Egress[] {
  if (c.egressCidrs.length === 0) return [{ ethertype: "IPv4" }, { ethertype: "IPv6" }];
  // Only hosts that the config gives as addresses. For a host name, `egressCidrs` must have its network.
  const proxy = c.httpProxy === undefined ? [] : [new URL(c.httpProxy).hostname];
  const named = [...c.dnsServers, ...c.ntpServers, ...proxy].filter(
    (host) => /^[\d.]+$/.test(host) && Address4.isValid(host),
  );
  const own = [c.networkCidr, METADATA, ...named.map((address) => `${address}/32`)];
  // As Neutron keeps them: it refuses a rule that says the same as another.
  const networks = [...own, ...c.egressCidrs].map((cidr) => new Address4(cidr)).map(networkOf);
  return [...new Set(networks)].map((remoteIpPrefix) => ({ ethertype: "IPv4", remoteIpPrefix }));
}
