import type { Context } from "../../context.ts";
import { healthOf, tcp } from "../../probe.ts";
import { sharedFolder } from "../../shared-storage.ts";
import type { Machine, Service } from "../../types.ts";
import { CONNECTION } from "../prometheus/targets.ts";
import { SPARK_UID } from "../spark/spark.ts";

/** NFS' own port; version 4 needs no other. */
const NFS_PORT = 2049;

const CONF = "/etc/triplewide/ganesha.conf";

/**
 * Serves the shared folders by NFS 4 to the other machines of the cluster. Ganesha, because it needs nothing of the machine's
 * kernel. Everyone is Spark's user there, whoever they are on their own machine: root of an agent is not root here.
 */
export function sharedStorage(ctx: Context, machine: Machine): Service {
  const { networkCidr } = ctx.config;
  const folders = sharedFolder(ctx.config).map((dir) => dir.at ?? dir.path);
  const text = `NFS_CORE_PARAM {
  Protocols = 4;
  NFS_Port = ${NFS_PORT};
  Bind_addr = ${machine.address};
  Enable_NLM = false;
  Enable_RQUOTA = false;
}
NFSV4 {
  Grace_Period = 30;
  Lease_Lifetime = 20;
}
${folders
  .map(
    (path, i) => `EXPORT {
  Export_Id = ${i + 1};
  Path = ${path};
  Pseudo = ${path};
  Access_Type = NONE;
  Squash = All_Squash;
  Anonymous_Uid = ${SPARK_UID};
  Anonymous_Gid = ${SPARK_UID};
  SecType = sys;
  FSAL { Name = VFS; }
  CLIENT {
    Clients = ${networkCidr};
    Access_Type = RW;
    Protocols = 4;
  }
}
`,
  )
  .join("")}LOG { Default_Log_Level = EVENT; }
`;
  return {
    name: "shared-storage",
    machine: machine.name,
    runtime: "systemd",
    image: undefined,
    command: ["/usr/bin/ganesha.nfsd", "-F", "-L", "STDOUT", "-f", CONF],
    env: {},
    files: [{ path: CONF, content: { format: "text", text }, mode: "0644" }],
    ports: [{ name: "nfs", port: NFS_PORT, from: ["agent"], metrics: [CONNECTION] }],
    health: healthOf(tcp(machine.address, NFS_PORT)),
    uid: 0,
    dirs: [...sharedFolder(ctx.config), { path: "/run/ganesha", lasts: "machine" }],
    memoryMiB: 2048,
    after: [],
    software: {
      packages: ["nfs-ganesha", "nfs-ganesha-vfs"],
      maskedUnits: ["nfs-ganesha.service", "nfs-ganesha-lock.service", "rpcbind.service", "rpcbind.socket"],
    },
    // No mounts of its own: it sees those of the machine, among them the folder, whose files it reads by number and as any user.
    hardening: { capabilities: "all", writesRoot: true },
  };
}
