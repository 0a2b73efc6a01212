import type { Command } from "commander";
import { loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Cluster } from "../cluster/types.ts";
import { say } from "../lib/terminal.ts";
import { findDocker } from "../local/docker.ts";
import { onDocker } from "../local/operator.ts";
import { onMachines } from "../machines/operator.ts";
import { type DrainOptions, drain as drainAgent, reactivate } from "../mesos/drain.ts";
import type { Operator } from "../mesos/leader.ts";
import { type ConfigOptions, commandOf, projectFolder, seconds, setOption } from "./common.ts";
import { presentCluster } from "./present.ts";
import { machinesOfStack } from "./stack.ts";

interface Options extends ConfigOptions {
  back: boolean;
  grace: number;
  timeout: number;
}

/** Sends the operator's calls on OpenStack through the bastion, with the key that the stack made. */
async function onStack(
  cluster: Cluster,
  environment: string,
): Promise<{ operator: Operator; close: () => Promise<void> }> {
  const { ssh } = await machinesOfStack(cluster, environment);
  return { operator: onMachines(cluster, ssh), close: () => ssh.close() };
}

/** `triplewide drain`. */
export function drain(): Command {
  return commandOf(
    "drain",
    "Takes a Mesos agent out of service.",
    "It gets no new tasks, those that run are ended, and their frameworks start them elsewhere. Returns when the agent is empty. On OpenStack it goes through the bastion. Needs Mesos 1.9 or later.",
    ["triplewide drain local agent-2 --grace 30", "triplewide drain local agent-2 --back"],
  )
    .argument("<environment>", "name in Pulumi.<environment>.yaml")
    .argument("<agent>", "name of its machine, such as agent-2")
    .option("--back", "give the agent back to the cluster", false)
    .option("--grace <seconds>", "time that each task has to end by itself", seconds, 60)
    .option("--timeout <seconds>", "time after which waiting is given up; the agent stays out of service", seconds, 600)
    .addOption(setOption())
    .action(async (environment: string, agent: string, options: Options) => {
      const cluster = await presentCluster(loadConfig(projectFolder(), environment, options.set), environment);
      const { operator, close } = platformOf(cluster.config).machinesAreContainers
        ? { operator: onDocker(await findDocker(), cluster), close: async () => {} }
        : await onStack(cluster, environment);
      const { grace: graceSeconds, timeout: timeoutSeconds } = options;
      const drainOptions: DrainOptions = { ...operator, agent, graceSeconds, timeoutSeconds, report: say };
      try {
        await (options.back ? reactivate(drainOptions) : drainAgent(drainOptions));
      } finally {
        await close();
      }
    });
}
