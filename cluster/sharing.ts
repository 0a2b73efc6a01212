import type { Config } from "../config/schema.ts";

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
export const fairShare = (
  c: Pick<Config, "coresMax">,
  { kind, at }: CoresKnownBy,
  executorCores: number | undefined,
): string[] | undefined =>
  c.coresMax === undefined ? [FAIR_SHARE, kind, String(executorCores ?? 1), ...at] : undefined;
