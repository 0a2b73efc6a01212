import { teamOf, totalAgents } from "../../agent-groups.ts";
import { startedByMesos } from "../../architectures/facts.ts";
import { type Context, scriptFile } from "../../context.ts";
import { hasHub, scrapers } from "../../features.ts";
import { PROCESSES } from "../../limits.ts";
import { agentSize, SHM_MIB } from "../../memory.ts";
import { anyOf, healthOf, http } from "../../probe.ts";
import { mesosSecret, SECRET_NAMES } from "../../secret-names.ts";
import { sharedFolder } from "../../shared-storage.ts";
import { hasTeams, roleOf, TEAM_LOGINS, teamNames, userNames } from "../../teams.ts";
import type { Directory, File, Gate, Json, Machine, Service } from "../../types.ts";
import { base64, image, secret, text, type Value } from "../../values.ts";
import { FETCHER_HOME, feedsExecutors, fetcherClient } from "../hdfs/hdfs.ts";
import { EXECUTOR_SECRET, executorSecretFile } from "../spark/executor-secret.ts";
import {
  executorPorts,
  outsideSandbox,
  ownShuffleService,
  SHUFFLE_DIR,
  SPARK_HOME,
  shufflePorts,
  shuffleService,
} from "../spark/spark.ts";
import { MESOS_ZNODE } from "../zookeeper/znodes.ts";
import { zkUrl, zkUrlOfOwner } from "../zookeeper/zookeeper.ts";
import {
  EXECUTORS,
  executorIdentity,
  KNOWN_PEERS,
  libprocessEnv,
  libprocessFiles,
  libprocessTrust,
  masterFiles,
} from "./libprocess.ts";
import { PRINCIPALS, SPARK_TASK_USER, taskUser, userPrincipal } from "./principals.ts";
import {
  MARATHON_ROLE,
  marathonSparkFile,
  marathonSparkOffer,
  marathonSparkPorts,
  SPARK_CONF,
  TASK_PORTS,
} from "./spark-on-marathon.ts";

/** Where Mesos' files lie on every machine and in every image, whatever source it came from. */
export const MESOS_HOME = "/opt/mesos";
/** The library by which drivers register with Mesos. */
export const LIBMESOS = `${MESOS_HOME}/lib/libmesos.so`;
const CONF = "/etc/mesos";
/** `user:password` of the operator, for gates, drains and people: root's alone, on the masters. */
export const ADMIN_LOGIN = `${CONF}/admin`;
const LIB = "/usr/local/lib/triplewide";
/** Where the scripts of these services lie in the repository. */
const SCRIPTS = "cluster/services/mesos";
/** What an agent starts of Mesos' own programs. */
const LIBEXEC = `${MESOS_HOME}/libexec/mesos`;
/** The same where agents start containers: their executor is ours, which keeps the task's environment away from root. */
const LAUNCHER = `${LIB}/launcher`;
/** Docker as agents call it: refuses what tasks may not have. */
const AGENT_DOCKER = `${LIB}/agent-docker`;
/** Where an agent keeps sandboxes, and what it knows of its tasks. */
const AGENT_DIR = "/var/lib/mesos/agent";
const START_AGENT = `${LIB}/start-agent`;
/** What programs of our image need to be found. Executors get nothing of their agent's own environment. */
const IMAGE_ENV = {
  JAVA_HOME: "/opt/java",
  PATH: "/opt/venv/bin:/opt/java/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

/** `zk://host:port,…/mesos`: readable without a password, so drivers hold none. */
export const mesosZk = (ctx: Context): string => zkUrl(ctx, MESOS_ZNODE);

function zkFile(ctx: Context): File {
  return {
    path: `${CONF}/zk`,
    content: { format: "text", text: zkUrlOfOwner(ctx, MESOS_ZNODE) },
    mode: "0600",
  };
}

/** Without indentation: user data has little room. */
const json = (path: string, value: Json): File => ({
  path: `${CONF}/${path}`,
  content: { format: "json", value },
  mode: "0600",
});

/** Everyone, or everything, in an access rule. */
const ANY = { type: "ANY" };

const credential = (principal: string) => ({ principal, secret: secret(mesosSecret(principal)) });

/** Mesos reads every flag from its environment as MESOS_<flag>, so no flag and no secret is on a command line. */
function flags(values: Readonly<Record<string, string>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).map(([flag, value]) => [`MESOS_${flag}`, value]));
}

