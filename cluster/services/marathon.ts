import type { Context } from "../context.ts";
import { anyOf, healthOf, httpProbe } from "../probe.ts";
import { type Gate, image, type Machine, type Port, type Service, secret } from "../types.ts";
import { PRINCIPALS } from "./mesos.ts";
import { SPARK_CONF_DIR, SPARK_HOME, sharedSecret } from "./spark.ts";
import { zkUrl } from "./zookeeper.ts";

const CONF = "/etc/marathon";
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
      "marathon",
      "--mesos_authentication_principal",
      PRINCIPALS.marathon,
      "--mesos_authentication_secret_file",
      `${CONF}/mesos-secret`,
      "--mesos_authentication",
    ],
    // ZooKeeper's login and the HTTP password have no file flag: they go by environment, not by command line.
    env: {
      MARATHON_MASTER: zkUrl(ctx, "/mesos", `mesos:${secret("zookeeper-mesos")}`),
      MARATHON_ZK: zkUrl(ctx, "/marathon", `marathon:${secret("zookeeper-marathon")}`),
      MARATHON_HTTP_CREDENTIALS: `marathon:${secret("marathon-http")}`,
      LIBPROCESS_IP: machine.address,
    },
    files: [
      { path: `${CONF}/mesos-secret`, content: secret("mesos-marathon"), mode: "0600" },
      { path: MARATHON_LOGIN, content: `marathon:${secret("marathon-http")}`, mode: "0600" },
    ],
    ports: [{ name: "http", port: c.marathonPort, from: ["self", "client", "bastion"], link: "http" }],
    health: healthOf(httpProbe(machine.address, c.marathonPort, "/ping", "^pong")),
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

/** A Marathon app, as its HTTP interface takes it. */
export type MarathonApp = Readonly<Record<string, unknown>> & { id: string };

/** The Spark cluster that Marathon keeps running: masters that find each other in ZooKeeper, one worker a machine. */
export function marathonApps(ctx: Context): MarathonApp[] {
  const c = ctx.config;
  const zookeepers = ctx.addresses("zookeeper").map((host) => `${host}:${c.zookeeperClientPort}`);
  const workers = c.marathonWorkers > 0 ? c.marathonWorkers : c.agentCount;
  const properties: Record<string, string> = {
    ...sharedSecret(),
    "spark.deploy.recoveryMode": "ZOOKEEPER",
    "spark.deploy.zookeeper.url": zookeepers.join(","),
    "spark.deploy.zookeeper.dir": "/spark",
  };
  const masterHosts = ctx.addresses("mesos-agent").slice(0, sparkMasters(ctx));
  const masterUrl = `spark://${masterHosts.map((host) => `${host}:${c.sparkMasterPort}`).join(",")}`;
  const conf = Object.entries(properties).map(([key, value]) => `-D${key}=${value}`);
  const app = (
    id: string,
    instances: number,
    cpus: number,
    mem: number,
    ports: number[],
    cmd: string,
  ): MarathonApp => ({
    id,
    instances,
    cpus,
    mem,
    user: "root",
    cmd,
    env: { SPARK_CONF_DIR, SPARK_NO_DAEMONIZE: "1", SPARK_DAEMON_JAVA_OPTS: conf.join(" ") },
    container: {
      type: "DOCKER",
      docker: { image: image("spark-python"), forcePullImage: false },
    },
    networks: [{ mode: "host" }],
    requirePorts: true,
    portDefinitions: ports.map((port, i) => ({ port, protocol: "tcp", name: i === 0 ? "rpc" : "ui" })),
    constraints: [["hostname", "UNIQUE"]],
    healthChecks: [
      {
        protocol: "MESOS_HTTP",
        path: "/json/",
        portIndex: 1,
        gracePeriodSeconds: 120,
        intervalSeconds: 10,
        timeoutSeconds: 5,
        maxConsecutiveFailures: 3,
      },
    ],
    // One at a time, and never more than there are machines for: ports are the machines' own.
    upgradeStrategy: { minimumHealthCapacity: instances > 1 ? (instances - 1) / instances : 0, maximumOverCapacity: 0 },
    backoffSeconds: 1,
    maxLaunchDelaySeconds: 60,
  });
  const spark = `exec ${SPARK_HOME}/bin/spark-class org.apache.spark.deploy`;
  const host = "--host $HOST";
  const master = app(
    "/spark/master",
    masterHosts.length,
    0.5,
    1024,
    [c.sparkMasterPort, c.sparkMasterUiPort],
    `${spark}.master.Master ${host} --port ${c.sparkMasterPort} --webui-port ${c.sparkMasterUiPort}`,
  );
  const worker = app(
    "/spark/worker",
    workers,
    c.agentCpus > 1 ? c.agentCpus - 0.5 : 0.5,
    Math.max(1024, c.agentMemoryMiB - 1024),
    [c.sparkWorkerPort, c.sparkWorkerUiPort],
    `${spark}.worker.Worker ${host} --port ${c.sparkWorkerPort} --webui-port ${c.sparkWorkerUiPort} --work-dir /tmp/spark-work ${masterUrl}`,
  );
  return [
    {
      ...master,
      constraints: [
        ["hostname", "UNIQUE"],
        ["hostname", "LIKE", masterHosts.join("|").replaceAll(".", "\\.")],
      ],
    },
    { ...worker, dependencies: ["/spark/master"] },
  ];
}

/** Spark masters under Marathon: as many as there are Mesos masters, on as many agents as there are. */
function sparkMasters(ctx: Context): number {
  return Math.min(ctx.config.masterCount, ctx.addresses("mesos-agent").length);
}

/** `spark://…` of the masters that Marathon runs: on the first agents, whose addresses are known. */
export function marathonMasterUrl(ctx: Context): string {
  const hosts = ctx.addresses("mesos-agent").slice(0, sparkMasters(ctx));
  return `spark://${hosts.map((host) => `${host}:${ctx.config.sparkMasterPort}`).join(",")}`;
}

export function marathonLeads(ctx: Context): Gate {
  return {
    group: "master",
    what: "a leading Marathon",
    command: anyOf(
      ctx
        .addresses("marathon")
        .map((host) => httpProbe(host, ctx.config.marathonPort, "/v2/leader", '"leader"', MARATHON_LOGIN)),
    ),
  };
}
