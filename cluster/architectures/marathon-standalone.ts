import { agentRange } from "../features.ts";
import { agentSize } from "../memory.ts";
import {
  leastAgentMiB,
  marathonApps,
  marathonGates,
  marathonMasterUrl,
  marathonWorkers,
} from "../services/marathon/marathon.ts";
import { agentsRegistered } from "../services/mesos/mesos.ts";
import { marathonMasters } from "../services/mesos/spark-on-marathon.ts";
import type { ArchitectureRecord } from "./record.ts";

/** Mesos on the machines; Marathon keeps a standalone Spark cluster running on it, beside other frameworks. */
export const marathonStandalone: ArchitectureRecord = {
  mesos: "on-machines",
  executorsStartedBy: "spark-workers",
  sparkMaster: "marathon",
  executorsRun: "in-own-container",
  fetchesSpark: false,
  agentsStartContainers: true,
  masterRoles: ["mesos-master", "marathon"],
  agentRoles: ["mesos-agent"],
  wire: (ctx) => ({
    master: marathonMasterUrl(ctx),
    coresKnownBy: {
      kind: "spark",
      at: marathonMasters(ctx).map((host) => `${host}:${ctx.config.sparkMasterUiPort}`),
    },
    conf: {},
    without: [],
    env: {},
  }),
  gates: (ctx) => [agentsRegistered(ctx), ...marathonGates(ctx)],
  apps: marathonApps,
  jobAgents: marathonWorkers,
  rules: (c, refuse) => {
    if (agentRange(c) !== undefined) {
      const rule = `unset in architecture ${c.architecture}: a task of Marathon's runs on every agent, which chooses whose it ends where there are to be fewer`;
      refuse("agentsMax", rule, "remove agentsMin and agentsMax, and change agentCount or marathonWorkers");
    }
    const least = leastAgentMiB(c);
    const { memoryMiB } = agentSize(c, marathonStandalone);
    if (memoryMiB !== undefined && memoryMiB < least) {
      const what = "a Spark master and a worker with one executor";
      refuse("agentMemoryMiB", `at least ${least}: ${what}`, `use ${least} or more, or lower executorMemoryMiB`);
    }
  },
};
