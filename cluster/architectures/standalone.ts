import { totalAgents } from "../agent-groups.ts";
import { sparkMasterUrl, workersRegistered } from "../services/spark/spark.ts";
import type { ArchitectureRecord } from "./record.ts";

/** Spark's own master and workers, in containers. */
export const standalone: ArchitectureRecord = {
  mesos: "none",
  executorsStartedBy: "spark-workers",
  sparkMaster: "machines",
  executorsRun: "inside-agent",
  fetchesSpark: false,
  agentsStartContainers: false,
  masterRoles: ["spark-master"],
  agentRoles: ["spark-worker"],
  wire: (ctx) => ({
    master: sparkMasterUrl(ctx),
    coresKnownBy: {
      kind: "spark",
      at: ctx.addresses("spark-master").map((host) => `${host}:${ctx.config.sparkMasterUiPort}`),
    },
    conf: {},
    without: [],
    env: {},
  }),
  gates: (ctx) => [workersRegistered(ctx, totalAgents(ctx.config), ctx.addresses("spark-master"), "master")],
  apps: () => [],
  jobAgents: totalAgents,
  rules: () => {},
};
