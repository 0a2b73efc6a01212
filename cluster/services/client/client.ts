import type { Config, ConfigKey } from "../../../config/schema.ts";
import { SPARK_VERSION } from "../../../config/versions.ts";
import { type Context, scriptFile, type WiredContext } from "../../context.ts";
import { hasHdfs, hasHub } from "../../features.ts";
import { SHM_MIB } from "../../memory.ts";
import { proxyEnv } from "../../outside.ts";
import { packageFiles, trustEnv, trusting } from "../../packages.ts";
import { healthOf, http } from "../../probe.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import { clientFolder, hasSharedStorage, SHARED_FOLDER } from "../../shared-storage.ts";
import { propertiesFor } from "../../spark-properties.ts";
import { CHOOSE_TEAM, hasTeams } from "../../teams.ts";
import type { File, Machine, Port, Service } from "../../types.ts";
import { secret, text, type Value } from "../../values.ts";
import { defaultFs, FETCHER_HOME, fetcherClient, fileInHdfs, HADOOP_CONF_DIR, hadoopConf } from "../hdfs/hdfs.ts";
import { hubPorts } from "../hub/ports.ts";
import { libprocessFiles } from "../mesos/libprocess.ts";
import { frameworkLogins, teamLogins } from "../mesos/mesos.ts";
import { CONNECTION } from "../prometheus/targets.ts";
import { DRIVER_METRICS } from "../spark/metrics.ts";
import {
  EPHEMERAL_PORTS,
  SPARK_CONF_DIR,
  SPARK_HOME,
  SPARK_PORT_RANGE,
  SPARK_UID,
  sparkDefaults,
} from "../spark/spark.ts";

/** Where the scripts of these services lie in the repository. */
const SCRIPTS = "cluster/services/client";
const TOKEN_FILE = `/run/secrets/${SECRET_NAMES.jupyterToken}`;

const JUPYTER_PATH = "jupyter";

/** What all of JupyterLab's paths begin with. */
export const jupyterBase = ({ gateway }: Pick<Config, "gateway">): string => (gateway ? `/${JUPYTER_PATH}/` : "/");

/** What sets the environment of every driver before it starts. */
export const SPARK_ENV = `${SPARK_CONF_DIR}/spark-env.sh`;

/**
 * Files by which any driver in the client finds the cluster: a notebook, `pyspark`, `spark-submit`.
 *
 * @param logins By which they register with Mesos.
 * @param conf Their `spark-defaults.conf`.
 */
export function driverFiles(
  ctx: WiredContext,
  logins: readonly File[],
  conf: Readonly<Record<string, Value>> = ctx.spark.conf,
): File[] {
  return [
    sparkDefaults(conf),
    {
      path: SPARK_ENV,
      content: {
        format: "shell-exports",
        variables: ctx.spark.env,
        ...(ctx.spark.options ? { added: { variable: "SPARK_SUBMIT_OPTS", command: ctx.spark.options } } : {}),
      },
      mode: "0644",
    },
    ...(hasTeams(ctx.config) ? [scriptFile(ctx, CHOOSE_TEAM, `${SCRIPTS}/team.sh`, "0644")] : []),
    ...(hasHdfs(ctx.config) ? hadoopConf(ctx) : []),
    ...packageFiles(ctx.config),
    ...logins,
  ];
}

/** By which the client's own drivers register with Mesos, and what other frameworks register as. */
export const operatorLogins = (ctx: Context, machine: Machine): File[] => [
  ...teamLogins(ctx),
  ...libprocessFiles(ctx.config, machine, "mesos-driver"),
  ...(ctx.architecture.mesos === "none" ? [] : frameworkLogins(ctx)),
];

/** Environment of any driver in the client. */
export function driverEnv(ctx: WiredContext, machine: Machine): Record<string, string> {
  const c = ctx.config;
  return {
    ...ctx.spark.env,
    TZ: c.timeZone,
    SPARK_CONF_DIR,
    ...(hasHdfs(c) ? { HADOOP_CONF_DIR } : {}),
    ...(c.defaultTeam !== undefined ? { TRIPLEWIDE_TEAM: c.defaultTeam } : {}),
    ...trustEnv(c),
    ...proxyEnv(c, [...ctx.addresses("spark-master"), ...ctx.addresses("mesos-master"), machine.address]),
  };
}

