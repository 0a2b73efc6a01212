import * as pulumi from "@pulumi/pulumi";
import { agentRange } from "../cluster/features.ts";
import { platformOf } from "../cluster/platforms.ts";
import { agentsAtUp, withAgents } from "../cluster/scaling.ts";
import type { Config } from "../config/schema.ts";
import { Cloud } from "../openstack/cloud.ts";
import { CloudError } from "../openstack/errors.ts";
import { AGENTS_VARIABLE, existingMachines } from "../openstack/inventory.ts";

/**
 * The config with the number of agents of this update, where it gives a range of them: as `triplewide scale` says, else those that the
 * cloud has. The number is kept nowhere: an update that somebody runs while agents are at work removes none of them.
 *
 * @param root Folder of the project, with its `clouds.yaml`.
 * @throws RunError where the cloud cannot be asked.
 */
export async function withAgentsOfToday(c: Config, root: string): Promise<Config> {
  if (agentRange(c) === undefined || !platformOf(c).servers) return c;
  const told = process.env[AGENTS_VARIABLE] ?? "";
  if (/^[1-9][0-9]{0,3}$/.test(told)) return withAgents(c, Number(told));
  try {
    const there = await Cloud.with({ folder: root }, (cloud) => existingMachines(cloud, c.clusterName));
    return withAgents(c, agentsAtUp(c, there.keys()));
  } catch (error) {
    if (error instanceof CloudError) throw new pulumi.RunError(error.message);
    throw error;
  }
}
