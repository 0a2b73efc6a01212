import type { Command } from "commander";
import { interactive } from "../lib/exec.ts";
import { containerStates } from "../local/health.ts";
import { type LocalOptions, localCluster, localCommand, localConfig, onClient } from "./local.ts";

/** Lines of each container. */
const LINES = 50;

/** `triplewide logs`. */
export function logs(): Command {
  return localCommand("logs", `Prints the last ${LINES} lines of every service on this machine's Docker.`, "", [
    "triplewide logs",
  ]).action(async (options: LocalOptions) => {
    const config = localConfig(options, (name) =>
      onClient(name, `sudo journalctl --lines ${LINES} --unit 'triplewide-*'`),
    );
    const { docker, containers } = await localCluster(config, options.env);
    const names = (await containerStates(docker, containers)).map((s) => s.name).sort();
    for (const name of names) {
      process.stdout.write(`==> ${name}\n`);
      await interactive(docker.client, ["logs", "--tail", String(LINES), name]);
    }
  });
}
