import { posix } from "node:path";
import { hasHdfs, hasMesos, SPARK_PORT_RANGE } from "../../config/ports.ts";
import { type Context, propertyLines } from "../context.ts";
import { healthOf, httpProbe } from "../probe.ts";
import { type File, type Machine, type Port, type Service, type SparkWiring, secret } from "../types.ts";
import { FETCHER_HOME, fetcherClient, fileInHdfs, HADOOP_CONF_DIR, hadoopConf } from "./hdfs.ts";
import { frameworkLogins } from "./mesos.ts";
import { EPHEMERAL_PORTS, SPARK_CONF_DIR, SPARK_HOME, sparkDefaults } from "./spark.ts";

const WORK = "/home/spark/work";
const TOKEN_FILE = "/run/secrets/jupyter-token";

/** Files by which any driver in the client finds the cluster: a notebook, `pyspark`, `spark-submit`. */
function driverFiles(ctx: Context, wiring: SparkWiring): File[] {
  const exports = propertyLines(
    Object.fromEntries(Object.entries(wiring.env).map(([key, value]) => [`export ${key}`, `'${value}'`])),
    "=",
  );
  return [
    sparkDefaults(wiring.conf),
    { path: `${SPARK_CONF_DIR}/spark-env.sh`, content: exports, mode: "0644" },
    ...(hasHdfs(ctx.config) ? hadoopConf(ctx) : []),
  ];
}

export function jupyter(ctx: Context, machine: Machine, wiring: SparkWiring): Service {
  const c = ctx.config;
  const range = (name: string, first: number, from: Port["from"], link?: Port["link"]): Port => ({
    name,
    port: first,
    last: first + SPARK_PORT_RANGE - 1,
    from,
    ...(link ? { link } : {}),
  });
  return {
    name: "jupyter",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: ["jupyter", "lab"],
    env: {
      ...wiring.env,
      MASTER: wiring.master,
      SPARK_CONF_DIR,
      JUPYTER_PORT: String(c.jupyterPort),
      JUPYTER_TOKEN_FILE: TOKEN_FILE,
      ...(hasHdfs(c) ? { HADOOP_CONF_DIR } : {}),
    },
    files: [
      ...driverFiles(ctx, wiring),
      { path: TOKEN_FILE, content: secret("jupyter-token"), mode: "0600" },
      ...(hasMesos(c) ? frameworkLogins(ctx) : []),
    ],
    ports: [
      { name: "jupyter", port: c.jupyterPort, from: ["bastion"], link: "http" },
      range("spark-ui", c.sparkUiPort, ["bastion", "master"], "http"),
      range("driver", c.driverPort, ["agent", "master"]),
      range("blocks", c.blockManagerPort, ["agent"]),
      // libmesos listens on a port that the system chooses; the masters and agents call back to it.
      ...(c.architecture === "standalone"
        ? []
        : [{ name: "libprocess", ...EPHEMERAL_PORTS, from: ["master", "agent"] } satisfies Port]),
    ],
    health: healthOf(httpProbe(machine.address, c.jupyterPort, "/api", '"version"')),
    uid: 1000,
    dirs: [{ path: WORK, keep: true }],
    memoryMiB: 0,
    after: [],
  };
}

/** Folder of HDFS that drivers write event logs to. */
export const EVENT_LOG_DIR = "/spark-events";

export function historyServer(ctx: Context, machine: Machine, wiring: SparkWiring): Service {
  const c = ctx.config;
  const properties = `${SPARK_CONF_DIR}/spark-defaults.conf`;
  const server = `${SPARK_HOME}/bin/spark-class org.apache.spark.deploy.history.HistoryServer --properties-file ${properties}`;
  return {
    name: "history-server",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    // Neither it nor a driver makes the folder: both fail without. Until HDFS takes writes, this one fails and is started again.
    command: ["bash", "-c", `hdfs dfs -mkdir -p ${EVENT_LOG_DIR} && exec ${server}`],
    env: { SPARK_CONF_DIR, SPARK_NO_DAEMONIZE: "1", SPARK_LOCAL_IP: machine.address, HADOOP_CONF_DIR },
    files: driverFiles(ctx, wiring),
    ports: [{ name: "ui", port: c.historyServerPort, from: ["bastion"], link: "http" }],
    health: healthOf(httpProbe(machine.address, c.historyServerPort, "/api/v1/applications", "^HTTP/1.[01] 200")),
    uid: 1000,
    dirs: [],
    memoryMiB: 2048,
    after: [],
  };
}

/** Where the tarball that `SPARK_EXECUTOR_URI` names lies in the client image. */
export const EXECUTOR_TARBALL_DIR = "/opt/spark-dist";

/** Name of the tarball that holds Spark for executors, made from the same files as the image. */
export const executorTarball = (sparkVersion: string): string => `spark-${sparkVersion}.tgz`;

/** Where the tarball lies in HDFS (`vanilla` with `executorSource: hdfs`). */
export const executorTarballInHdfs = (sparkVersion: string): string => `/spark/${executorTarball(sparkVersion)}`;

/**
 * Puts the Spark tarball of its image into HDFS, unless the very same is there, and then stays: the service is the file. It
 * has its name only once it was read as agents will read it: by HTTP, for which an HDFS that is there already needs more than
 * for everything else.
 */
export function executorUpload(ctx: Context, machine: Machine): Service {
  const { sparkVersion } = ctx.config;
  const file = `${EXECUTOR_TARBALL_DIR}/${executorTarball(sparkVersion)}`;
  const target = executorTarballInHdfs(sparkVersion);
  const same = `[[ $(hdfs dfs -stat %b ${target} 2>/dev/null) == $(stat -c %s ${file}) ]]`;
  const read = (path: string): string => `${FETCHER_HOME}/bin/hadoop fs -copyToLocal ${path} /dev/null`;
  const fresh = `${target}.new`;
  const put = [
    `hdfs dfs -put -f ${file} ${fresh}`,
    read(fresh),
    `hdfs dfs -rm -f -skipTrash ${target}`,
    `hdfs dfs -mv ${fresh} ${target}`,
  ].join(" && ");
  const script = [
    `until hdfs dfs -mkdir -p ${posix.dirname(target)}; do sleep 5; done`,
    `if ${same}; then ${read(target)}; else ${put}; fi || exit 1`,
    "exec sleep infinity",
  ].join("\n");
  return {
    name: "executor-upload",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: ["bash", "-c", script],
    env: { HADOOP_CONF_DIR },
    files: [...hadoopConf(ctx), fetcherClient(ctx)],
    ports: [],
    health: healthOf(fileInHdfs(ctx, target)),
    uid: 1000,
    dirs: [],
    memoryMiB: 512,
    after: [],
  };
}

/** Serves the Spark tarball to the agents' fetchers (`vanilla`). */
export function executorHttp(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  return {
    name: "executor-http",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: [
      "python3",
      "-m",
      "http.server",
      String(c.executorHttpPort),
      "--bind",
      machine.address,
      "--directory",
      EXECUTOR_TARBALL_DIR,
    ],
    env: {},
    files: [],
    ports: [{ name: "http", port: c.executorHttpPort, from: ["agent"] }],
    health: healthOf(httpProbe(machine.address, c.executorHttpPort, "/", "^HTTP/1.[01] 200")),
    uid: 1000,
    dirs: [],
    memoryMiB: 256,
    after: [],
  };
}
