import { totalAgents } from "../agent-groups.ts";
import type { Context } from "../context.ts";
import { hasHdfs } from "../features.ts";
import { executorTarball } from "../services/client/client.ts";
import { agentsRegistered } from "../services/mesos/mesos.ts";
import { SPARK_HOME } from "../services/spark/spark.ts";
import { registersWithMesos } from "./mesos-wiring.ts";
import type { ArchitectureRecord, Wiring } from "./record.ts";

/** What our images say by themselves, for executors that run in none of them. */
const ENVIRONMENT = {
  "spark.executorEnv.LANG": "C.UTF-8",
  "spark.executorEnv.LC_ALL": "C.UTF-8",
  "spark.executorEnv.PYARROW_IGNORE_TIMEZONE": "1",
};

function wire(ctx: Context): Wiring {
  // Where every agent's machine is an image that holds Spark, nothing has to be fetched.
  if (ctx.config.executorSource === "local" && ctx.platform.machinesAreContainers) {
    return registersWithMesos(ctx, { ...ENVIRONMENT, "spark.mesos.executor.home": SPARK_HOME });
  }
  const { conf, program } = executorTarball(ctx);
  return {
    ...registersWithMesos(ctx, { ...ENVIRONMENT, ...conf }),
    fetchesSpark: true,
    ...(program ? { program } : {}),
  };
}

/** Mesos on the machines; executors are plain processes of the agents' machines. */
export const vanilla: ArchitectureRecord = {
  mesos: "on-machines",
  executorsStartedBy: "mesos",
  sparkMaster: "none",
  executorsRun: "on-machine",
  fetchesSpark: true,
  agentsStartContainers: false,
  masterRoles: ["mesos-master"],
  agentRoles: ["mesos-agent"],
  wire,
  gates: (ctx) => [agentsRegistered(ctx)],
  apps: () => [],
  jobAgents: totalAgents,
  rules: (c, refuse) => {
    if (c.executorSource === "hdfs" && !hasHdfs(c)) {
      refuse(
        "executorSource",
        "http or local where there is no HDFS",
        "set datanodeCount to 1 or more, name existingNamenodes, or use http",
      );
    }
  },
};
