import type { Command } from "commander";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { authorityOf } from "../cluster/services/gateway/tls.ts";
import type { Cluster } from "../cluster/types.ts";
import { fill, type Value } from "../cluster/values.ts";
import { UsageError, UserError } from "../lib/errors.ts";
import { print } from "../lib/terminal.ts";
import { readSecret } from "../local/project.ts";
import { type ConfigOptions, commandOf, envOption, projectFolder, setOption } from "./common.ts";
import { localCluster } from "./local.ts";
import { stackOutput } from "./stack.ts";

interface Options extends ConfigOptions {
  env: string;
}

/** The certificate of the cluster on this machine's Docker. */
async function here({ config }: Cluster, certificate: Value, env: string): Promise<string> {
  const { project } = await localCluster(config, env);
  return fill(certificate, ({ name }) => {
    const value = readSecret(project, name);
    if (value === undefined) throw new UserError("this cluster was brought up without tls. Fix: make up again");
    return value;
  });
}

async function ofStack(env: string): Promise<string> {
  const pem = await stackOutput(env, "gatewayCertificate");
  if (!pem.includes("CERTIFICATE"))
    throw new UserError(`stack ${env} has no certificate yet. Fix: pulumi up --stack ${env}`);
  return `${pem}\n`;
}

/** `triplewide certificate`. */
export function certificate(): Command {
  return commandOf(
    "certificate",
    "Prints the certificate of the cluster's own authority, for a browser or curl's --cacert.",
    "It vouches for the names and addresses of this cluster's gateway and for no others. Needs `tls: own`.",
    ["triplewide certificate > cluster.pem", "triplewide certificate --env production > cluster.pem"],
  )
    .addOption(envOption())
    .addOption(setOption())
    .action(async ({ env, set }: Options) => {
      const config = loadConfig(projectFolder(), env, set);
      const cluster = describeCluster(config);
      const own = authorityOf(cluster);
      if (own === undefined)
        throw new UsageError(
          `environment "${env}" has no authority of its own: tls is ${config.tls}. ${
            config.tls === "none" ? "Fix: set tls to own" : "Browsers know who made its certificate"
          }`,
        );
      const docker = platformOf(config).machinesAreContainers;
      print(await (docker ? here(cluster, own, env) : ofStack(env)));
    });
}
