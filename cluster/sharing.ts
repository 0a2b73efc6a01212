import type { Config } from "../config/schema.ts";
import { totalAgents } from "./agent-groups.ts";
import { agentRange } from "./features.ts";

/** How jobs share the cluster: each grows with its work, gives back what is idle, and takes no more than its part. */

/** Seconds after which an executor without work is given back. */
const IDLE_SECONDS = 60;
/** The same for one that holds cached data: losing that costs its job time, holding it for ever costs the others cores. */
const CACHED_SECONDS = 1800;

/** What a driver is told where jobs grow and shrink with their work. */
export function dynamicAllocation(c: Pick<Config, "dynamicAllocation" | "shuffleServicePort">): Record<string, string> {
  if (!c.dynamicAllocation) return {};
  return {
    "spark.dynamicAllocation.enabled": "true",
    // The first one starts while the session does.
    "spark.dynamicAllocation.initialExecutors": "1",
    "spark.dynamicAllocation.executorIdleTimeout": `${IDLE_SECONDS}s`,
    "spark.dynamicAllocation.cachedExecutorIdleTimeout": `${CACHED_SECONDS}s`,
    "spark.shuffle.service.enabled": "true",
    "spark.shuffle.service.port": String(c.shuffleServicePort),
  };
}

/** Program of the client's image that finds out how many cores a job may take. */
const FAIR_SHARE = "/usr/local/bin/fair-share";

/** Who knows how many cores the cluster has: the masters' pages, as `host:port`. */
export interface CoresKnownBy {
  kind: "spark" | "mesos";
  at: readonly string[];
}

/**
 * Program that prints the option by which a job takes no more than its part.
 *
 * @returns `undefined` where the config names the number.
 */
export function fairShare(
  c: Pick<Config, "coresMax" | "agentsMin" | "agentsMax" | "agentGroups">,
  { kind, at }: CoresKnownBy,
  executorCores = 1,
): string[] | undefined {
  if (c.coresMax !== undefined) return undefined;
  // A part of the most cores that there may be: a job that may only have its part of the present agents would never make more of them come.
  const most = agentRange(c)?.max;
  const agents = most === undefined ? "" : `/${totalAgents({ ...c, agentCount: most })}`;
  return [FAIR_SHARE, kind, `${executorCores}${agents}`, ...at];
}
