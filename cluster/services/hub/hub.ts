import type { Config } from "../../../config/schema.ts";
import { SECRET_KEYS } from "../../../config/secrets.ts";
import { LOOPBACK } from "../../../lib/loopback.ts";
import { addressAt } from "../../addresses.ts";
import type { WiredContext } from "../../context.ts";
import { hasHdfs } from "../../features.ts";
import { NOTICE_FILES } from "../../lifetime.ts";
import { PROCESSES } from "../../limits.ts";
import { SHM_MIB } from "../../memory.ts";
import { proxyEnv } from "../../outside.ts";
import { TRUST_FOLDER, trustEnv, trustedFiles, trusting } from "../../packages.ts";
import { healthOf, http, tcp } from "../../probe.ts";
import { firstPassword, mesosSecret } from "../../secret-names.ts";
import { hasSharedStorage, SHARED_FOLDER, usersFolder } from "../../shared-storage.ts";
import { hasTeams, userNames } from "../../teams.ts";
import type { Directory, Json, Machine, Port, Service } from "../../types.ts";
import { image, secret } from "../../values.ts";
import { driverFiles, SPARK_ENV } from "../client/client.ts";
import { isEncrypted } from "../gateway/entrance.ts";
import { GATEWAY_COOKIES } from "../gateway/gateway.ts";
import { defaultFs, HADOOP_CONF_DIR } from "../hdfs/hdfs.ts";
import { guardOfDrivers } from "../mesos/libprocess.ts";
import { userLogins } from "../mesos/mesos.ts";
import { SPARK_TASK_USER } from "../mesos/principals.ts";
import { outsideSandbox, SPARK_CONF_DIR, SPARK_PORT_RANGE, SPARK_UID } from "../spark/spark.ts";
import { mostUsers, portsOfUser, userAddresses } from "./addresses.ts";
import { hubProxyPort } from "./entrance.ts";
import { HUB_PORTS } from "./ports.ts";

/**
 * JupyterHub: a notebook server for each of many people, in a container of its own. The hub, which everybody talks to, starts none
 * itself: it asks the guard, which has Docker's socket and a policy (`images/hub/guard.py`).
 *
 * It has a port of its own, which is an origin of its own to browsers, and no path below the gateway's: what users' servers send is of
 * users' making, and must not act in the name of who is logged in there. Where the gateway speaks TLS it does so at that port too, and the
 * gateway's own `/hub` leads there.
 */

/** User of the hub: another than Spark's, whose programs must not read people's passwords. */
const HUB_UID = 1002;
/** Users of servers are numbered from here, by the guard. */
const UIDS_ABOVE = 2000;
const CONF = "/etc/hub";
/** What the hub keeps: who is logged in, passwords that users chose. */
const HUB_STATE = "/var/lib/hub";
/** What the guard keeps: numbers, homes, and what makes programs trust whom the config trusts. */
const STATE = "/var/lib/notebooks";
/** Folder of the guard's socket. */
const RUN: Directory = { path: "/run/hub", lasts: "machine", shared: "machine" };
const SOCKET = `${RUN.path}/guard.sock`;

/** The secrets by which users log in first; none where an OpenID provider knows them. */
export const hubPasswords = (c: Pick<Config, "users" | "oidcIssuer">): { user: string; name: string }[] =>
  c.oidcIssuer === undefined ? userNames(c).map((user) => ({ user, name: firstPassword(user) })) : [];

/** Who each user is to the OpenID provider, with their name here. */
export const logins = (c: Pick<Config, "users">): [login: string, name: string][] =>
  userNames(c).map((name) => [c.users[name]?.login ?? name, name]);

/** How users log in: by an OpenID provider, or by passwords. */
const loginOf = (c: Config): { readonly [key: string]: Json } =>
  c.oidcIssuer === undefined
    ? { passwords: Object.fromEntries(hubPasswords(c).map(({ user, name }) => [user, secret(name)])) }
    : {
        oidc: {
          issuer: c.oidcIssuer,
          clientId: c.oidcClientId ?? "",
          clientSecret: secret(SECRET_KEYS.oidcClientSecret),
          claim: c.oidcClaim,
          logins: Object.fromEntries(logins(c)),
        },
      };

