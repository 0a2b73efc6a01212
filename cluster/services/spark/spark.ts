import type { Config } from "../../../config/schema.ts";
import { devicesOf } from "../../agent-groups.ts";
import { startedByMesos } from "../../architectures/facts.ts";
import { type Context, endpoints } from "../../context.ts";
import { agentRange } from "../../features.ts";
import { agentSize, heapIn, SHM_MIB } from "../../memory.ts";
import { allOf, anyOf, healthOf, http, tcp } from "../../probe.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import { sharedFolder } from "../../shared-storage.ts";
import { propertiesFor } from "../../spark-properties.ts";
import type { File, Gate, Group, Machine, Page, Port, Service } from "../../types.ts";
import { secret, type Value } from "../../values.ts";
import { CONNECTION } from "../prometheus/targets.ts";
import { SPARK_ZNODE } from "../zookeeper/znodes.ts";
import { MASTER_METRICS, metricsProperties, WORKER_METRICS } from "./metrics.ts";

/** Length of each range of ports (driver, blocks, UI). As many drivers, or executors, fit on one machine. */
export const SPARK_PORT_RANGE = 32;

/** Number of Spark's user in every image and on every machine, whose the shared folder is. */
export const SPARK_UID = 1000;
/** Where Spark is in every image. */
export const SPARK_HOME = "/opt/spark";
/** Folder of `spark-defaults.conf` and `spark-env.sh`. */
export const SPARK_CONF_DIR = "/etc/spark";
const MASTER_SERVES = '"status" : "(ALIVE|STANDBY|RECOVERING|COMPLETING_RECOVERY)"';
/** Where a worker reads which GPUs its machine has. */
const GPU_LIST = `${SPARK_CONF_DIR}/gpus.json`;
/** Heap of Spark's own daemons in MiB; they only keep books. */
const DAEMON_HEAP_MIB = 512;

/** Properties that both ends of a connection between Spark's processes need before the first message, without the secret. */
export function connectionProperties({ encryption }: Pick<Config, "encryption">): Record<string, string> {
  return {
    "spark.authenticate": "true",
    ...(encryption
      ? {
          "spark.network.crypto.enabled": "true",
          // Spark's default, CTR, hides what is sent and does not notice that it was changed on the way.
          "spark.network.crypto.cipher": "AES/GCM/NoPadding",
          // Version 1, the default, takes the secret that both ends agree on as the key itself; 2 derives the key from it.
          "spark.network.crypto.authEngineVersion": "2",
          "spark.network.crypto.saslFallback": "false",
        }
      : {}),
  };
}

/** The properties without which two Spark processes of this cluster do not talk to each other. */
export const sharedSecret = (c: Pick<Config, "encryption">): Record<string, Value> => ({
  ...connectionProperties(c),
  "spark.authenticate.secret": secret(SECRET_NAMES.spark),
});

/** `spark-defaults.conf`. Only the user of the service may read it: it holds secrets. */
export function sparkDefaults(properties: Readonly<Record<string, Value>>): File {
  return {
    path: `${SPARK_CONF_DIR}/spark-defaults.conf`,
    content: { format: "properties", separator: " ", properties },
    mode: "0600",
  };
}

/** `spark://a:7077,b:7077`: a driver and a worker try them all and follow the leader. */
export function sparkMasterUrl(ctx: Context): string {
  return `spark://${endpoints(ctx.addresses("spark-master"), ctx.config.sparkMasterPort)}`;
}

/** Environment of Spark's own daemons. */
export const daemonEnv = ({ config }: Context): Record<string, string> => ({
  SPARK_CONF_DIR,
  TZ: config.timeZone,
  SPARK_DAEMON_MEMORY: `${DAEMON_HEAP_MIB}m`,
  SPARK_NO_DAEMONIZE: "1",
});

/**
 * Keeps the list of workers and applications over a restart of the master: in ZooKeeper where there is one. Our image has classes for it.
 * Spark's own wait a minute for workers that are gone, have no login to ZooKeeper, and deserialize Java objects that anyone may have
 * written there.
 */