/** JupyterLab, and the machine's driver settings: notebooks, `pyspark` and `spark-submit` run beside it. */
export function jupyter(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  const range = (
    name: string,
    key: ConfigKey & ("sparkUiPort" | "driverPort" | "blockManagerPort"),
    from: Port["from"],
    link?: Port["link"],
    metrics?: Port["metrics"],
  ): Port => ({
    name,
    key,
    port: c[key],
    last: c[key] + SPARK_PORT_RANGE - 1,
    from,
    ...(link ? { link } : {}),
    ...(metrics ? { metrics } : {}),
  });
  return {
    name: "jupyter",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: trusting(c, ["jupyter", "lab"]),
    env: {
      ...driverEnv(ctx, machine),
      MASTER: ctx.spark.master,
      JUPYTER_PORT: String(c.jupyterPort),
      ...(c.gateway ? { JUPYTER_BASE_URL: jupyterBase(c) } : {}),
      JUPYTER_TOKEN_FILE: TOKEN_FILE,
      JUPYTER_CULL_IDLE_SECONDS: String(c.idleKernelMinutes * 60),
      // Users of the hub make these pages. In the operator's JupyterLab they would act in the name of whoever looks at them.
      ...(hasHub(c) ? { JUPYTER_PROXY_EXCEPT: hubPorts(c) } : {}),
      // The page that a waiting cell asks who has the cores.
      SPARK_MASTER_UI_PORT: String(c.sparkMasterUiPort),
      // Packages that a notebook installs lie in the shared folder: executors of our images find them there.
      ...(hasSharedStorage(c) && ctx.architecture.executorsRun !== "on-machine"
        ? { TRIPLEWIDE_SHARED: SHARED_FOLDER }
        : {}),
    },
    files: [
      ...driverFiles(ctx, operatorLogins(ctx, machine)),
      { path: TOKEN_FILE, content: { format: "text", text: secret(SECRET_NAMES.jupyterToken) }, mode: "0600" },
    ],
    ports: [
      {
        name: "jupyter",
        key: "jupyterPort",
        port: c.jupyterPort,
        from: [],
        link: "http",
        login: true,
        page: {
          title: "JupyterLab",
          kind: "jupyter",
          path: JUPYTER_PATH,
          keepsPath: true,
          authorization: text`token ${secret(SECRET_NAMES.jupyterToken)}`,
        },
        metrics: [{ path: `${jupyterBase(c)}api`, format: "any" }],
      },
      range("spark-ui", "sparkUiPort", ["bastion", "master"], "http", DRIVER_METRICS),
      range("driver", "driverPort", ["agent", "master"]),
      range("blocks", "blockManagerPort", ["agent"]),
      // libmesos listens on a port that the system chooses, and the masters connect to it. Agents only need to for executors that send
      // messages of their own to their framework, which Spark's do not. It would let tasks end drivers, because libprocess asks for no
      // login there.
      ...(ctx.architecture.mesos === "none"
        ? []
        : [
            {
              name: "libprocess",
              ...EPHEMERAL_PORTS,
              from: ["master", ...(c.mesosFrameworks.length > 0 ? (["agent"] as const) : [])],
            } satisfies Port,
          ]),
    ],
    health: healthOf(http(machine.address, c.jupyterPort, `${jupyterBase(c)}api`, '"version"')),
    uid: SPARK_UID,
    shmMiB: SHM_MIB,
    dirs: clientFolder(c),
    after: [],
    // People's programs write to their home, and drivers spill to `/tmp`.
    hardening: { writesRoot: true },
  };
}

/** Folder of HDFS that drivers write event logs to. */
export const EVENT_LOG_DIR = "/spark-events";

/** What the history server reads: what a driver knows of HDFS and of the logs, and none of its secrets. */
function historyProperties(ctx: WiredContext): Record<string, Value> {
  const read = ["spark.history.fs.logDirectory", "spark.history.ui.port", "spark.hadoop.fs.defaultFS"];
  return Object.fromEntries(Object.entries(ctx.spark.conf).filter(([property]) => read.includes(property)));
}

