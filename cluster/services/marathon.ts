import type { Config } from "../../config/schema.ts";
import { type Context, endpoints } from "../context.ts";
import { anyOf, healthOf, httpProbe } from "../probe.ts";
import {
  type File,
  type Gate,
  image,
  type Machine,
  type MarathonApp,
  type Port,
  type Service,
  secret,
} from "../types.ts";
import { PRINCIPALS } from "./mesos.ts";
import {
  daemonEnv,
  recovery,
  SPARK_CONF_DIR,
  SPARK_HOME,
  sharedSecret,
  sparkDefaults,
  workerProperties,
  workersRegistered,
} from "./spark.ts";
import { MESOS_LOGIN, MESOS_ZNODE, zkUrl } from "./zookeeper.ts";

const CONF = "/etc/marathon";
const MARATHON_ROLE = "marathon";
/** `user:password` of Marathon's HTTP interface, on the masters. */
export const MARATHON_LOGIN = `${CONF}/login`;

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
      "--mesos_authentication_principal",
      PRINCIPALS.marathon,
      "--mesos_authentication_secret_file",
      `${CONF}/mesos-secret`,
      "--mesos_authentication",
    ],
    // ZooKeeper's login and the HTTP password have no file flag: they go by environment, not by command line.
    env: {
      MARATHON_MASTER: zkUrl(ctx, MESOS_ZNODE, MESOS_LOGIN),
      MARATHON_ZK: zkUrl(ctx, "/marathon", `marathon:${secret("zookeeper-marathon")}`),
      MARATHON_HTTP_CREDENTIALS: `marathon:${secret("marathon-http")}`,
      LIBPROCESS_IP: machine.address,
    },
    files: [
      { path: `${CONF}/mesos-secret`, content: secret("mesos-marathon"), mode: "0600" },
      { path: MARATHON_LOGIN, content: `marathon:${secret("marathon-http")}`, mode: "0600" },
    ],
    ports: [{ name: "http", port: c.marathonPort, from: ["self", "client", "bastion"], link: "http" }],
    // With a password set, Marathon asks for it everywhere.
    health: healthOf(httpProbe(machine.address, c.marathonPort, "/ping", "^pong", MARATHON_LOGIN)),
    uid: 0,
    dirs: [],
    memoryMiB: 2048,
    after: ["mesos-master"],
  };
}

/** What Marathon's Spark apps listen on, on the agents. */
export function marathonSparkPorts(ctx: Context): Port[] {
  const c = ctx.config;
  return [
    { name: "spark-master", port: c.sparkMasterPort, from: ["self", "client"] },
    { name: "spark-master-ui", port: c.sparkMasterUiPort, from: ["self", "client", "bastion"] },
    { name: "spark-worker", port: c.sparkWorkerPort, from: ["self"] },
    { name: "spark-worker-ui", port: c.sparkWorkerUiPort, from: ["self", "client", "bastion"] },
  ];
}

/** What Mesos gives to tasks of every framework; they find each other there, and the client finds them. */
export const TASK_PORTS: Port = { name: "tasks", port: 31000, last: 32000, from: ["self", "client"] };

/**
 * The same ports as an agent offers them: to Marathon's role alone, or a task of another framework that wants any free port
 * could be given one of Spark's. Marathon gives an app ports that are offered, and no others.
 */
export function marathonSparkOffer(ctx: Context): string {
  const ranges = marathonSparkPorts(ctx).map(({ port }) => `${port}-${port}`);
  return `ports(${MARATHON_ROLE}):[${ranges.join(",")}]`;
}

const SPARK_CONF = `${SPARK_CONF_DIR}/spark-defaults.conf`;

/**
 * What Spark's master and workers read, as a file of each agent. It holds the shared secret, which must not be in an app:
 * Marathon shows an app's environment to whoever logs in, and Mesos puts it on the command line of `docker run`.
 */
export function marathonSparkFile(ctx: Context): File {
  const properties = { ...sharedSecret(), ...recovery(ctx), ...workerProperties(ctx) };
  return { ...sparkDefaults(properties), uid: SPARK_UID };
}

/** The user of our images, which has the same name and number on every machine. */
const SPARK_USER = "spark";
const SPARK_UID = 1000;

/** What one master takes of its agent; it only keeps books. */
const MASTER = { cpus: 0.5, mem: 768 };
/** MiB that a worker takes for itself, and the part of the rest that is heap: executors need more than their heap. */
const WORKER_MIB = 768;
const HEAP = 0.8;

/** MiB of a worker with one executor. */
const workerMiB = (c: Config): number => WORKER_MIB + Math.ceil(c.executorMemoryMiB / HEAP);

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
 * How much of an agent one worker takes: all, less a master, because any of the first agents has one. Marathon needs numbers
 * where Mesos by itself would take what is there: the config's, else those of a flavor whose size the config tells, else as
 * much as one executor needs.
 */
export function workerSize({ config: c }: Context): WorkerSize {
  const flavor = c.platform === "openstack" ? c.flavorSizes[c.agentFlavor] : undefined;
  // The guest sees some 5 % less than the flavor says, and Mesos leaves 1 GiB of that to the system.
  const agentMiB = c.agentMemoryMiB || (flavor ? Math.floor(flavor.ramMiB * 0.95) - 1024 : 0);
  const cores = c.agentCpus || flavor?.vcpus || c.executorCores || 1;
  const cpus = c.agentCpus || flavor ? Math.max(0.1, cores - MASTER.cpus) : 0.5;
  const mem = Math.max(workerMiB(c), agentMiB - MASTER.mem);
  const heapMiB = Math.max(c.executorMemoryMiB, Math.floor((mem - WORKER_MIB) * HEAP));
  return { cpus, mem, cores, heapMiB };
}