/** JupyterHub, and the proxy before it and its servers. */
export function hub(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  const names = userNames(c);
  const port = hubProxyPort(c);
  const trust = `${HUB_STATE}/trust`;
  return {
    name: "hub",
    machine: machine.name,
    runtime: "docker",
    image: "hub",
    command: trusting(c, ["jupyterhub", "--config", "/opt/hub/jupyterhub_config.py"], trust),
    env: { HOME: "/tmp", TZ: c.timeZone, ...trustEnv(c, trust) },
    files: [
      {
        path: `${CONF}/hub.json`,
        content: {
          format: "json",
          value: {
            address: machine.address,
            port,
            ownPort: c.hubPort + HUB_PORTS.own,
            behind: isEncrypted(c) ? [LOOPBACK] : [],
            guard: SOCKET,
            names,
            ...loginOf(c),
            foreignCookies: GATEWAY_COOKIES,
            admins: names.filter((name) => c.users[name]?.admin),
          },
        },
        mode: "0600",
      },
      ...trustedFiles(c),
    ],
    ports: [
      {
        name: "hub",
        key: "hubPort",
        port,
        from: [],
        ...(isEncrypted(c) ? {} : { link: "http" }),
        login: true,
        page: {
          title: "Notebooks of users",
          kind: "hub",
          path: "hub",
          keepsPath: true,
          ownOrigin: { port: c.hubPort, status: "/hub/api/" },
        },
      },
      {
        name: "own",
        key: "hubPort",
        port: c.hubPort + HUB_PORTS.own,
        from: [],
        metrics: [{ path: "/hub/metrics", loopback: true }],
      },
      { name: "health", key: "hubPort", port: c.hubPort + HUB_PORTS.health, from: [] },
    ],
    health: healthOf(http(machine.address, port, "/hub/api/", '"version"')),
    uid: HUB_UID,
    dirs: [{ path: HUB_STATE, lasts: "data" }, RUN],
    memoryMiB: 1024,
    after: ["hub-guard"],
  };
}