function runtime(ctx: Context): Pick<Service, "runtime" | "image"> {
  return { runtime: ctx.architecture.mesos === "in-containers" ? "docker" : "systemd", image: "spark-python" };
}

/** Logins of the frameworks that the config adds, for the people who start them. */
export const frameworkLogins = (ctx: Context): File[] =>
  ctx.config.mesosFrameworks.map((name) => json(`frameworks/${name}.json`, credential(name)));

/** Secrets by which drivers register: for Spark itself, and for each team. Where there are no teams, it is in Spark's own file. */
export const teamLogins = (ctx: Context): File[] =>
  (hasTeams(ctx.config) ? [PRINCIPALS.spark, ...teamNames(ctx.config)] : []).map((name) => ({
    path: `${TEAM_LOGINS}/${name}`,
    content: { format: "text", text: secret(mesosSecret(name)) },
    mode: "0600",
  }));

/** How drivers of the hub's users register: as a principal for each, in one role. None where they register with a Spark master. */
export const userLogins = ({
  config: c,
  architecture,
}: Context): { user: string; principal: string; role: string }[] =>
  hasHub(c) && startedByMesos(architecture)
    ? userNames(c).map((user) => ({ user, principal: userPrincipal(user), role: roleOf(c, user) }))
    : [];

/** `user:password` of the principal that may only look. */
const VIEWER = text`${PRINCIPALS.viewer}:${secret(mesosSecret(PRINCIPALS.viewer))}`;

/** The same as a file of the service's user. */
export const viewerLogin = (path: string): File => ({ path, content: { format: "text", text: VIEWER }, mode: "0600" });