/** The Spark cluster that Marathon keeps running: masters that find each other in ZooKeeper, one worker a machine. */
export function marathonApps(ctx: Context): MarathonApp[] {
  const c = ctx.config;
  const masters = marathonMasters(ctx);
  const workers = marathonWorkers(c);
  const size = workerSize(ctx);
  const master = daemon(ctx, `${SPARK_HOME}/bin/spark-class org.apache.spark.deploy.master.Master`, [
    c.sparkMasterPort,
    c.sparkMasterUiPort,
  ]);
  const worker = daemon(
    ctx,
    // Ends when its master has forgotten it.
    "spark-worker",
    [c.sparkWorkerPort, c.sparkWorkerUiPort],
    `--work-dir /var/lib/spark/work ${marathonMasterUrl(ctx)}`,
  );
  return [
    {
      ...master,
      id: "/spark/master",
      instances: masters.length,
      ...MASTER,
      // Where drivers and workers look for them.
      constraints: [...master.constraints, ["hostname", "LIKE", masters.join("|").replaceAll(".", "\\.")]],
      upgradeStrategy: upgrade(masters.length > 1 ? (masters.length - 1.5) / masters.length : 0),
    },
    {
      ...worker,
      id: "/spark/worker",
      instances: workers,
      cpus: size.cpus,
      mem: size.mem,
      env: { ...worker.env, SPARK_WORKER_CORES: String(size.cores), SPARK_WORKER_MEMORY: `${size.heapMiB}m` },
      // Not a function of the count: an app whose strategy changes is restarted, and one more worker must restart none.
      upgradeStrategy: upgrade(workers > 1 ? 0.5 : 0),
      dependencies: ["/spark/master"],
    },
  ];
}

/** What master and worker have alike. */
function daemon(ctx: Context, program: string, [rpc = 0, ui = 0]: number[], more = "") {
  const words = [
    `exec ${program}`,
    `--host $HOST --port ${rpc} --webui-port ${ui} --properties-file ${SPARK_CONF}`,
    more,
  ];
  const [bash = "", option = "", script = ""] = httpProbe("127.0.0.1", ui, "/json/", "^HTTP/1.[01] 200");
  return {
    cmd: words.join(" ").trimEnd(),
    user: SPARK_USER,
    env: daemonEnv(),
    container: container(ctx),
    networks: [{ mode: "host" }],
    requirePorts: true,
    portDefinitions: [
      { port: rpc, protocol: "tcp", name: "rpc" },
      { port: ui, protocol: "tcp", name: "ui" },
    ],
    constraints: [["hostname", "UNIQUE"]],
    healthChecks: [
      {
        // Not MESOS_HTTP, for which Mesos runs `curl`: not every agent has it. Not whether a worker has a master either:
        // without one it waits, and must not be killed with all of its executors.
        protocol: "COMMAND",
        command: { value: [bash, option, shellWord(script)].join(" ") },
        gracePeriodSeconds: 300,
        intervalSeconds: 10,
        timeoutSeconds: 10,
        maxConsecutiveFailures: 3,
      },
    ],
    backoffSeconds: 1,
    maxLaunchDelaySeconds: 60,
    taskKillGracePeriodSeconds: 10,
  };
}

function container({ config: c }: Context): object {
  return {
    type: "DOCKER",
    docker: {
      image: image("spark-python"),
      forcePullImage: false,
      parameters: [
        { key: "cap-drop", value: "ALL" },
        { key: "security-opt", value: "no-new-privileges" },
        // On a laptop Docker's own limit holds, as it does for every other service there: it may not let us raise it.
        ...(c.platform === "openstack" ? [{ key: "ulimit", value: "nofile=65536:65536" }] : []),
      ],
    },
    volumes: [{ containerPath: SPARK_CONF, hostPath: SPARK_CONF, mode: "RO" }],
  };
}

/** Never more tasks than there are: ports are the machines' own, so the new one can only start where an old one ended. */
const upgrade = (minimumHealthCapacity: number) => ({ minimumHealthCapacity, maximumOverCapacity: 0 });

const shellWord = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Agents with a Spark master: as many as there are Mesos masters, the first ones, because their addresses are known. */
function marathonMasters(ctx: Context): string[] {
  return ctx.addresses("mesos-agent").slice(0, ctx.config.masterCount);
}

/** Spark workers that Marathon keeps running. */
export const marathonWorkers = (c: Config): number => c.marathonWorkers || c.agentCount;

/** `spark://…` of the masters that Marathon runs. */
export function marathonMasterUrl(ctx: Context): string {
  return `spark://${endpoints(marathonMasters(ctx), ctx.config.sparkMasterPort)}`;
}

/** A leader that takes apps, and, once it has them, the Spark cluster that they are. */
export function marathonGates(ctx: Context): Gate[] {
  const leader: Gate = {
    group: "master",
    what: "a leading Marathon",
    command: anyOf(
      ctx
        .addresses("marathon")
        .map((host) => httpProbe(host, ctx.config.marathonPort, "/v2/leader", '"leader"', MARATHON_LOGIN)),
    ),
  };
  return [leader, workersRegistered(ctx, marathonWorkers(ctx.config), marathonMasters(ctx), "client")];
}
