import type { Command } from "commander";
import { describeCluster } from "../cluster/load.ts";
import { print } from "../lib/terminal.ts";
import { configHere } from "../local/agents.ts";
import { dockerLines } from "../local/docker.ts";
import { projectFilter } from "../local/project.ts";
import { printSummary } from "../local/summary.ts";
import { publishedLinks } from "../render/compose.ts";
import { type LocalOptions, localCluster, localCommand, localConfig } from "./local.ts";

/** `triplewide status`. */
export function status(): Command {
  return localCommand("status", "Lists what runs on this machine's Docker, and the addresses of the web pages.", "", [
    "triplewide status",
  ]).action(async (options: LocalOptions) => {
    const config = localConfig(
      options,
      () =>
        `pulumi stack output --stack ${options.env} lists its addresses, and \`sudo triplewide-ready\` on a machine what it waits for`,
    );
    const { docker, project } = await localCluster(config, options.env);
    const cluster = describeCluster(await configHere(docker, project, config));
    const lines = await dockerLines(docker, [
      "ps",
      "-a",
      "--filter",
      projectFilter(project),
      "--format",
      "{{.Names}}\t{{.Status}}",
    ]);
    for (const line of lines.sort()) print(`  ${line.replace("\t", "  ")}\n`);
    printSummary(cluster, publishedLinks(cluster), project, options.env);
  });
}
