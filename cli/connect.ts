import { once } from "node:events";
import type { Command } from "commander";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { publishedAddress } from "../cluster/publishing.ts";
import { SECRET_NAMES } from "../cluster/secret-names.ts";
import { encryptedRemote, sparkRemote } from "../cluster/services/connect/connect.ts";
import { gatewayOrigin, isNamed, isPublic } from "../cluster/services/gateway/entrance.ts";
import { authorityOf } from "../cluster/services/gateway/tls.ts";
import type { Cluster } from "../cluster/types.ts";
import { connectServer } from "../components/access.ts";
import { SPARK_VERSION } from "../config/versions.ts";
import { readCheckout } from "../lib/checkout.ts";
import { UsageError, UserError } from "../lib/errors.ts";
import { print, remark } from "../lib/terminal.ts";
import { readSecret } from "../local/project.ts";
import { type ConfigOptions, commandOf, envOption, portNumber, projectFolder, setOption } from "./common.ts";
import { localCluster } from "./local.ts";
import { machinesOfStack, stackOutput } from "./stack.ts";

interface Options extends ConfigOptions {
  env: string;
  port?: number;
}

/** The variable that names gRPC's file of trusted authorities. */
const GRPC_ROOTS = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH";

/** Packages through which a client exchanges data with the cluster. Other versions than the cluster's may read it differently. */
const SHARED_PACKAGES = ["pandas", "pyarrow", "numpy"];

/**
 * Instructions for a user's own computer: one line for its shell, run once, and three lines of Python.
 *
 * @param remote The connection string for Spark's clients, `sc://…`.
 * @param requirements Lock file of the cluster's Python packages.
 * @param certificate Command that prints the authority that the client must trust. @default public authorities are sufficient
 */
export function instructions(remote: string, requirements: string, certificate?: string): string {
  const pinned = SHARED_PACKAGES.flatMap((name) => requirements.match(new RegExp(`^${name}==[^ ]+`, "m"))?.[0] ?? []);
  const packages = [`pyspark[connect]==${SPARK_VERSION}`, ...pinned].map((word) => `'${word}'`);
  return [
    `# once, in a virtual environment of Python 3.11: pip install ${packages.join(" ")}`,
    ...(certificate === undefined
      ? []
      : [`# once: ${certificate} > cluster.pem`, "import os", `os.environ["${GRPC_ROOTS}"] = "cluster.pem"`]),
    "from pyspark.sql import SparkSession",
    `spark = SparkSession.builder.remote(${JSON.stringify(remote)}).getOrCreate()`,
    "spark.range(10).show()",
    "",
  ].join("\n");
}

function show(remote: string, certificate?: string): void {
  print(instructions(remote, readCheckout().requirements, certificate));
}

/** The command that prints the certificate of the cluster's own authority; `undefined` if a public authority is used. */
const certificateOf = (cluster: Cluster, { env }: Options): string | undefined =>
  authorityOf(cluster) && `triplewide certificate --env ${env}`;

async function onThisDocker(cluster: Cluster, options: Options): Promise<void> {
  const { config } = cluster;
  const { env, port } = options;
  if (port !== undefined)
    throw new UsageError("--port is for OpenStack: here the config's sparkConnectPort is the port");
  const { project } = await localCluster(config, env);
  const host = publishedAddress(config) === "127.0.0.1" ? "localhost" : publishedAddress(config);
  const token = readSecret(project, SECRET_NAMES.connectToken);
  if (token === undefined) throw new UserError("this cluster was brought up without Spark Connect. Fix: make up again");
  if (isNamed(config)) show(encryptedRemote(gatewayOrigin(config, ""), token), certificateOf(cluster, options));
  else show(sparkRemote(config.sparkConnectPort, token, host));
}

const notThere = (env: string): UserError =>
  new UserError(`stack ${env} has no Spark Connect yet: pulumi up --stack ${env}`);

/** Shows how to connect through the gateway, which users reach without a tunnel. */
async function byGateway(cluster: Cluster, options: Options): Promise<void> {
  const { env } = options;
  const remote = await stackOutput(env, "sparkRemote");
  if (!remote.includes("use_ssl")) throw notThere(env);
  show(remote, certificateOf(cluster, options));
}

/** Connects through the bastion until the user interrupts or the connection ends. */
async function byTunnel(cluster: Cluster, { env, port }: Options): Promise<void> {
  const server = connectServer(cluster);
  const machine = cluster.machines.find(({ address }) => address === server?.address);
  if (!server || !machine) throw new Error("no Spark Connect in this cluster");
  const { ssh, outputs } = await machinesOfStack(cluster, env);
  try {
    const tunnel = await ssh.forward(machine, server.port, port ?? server.port);
    const there = String(outputs.sparkRemote ?? "");
    if (there === "") throw notThere(env);
    show(sparkRemote(tunnel.port, /(?:Bearer%20|token=)(\w+)/.exec(there)?.[1] ?? ""));
    remark(`The tunnel to ${cluster.name} is open until Ctrl-C.\n`);
    const ended = await Promise.race([
      once(process, "SIGINT"),
      once(process, "SIGTERM"),
      tunnel.ended.then(() => "lost" as const),
    ]);
    if (ended === "lost") throw new UserError(`the tunnel to ${cluster.name} ended: its bastion closed it, or is gone`);
  } finally {
    await ssh.close();
  }
}

/** `triplewide connect`. */
export function connect(): Command {
  return commandOf(
    "connect",
    "Prints what Python on this computer needs to use the cluster, by Spark Connect.",
    "On OpenStack without `userCidrs` it opens a tunnel through the bastion, and keeps it open. Needs `sparkConnect: true`.",
    ["triplewide connect", "triplewide connect --env production"],
  )
    .addOption(envOption())
    .option("--port <number>", "port of this computer for the tunnel, on OpenStack (default: the server's)", portNumber)
    .addOption(setOption())
    .action(async (options: Options) => {
      const config = loadConfig(projectFolder(), options.env, options.set);
      if (!config.sparkConnect) {
        const docker = platformOf(config).machinesAreContainers;
        const way = docker ? 'make up SET="sparkConnect=true"' : "pulumi config set sparkConnect true && pulumi up";
        throw new UsageError(`environment "${options.env}" has no Spark Connect: sparkConnect is false. Fix: ${way}`);
      }
      const cluster = describeCluster(config);
      if (platformOf(config).machinesAreContainers) return onThisDocker(cluster, options);
      return isPublic(config) && isNamed(config) && options.port === undefined
        ? byGateway(cluster, options)
        : byTunnel(cluster, options);
    });
}
