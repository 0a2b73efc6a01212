import type { WiredContext } from "../../context.ts";
import { SHM_MIB } from "../../memory.ts";
import { trusting } from "../../packages.ts";
import { healthOf, tcp } from "../../probe.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import { clientFolder } from "../../shared-storage.ts";
import type { Machine, Service } from "../../types.ts";
import { secret, text, type Value } from "../../values.ts";
import { driverEnv, driverFiles, operatorLogins } from "../client/client.ts";
import { CONNECTION } from "../prometheus/targets.ts";
import { DRIVER_METRICS } from "../spark/metrics.ts";
import { SPARK_HOME, SPARK_UID } from "../spark/spark.ts";

const TOKEN_FILE = `/run/secrets/${SECRET_NAMES.connectToken}`;

/** What the image has for it: Spark's server, and what asks for the token. Executors load classes of the server. */
const JARS = ["/opt/spark-connect/spark-connect.jar", "/opt/spark-connect/triplewide-connect.jar"];

/** What its driver has otherwise than a notebook's. */
function properties({ config: c, spark }: WiredContext): Record<string, Value> {
  const jars = spark.conf["spark.jars"];
  return {
    ...spark.conf,
    "spark.app.name": "Spark Connect",
    "spark.jars": jars === undefined ? JARS.join(",") : text`${jars},${JARS.join(",")}`,
    "spark.connect.grpc.binding.port": String(c.sparkConnectPort),
    "spark.connect.grpc.interceptor.classes": "triplewide.connect.Door",
    "spark.ui.port": String(c.sparkConnectUiPort),
    // It runs as long as the cluster does, so it holds no executor while no client works.
    "spark.dynamicAllocation.initialExecutors": "0",
    // One client's long job does not keep the others waiting.
    "spark.scheduler.mode": "FAIR",
  };
}

/** The server of Spark Connect: a driver whose programs run on other computers. */
export function sparkConnect(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  const server = "org.apache.spark.sql.connect.service.SparkConnectServer";
  return {
    name: "spark-connect",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: trusting(c, [`${SPARK_HOME}/bin/spark-submit`, "--class", server]),
    env: {
      ...driverEnv(ctx, machine),
      SPARK_CONNECT_TOKEN_FILE: TOKEN_FILE,
    },
    files: [
      ...driverFiles(ctx, operatorLogins(ctx, machine), properties(ctx)),
      { path: TOKEN_FILE, content: { format: "text", text: secret(SECRET_NAMES.connectToken) }, mode: "0600" },
    ],
    // What executors connect to is among the ports of drivers on this machine.
    ports: [
      {
        name: "grpc",
        key: "sparkConnectPort",
        port: c.sparkConnectPort,
        from: [],
        link: "sc",
        login: true,
        metrics: [CONNECTION],
      },
      {
        name: "ui",
        key: "sparkConnectUiPort",
        port: c.sparkConnectUiPort,
        from: ["bastion", "master"],
        link: "http",
        metrics: DRIVER_METRICS,
      },
    ],
    health: healthOf(tcp(machine.address, c.sparkConnectPort)),
    uid: SPARK_UID,
    shmMiB: SHM_MIB,
    dirs: clientFolder(c),
    after: [],
    // As with notebooks: drivers spill to `/tmp`, and what clients send is kept beside it.
    hardening: { writesRoot: true },
  };
}

/** Paths of Spark Connect's calls (gRPC). */
export const CONNECT_PATHS = "/spark.connect.SparkConnectService/*";

/**
 * What a client is given to connect, over a connection that is its own computer's: Spark's clients send `token=` by TLS alone,
 * and any other parameter as a header as it is. This is the header that `token=` becomes.
 *
 * @param port Port of that computer which leads to the server.
 * @param host Address of that computer at which the port is.
 */
export const sparkRemote = (port: number, token: string, host = "localhost"): string =>
  `sc://${host}:${port}/;authorization=Bearer%20${encodeURIComponent(token)}`;

/** The same through the gateway, by TLS. @param origin Where people open the gateway, `https://…`. */
export function encryptedRemote(origin: string, token: string): string {
  const { hostname, port } = new URL(origin);
  return `sc://${hostname}:${port || 443}/;use_ssl=true;token=${encodeURIComponent(token)}`;
}
