import type { Command } from "commander";
import { describeCluster } from "../cluster/load.ts";
import { configHere } from "../local/agents.ts";
import { smoke as runSmoke } from "../local/smoke.ts";
import { type LocalOptions, localCluster, localCommand, localConfig, onClient } from "./local.ts";

interface Options extends LocalOptions {
  json: boolean;
}

/** `triplewide smoke`. */
export function smoke(): Command {
  return localCommand(
    "smoke",
    "Runs a PySpark job on the cluster on this machine's Docker, and checks its result.",
    "The job reads 336,776 flights on every worker; the result is compared with that of pandas.",
    ["triplewide smoke", "triplewide smoke --json"],
  )
    .option("--json", "print a report for programs", false)
    .action(async (options: Options) => {
      const config = localConfig(options, (name) => onClient(name, "sudo docker exec triplewide-jupyter smoke"));
      const { docker, project } = await localCluster(config, options.env);
      const cluster = describeCluster(await configHere(docker, project, config));
      process.exitCode = await runSmoke({ docker, cluster, json: options.json });
    });
}
