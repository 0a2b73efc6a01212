import type { Context } from "../../context.ts";
import { healthOf, line } from "../../probe.ts";
import type { File, Machine, Service } from "../../types.ts";
import { secret, text, type Value } from "../../values.ts";

const DATA = "/var/lib/zookeeper";
const CONF = "/etc/zookeeper";

/** The znode below which Mesos' masters elect their leader. */
export const MESOS_ZNODE = "/mesos";
/** `user:password` by which Mesos' masters log in to ZooKeeper. */
export const MESOS_LOGIN = text`mesos:${secret("zookeeper-mesos")}`;

/**
 * Owner of a znode, whichever client creates it. Mesos' agents and drivers have no login: without this, the first of them would
 * create a znode that everyone may write to. Marathon creates its own znode with an owner.
 */
const OWNERS: File = {
  path: `${CONF}/owners`,
  content: { format: "text", text: text`${MESOS_ZNODE} ${MESOS_LOGIN}\n` },
  mode: "0600",
};

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
    "4lw.commands.whitelist": "srvr",
    "admin.enableServer": "false",
    maxClientCnxns: "0",
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
      ...(ctx.architecture.mesos === "none" ? [] : [OWNERS]),
    ],
    ports: [
      {
        name: "client",
        key: "zookeeperClientPort",
        port: c.zookeeperClientPort,
        from: ["self", "master", "agent", "client"],
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
export function zkUrl(ctx: Context, path: string): string {
  const port = ctx.config.zookeeperClientPort;
  const hosts = ctx.addresses("zookeeper").map((host) => `${host}:${port}`);
  return `zk://${hosts.join(",")}${path}`;
}

/** The same for someone who logs in. */
export function zkUrlFor(ctx: Context, path: string, login: Value): Value {
  return text`zk://${login}@${zkUrl(ctx, path).slice("zk://".length)}`;
}