/** A Mesos master, with the access rules of operators and frameworks. */
export function mesosMaster(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const marathon = ctx.architecture.sparkMaster === "marathon";
  const users = userLogins(ctx);
  const principals = [
    PRINCIPALS.agent,
    PRINCIPALS.spark,
    ...(marathon ? [PRINCIPALS.marathon] : []),
    ...teamNames(c),
    ...users.map(({ principal }) => principal),
    ...c.mesosFrameworks,
  ];
  const sparkRoles = { values: [c.mesosRole] };
  const adminMay = (object: Readonly<Record<string, Json>>) => ({
    principals: { values: [PRINCIPALS.admin] },
    ...object,
  });
  const acls = {
    permissive: false,
    register_agents: [{ principals: { values: [PRINCIPALS.agent] }, agents: ANY }],
    register_frameworks: [
      { principals: { values: [PRINCIPALS.spark] }, roles: sparkRoles },
      ...(marathon ? [{ principals: { values: [PRINCIPALS.marathon] }, roles: { values: ["marathon", "*"] } }] : []),
      ...[...teamNames(c), ...c.mesosFrameworks].map((name) => ({
        principals: { values: [name] },
        roles: { values: [name] },
      })),
      ...users.map(({ principal, role }) => ({ principals: { values: [principal] }, roles: { values: [role] } })),
      { principals: ANY, roles: { type: "NONE" } },
    ],
    // Agents offer Spark's ports to Marathon's role alone, or all that they have to a team's, and Mesos refuses an agent that may not.
    ...(marathon ? { reserve_resources: [{ principals: { values: [PRINCIPALS.agent] }, roles: ANY }] } : {}),
    ...(hasTeams(c)
      ? { reserve_resources: [{ principals: { values: [PRINCIPALS.agent] }, roles: { values: teamNames(c) } }] }
      : {}),
    // The first rule that names a principal decides, so each of them has one that says no after that which says yes.
    run_tasks: [
      { principals: { values: [PRINCIPALS.spark] }, users: { values: [SPARK_TASK_USER] } },
      // As Spark's: what a job writes belongs to the owner of the folder that notebooks work in.
      ...[...teamNames(c), ...users.map(({ principal }) => principal)].map((name) => ({
        principals: { values: [name] },
        users: { values: [SPARK_TASK_USER] },
      })),
      ...(marathon ? [{ principals: { values: [PRINCIPALS.marathon] }, users: { values: [SPARK_TASK_USER] } }] : []),
      ...c.mesosFrameworks.map((name) => ({ principals: { values: [name] }, users: { values: [taskUser(name)] } })),
      { principals: ANY, users: { type: "NONE" } },
    ],
    teardown_frameworks: [adminMay({ framework_principals: ANY })],
    update_quotas: [adminMay({ roles: ANY })],
    get_quotas: [adminMay({ roles: ANY })],
    update_weights: [adminMay({ roles: ANY })],
    start_maintenances: [adminMay({ machines: ANY })],
    stop_maintenances: [adminMay({ machines: ANY })],
    update_maintenance_schedules: [adminMay({ machines: ANY })],
    get_maintenance_schedules: [adminMay({ machines: ANY })],
    get_maintenance_statuses: [adminMay({ machines: ANY })],
    drain_agents: [adminMay({ agents: ANY })],
    deactivate_agents: [adminMay({ agents: ANY })],
    reactivate_agents: [adminMay({ agents: ANY })],
    view_roles: [{ principals: ANY, roles: ANY }],
    view_frameworks: [{ principals: ANY, users: ANY }],
    view_tasks: [{ principals: ANY, users: ANY }],
    view_executors: [{ principals: ANY, users: ANY }],
    // The log level among them, which a GET changes.
    get_endpoints: [adminMay({ paths: ANY }), { principals: ANY, paths: { values: ["/metrics/snapshot"] } }],
  };
  return {
    name: "mesos-master",
    machine: machine.name,
    ...runtime(ctx),
    command: [`${MESOS_HOME}/sbin/mesos-master`],
    env: {
      ...libprocessEnv(c),
      ...flags({
        cluster: c.clusterName,
        // Without these libprocess takes 127.0.1.1 or the first interface it meets.
        ip: machine.address,
        hostname: machine.address,
        port: String(c.mesosMasterPort),
        zk: `file://${CONF}/zk`,
        quorum: String(Math.floor(c.masterCount / 2) + 1),
        registry: "replicated_log",
        // By TLS libprocess loses a message now and then that it sends while a connection ends. A new leader whose log waits for such a one
        // gives up after this, a minute by itself, and leaves it to another.
        ...(c.mesosTls ? { registry_fetch_timeout: "20secs" } : {}),
        work_dir: "/var/lib/mesos/master",
        authenticate_agents: "true",
        authenticate_frameworks: "true",
        // Without this one, frameworks that speak HTTP register without a principal.
        authenticate_http_frameworks: "true",
        http_framework_authenticators: "basic",
        authenticate_http_readonly: "true",
        authenticate_http_readwrite: "true",
        credentials: `file://${CONF}/credentials.json`,
        acls: `file://${CONF}/acls.json`,
      }),
    },
    files: [
      zkFile(ctx),
      ...masterFiles(ctx, machine),
      json("credentials.json", {
        credentials: [...principals, PRINCIPALS.admin, ...(c.gateway || c.monitoring ? [PRINCIPALS.viewer] : [])].map(
          credential,
        ),
      }),
      json("acls.json", acls),
      {
        path: ADMIN_LOGIN,
        content: { format: "text", text: text`${PRINCIPALS.admin}:${secret(mesosSecret(PRINCIPALS.admin))}` },
        mode: "0600",
      },
    ],
    ports: [
      {
        name: "http",
        key: "mesosMasterPort",
        port: c.mesosMasterPort,
        from: ["self", "agent", "client", "bastion"],
        link: "http",
        login: true,
        ...(c.mesosTls ? { https: true } : {}),
        page: {
          title: "Mesos",
          kind: "mesos",
          path: "mesos",
          authorization: text`Basic ${base64(VIEWER)}`,
          readOnly: true,
          leader: { path: "/metrics/snapshot", match: 'master.{1,2}elected":1' },
        },
        metrics: [{ path: "/metrics/snapshot", format: "mesos" }],
      },
    ],
    health: healthOf(http(machine.address, c.mesosMasterPort, "/health", "^HTTP/1.[01] 200", libprocessTrust(c))),
    uid: 0,
    dirs: [{ path: "/var/lib/mesos", lasts: "data" }],
    memoryMiB: 2048,
    after: ["zookeeper"],
    software: { mesos: true },
  };
}

