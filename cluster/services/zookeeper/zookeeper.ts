import type { Context } from "../../context.ts";
import { hasStandbyNamenode } from "../../features.ts";
import { healthOf, line } from "../../probe.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import type { File, Machine, Service } from "../../types.ts";
import { secret, type Template, text } from "../../values.ts";
import { HDFS_ZNODE, loginOf, MARATHON_ZNODE, MESOS_ZNODE, SPARK_ZNODE, type Znode } from "./znodes.ts";

const DATA = "/var/lib/zookeeper";
const CONF = "/etc/zookeeper";

/** Connections that one address may have to a member: drivers of one client are many, and each has one or two. */
const CONNECTIONS = "200";

/** What is kept in ZooKeeper in this cluster. */
function znodes({ architecture, config }: Context): Znode[] {
  return [
    ...(architecture.mesos === "none" ? [] : [MESOS_ZNODE]),
    ...(architecture.sparkMaster === "marathon" ? [MARATHON_ZNODE] : []),
    ...(architecture.sparkMaster === "none" ? [] : [SPARK_ZNODE]),
    ...(hasStandbyNamenode(config) ? [HDFS_ZNODE] : []),
  ];
}

/** Owners of the znodes. The image gives each znode its owner before a client can make it. */
function owners(ctx: Context): File {
  const lines = znodes(ctx).map(
    (z) => text`${z.path} ${z.user} ${z.password} ${z.readable ? "readable" : "private"}${z.maker ? " maker" : ""}\n`,
  );
  return {
    path: `${CONF}/owners`,
    content: {
      format: "text",
      text: lines.reduce((all, one) => text`${all}${one}`, text`super ${secret(SECRET_NAMES.zookeeperSuper)}\n`),
    },
    mode: "0600",
  };
}

/** A member of the ensemble. Its number is its place among the members, so it never changes with the machine. */
export function zookeeper(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const members = ctx.addresses("zookeeper");
  const properties: Record<string, string> = {
    tickTime: "2000",
    initLimit: "10",
    syncLimit: "5",
    dataDir: DATA,
    clientPort: String(c.zookeeperClientPort),
    clientPortAddress: machine.address,
    "autopurge.purgeInterval": "1",
    "autopurge.snapRetainCount": "3",
    "4lw.commands.whitelist": c.monitoring ? "srvr,mntr" : "srvr",
    "admin.enableServer": "false",
    maxClientCnxns: CONNECTIONS,
    standaloneEnabled: String(members.length === 1),
  };
  if (members.length > 1) {
    for (const [i, host] of members.entries()) {
      properties[`server.${i + 1}`] = `${host}:${c.zookeeperPeerPort}:${c.zookeeperElectionPort}`;
    }
  }
  return {
    name: "zookeeper",
    machine: machine.name,
    runtime: "docker",
    image: "zookeeper",
    command: ["zookeeper"],
    env: { ZOO_MY_ID: String(members.indexOf(machine.address) + 1), JVMFLAGS: "-Xmx512m" },
    files: [
      { path: `${CONF}/zoo.cfg`, content: { format: "properties", separator: "=", properties }, mode: "0644" },
      owners(ctx),
    ],
    ports: [
      {
        name: "client",
        key: "zookeeperClientPort",
        port: c.zookeeperClientPort,
        from: ["self", "master", "agent", "client"],
        metrics: [{ path: "mntr", format: "zookeeper" }],
      },
      { name: "peer", key: "zookeeperPeerPort", port: c.zookeeperPeerPort, from: ["self"] },
      { name: "election", key: "zookeeperElectionPort", port: c.zookeeperElectionPort, from: ["self"] },
    ],
    // Serving with a leader: a member without one answers "This ZooKeeper instance is not currently serving requests".
    health: healthOf(line(machine.address, c.zookeeperClientPort, "srvr", "^Mode: (leader|follower|standalone)")),
    uid: 1000,
    dirs: [{ path: DATA, lasts: "data" }],
    memoryMiB: 1024,
    after: [],
  };
}

/** `zk://h1:2181,h2:2181/path`, as Mesos and Marathon take it. */
export function zkUrl(ctx: Context, { path }: Znode): string {
  const port = ctx.config.zookeeperClientPort;
  const hosts = ctx.addresses("zookeeper").map((host) => `${host}:${port}`);
  return `zk://${hosts.join(",")}${path}`;
}

/** The same for the owner, who logs in. */
export function zkUrlOfOwner(ctx: Context, znode: Znode): Template {
  return text`zk://${loginOf(znode)}@${zkUrl(ctx, znode).slice("zk://".length)}`;
}
