import { agentRange } from "../cluster/features.ts";
import { agentsAtUp, withAgents } from "../cluster/scaling.ts";
import type { Config } from "../config/schema.ts";
import { type Docker, dockerLines } from "./docker.ts";
import { type Project, projectFilter } from "./project.ts";

/** Names of the agents whose containers are on this machine's Docker, running or not. */
async function agentsHere(d: Docker, project: Pick<Project, "name">): Promise<string[]> {
  const filter = ["--filter", projectFilter(project)];
  const services = await dockerLines(d, ["ps", "-a", ...filter, "--format", '{{.Label "com.docker.compose.service"}}']);
  // A machine's container, or `machine-service` where it has several.
  return [...new Set(services.flatMap((service) => /^agent-([a-z][a-z0-9]*-)?[1-9][0-9]*/.exec(service)?.[0] ?? []))];
}

/** The config with the agents that there are, where it gives a range of them; where there are none, with those of a first `up`. */
export async function configHere(d: Docker, project: Project, c: Config): Promise<Config> {
  return agentRange(c) === undefined ? c : withAgents(c, agentsAtUp(c, await agentsHere(d, project)));
}
