import { hasMesos } from "../../config/ports.ts";
import { type Context, propertyLines } from "../context.ts";
import { healthOf, lineProbe } from "../probe.ts";
import { type File, type Machine, type Service, secret } from "../types.ts";

const DATA = "/var/lib/zookeeper";
const CONF = "/etc/zookeeper";

/** Where Mesos' masters keep what they know, and who they are to ZooKeeper. */
export const MESOS_ZNODE = "/mesos";
export const MESOS_LOGIN = `mesos:${secret("zookeeper-mesos")}`;

/**
 * Whose a znode is, whoever makes it: Mesos' agents and drivers have no login, and the first of them to come would make one
 * that anyone may write. Marathon makes its own by itself.
 */
const OWNERS: File = { path: `${CONF}/owners`, content: `${MESOS_ZNODE} ${MESOS_LOGIN}\n`, mode: "0600" };

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
      { path: `${CONF}/zoo.cfg`, content: propertyLines(properties, "="), mode: "0644" },
      ...(hasMesos(c) ? [OWNERS] : []),
    ],
    ports: [
      { name: "client", port: c.zookeeperClientPort, from: ["self", "master", "agent", "client"] },
      { name: "peer", port: c.zookeeperPeerPort, from: ["self"] },
      { name: "election", port: c.zookeeperElectionPort, from: ["self"] },
    ],
    // Serving with a leader: a member without one answers "This ZooKeeper instance is not currently serving requests".
    health: healthOf(lineProbe(machine.address, c.zookeeperClientPort, "srvr", "^Mode: (leader|follower|standalone)")),
    uid: 1000,
    dirs: [{ path: DATA, keep: true }],
    memoryMiB: 1024,
    after: [],
  };
}

/** `zk://user:password@h1:2181,h2:2181/path`, as Mesos and Marathon take it. */
export function zkUrl(ctx: Context, path: string, login = ""): string {
  const port = ctx.config.zookeeperClientPort;
  const hosts = ctx.addresses("zookeeper").map((host) => `${host}:${port}`);
  return `zk://${login === "" ? "" : `${login}@`}${hosts.join(",")}${path}`;
}