/**
 * What gives a task that Mesos starts itself processes of its own, and System V's shared memory. Not `linux/capabilities`: with it the agent
 * of every release so far, 1.11.0 too, crashes on a kernel that knows more capabilities than it (from 5.8 on). Tasks have none without it.
 */
export const TASK_NAMESPACES: readonly string[] = ["namespaces/ipc", "namespaces/pid"];

/**
 * What keeps tasks apart on a machine. When a container ends that shares the machine's processes, Docker kills all that is in
 * its control group for devices: tasks have to be in one of their own to outlive an agent in a container.
 */
function isolation(inContainer: boolean): Readonly<Record<string, string>> {
  const groups = ["cgroups/cpu", "cgroups/mem", ...(inContainer ? ["cgroups/devices"] : [])];
  return {
    isolation: [...groups, "filesystem/linux", ...TASK_NAMESPACES].join(","),
    // Otherwise a task may ask for its agent's own namespaces.
    disallow_sharing_agent_ipc_namespace: "true",
    disallow_sharing_agent_pid_namespace: "true",
  };
}

/** Folders of an agent's machine that tasks write to. */
export const taskFolders = (ctx: Context): Directory[] => [
  ...(outsideSandbox(ctx) || ctx.architecture.sparkMaster === "marathon" ? [SHUFFLE_DIR] : []),
  ...sharedFolder(ctx.config),
];

/** What an agent that starts containers calls instead of Docker and of Mesos' executor, and what tasks may have. */
function containerFiles(ctx: Context): File[] {
  const c = ctx.config;
  const volumes = {
    ...Object.fromEntries(taskFolders(ctx).map(({ path, at }) => [path, { mode: "rw", ...(at ? { at } : {}) }])),
    ...Object.fromEntries(c.taskVolumes.map((path) => [path, { mode: "rw" }])),
    // For Marathon's role alone: the file holds secrets.
    ...(ctx.architecture.sparkMaster === "marathon" ? { [SPARK_CONF]: { mode: "ro", role: MARATHON_ROLE } } : {}),
    // Names the roles that may not have it. Those that may, Spark's and the teams', would change every agent with a new team.
    ...(startedByMesos(ctx.architecture) ? { [EXECUTOR_SECRET]: { mode: "ro", notRoles: c.mesosFrameworks } } : {}),
  };
  return [
    scriptFile(ctx, AGENT_DOCKER, `${SCRIPTS}/agent-docker.sh`),
    scriptFile(ctx, `${LIB}/docker-guard.py`, `${SCRIPTS}/docker-guard.py`),
    scriptFile(ctx, `${LAUNCHER}/mesos-docker-executor`, `${SCRIPTS}/docker-executor.sh`),
    {
      path: `${CONF}/libprocess.env`,
      content: {
        format: "text",
        text: Object.entries(libprocessEnv(c))
          .map(([name, value]) => `${name}=${value}\n`)
          .join(""),
      },
      mode: "0644",
    },
    json("docker-policy.json", {
      images: [image("spark-python"), ...c.taskImages],
      volumes,
      processes: PROCESSES,
      workDir: AGENT_DIR,
    }),
  ];
}