export function recovery(ctx: Context): Record<string, Value> {
  const zookeepers = ctx.addresses("zookeeper");
  return zookeepers.length > 0
    ? {
        "spark.deploy.recoveryMode": "CUSTOM",
        "spark.deploy.recoveryMode.factory": "triplewide.recovery.OwnedZooKeeper",
        "spark.deploy.zookeeper.url": endpoints(zookeepers, ctx.config.zookeeperClientPort),
        "spark.deploy.zookeeper.dir": SPARK_ZNODE.path,
        "spark.deploy.zookeeper.user": SPARK_ZNODE.user,
        "spark.deploy.zookeeper.password": SPARK_ZNODE.password,
      }
    : {
        "spark.deploy.recoveryMode": "CUSTOM",
        "spark.deploy.recoveryMode.factory": "triplewide.recovery.PresentFiles",
        "spark.deploy.recoveryDirectory": "/var/lib/spark/recovery",
      };
}

/** A Spark master; where there are several, ZooKeeper elects the one that leads. */
export function sparkMaster(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  return {
    name: "spark-master",
    machine: machine.name,
    runtime: "docker",
    image: "spark-python",
    command: [
      `${SPARK_HOME}/bin/spark-class`,
      "org.apache.spark.deploy.master.Master",
      "--host",
      machine.address,
      "--port",
      String(c.sparkMasterPort),
      "--webui-port",
      String(c.sparkMasterUiPort),
      "--properties-file",
      `${SPARK_CONF_DIR}/spark-defaults.conf`,
    ],
    env: { ...daemonEnv(ctx), ...publicAddress(ctx) },
    files: [sparkDefaults({ ...masterProperties(ctx), ...sharedSecret(c), ...recovery(ctx) })],
    ports: [
      {
        name: "rpc",
        key: "sparkMasterPort",
        port: c.sparkMasterPort,
        from: ["self", "agent", "client"],
        link: "spark",
      },
      {
        name: "ui",
        key: "sparkMasterUiPort",
        port: c.sparkMasterUiPort,
        // A worker looks whether the master still knows it.
        from: ["agent", "client", "bastion"],
        link: "http",
        page: MASTER_PAGE,
        metrics: MASTER_METRICS,
      },
    ],
    // A leader that takes over waits a minute (spark.worker.timeout) for workers that will not come back. It is healthy meanwhile.
    health: healthOf(http(machine.address, c.sparkMasterUiPort, "/json/", MASTER_SERVES)),
    uid: SPARK_UID,
    dirs: [{ path: "/var/lib/spark", lasts: "data" }],
    memoryMiB: 2 * DAEMON_HEAP_MIB,
    after: ["zookeeper"],
  };
}

/** A Spark worker, which starts executors, and the shuffle service where `dynamicAllocation` is on. */
export function sparkWorker(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const { gpus, devices } = devicesOf(c, machine.subgroup);
  const env = daemonEnv(ctx);
  if (c.agentCpus !== undefined) env.SPARK_WORKER_CORES = String(c.agentCpus);
  // Spark counts the heap of executors alone; what they need beside it is kept free here.
  const { memoryMiB } = agentSize(c, ctx.architecture);
  if (memoryMiB !== undefined) env.SPARK_WORKER_MEMORY = `${heapIn(c, memoryMiB)}m`;
  else env.SPARK_WORKER_HEAP_PERCENT = String(heapIn(c, 100));
  return {
    name: "spark-worker",
    machine: machine.name,
    runtime: "docker",
    image: "spark-python",
    command: [
      "spark-worker",
      "--host",
      machine.address,
      "--port",
      String(c.sparkWorkerPort),
      "--webui-port",
      String(c.sparkWorkerUiPort),
      "--work-dir",
      WORK_DIR,
      "--properties-file",
      `${SPARK_CONF_DIR}/spark-defaults.conf`,
      sparkMasterUrl(ctx),
    ],
    env: { ...env, ...mastersPort(c) },
    files: [
      sparkDefaults({ ...sharedSecret(c), ...workerProperties(ctx), ...gpuProperties(gpus) }),
      ...(gpus.length > 0 ? [gpuList(gpus)] : []),
    ],
    ...(devices.length > 0 ? { devices } : {}),
    ports: [
      { name: "rpc", key: "sparkWorkerPort", port: c.sparkWorkerPort, from: ["master"] },
      {
        name: "ui",
        key: "sparkWorkerUiPort",
        port: c.sparkWorkerUiPort,
        from: ["client", "bastion"],
        link: "http",
        metrics: WORKER_METRICS,
      },
      ...executorPorts(ctx),
      ...shufflePorts(ctx),
    ],
    health: healthOf(http(machine.address, c.sparkWorkerUiPort, "/json/", '"masterwebuiurl" : "(http|/)')),
    uid: SPARK_UID,
    shmMiB: SHM_MIB,
    dirs: [SHUFFLE_DIR, ...sharedFolder(c)],
    after: [],
    // Executors run users' programs, which write anywhere.
    hardening: { writesRoot: true },
  };
}

