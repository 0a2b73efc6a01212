import type { Config } from "../../../config/schema.ts";
import { agentConfigs, agentGroupNames, totalAgents } from "../../agent-groups.ts";
import { type Context, endpoints } from "../../context.ts";
import { agentSize, DAEMON_MIB, executorMiB, heapIn, SHM_MIB } from "../../memory.ts";
import { platformOf } from "../../platforms.ts";
import { anyOf, healthOf, http } from "../../probe.ts";
import { mesosSecret, SECRET_NAMES } from "../../secret-names.ts";
import { sharedFolder } from "../../shared-storage.ts";
import type { App, Gate, Machine, Service } from "../../types.ts";
import { base64, secret, text } from "../../values.ts";
import { libprocessEnv, libprocessFiles } from "../mesos/libprocess.ts";
import { PRINCIPALS, SPARK_TASK_USER } from "../mesos/principals.ts";
import { MARATHON_ROLE, marathonMasters, SPARK_CONF } from "../mesos/spark-on-marathon.ts";
import {
  daemonEnv,
  mastersPort,
  publicAddress,
  SHUFFLE_DIR,
  SPARK_HOME,
  WORK_DIR,
  workersRegistered,
} from "../spark/spark.ts";
import { MARATHON_ZNODE, MESOS_ZNODE } from "../zookeeper/znodes.ts";
import { zkUrlOfOwner } from "../zookeeper/zookeeper.ts";

const CONF = "/etc/marathon";
/** `user:password` of Marathon's HTTP interface, on the masters. */
export const MARATHON_LOGIN = `${CONF}/login`;

/** Marathon, on every master; ZooKeeper elects the one that leads. */
export function marathon(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  return {
    name: "marathon",
    machine: machine.name,
    runtime: "docker",
    image: "marathon",
    command: [
      "marathon",
      "--hostname",
      machine.address,
      "--http_address",
      machine.address,
      "--http_port",
      String(c.marathonPort),
      "--mesos_role",
      MARATHON_ROLE,
      // Of apps that name no user; masters let it run tasks as no other.
      "--mesos_user",
      SPARK_TASK_USER,
      "--mesos_authentication_principal",
      PRINCIPALS.marathon,
      "--mesos_authentication_secret_file",
      `${CONF}/mesos-secret`,
      "--mesos_authentication",
    ],
    // ZooKeeper's login and the HTTP password have no file flag: they go by environment, not by command line.
    env: {
      MARATHON_MASTER: zkUrlOfOwner(ctx, MESOS_ZNODE),
      MARATHON_ZK: zkUrlOfOwner(ctx, MARATHON_ZNODE),
      MARATHON_HTTP_CREDENTIALS: text`marathon:${secret(SECRET_NAMES.marathon)}`,
      LIBPROCESS_IP: machine.address,
      ...libprocessEnv(c),
    },
    files: [
      ...libprocessFiles(c, machine, "marathon"),
      {
        path: `${CONF}/mesos-secret`,
        content: { format: "text", text: secret(mesosSecret(PRINCIPALS.marathon)) },
        mode: "0600",
      },
      {
        path: MARATHON_LOGIN,
        content: { format: "text", text: text`marathon:${secret(SECRET_NAMES.marathon)}` },
        mode: "0600",
      },
    ],
    ports: [
      {
        name: "http",
        key: "marathonPort",
        port: c.marathonPort,
        from: ["self", "client", "bastion"],
        link: "http",
        login: true,
        page: {
          title: "Marathon",
          kind: "marathon",
          path: "marathon",
          authorization: text`Basic ${base64(text`marathon:${secret(SECRET_NAMES.marathon)}`)}`,
          readOnly: true,
        },
        metrics: [{ path: "/ping", format: "any" }],
      },
    ],
    // With a password set, Marathon asks for it everywhere.
    health: healthOf(http(machine.address, c.marathonPort, "/ping", "^pong", { loginFile: MARATHON_LOGIN })),
    uid: 0,
    dirs: [],
    memoryMiB: 2048,
    after: ["mesos-master"],
    // Its image is someone else's, and may unpack what it needs wherever it likes.
    hardening: { writesRoot: true },
  };
}

/** What one master takes of its agent; it only keeps books. */
const MASTER = { cpus: 0.5, mem: DAEMON_MIB };
/** MiB of a worker with one executor. */
const workerMiB = (c: Config): number => DAEMON_MIB + executorMiB(c);

/** MiB that an agent must offer for that and a master: Docker ends what takes more than it asked for. */
export const leastAgentMiB = (c: Config): number => MASTER.mem + workerMiB(c);

interface WorkerSize {
  /** What Marathon asks of Mesos for one worker. */
  cpus: number;
  mem: number;
  /** What the worker offers to executors. */
  cores: number;
  heapMiB: number;
}

/**
 * How much of an agent one worker takes: all but what a master takes, because any of the first agents has a master. Marathon needs numbers:
 * those of the config, else those of a flavor whose size the config gives, else as much as one executor needs.
 */
