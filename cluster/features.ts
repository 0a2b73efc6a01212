import type { Config } from "../config/schema.ts";
import { platformOf } from "./platforms.ts";
import type { Group, Port } from "./types.ts";

/** What a config switches on, whatever the architecture is. */

/** Whether the cluster has an HDFS of its own. */
export const runsHdfs = (c: Config): boolean => c.datanodeCount > 0;

/** Whether there is an HDFS, its own or another. */
export const hasHdfs = (c: Config): boolean => runsHdfs(c) || c.existingNamenodes.length > 0;

/** Whether HDFS has a standby namenode and JournalNodes. */
export const hasStandbyNamenode = (c: Config): boolean => runsHdfs(c) && c.namenodeCount === 2;

/** Whether the cluster has an image registry of its own. */
export const hasRegistry = (c: Config): boolean => platformOf(c).pullsImages && c.registry === undefined;

/** Groups that read metrics of others: the client's, where the cluster is measured. */
export const scrapers = (c: Pick<Config, "monitoring">): Group[] => (c.monitoring ? ["client"] : []);

/** Whether many people have notebooks of their own. */
export const hasHub = (c: Pick<Config, "notebooks">): boolean => c.notebooks === "hub";

/** Whether people reach a port through the gateway alone: a page that asks for no login of its own. */
export const isBehindGateway = (c: Pick<Config, "gateway">, { link, login, page }: Port): boolean =>
  c.gateway && (page !== undefined || link === "http") && login !== true;

/** The range of agents that the config gives, within which `triplewide scale` decides; `undefined` where it gives a number. */
export function agentRange({
  agentsMin: min,
  agentsMax: max,
}: Pick<Config, "agentsMin" | "agentsMax">): { min: number; max: number } | undefined {
  return min === undefined || max === undefined ? undefined : { min, max };
}
