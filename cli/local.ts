import type { Command } from "commander";
import { loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Config } from "../config/schema.ts";
import { NotThere, UserError } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { type Docker, findDocker } from "../local/docker.ts";
import { find, type Project, projectOf } from "../local/project.ts";
import { type ConfigOptions, commandOf, envOption, setOption } from "./common.ts";

/** What the commands for the cluster on this machine's Docker have in common. */

export interface LocalOptions extends ConfigOptions {
  env: string;
}

/** A command for the cluster on this machine's Docker. */
export function localCommand(name: string, summary: string, more: string, examples: readonly string[]): Command {
  return commandOf(name, summary, more, examples).addOption(envOption()).addOption(setOption());
}

/**
 * The config of an environment of this machine's Docker.
 *
 * @param onOpenStack What to do instead where the environment is for OpenStack.
 * @throws UserError for an environment of OpenStack.
 */
export function localConfig({ env, set }: LocalOptions, onOpenStack: (cluster: string) => string): Config {
  const config = loadConfig(ROOT, env, set);
  if (platformOf(config).machinesAreContainers) return config;
  throw new UserError(
    `environment "${env}" is for OpenStack: ${onOpenStack(config.clusterName)}. For this machine: triplewide up --env local`,
  );
}

/** What to type for a command on the client of an OpenStack cluster. */
export const onClient = (cluster: string, command: string): string =>
  `ssh -F ~/.ssh/${cluster}.config ${cluster}-client ${command}   (Pulumi.README.md says how to get that file)`;

/** A cluster that is there, running or not. */
export interface LocalCluster {
  docker: Docker;
  project: Project;
  /** Ids of its containers. */
  containers: string[];
}

/** @throws UserError where there is no container of that cluster. */
export async function localCluster(config: Config, env: string): Promise<LocalCluster> {
  const docker = await findDocker();
  const project = projectOf(ROOT, config.clusterName);
  const { containers } = await find(docker, project);
  if (containers.length === 0)
    throw new NotThere(
      `no cluster "${config.clusterName}" runs here. Start it: make up${env === "local" ? "" : ` ENV=${env}`}`,
    );
  return { docker, project, containers };
}