function workerSize({ config: c, architecture }: Context): WorkerSize {
  const agent = agentSize(c, architecture);
  const cores = agent.cores ?? c.executorCores ?? 1;
  const cpus = agent.cores === undefined ? 0.5 : Math.max(0.1, cores - MASTER.cpus);
  const mem = Math.max(workerMiB(c), (agent.memoryMiB ?? 0) - MASTER.mem);
  const heapMiB = Math.max(c.executorMemoryMiB, heapIn(c, mem - DAEMON_MIB));
  return { cpus, mem, cores, heapMiB };
}

/** The Spark cluster that Marathon keeps running: masters that find each other in ZooKeeper, one worker a machine. */
export function marathonApps(ctx: Context): App[] {
  const c = ctx.config;
  const masters = marathonMasters(ctx);
  const master = daemon(ctx, `${SPARK_HOME}/bin/spark-class org.apache.spark.deploy.master.Master`, [
    c.sparkMasterPort,
    c.sparkMasterUiPort,
  ]);
  const worker = daemon(
    ctx,
    // Ends when its master has forgotten it.
    "spark-worker",
    [c.sparkWorkerPort, c.sparkWorkerUiPort],
    `--work-dir ${WORK_DIR} ${marathonMasterUrl(ctx)}`,
  );
  return [
    {
      ...master,
      env: { ...master.env, ...publicAddress(ctx) },
      id: "/spark/master",
      instances: masters.length,
      cpus: MASTER.cpus,
      memoryMiB: MASTER.mem,
      // Where drivers and workers look for them.
      hosts: masters,
      healthyWhileUpdated: masters.length > 1 ? (masters.length - 1.5) / masters.length : 0,
    },
    ...agentConfigs(c).map(({ name, config }): App => {
      const size = workerSize({ ...ctx, config });
      const workers = name === undefined ? plainWorkers(c) : config.agentCount;
      return {
        ...worker,
        folders: [SHUFFLE_DIR.path, ...worker.folders],
        id: name === undefined ? "/spark/worker" : `/spark/worker-${name}`,
        instances: workers,
        ...(agentGroupNames(c).length > 0 ? { agentGroup: name ?? "none" } : {}),
        cpus: size.cpus,
        memoryMiB: size.mem,
        env: {
          ...worker.env,
          ...mastersPort(ctx.config),
          SPARK_WORKER_CORES: String(size.cores),
          SPARK_WORKER_MEMORY: `${size.heapMiB}m`,
        },
        // Not a function of the count: an app whose definition changes is restarted, and one more worker must restart none.
        healthyWhileUpdated: workers > 1 ? 0.5 : 0,
        dependsOn: ["/spark/master"],
      };
    }),
  ];
}

/** What master and worker have alike. */
function daemon(ctx: Context, program: string, [rpc = 0, ui = 0]: number[], more = "") {
  const words = [
    `exec ${program}`,
    `--host $HOST --port ${rpc} --webui-port ${ui} --properties-file ${SPARK_CONF}`,
    more,
  ];
  const openFiles = platformOf(ctx.config).taskOpenFiles;
  return {
    command: words.join(" ").trimEnd(),
    user: SPARK_TASK_USER,
    env: daemonEnv(ctx),
    shmMiB: SHM_MIB,
    image: "spark-python",
    files: [SPARK_CONF],
    folders: sharedFolder(ctx.config).map(({ path }) => path),
    ...(openFiles === undefined ? {} : { openFiles }),
    ports: [
      { name: "rpc", port: rpc },
      { name: "ui", port: ui },
    ],
    health: {
      // Not whether a worker has a master: without one it waits, and must not be killed with all of its executors.
      probe: http("127.0.0.1", ui, "/json/", "^HTTP/1.[01] 200"),
      graceSeconds: 300,
      intervalSeconds: 10,
      timeoutSeconds: 10,
      retries: 3,
    },
  } as const satisfies Partial<App>;
}

/** Spark workers that Marathon keeps running on agents of no group. */
const plainWorkers = (c: Config): number => c.marathonWorkers ?? c.agentCount;

/** Spark workers that Marathon keeps running. */
export const marathonWorkers = (c: Config): number => plainWorkers(c) + totalAgents(c) - c.agentCount;

/** `spark://…` of the masters that Marathon runs. */
export function marathonMasterUrl(ctx: Context): string {
  return `spark://${endpoints(marathonMasters(ctx), ctx.config.sparkMasterPort)}`;
}

/** A leader that takes apps, and, once it has them, the Spark cluster that they are. */
export function marathonGates(ctx: Context): Gate[] {
  const leader: Gate = {
    group: "master",
    what: "a leading Marathon",
    probe: anyOf(
      ctx
        .addresses("marathon")
        .map((host) => http(host, ctx.config.marathonPort, "/v2/leader", '"leader"', { loginFile: MARATHON_LOGIN })),
    ),
  };
  return [leader, workersRegistered(ctx, marathonWorkers(ctx.config), marathonMasters(ctx), "client")];
}
