import type { Command } from "commander";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { holdersOf, machineSecrets, machinesWith, rotationNote, secretUrn } from "../cluster/rotation.ts";
import type { Cluster } from "../cluster/types.ts";
import { givenSecrets, SECRET_KEYS } from "../config/secrets.ts";
import { UsageError } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { print } from "../lib/terminal.ts";
import { up } from "../local/up.ts";
import { projectFolder } from "./common.ts";
import { type LocalOptions, localCluster, localCommand } from "./local.ts";
import { presentCluster } from "./present.ts";
import { refuseOtherChanges, SERVERS_ALONE, update } from "./update.ts";

interface Options extends LocalOptions {
  yes: boolean;
}

/** `triplewide rotate`. */
export function rotate(): Command {
  return localCommand(
    "rotate",
    "Replaces a secret of a cluster by a new one; without a name, lists them.",
    "Keeps all data. On this machine's Docker services that hold the secret start anew, as `up` starts what changed; where that was cut off, `up` goes on. On OpenStack the machine that holds it is replaced; where several do, every server goes and comes again at once, with its address and volume: jobs end. Where that was cut off, run it again.",
    ["triplewide rotate", "triplewide rotate zookeeper-mesos", "triplewide rotate all --env prod --yes"],
  )
    .argument("[name]", "a secret of the list, or all")
    .option("--yes", "on OpenStack: do it (default: only say what it would do)", false)
    .action(async (name: string | undefined, { yes, ...options }: Options) => {
      const config = loadConfig(projectFolder(), options.env, options.set);
      const local = platformOf(config).machinesAreContainers;
      const cluster = describeCluster(config);
      const given = givenSecrets<string>(config);
      const all = [...cluster.secrets.map((s) => s.name), ...(local ? [] : machineSecrets(config))];
      const made = all.filter((s) => !(s in given));
      const anew = (one: string): string =>
        local ? holdersOf(cluster, one).join(", ") : (oneMachineWith(cluster, [one]) ?? "every machine");
      if (name === undefined) {
        for (const one of made) print(`${one}\n  starts anew: ${anew(one)}\n  ${rotationNote(one)}\n`);
        return;
      }
      const key = Object.entries(SECRET_KEYS).find(([, secret]) => secret === name)?.[0];
      if (key !== undefined && name in given)
        throw new UsageError(
          `${name} is given by the config. Fix: change ${key} there, then ${local ? "make up" : `pulumi up --stack ${options.env}`}`,
        );
      if (name !== "all" && !made.includes(name))
        throw new UsageError(`this cluster has no secret "${name}". Fix: one of ${made.join(", ")}, or all`);
      const names = name === "all" ? made : [name];
      if (local) await localCluster(config, options.env);
      for (const one of names) print(`${one}: ${rotationNote(one)}\n`);
      if (local) await up({ root: ROOT, environment: options.env, config, smoke: false, renew: names });
      else await rotateStack(await presentCluster(config, options.env), options.env, names, yes);
    });
}

/**
 * The only machine that has these secrets, which is replaced like any other. `undefined` if several machines have them: then every
 * server is removed first.
 */
function oneMachineWith(cluster: Cluster, names: readonly string[]): string | undefined {
  const [first, ...others] = new Set(names.flatMap((name) => machinesWith(cluster, name)));
  return others.length > 0 ? undefined : first;
}

/** @throws UserError if the checkout has changes that were not applied yet, or Pulumi fails. */
async function rotateStack(
  cluster: Cluster,
  environment: string,
  names: readonly string[],
  confirmed: boolean,
): Promise<void> {
  const alone = oneMachineWith(cluster, names);
  print(
    alone === undefined
      ? "Every server goes, and comes again with its address and its volume: jobs end, and nobody answers until it is up again.\n"
      : `Replaces ${alone}, with its address and its volume.\n`,
  );
  if (!confirmed) {
    print("Nothing was changed. To do it, add --yes\n");
    return;
  }
  await refuseOtherChanges(environment, cluster, "secrets");
  // Machines with the old secret and machines with the new one do not accept each other, and an update waits for each machine.
  if (alone === undefined) await update(environment, "destroy", SERVERS_ALONE);
  const anew = names.flatMap((one) => ["--replace", secretUrn(cluster.name, one)]);
  await update(environment, "up", anew);
}
