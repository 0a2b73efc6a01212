import type { Command } from "commander";
import { hubOrigin } from "../cluster/services/hub/entrance.ts";
import { firstPassword, logins, userNames } from "../cluster/services/hub/hub.ts";
import { UsageError } from "../lib/errors.ts";
import { readSecret, renewSecrets } from "../local/project.ts";
import { type LocalOptions, localCluster, localCommand, localConfig } from "./local.ts";

/** `triplewide users`. */
export function users(): Command {
  return localCommand(
    "users",
    "Prints the hub's address, and the first password of each of its users.",
    "Users choose another one there. With `oidcIssuer`: who each is to the OpenID provider. Needs `notebooks: hub`.",
    ["triplewide users", "triplewide users --renew alice"],
  )
    .option(
      "--renew <name>",
      "have the next `make up` give this user another first password, which ends all their logins (default: nobody)",
    )
    .action(async (options: LocalOptions & { renew?: string }) => {
      const config = localConfig(options, () => "there is no hub there yet (`notebooks` is single)");
      const names = userNames(config);
      if (names.length === 0) {
        const fix = 'add users and "notebooks: hub" to the environment (docs/SHARING.md), then make up';
        throw new UsageError(`environment "${options.env}" has no users: notebooks is single. Fix: ${fix}`);
      }
      const { project } = await localCluster(config, options.env);
      const { renew } = options;
      if (renew !== undefined) {
        if (config.oidcIssuer !== undefined) throw new UsageError("there are no passwords: users log in by oidcIssuer");
        if (!names.includes(renew)) throw new UsageError(`no user "${renew}". There are: ${names.join(", ")}`);
        renewSecrets(project, [firstPassword(renew)]);
      }
      process.stdout.write(`${hubOrigin(config, "")}/\n`);
      if (config.oidcIssuer !== undefined) {
        process.stdout.write(
          `users log in by ${config.oidcIssuer}, which sends them to ${hubOrigin(config, "")}/hub/oauth_callback\n`,
        );
        for (const [login, name] of logins(config)) process.stdout.write(`  ${name.padEnd(20)} ${login}\n`);
        return;
      }
      for (const name of names) {
        const password = readSecret(project, firstPassword(name)) ?? "made by the next `make up`";
        process.stdout.write(`  ${name.padEnd(20)} ${password}\n`);
      }
    });
}
