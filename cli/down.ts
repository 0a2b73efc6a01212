import type { Command } from "commander";
import { ROOT } from "../lib/root.ts";
import { print } from "../lib/terminal.ts";
import { findDocker } from "../local/docker.ts";
import { find, projectOf, remove } from "../local/project.ts";
import { type LocalOptions, localCommand, localConfig } from "./local.ts";

interface Options extends LocalOptions {
  volumes: boolean;
}

/** `triplewide down`. */
export function down(): Command {
  return localCommand(
    "down",
    "Removes the cluster on this machine's Docker.",
    "Its data stays for the next `up`. For OpenStack: pulumi destroy.",
    ["triplewide down", "triplewide down --volumes"],
  )
    .option("--volumes", "remove its data too", false)
    .action(async (options: Options) => {
      const config = localConfig(options, () => `pulumi destroy --stack ${options.env}`);
      const docker = await findDocker();
      const project = projectOf(ROOT, config.clusterName);
      const gone = await remove(docker, project, options.volumes);
      const left = (await find(docker, project)).volumes.length;
      const parts = [
        `${gone.containers.length} containers`,
        `${gone.networks.length} networks`,
        `${gone.volumes.length} volumes`,
      ];
      print(
        `Removed ${parts.join(", ")}.${left > 0 ? ` ${left} volumes are kept (make down VOLUMES=1 removes them too).` : ""}\n`,
      );
    });
}
