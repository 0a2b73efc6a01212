import type { Architecture, Config } from "../../config/schema.ts";
import { dockerExecutors } from "./docker-executors.ts";
import { startedByMesos } from "./facts.ts";
import { marathonStandalone } from "./marathon-standalone.ts";
import { mesosInDocker } from "./mesos-in-docker.ts";
import type { ArchitectureRecord } from "./record.ts";
import { standalone } from "./standalone.ts";
import { vanilla } from "./vanilla.ts";

/** The five ways that Spark runs. */
export const ARCHITECTURES: Readonly<Record<Architecture, ArchitectureRecord>> = {
  standalone,
  vanilla,
  "docker-executors": dockerExecutors,
  "mesos-in-docker": mesosInDocker,
  "marathon-standalone": marathonStandalone,
};

/** The record of the architecture that a config names. */
export const architectureOf = (c: Pick<Config, "architecture">): ArchitectureRecord => ARCHITECTURES[c.architecture];

/** Whether there is a Mesos. */
export const hasMesos = (c: Pick<Config, "architecture">): boolean => architectureOf(c).mesos !== "none";

/** Whether Mesos starts the executors, and not workers of Spark's own. */
export const mesosStartsExecutors = (c: Pick<Config, "architecture">): boolean => startedByMesos(architectureOf(c));