/** The guard: it starts and ends users' servers for the hub, and nothing else may. */
export function hubGuard(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  const { servers } = ctx.platform;
  const most = mostUsers(c.networkCidr, servers);
  const { SPARK_LOCAL_IP: _, LIBPROCESS_IP: __, ...env } = ctx.spark.env;
  const logins = userLogins(ctx);
  const each = portsOfUser(logins.length);
  // Leaves out properties that are for the client's own drivers alone: loopback addresses, the operator's folders, logins. The guard adds
  // each user's own.
  const conf = Object.fromEntries(
    Object.entries(ctx.spark.conf).filter(
      ([key]) =>
        !/^spark\.(driver\.(host|bindAddress)|hadoop\.hive\..*|sql\.catalogImplementation|eventLog\..*|mesos\.(role|principal|secret))$/.test(
          key,
        ),
    ),
  );
  const tls = guardOfDrivers(ctx);
  const files = driverFiles({ ...ctx, spark: { ...ctx.spark, conf, env } }, tls?.shown ?? [], conf);
  return {
    name: "hub-guard",
    machine: machine.name,
    runtime: "docker",
    image: "hub",
    command: trusting(c, ["python3", "/opt/hub/guard.py"], `${STATE}/trust`),
    env: { TZ: c.timeZone },
    files: [
      ...files,
      ...(tls?.own ?? []),
      {
        path: `${CONF}/guard.json`,
        content: {
          format: "json",
          value: {
            socket: SOCKET,
            healthPort: c.hubPort + HUB_PORTS.health,
            users: userNames(c),
            most,
            addressesAbove: usersAbove(c.networkCidr),
            uidsAbove: UIDS_ABOVE,
            sparkGid: SPARK_UID,
            image: image("hub"),
            // Seconds after which a user's server notices that a login has ended.
            command: ["jupyterhub-singleuser", "--HubOAuth.cache_max_age=10"],
            trust: TRUST_FOLDER,
            notice: NOTICE_FILES["hub-guard"],
            memoryMiB: c.notebookMemoryMiB,
            cpus: c.notebookCpus,
            processes: PROCESSES,
            shmMiB: SHM_MIB,
            shared: SHARED_FOLDER,
            executorsShare: hasSharedStorage(c),
            ...(servers ? { container: CONTAINER, networks: networksOf(c, machine, each) } : {}),
            files: files.map(({ path }) => path),
            properties: `${SPARK_CONF_DIR}/spark-defaults.conf`,
            environment: SPARK_ENV,
            ...(hasHdfs(c) ? { hdfs: defaultFs(ctx) } : {}),
            ...(tls ? { libprocess: tls.policy } : {}),
            ...(logins.length > 0 ? { mesos: { teams: hasTeams(c), logins: loginsByUser(logins) } } : {}),
            own: {
              // Executors run as another user than the driver, and each must be able to replace the other's files. Nobody else can enter
              // the folder.
              "spark.hadoop.fs.permissions.umask-mode": "000",
              // Machines of the cluster reach a driver's pages without a login.
              "spark.ui.killEnabled": "false",
            },
            env: {
              ...env,
              MASTER: ctx.spark.master,
              TZ: c.timeZone,
              SPARK_CONF_DIR,
              ...(hasHdfs(c) ? { HADOOP_CONF_DIR } : {}),
              JUPYTER_CULL_IDLE_SECONDS: String(c.idleKernelMinutes * 60),
              SPARK_MASTER_UI_PORT: String(c.sparkMasterUiPort),
              ...(logins.length > 0 ? { SPARK_USER: SPARK_TASK_USER } : {}),
              // The executors' folder for shuffle files belongs to Spark's user, so drivers use another.
              ...(outsideSandbox(ctx) ? { SPARK_LOCAL_DIRS: "/tmp" } : {}),
              ...(hasSharedStorage(c) && ctx.architecture.executorsRun !== "on-machine"
                ? { TRIPLEWIDE_SHARED: SHARED_FOLDER }
                : {}),
              ...trustEnv(c),
              ...proxyEnv(c, [...ctx.addresses("spark-master"), ...ctx.addresses("mesos-master"), machine.address]),
            },
          },
        },
        mode: "0600",
      },
    ],
    ports: servers ? [userPorts(c, most * each)] : [],
    health: healthOf(tcp(LOOPBACK, c.hubPort + HUB_PORTS.health)),
    uid: 0,
    dirs: [{ path: STATE, lasts: "data" }, RUN, usersFolder],
    memoryMiB: 256,
    after: [],
    needs: ["docker-socket"],
    startsContainers: ["hub"],
    hardening: { capabilities: ["CHOWN", "DAC_OVERRIDE", "FOWNER"] },
    ...(servers ? { commands: [WALLS], prepare: walls(c, machine, each, most) } : {}),
  };
}

/** Names of the guard in a container that systemd started. Where Compose started it, `CONTAINER_FILE` has them. */
const CONTAINER = { MACHINE: "triplewide", SELF: "triplewide-hub-guard", PROJECT: "triplewide" };

/** How each user's drivers register with Mesos: in the container of that user, and in no other. */
const loginsByUser = (logins: ReturnType<typeof userLogins>): Json =>
  Object.fromEntries(
    logins.map(({ user, principal, role }) => [user, { role, principal, secret: secret(mesosSecret(principal)) }]),
  );

/** The address before those of users' servers. */
const usersAbove = (networkCidr: string): string => addressAt(networkCidr, userAddresses(networkCidr).first);

/** What networks of users' servers are called on a machine, and bridges that they are: a number follows. */
const BRIDGE = "tw-user";

/** Networks of the client's own, one for each user's server, and ports of the client that lead there. */
const networksOf = (c: Config, machine: Machine, each: number): Json => ({
  prefix: BRIDGE,
  host: machine.address,
  portsFrom: c.hubDriverPort,
  each,
  ports: SPARK_PORT_RANGE,
});

const userPorts = ({ hubDriverPort: port }: Config, all: number): Port => ({
  name: "drivers",
  key: "hubDriverPort",
  port,
  last: port + all - 1,
  from: ["agent", "master"],
});

/** Command of the guest that puts walls around those networks. */
const WALLS = "users";

const walls = (c: Config, machine: Machine, each: number, most: number): string[] => [
  `/usr/local/sbin/triplewide-${WALLS}`,
  ...[BRIDGE, machine.address, hubProxyPort(c), HUB_UID].map(String),
  ...[usersAbove(c.networkCidr), c.hubDriverPort, each, most].map(String),
];