/** What a worker is told of its machine's GPUs (https://spark.apache.org/docs/3.5.9/spark-standalone.html#resource-allocation-and-configuration-overview). */
const gpuProperties = (gpus: readonly string[]): Record<string, string> =>
  gpus.length > 0
    ? { "spark.worker.resource.gpu.amount": String(gpus.length), "spark.worker.resourcesFile": GPU_LIST }
    : {};

/** The GPUs by their numbers, from 0, as CUDA counts the devices that its process sees. */
const gpuList = (gpus: readonly string[]): File => ({
  path: GPU_LIST,
  content: {
    format: "json",
    value: [{ id: { componentName: "spark.worker", resourceName: "gpu" }, addresses: gpus.map((_, i) => String(i)) }],
  },
  mode: "0644",
});

/** Where a worker looks whether the master knows it. */
export const mastersPort = ({ sparkMasterUiPort }: Pick<Config, "sparkMasterUiPort">): Record<string, string> => ({
  SPARK_MASTER_WEBUI_PORT: String(sparkMasterUiPort),
});

/** The master's page at the gateway, which shows those of workers and drivers as well. */
export const MASTER_PAGE = {
  title: "Spark",
  kind: "spark-master",
  path: "spark",
  showsDrivers: true,
  leader: { path: "/json/", match: '"status" : "ALIVE"' },
} as const satisfies Page;

/** Where the master's page is for a browser that has it open; `undefined` where that is not known. */
function masterPage({ config: c, platform }: Context): string | undefined {
  if (c.gateway) return `/${MASTER_PAGE.path}`;
  const page = platform.pageAddress(c);
  return page === undefined ? undefined : `http://${page}:${c.sparkMasterUiPort}`;
}

/** What workers' pages link to as their master. */
export function publicAddress({ config, platform }: Context): Record<string, string> {
  const page = platform.pageAddress(config);
  return page === undefined ? {} : { SPARK_PUBLIC_DNS: page };
}

/** What a master does besides giving out cores, whoever started it. */
export const masterProperties = ({ config }: Context): Record<string, string> => ({
  // People who reach this page reach its workers' pages through it, and nowhere else.
  "spark.ui.reverseProxy": "true",
  // Workers' pages link to it by this.
  ...(config.gateway ? { "spark.ui.reverseProxyUrl": `/${MASTER_PAGE.path}` } : {}),
  // The page has no login, so any page in a browser could press these buttons.
  "spark.ui.killEnabled": "false",
  // Its own machine may have it send workers away (`triplewide scale`), and no other (spark.master.ui.decommission.allow.mode).
  ...(agentRange(config) === undefined ? {} : { "spark.decommission.enabled": "true" }),
  ...metricsProperties(config, "master"),
  ...propertiesFor(config, "master"),
});

