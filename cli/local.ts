import type { Command } from "commander";
import { loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Config } from "../config/schema.ts";
import { NotThere, UserError } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { type Docker, findDocker } from "../local/docker.ts";
import { find, type Project, projectOf } from "../local/project.ts";
import { type ConfigOptions, commandOf, envOption, setOption } from "./common.ts";

/** Common parts of the commands for the cluster on this machine's Docker. */

export interface LocalOptions extends ConfigOptions {
  env: string;
}

/** Makes a command for the cluster on this machine's Docker. */
export function localCommand(name: string, summary: string, more: string, examples: readonly string[]): Command {
  return commandOf(name, summary, more, examples).addOption(envOption()).addOption(setOption());
}

/**
 * The config of an environment on this machine's Docker.
 *
 * @param onOpenStack The error's advice if the environment is for OpenStack.
 * @throws UserError for an environment on OpenStack.
 */
export function localConfig({ env, set }: LocalOptions, onOpenStack: (cluster: string) => string): Config {
  const config = loadConfig(ROOT, env, set);
  if (platformOf(config).machinesAreContainers) return config;
  throw new UserError(
    `environment "${env}" is for OpenStack: ${onOpenStack(config.clusterName)}. For this machine: triplewide up --env local`,
  );
}

/** The command line for a command on the client of an OpenStack cluster. */
export const onClient = (cluster: string, command: string): string =>
  `ssh -F ~/.ssh/${cluster}.config ${cluster}-client ${command}   (Pulumi.README.md says how to get that file)`;

/** An existing cluster, running or not. */
export interface LocalCluster {
  docker: Docker;
  project: Project;
  /** Ids of its containers. */
  containers: string[];
}

/** The cluster's containers. @throws UserError if there are none. */
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
