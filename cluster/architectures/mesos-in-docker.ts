import { totalAgents } from "../agent-groups.ts";
import { agentsRegistered } from "../services/mesos/mesos.ts";
import { SPARK_HOME } from "../services/spark/spark.ts";
import { registersWithMesos } from "./mesos-wiring.ts";
import type { ArchitectureRecord } from "./record.ts";

/** Mesos in containers that hold Spark and Python as well; executors are processes inside of the agent's container. */
export const mesosInDocker: ArchitectureRecord = {
  mesos: "in-containers",
  executorsStartedBy: "mesos",
  sparkMaster: "none",
  executorsRun: "inside-agent",
  fetchesSpark: false,
  agentsStartContainers: false,
  masterRoles: ["mesos-master"],
  agentRoles: ["mesos-agent"],
  wire: (ctx) => registersWithMesos(ctx, { "spark.mesos.executor.home": SPARK_HOME }),
  gates: (ctx) => [agentsRegistered(ctx)],
  apps: () => [],
  jobAgents: totalAgents,
  rules: () => {},
};