/** Spark's history server, which shows the event logs of jobs that have ended. */
export function historyServer(ctx: WiredContext, machine: Machine): Service {
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
    env: { SPARK_CONF_DIR, TZ: c.timeZone, SPARK_NO_DAEMONIZE: "1", SPARK_LOCAL_IP: machine.address, HADOOP_CONF_DIR },
    files: [
      sparkDefaults({ ...historyProperties(ctx), ...propertiesFor(c, "history") }),
      ...(hasHdfs(c) ? hadoopConf(ctx) : []),
    ],
    ports: [
      {
        name: "ui",
        key: "historyServerPort",
        port: c.historyServerPort,
        from: ["bastion"],
        link: "http",
        // Its pages take what follows a part `history` of their address for an application.
        page: { title: "Spark jobs that have ended", kind: "history", path: "ended", readOnly: true },
        metrics: [{ path: "/api/v1/version", format: "any" }],
      },
    ],
    health: healthOf(http(machine.address, c.historyServerPort, "/api/v1/applications", "^HTTP/1.[01] 200")),
    uid: SPARK_UID,
    dirs: [],
    memoryMiB: 2048,
    after: [],
  };
}

/** Where the tarball that executors fetch lies in the client image. */
const EXECUTOR_TARBALL_DIR = "/opt/spark-dist";

/** Name of the tarball that holds Spark for executors, made from the same files as the image. */
export const EXECUTOR_TARBALL = `spark-${SPARK_VERSION}.tgz`;

/** Where the tarball lies in HDFS (`vanilla` with `executorSource: hdfs`). */
const EXECUTOR_FOLDER_IN_HDFS = "/spark";

/** Program of the client's image by which a driver says where its executors fetch the tarball of that image. */
const EXECUTOR_URI = "/usr/local/bin/executor-uri";

/**
 * Puts the Spark tarball of its image into HDFS, unless the same one is there, and then keeps running: its health is that the file is
 * there. The file gets its name only after it was read by HTTP, as agents will read it, and has the digest of the one in the image. An HDFS
 * that is not the cluster's own may allow everything but that.
 */
export function executorUpload(ctx: Context, machine: Machine): Service {
  const script = "/etc/triplewide/executor-upload.sh";
  return {
    name: "executor-upload",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: ["bash", script, EXECUTOR_TARBALL_DIR, EXECUTOR_FOLDER_IN_HDFS, `${FETCHER_HOME}/bin/hadoop`],
    env: { HADOOP_CONF_DIR },
    files: [...hadoopConf(ctx), fetcherClient(ctx), scriptFile(ctx, script, `${SCRIPTS}/executor-upload.sh`)],
    ports: [],
    health: healthOf(fileInHdfs(ctx, `${EXECUTOR_FOLDER_IN_HDFS}/${EXECUTOR_TARBALL}`)),
    uid: SPARK_UID,
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
    ports: [
      { name: "http", key: "executorHttpPort", port: c.executorHttpPort, from: ["agent"], metrics: [CONNECTION] },
    ],
    health: healthOf(http(machine.address, c.executorHttpPort, "/", "^HTTP/1.[01] 200")),
    uid: SPARK_UID,
    dirs: [],
    memoryMiB: 256,
    after: [],
  };
}

/** Address of the folder in which agents find the tarball. */
function executorFolder(ctx: Context): string {
  const c = ctx.config;
  switch (c.executorSource) {
    case "hdfs":
      return `${defaultFs(ctx)}${EXECUTOR_FOLDER_IN_HDFS}`;
    case "http":
      return `http://${ctx.addresses("client")[0]}:${c.executorHttpPort}`;
    case "local":
      return `file://${EXECUTOR_TARBALL_DIR}`;
  }
}

/** Where agents get Spark from for what they run themselves: the client's of that moment. */
export const executorUri = (ctx: Context): string => `${executorFolder(ctx)}/${EXECUTOR_TARBALL}`;

/**
 * How a driver learns what its executors fetch: properties, and a program that prints further ones. What comes from the client has its
 * digest in its name, which only its image knows; by that name agents keep it for the next executor (Mesos' fetcher cache goes by
 * the address alone).
 */
export function executorTarball(ctx: Context): { conf: Record<string, string>; program?: string[] } {
  const { executorSource, sparkConf } = ctx.config;
  if (executorSource === "local") return { conf: { "spark.executor.uri": executorUri(ctx) } };
  // Files of people's own come anew each time: they may have changed at the same address.
  const own = "spark.mesos.uris" in sparkConf && !("spark.mesos.fetcherCache.enable" in sparkConf);
  return {
    conf: own ? { "spark.mesos.fetcherCache.enable": "false" } : {},
    program: [EXECUTOR_URI, executorFolder(ctx)],
  };
}
