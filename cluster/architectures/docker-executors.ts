import { totalAgents } from "../agent-groups.ts";
import type { Context } from "../context.ts";
import { SHM_MIB } from "../memory.ts";
import { agentsRegistered, taskFolders } from "../services/mesos/mesos.ts";
import { EXECUTOR_SECRET } from "../services/spark/executor-secret.ts";
import { SPARK_HOME } from "../services/spark/spark.ts";
import { image } from "../values.ts";
import { registersWithMesos } from "./mesos-wiring.ts";
import type { ArchitectureRecord, Wiring } from "./record.ts";

function wire(ctx: Context): Wiring {
  const folders = taskFolders(ctx);
  return registersWithMesos(ctx, {
    "spark.mesos.executor.docker.image": image("spark-python"),
    "spark.mesos.executor.docker.forcePullImage": "false",
    "spark.mesos.executor.docker.parameters": `network=host,shm-size=${SHM_MIB}m`,
    "spark.mesos.executor.docker.volumes": [
      `${EXECUTOR_SECRET}:${EXECUTOR_SECRET}:ro`,
      ...folders.map(({ path }) => `${path}:${path}:rw`),
    ].join(","),
    "spark.mesos.executor.home": SPARK_HOME,
  });
}

/** Mesos on the machines; each executor is a container of the worker image. */
export const dockerExecutors: ArchitectureRecord = {
  mesos: "on-machines",
  executorsStartedBy: "mesos",
  sparkMaster: "none",
  executorsRun: "in-own-container",
  fetchesSpark: false,
  agentsStartContainers: true,
  masterRoles: ["mesos-master"],
  agentRoles: ["mesos-agent"],
  wire,
  gates: (ctx) => [agentsRegistered(ctx)],
  apps: () => [],
  jobAgents: totalAgents,
  rules: () => {},
};
