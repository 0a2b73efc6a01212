import type { Role } from "../types.ts";

/** What is true of an architecture whatever the rest of the config says. Nothing asks for an architecture by its name. */
export interface ArchitectureFacts {
  /** Where Mesos' masters and agents run: nowhere, as processes of the machines, or in containers that hold Spark too. */
  mesos: "none" | "on-machines" | "in-containers";
  /** Who starts executors. */
  executorsStartedBy: "spark-workers" | "mesos";
  /** Who keeps Spark's own master and workers running; `none` where Mesos starts executors. */
  sparkMaster: "machines" | "marathon" | "none";
  /**
   * What an executor is: a process of its agent's machine, a container that its agent starts, or a process inside of the
   * container that its agent or worker runs in.
   */
  executorsRun: "on-machine" | "in-own-container" | "inside-agent";
  /** Whether executors fetch Spark from `executorSource` (`spark.executor.uri`). */
  fetchesSpark: boolean;
  /** Whether agents start containers through their machine's Docker. */
  agentsStartContainers: boolean;
  /** What every master runs besides ZooKeeper and HDFS, in this order. */
  masterRoles: readonly Role[];
  /** What every agent runs. */
  agentRoles: readonly Role[];
}

/** Whether Mesos starts the executors, and not workers of Spark's own. */
export const startedByMesos = ({ executorsStartedBy }: Pick<ArchitectureFacts, "executorsStartedBy">): boolean =>
  executorsStartedBy === "mesos";
