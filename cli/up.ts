import type { Command } from "commander";
import { ROOT } from "../lib/root.ts";
import { up as bringUp } from "../local/up.ts";
import { type LocalOptions, localCommand, localConfig } from "./local.ts";

interface Options extends LocalOptions {
  smoke: boolean;
}

/** `triplewide up`. */
export function up(): Command {
  return localCommand(
    "up",
    "Brings a cluster up on this machine's Docker.",
    "Waits until it works, and runs the smoke job. Changes nothing when nothing changed. For OpenStack: pulumi up.",
    [
      "triplewide up",
      "triplewide up --set agentCount=3 --no-smoke",
      "triplewide up --set architecture=vanilla --set mesosSource=file:///srv/mesos.tar.gz#sha256=<digest>",
    ],
  )
    .option("--no-smoke", "do not run the smoke job at the end (default: run it)")
    .action(async (options: Options) => {
      const config = localConfig(options, () => `pulumi up --stack ${options.env}`);
      await bringUp({ root: ROOT, environment: options.env, config, smoke: options.smoke });
    });
}
