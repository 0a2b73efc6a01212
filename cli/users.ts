import type { Command } from "commander";
import { loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { firstPassword } from "../cluster/secret-names.ts";
import { hubOrigin } from "../cluster/services/hub/entrance.ts";
import { hubPasswords, logins } from "../cluster/services/hub/hub.ts";
import { userNames } from "../cluster/teams.ts";
import type { Config } from "../config/schema.ts";
import { UsageError, UserError } from "../lib/errors.ts";
import { print } from "../lib/terminal.ts";
import { readSecret, renewSecrets } from "../local/project.ts";
import { projectFolder } from "./common.ts";
import { type LocalOptions, localCluster, localCommand } from "./local.ts";
import { stackOutput } from "./stack.ts";

interface Options extends LocalOptions {
  renew?: string;
}

/** The hub's address, and the first password of each user. */
interface Hub {
  origin: string;
  passwordOf: (user: string) => string;
}

/** The hub of the cluster on this machine's Docker. */
async function here(config: Config, { env, renew }: Options): Promise<Hub> {
  const { project } = await localCluster(config, env);
  if (renew !== undefined) renewSecrets(project, [firstPassword(renew)]);
  return {
    origin: hubOrigin(config, ""),
    passwordOf: (user) => readSecret(project, firstPassword(user)) ?? "made by the next `make up`",
  };
}

async function ofStack({ env, renew }: Options): Promise<Hub> {
  if (renew !== undefined) {
    const fix = `pulumi up --stack ${env} --replace '**${firstPassword(renew)}', which replaces the client as well`;
    throw new UsageError(`--renew is for this machine's Docker: passwords of a stack are in its state. Fix: ${fix}`);
  }
  const { hub } = JSON.parse(await stackOutput(env, "uis")) as { hub?: string };
  if (hub === undefined) throw new UserError(`stack ${env} has no hub yet. Fix: pulumi up --stack ${env}`);
  const first = JSON.parse(await stackOutput(env, "hubPasswords")) as Record<string, string>;
  return { origin: hub, passwordOf: (user) => first[user] ?? "made by the next `pulumi up`" };
}

/** `triplewide users`. */
export function users(): Command {
  return localCommand(
    "users",
    "Prints the hub's address, and the first password of each of its users.",
    "Users choose another one there. With `oidcIssuer`: who each is to the OpenID provider. Needs `notebooks: hub`.",
    ["triplewide users", "triplewide users --renew alice", "triplewide users --env production"],
  )
    .option(
      "--renew <name>",
      "have the next `make up` give this user another first password, which ends all their logins (default: nobody)",
    )
    .action(async (options: Options) => {
      const { env, renew } = options;
      const config = loadConfig(projectFolder(), env, options.set);
      const docker = platformOf(config).machinesAreContainers;
      const names = userNames(config);
      if (names.length === 0) {
        const fix = `add users and "notebooks: hub" to the environment (docs/SHARING.md), then ${docker ? "make up" : "pulumi up"}`;
        throw new UsageError(`environment "${env}" has no users: notebooks is single. Fix: ${fix}`);
      }
      if (renew !== undefined) {
        if (config.oidcIssuer !== undefined) throw new UsageError("there are no passwords: users log in by oidcIssuer");
        if (!names.includes(renew)) throw new UsageError(`no user "${renew}". There are: ${names.join(", ")}`);
      }
      const { origin, passwordOf } = await (docker ? here(config, options) : ofStack(options));
      print(`${origin}/\n`);
      if (config.oidcIssuer !== undefined) {
        print(`users log in by ${config.oidcIssuer}, which sends them to ${origin}/hub/oauth_callback\n`);
        for (const [login, name] of logins(config)) print(`  ${name.padEnd(20)} ${login}\n`);
        return;
      }
      for (const { user } of hubPasswords(config)) print(`  ${user.padEnd(20)} ${passwordOf(user)}\n`);
    });
}
