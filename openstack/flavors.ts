import { flavorKey } from "../cluster/groups.ts";
import type { Cluster } from "../cluster/types.ts";
import type { Cloud } from "./cloud.ts";
import { type Findings, instead } from "./findings.ts";

/** Flavors: those that the cloud has, and those of them that the config names. */

/** A flavor as the cloud knows it. */
export interface Flavor {
  id: string;
  name: string;
  vcpus: number;
  ramMiB: number;
  /** Of the machine's own disk; 0: the flavor is meant for machines whose root is a volume. */
  diskGb: number;
}

/** A flavor as Nova lists it. */
interface NovaFlavor {
  id: string;
  name: string;
  vcpus: number;
  ram: number;
  disk: number;
  "OS-FLV-DISABLED:disabled"?: boolean;
}

/** Every flavor that the project may use. */
export async function listFlavors(cloud: Cloud): Promise<Flavor[]> {
  const found = await cloud.list<NovaFlavor>("compute", "/flavors/detail", "flavors");
  // Of one that is disabled no server can be made.
  const usable = found.filter((f) => f["OS-FLV-DISABLED:disabled"] !== true);
  return usable.map((f) => ({ id: f.id, name: f.name, vcpus: f.vcpus, ramMiB: f.ram, diskGb: f.disk }));
}

/**
 * The flavors that the cluster's machines name, by that name or id; those that there are not are among the findings.
 *
 * @param flavors Those that the cloud has; `undefined` where it did not tell, which has been said.
 */
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
