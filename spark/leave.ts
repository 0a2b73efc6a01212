import type { Cluster, Machine } from "../cluster/types.ts";
import { type OnMachines, SparkMasters } from "./master.ts";

/**
 * Has agents get no further executors.
 *
 * @returns Those of them on which executors run: they started after it was seen that nothing runs there.
 * @throws UserError where no master leads.
 */
export async function leaveSpark(cluster: Cluster, on: OnMachines, agents: readonly Machine[]): Promise<Machine[]> {
  const workers = await new SparkMasters(cluster, on).sendAway(agents.map(({ address }) => address));
  return agents.filter(({ address }) => workers.some(({ host, coresUsed }) => host === address && coresUsed > 0));
}
