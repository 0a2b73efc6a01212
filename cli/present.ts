import { agentRange } from "../cluster/features.ts";
import { describeCluster } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { withAgents } from "../cluster/scaling.ts";
import type { Cluster } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import { ROOT } from "../lib/root.ts";
import { configHere } from "../local/agents.ts";
import { findDocker } from "../local/docker.ts";
import { projectOf } from "../local/project.ts";
import { stackOutputs } from "./stack.ts";

/**
 * The cluster with its current agents if the config gives a range of them: by the stack's last update, or by
 * this machine's Docker.
 *
 * @throws UserError if there is no Pulumi CLI, no such stack, or no Docker.
 */
export async function presentCluster(config: Config, environment: string): Promise<Cluster> {
  if (agentRange(config) === undefined) return describeCluster(config);
  if (platformOf(config).machinesAreContainers) {
    return describeCluster(await configHere(await findDocker(), projectOf(ROOT, config.clusterName), config));
  }
  const { agents } = await stackOutputs(environment, "hide");
  // A stack whose last update was by an older release lacks this output.
  return describeCluster(typeof agents === "number" ? withAgents(config, agents) : config);
}
