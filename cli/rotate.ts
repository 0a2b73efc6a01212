import type { Command } from "commander";
import { describeCluster } from "../cluster/load.ts";
import { holdersOf, rotationNote } from "../cluster/rotation.ts";
import { givenSecrets, SECRET_KEYS } from "../config/secrets.ts";
import { UsageError } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { up } from "../local/up.ts";
import { type LocalOptions, localCluster, localCommand, localConfig } from "./local.ts";

/** `triplewide rotate`. */
export function rotate(): Command {
  return localCommand(
    "rotate",
    "Replaces a secret of the cluster on this machine's Docker by a new one; without a name, lists them.",
    "Keeps all data. Services that hold the secret start anew, as `up` starts what changed. Where that was cut off, `up` goes on.",
    ["triplewide rotate", "triplewide rotate zookeeper-mesos", "triplewide rotate all"],
  )
    .argument("[name]", "a secret of the list, or all")
    .action(async (name: string | undefined, options: LocalOptions) => {
      const config = localConfig(options, () => "its secrets are in the stack and are not rotated by this command");
      const cluster = describeCluster(config);
      const given = givenSecrets<string>(config);
      const made = cluster.secrets.map((s) => s.name).filter((s) => !(s in given));
      if (name === undefined) {
        for (const one of made) {
          process.stdout.write(
            `${one}\n  starts anew: ${holdersOf(cluster, one).join(", ")}\n  ${rotationNote(one)}\n`,
          );
        }
        return;
      }
      const key = Object.entries(SECRET_KEYS).find(([, secret]) => secret === name)?.[0];
      if (key !== undefined && name in given)
        throw new UsageError(`${name} is given by the config. Fix: change ${key} there, then make up`);
      if (name !== "all" && !made.includes(name))
        throw new UsageError(`this cluster has no secret "${name}". Fix: one of ${made.join(", ")}, or all`);
      await localCluster(config, options.env);
      const names = name === "all" ? made : [name];
      for (const one of names) process.stdout.write(`${one}: ${rotationNote(one)}\n`);
      await up({ root: ROOT, environment: options.env, config, smoke: false, renew: names });
    });
}
