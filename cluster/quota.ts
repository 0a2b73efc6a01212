import type { Config } from "../config/schema.ts";
import { egressOf } from "./firewall.ts";
import { platformOf } from "./platforms.ts";
import type { FirewallRule, Machine, Quota } from "./types.ts";

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
  const boot = c.bootVolumeGb === undefined ? [] : machines.map(() => c.bootVolumeGb ?? 0);
  const volumes = [...machines.flatMap((m) => m.volumeGb ?? m.scratchGb ?? []), ...boot];
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
