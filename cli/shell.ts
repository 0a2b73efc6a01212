import type { Command } from "commander";
import { describeCluster } from "../cluster/load.ts";
import { interactive } from "../lib/exec.ts";
import { clientContainer } from "../local/smoke.ts";
import { type LocalOptions, localCluster, localCommand, localConfig, onClient } from "./local.ts";

/** `triplewide shell`. */
export function shell(): Command {
  return localCommand(
    "shell",
    "Opens IPython on this machine's cluster, with `spark` ready.",
    "What comes from a pipe or a file is run instead.",
    ["triplewide shell", "triplewide shell <job.py"],
  ).action(async (options: LocalOptions) => {
    const config = localConfig(options, (name) => onClient(name, "-t sudo docker exec -it triplewide-jupyter ipython"));
    const { docker } = await localCluster(config, options.env);
    const terminal = process.stdin.isTTY ? "-it" : "-i";
    process.exitCode = await interactive(docker.client, [
      "exec",
      terminal,
      clientContainer(describeCluster(config)),
      "ipython",
    ]);
  });
}
