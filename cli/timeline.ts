import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { UserError } from "../lib/errors.ts";
import { print } from "../lib/terminal.ts";
import { RECORDS_SCRIPT, readTimeline, timelineSvg, timelineText } from "../render/timeline.ts";
import { type ConfigOptions, commandOf, projectFolder, setOption } from "./common.ts";
import { presentCluster } from "./present.ts";
import { askMachines } from "./stack.ts";

interface Options extends ConfigOptions {
  picture?: string;
}

/** `triplewide timeline`. */
export function timeline(): Command {
  return commandOf(
    "timeline",
    "Shows what each machine did from its boot until it was ready.",
    "Packages, images and services with their seconds, by SSH from the machines' journals. Changes nothing. Exit code 1 where a machine cannot be asked.",
    ["triplewide timeline prod", "triplewide timeline prod agent-1 agent-2 --picture boot.svg"],
  )
    .argument("<environment>", "name in Pulumi.<environment>.yaml")
    .argument("[machines...]", "names of machines, such as agent-2; all of them where none is given")
    .option("--picture <file>", "write an SVG picture there (default: none)")
    .addOption(setOption())
    .action(async (environment: string, names: string[], options: Options) => {
      const config = loadConfig(projectFolder(), environment, options.set);
      if (platformOf(config).machinesAreContainers)
        throw new UserError("timeline is for a cluster on OpenStack: on this machine's Docker no machine boots");
      const cluster = await presentCluster(config, environment);
      const unknown = names.find((name) => !cluster.machines.some((machine) => machine.name === name));
      if (unknown !== undefined) throw new UserError(`${cluster.name} has no machine ${unknown}`);
      const asked = cluster.machines.filter(({ name }) => names.length === 0 || names.includes(name));
      const timelines = await askMachines(cluster, environment, asked, RECORDS_SCRIPT, readTimeline);
      if (timelines.length === 0) return;
      print(timelineText(timelines));
      if (options.picture !== undefined) writeFileSync(options.picture, timelineSvg(timelines));
    });
}