/** A Mesos agent, with what it offers and how it starts tasks. */
export function mesosAgent(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const sparkOnMarathon = ctx.architecture.sparkMaster === "marathon";
  const { memoryMiB } = agentSize(c, ctx.architecture);
  const resources = [
    ...(c.agentCpus !== undefined ? [`cpus:${c.agentCpus}`] : []),
    // Mesos by itself leaves 1 GiB to everything else, however many daemons that is.
    ...(memoryMiB !== undefined ? [`mem:${memoryMiB}`] : []),
    // Spark's fixed ports lie outside Mesos' own range, so no task of another framework can take them.
    "ports:[31000-32000]",
    ...(sparkOnMarathon ? [marathonSparkOffer(ctx)] : []),
  ];
  const attributes = Object.entries(c.mesosAttributes).map(([name, value]) => `${name}:${value}`);
  const team = teamOf(c, machine.subgroup);
  const inContainer = ctx.architecture.mesos === "in-containers";
  // With "docker" the agent does not start on a machine that has no Docker.
  const docker = ctx.architecture.agentsStartContainers;
  const nested = ctx.platform.machinesAreContainers;
  return {
    name: "mesos-agent",
    machine: machine.name,
    ...runtime(ctx),
    command: [
      START_AGENT,
      ownShuffleService(ctx) ? `${machine.address}/${c.shuffleServicePort}` : "",
      docker ? LAUNCHER : "",
      nested ? "" : String(PROCESSES),
      `${MESOS_HOME}/sbin/mesos-agent`,
      LIBEXEC,
      ...c.mesosFrameworks.map(taskUser),
    ],
    env: {
      // For the agent itself, which asks how large a file is before it keeps it.
      ...(feedsExecutors(ctx) ? { HADOOP_HOME: FETCHER_HOME } : {}),
      ...libprocessEnv(c),
      ...flags({
        master: `file://${CONF}/zk`,
        ip: machine.address,
        hostname: machine.address,
        port: String(c.mesosAgentPort),
        work_dir: AGENT_DIR,
        runtime_dir: "/var/run/mesos",
        launcher_dir: docker ? LAUNCHER : LIBEXEC,
        containerizers: docker ? "docker,mesos" : "mesos",
        ...(docker ? { docker: AGENT_DOCKER } : {}),
        executor_environment_variables: JSON.stringify({
          ...(!docker && (nested || inContainer) ? IMAGE_ENV : {}),
          ...(docker ? KNOWN_PEERS : libprocessEnv(c, EXECUTORS)),
        }),
        // Containers on a laptop have no control groups of their own to hand on.
        ...(nested ? { launcher: "posix", isolation: "posix/cpu,posix/mem,filesystem/posix" } : isolation(inContainer)),
        ...(feedsExecutors(ctx) ? { hadoop_home: FETCHER_HOME } : {}),
        // The tarball of executors, once for all of them, beside their sandboxes; and not in /tmp, which may be small.
        ...(ctx.architecture.fetchesSpark ? { fetcher_cache_dir: "/var/lib/mesos/fetched" } : {}),
        // An agent whose attributes or resources grew keeps its tasks instead of refusing to start.
        reconfiguration_policy: "additive",
        executor_registration_timeout: "5mins",
        // Sandboxes of executors that have ended: kept to be looked at, and shorter the fuller the disk is.
        gc_delay: "6hrs",
        disk_watch_interval: "30secs",
        credential: `file://${CONF}/credential.json`,
        authenticate_http_readonly: "true",
        authenticate_http_readwrite: "true",
        http_credentials: `file://${CONF}/http-credentials.json`,
        acls: `file://${CONF}/agent-acls.json`,
        resources: resources.join(";"),
        ...(attributes.length > 0 ? { attributes: attributes.join(";") } : {}),
        // All that this agent has is of this role, and offered to no other.
        ...(team === undefined ? {} : { default_role: team }),
        ...(inContainer || nested ? { systemd_enable_support: "false" } : {}),
      }),
    },
    files: [
      // Finding the leader needs no password: agents hold none of the masters' secrets.
      { path: `${CONF}/zk`, content: { format: "text", text: mesosZk(ctx) }, mode: "0644" },
      scriptFile(ctx, START_AGENT, `${SCRIPTS}/agent.sh`),
      ...(docker ? containerFiles(ctx) : []),
      ...libprocessFiles(c, machine, "mesos-agent"),
      ...(docker ? [] : executorIdentity(c, machine)),
      json("credential.json", credential(PRINCIPALS.agent)),
      json("http-credentials.json", {
        credentials: [{ principal: PRINCIPALS.admin, secret: secret(SECRET_NAMES.mesosAgentHttp) }],
      }),
      // Masters have checked who may run a task before they send it. The agent's own HTTP interface only shows: otherwise it would start
      // containers as any user.
      json("agent-acls.json", {
        permissive: false,
        run_tasks: [{ principals: ANY, users: ANY }],
        view_frameworks: [{ principals: ANY, users: ANY }],
        view_tasks: [{ principals: ANY, users: ANY }],
        view_executors: [{ principals: ANY, users: ANY }],
        view_containers: [{ principals: ANY, users: ANY }],
        view_flags: [{ principals: ANY, flags: ANY }],
        access_sandboxes: [{ principals: ANY, users: ANY }],
        access_mesos_logs: [{ principals: ANY, logs: ANY }],
        get_endpoints: [{ principals: ANY, paths: ANY }],
      }),
      ...(sparkOnMarathon ? [marathonSparkFile(ctx)] : []),
      ...(startedByMesos(ctx.architecture) ? [executorSecretFile()] : []),
      ...(feedsExecutors(ctx) ? [fetcherClient(ctx)] : []),
    ],
    ports: [
      {
        name: "http",
        key: "mesosAgentPort",
        port: c.mesosAgentPort,
        // Drivers only talk to the masters. Prometheus asks whether an agent answers. Operators come by the bastion.
        from: ["master", ...scrapers(c), "bastion"],
        link: "http",
        login: true,
        ...(c.mesosTls ? { https: true } : {}),
        metrics: [{ path: "/health", format: "any" }],
      },
      ...executorPorts(ctx),
      ...(sparkOnMarathon ? [...marathonSparkPorts(ctx, machine), ...shufflePorts(ctx), TASK_PORTS] : []),
    ],
    health: healthOf(http(machine.address, c.mesosAgentPort, "/health", "^HTTP/1.[01] 200", libprocessTrust(c))),
    uid: 0,
    dirs: [{ path: "/var/lib/mesos", lasts: "machine" }, ...taskFolders(ctx)],
    after: [],
    // Executors of some architectures are processes in its container.
    shmMiB: SHM_MIB,
    // It ends its tasks and tells the master that it is gone.
    leaveSignal: "USR1",
    ...(inContainer ? { needs: ["host-pid", "cgroup"] } : docker && nested ? { needs: ["docker-socket"] } : {}),
    ...(docker ? { startsContainers: ["spark-python"] } : {}),
    agentProgram: `${MESOS_HOME}/sbin/mesos-agent`,
    software: {
      mesos: true,
      ...(docker ? { packages: ["busybox-static"] } : {}),
      ...(ctx.architecture.executorsRun === "on-machine" ? { python: true } : {}),
    },
    hardening: {
      // It gives sandboxes to tasks' users and becomes them. On machines it makes mounts and control groups as well.
      capabilities: nested ? ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"] : "all",
      writesRoot: true,
      keepsChildren: true,
      dockerConfig: "/root/.docker",
    },
  };
}