/** What a worker does besides starting executors, whoever started it. */
export function workerProperties(ctx: Context): Record<string, string> {
  const { config: c } = ctx;
  const page = masterPage(ctx);
  return {
    // Its page is shown by the master's, and only there: browsers do not reach this machine.
    "spark.ui.reverseProxy": "true",
    // Drivers' pages, which are elsewhere, link to logs by it.
    ...(page === undefined ? {} : { "spark.ui.reverseProxyUrl": page }),
    // Finished applications leave their logs and jars behind; without this they fill the disk.
    "spark.worker.cleanup.enabled": "true",
    "spark.worker.cleanup.appDataTtl": "86400",
    "spark.local.dir": SHUFFLE_DIR.path,
    ...metricsProperties(c, "worker"),
    ...propertiesFor(c, "worker"),
    ...(c.dynamicAllocation
      ? { "spark.shuffle.service.enabled": "true", "spark.shuffle.service.port": String(c.shuffleServicePort) }
      : {}),
  };
}

/** Ports among which Linux chooses where a program asks for any free one. */
export const EPHEMERAL_PORTS = { port: 32768, last: 60999 } as const;

/** Ports that executors listen on, whether Mesos or a worker started them. */
export function executorPorts(ctx: Context): Port[] {
  const from: Port["from"] = ["self", "client"];
  // Whatever port the system gives them: see the wiring.
  if (startedByMesos(ctx.architecture)) return [{ name: "blocks", ...EPHEMERAL_PORTS, from }];
  const first = ctx.config.blockManagerPort;
  return [{ name: "blocks", key: "blockManagerPort", port: first, last: first + SPARK_PORT_RANGE - 1, from }];
}

/** Port of the shuffle service, which serves the shuffle files of executors that have ended. */
export function shufflePorts(ctx: Context): Port[] {
  const c = ctx.config;
  return c.dynamicAllocation
    ? [{ name: "shuffle", key: "shuffleServicePort", port: c.shuffleServicePort, from: ["self", "client"] }]
    : [];
}

/** Whether agents need a shuffle service of their own: a Spark worker, where there is one, is one as well. */
export const ownShuffleService = ({ config, architecture }: Context): boolean =>
  config.dynamicAllocation && startedByMesos(architecture);

/** Whether executors that Mesos starts have a folder outside of their sandboxes for what they leave on disks. */
export const outsideSandbox = ({ config, architecture }: Context): boolean =>
  startedByMesos(architecture) && (config.dynamicAllocation || config.scratchGb !== undefined);

/**
 * Where executors leave their shuffle files and the agent's shuffle service finds them, on whatever each of them runs. The
 * images have this folder, owned by Spark's user: a volume of Docker's takes that over.
 */
export const SHUFFLE_DIR = { path: "/var/lib/spark/work", lasts: "machine", shared: "machine" } as const;

/** Where a worker keeps what it fetched for its applications, and their logs. It deletes all that is old there. */
export const WORK_DIR = `${SHUFFLE_DIR.path}/applications`;

/** Serves the shuffle files of executors that are gone, so that jobs may give executors back (Mesos). */
export function shuffleService(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  return {
    name: "shuffle",
    machine: machine.name,
    runtime: "docker",
    image: "spark-python",
    command: [`${SPARK_HOME}/bin/spark-class`, "org.apache.spark.deploy.mesos.MesosExternalShuffleService"],
    env: daemonEnv(ctx),
    files: [
      sparkDefaults({
        ...propertiesFor(c, "shuffle"),
        ...sharedSecret(c),
        "spark.shuffle.service.port": String(c.shuffleServicePort),
      }),
    ],
    ports: shufflePorts(ctx).map((port) => ({ ...port, metrics: [CONNECTION] })),
    health: healthOf(tcp(machine.address, c.shuffleServicePort)),
    uid: SPARK_UID,
    dirs: [SHUFFLE_DIR],
    memoryMiB: 2 * DAEMON_HEAP_MIB,
    after: [],
  };
}

/** One of the masters at these addresses leads, starts applications, and every worker has registered with it. */
export function workersRegistered(ctx: Context, workers: number, masters: readonly string[], group: Group): Gate {
  const port = ctx.config.sparkMasterUiPort;
  return {
    group,
    what: `${workers} Spark workers registered`,
    probe: anyOf(
      masters.map((host) =>
        allOf(
          [`"aliveworkers" : ${workers}(,|$)`, '"status" : "ALIVE"'].map((line) => http(host, port, "/json/", line)),
        ),
      ),
    ),
  };
}
