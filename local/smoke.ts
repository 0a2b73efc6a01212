import { totalOf } from "../cluster/agent-groups.ts";
import { architectureOf, mesosStartsExecutors } from "../cluster/architectures/index.ts";
import { hasTeams } from "../cluster/teams.ts";
import type { Cluster } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import { UserError } from "../lib/errors.ts";
import { interactive } from "../lib/exec.ts";
import { containerName } from "../render/compose.ts";
import type { Docker } from "./docker.ts";

/** What `smoke` works with. */
export interface SmokeOptions {
  docker: Docker;
  cluster: Cluster;
  /** Whether the report is printed as JSON. */
  json: boolean;
  signal?: AbortSignal;
}

/** The cluster works, and the smoke job on it failed. The cluster is left running, to be looked at. */
export class SmokeFailed extends UserError {
  override name = "SmokeFailed";
}

/** Name of the client's container. */
export function clientContainer(cluster: Cluster): string {
  const service = cluster.services.find((s) => s.name === "jupyter");
  if (!service) throw new UserError("this cluster has no client");
  return containerName(cluster, service);
}

/**
 * Options that say how many agents the smoke job must use. Mesos fills one agent before the next, so a job runs on all agents only when it
 * takes all of their cores. Where teams have guarantees no job may take them all, and one agent is enough.
 */
function part(c: Config): string[] {
  if (hasTeams(c)) return ["--agents", "1"];
  const all = mesosStartsExecutors(c) ? totalOf(c, ({ agentCpus }) => agentCpus) : undefined;
  const agents = ["--agents", String(architectureOf(c).jobAgents(c))];
  return all === undefined ? agents : [...agents, "--cores", String(all)];
}

/** Runs the smoke job on the client. @returns Its exit code. */
export function smoke({ docker, cluster, json, signal }: SmokeOptions): Promise<number> {
  const args = ["exec", clientContainer(cluster), "smoke", ...part(cluster.config), ...(json ? ["--json"] : [])];
  return interactive(docker.client, args, signal ? { signal } : {});
}
