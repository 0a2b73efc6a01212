import type { Command } from "commander";
import { hasMesos } from "../cluster/architectures/index.ts";
import { COMPLETE_MESOS } from "../cluster/mesos-sources.ts";
import { ROOT } from "../lib/root.ts";
import { up as bringUp } from "../local/up.ts";
import { type LocalOptions, localCommand, localConfig } from "./local.ts";

interface Options extends LocalOptions {
  smoke: boolean;
  mesos?: string;
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
      "triplewide up --set architecture=docker-executors --mesos auto",
    ],
  )
    .option("--no-smoke", "do not run the smoke job at the end (default: run it)")
    .option(
      "--mesos <source>",
      "where the config names no mesosSource: check and pin this one as `triplewide mesos use` does, or with `auto` the first of `triplewide mesos list` that holds all and works here (default: say so and stop)",
    )
    .action(async (options: Options) => {
      const onOpenStack = (): string => `pulumi up --stack ${options.env}`;
      let config = localConfig(options, onOpenStack);
      if (options.mesos !== undefined && hasMesos(config) && config.mesosSource === undefined) {
        const { useFirst } = await import("./mesos.ts");
        await useFirst(options.mesos === "auto" ? COMPLETE_MESOS : [options.mesos], options.env);
        config = localConfig(options, onOpenStack);
      }
      await bringUp({ root: ROOT, environment: options.env, config, smoke: options.smoke });
    });
}