/** The shuffle service beside an agent. In vanilla on machines there is neither Docker nor Spark: it brings the executors' Spark. */
export function agentShuffleService(ctx: Context, machine: Machine, executorUri: string): Service {
  const service = shuffleService(ctx, machine);
  if (ctx.architecture.executorsRun !== "on-machine" || ctx.platform.machinesAreContainers) return service;
  const path = `${LIB}/bring-spark`;
  return {
    ...service,
    runtime: "systemd",
    files: [...service.files, scriptFile(ctx, path, `${SCRIPTS}/bring-spark.sh`)],
    // Where only root may write: tasks of every user may write to the folder that the service shares with executors.
    prepare: [path, executorUri, SPARK_HOME, `${FETCHER_HOME}/bin/hadoop`],
  };
}

/** A leading master that has every agent. Its metrics need no more than a read. */
export function agentsRegistered(ctx: Context): Gate {
  const c = ctx.config;
  const agents = totalAgents(c);
  return {
    group: "master",
    what: `a leading Mesos master with ${agents} agents`,
    probe: anyOf(
      ctx.addresses("mesos-master").map((host) =>
        http(host, c.mesosMasterPort, "/metrics/snapshot", `"master.slaves_active":${agents}(\\.0)?[,}]`, {
          loginFile: ADMIN_LOGIN,
          ...libprocessTrust(c),
        }),
      ),
    ),
  };
}
