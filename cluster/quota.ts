import { Address4 } from "ip-address";
import type { Config } from "../config/schema.ts";
import { platformOf } from "./platforms.ts";
import type { FirewallRule, Machine, Quota } from "./types.ts";

/** What each machine may connect to: a network, or all that there is of a version of IP. */
export type Egress =
  | { ethertype: "IPv4"; remoteIpPrefix: string }
  | { ethertype: "IPv4" | "IPv6"; remoteIpPrefix?: never };

/** Where machines get their user data from, on every cloud. */
const METADATA = "169.254.169.254/32";

/** A network without what its address says of a host in it. */
const networkOf = (address: Address4): string => `${address.startAddress().correctForm()}/${address.subnetMask}`;

/** The rules of each security group for what its machines connect to. */
export function egressOf(c: Pick<Config, "egressCidrs" | "networkCidr" | "dnsServers">): Egress[] {
  if (c.egressCidrs.length === 0) return [{ ethertype: "IPv4" }, { ethertype: "IPv6" }];
  const own = [c.networkCidr, METADATA, ...c.dnsServers.map((server) => `${server}/32`)];
  // As Neutron keeps them: it refuses a rule that says the same as another.
  const networks = [...own, ...c.egressCidrs].map((cidr) => new Address4(cidr)).map(networkOf);
  return [...new Set(networks)].map((remoteIpPrefix) => ({ ethertype: "IPv4", remoteIpPrefix }));
}

/** What the cluster takes of an OpenStack project's quota; nothing on platform `docker`. */
export function quotaOf(c: Config, machines: readonly Machine[], firewall: readonly FirewallRule[]): Quota {
  if (!platformOf(c).servers) {
    const none = { ports: 0, volumes: 0, gigabytes: 0, floatingIps: 0, securityGroups: 0, securityGroupRules: 0 };
    return { instances: 0, vcpus: 0, ramMiB: 0, ...none };
  }
  const total = (size: "vcpus" | "ramMiB"): number | null =>
    machines.reduce<number | null>((sum, m) => {
      const flavor = c.flavorSizes[m.flavor ?? ""];
      return sum === null || !flavor ? null : sum + flavor[size];
    }, 0);
  const groups = new Set(machines.map((m) => m.group)).size;
  const volumes = machines.flatMap((m) => m.volumeGb ?? m.scratchGb ?? []);
  const newNetwork = c.existingNetworkId === undefined;
  return {
    instances: machines.length,
    vcpus: total("vcpus"),
    ramMiB: total("ramMiB"),
    // A new network's router takes a port, and its DHCP one more.
    ports: machines.length + (newNetwork ? 2 : 0),
    volumes: volumes.length,
    gigabytes: volumes.reduce((sum, gigabytes) => sum + gigabytes, 0),
    floatingIps: c.bastion ? 1 : 0,
    securityGroups: groups,
    securityGroupRules: firewall.length + groups * egressOf(c).length,
  };
}
