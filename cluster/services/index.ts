import type { WiredContext } from "../context.ts";
import { hasStandbyNamenode } from "../features.ts";
import { clientServesFolder } from "../shared-storage.ts";
import type { Machine, Role, Service } from "../types.ts";
import { executorHttp, executorUpload, executorUri, historyServer, jupyter } from "./client/client.ts";
import { sparkConnect } from "./connect/connect.ts";
import { gateway } from "./gateway/gateway.ts";
import { datanode, feedsExecutors, journalnode, namenode, zkfc } from "./hdfs/hdfs.ts";
import { marathon } from "./marathon/marathon.ts";
import { agentShuffleService, mesosAgent, mesosMaster } from "./mesos/mesos.ts";
import { hasMetastore, metastore } from "./metastore/metastore.ts";
import { registry, registryReader } from "./registry/registry.ts";
import { sharedStorage } from "./shared-storage/shared-storage.ts";
import { ownShuffleService, sparkMaster, sparkWorker } from "./spark/spark.ts";
import { zookeeper } from "./zookeeper/zookeeper.ts";

/** How a service comes about. */
export interface ServiceRecord {
  /** Whether this cluster has it. @default wherever the role is */
  where?: (ctx: WiredContext) => boolean;
  /** The service on one machine. @param others What the cluster runs besides; empty but for a service that comes `last`. */
  define: (ctx: WiredContext, machine: Machine, others: readonly Service[]) => Service;
  /** Whether it is made of what all others are. */
  last?: true;
}

const servesTarball = ({ architecture, config }: WiredContext): boolean =>
  architecture.fetchesSpark && config.executorSource === "http";

/** Every service, by its name. */
export const SERVICES = {
  registry: { define: registry },
  "registry-reader": { define: registryReader },
  zookeeper: { define: zookeeper },
  "mesos-master": { define: mesosMaster },
  "mesos-agent": { define: mesosAgent },
  shuffle: { where: ownShuffleService, define: (ctx, machine) => agentShuffleService(ctx, machine, executorUri(ctx)) },
  "spark-master": { define: sparkMaster },
  "spark-worker": { define: sparkWorker },
  marathon: { define: marathon },
  namenode: { define: namenode },
  zkfc: { where: ({ config }) => hasStandbyNamenode(config), define: zkfc },
  journalnode: { define: journalnode },
  datanode: { define: datanode },
  "shared-storage": {
    where: ({ config, platform }) => platform.servers && clientServesFolder(config),
    define: sharedStorage,
  },
  jupyter: { define: jupyter },
  metastore: { where: ({ config }) => hasMetastore(config), define: metastore },
  "history-server": { where: ({ config }) => config.historyServer, define: historyServer },
  "spark-connect": { where: ({ config }) => config.sparkConnect, define: sparkConnect },
  "executor-http": { where: servesTarball, define: executorHttp },
  "executor-upload": { where: feedsExecutors, define: executorUpload },
  gateway: { where: ({ config }) => config.gateway, define: gateway, last: true },
} as const satisfies Readonly<Record<string, ServiceRecord>>;

/** Name of a service. */
export type ServiceName = keyof typeof SERVICES;

/** The services of each role, in the order in which they are listed. */
export const ROLES: Readonly<Record<Role, readonly ServiceName[]>> = {
  bastion: [],
  registry: ["registry", "registry-reader"],
  zookeeper: ["zookeeper"],
  "mesos-master": ["mesos-master"],
  "mesos-agent": ["mesos-agent", "shuffle"],
  "spark-master": ["spark-master"],
  "spark-worker": ["spark-worker"],
  marathon: ["marathon"],
  namenode: ["namenode", "zkfc"],
  journalnode: ["journalnode"],
  datanode: ["datanode"],
  client: [
    "shared-storage",
    "jupyter",
    "metastore",
    "history-server",
    "spark-connect",
    "executor-http",
    "executor-upload",
    "gateway",
  ],
};

/**
 * What the machines run, one after the other. Each service waits only for services that are there.
 *
 * @param seenBy What is known on a machine. @default the same everywhere
 */
export function servicesOf(ctx: WiredContext, seenBy: (machine: Machine) => WiredContext = () => ctx): Service[] {
  const first = ctx.machines.map((machine) => define(seenBy(machine), machine, []));
  const others = first.flat();
  return ctx.machines.flatMap((machine, i) => {
    const services = [...(first[i] ?? []), ...define(seenBy(machine), machine, others, true)];
    const here = new Set(services.map((s) => s.name));
    return services.map((s) => ({ ...s, after: s.after.filter((name) => here.has(name)) }));
  });
}

function define(ctx: WiredContext, machine: Machine, others: readonly Service[], last?: true): Service[] {
  return machine.roles.flatMap((role) =>
    ROLES[role].flatMap((name) => {
      const record: ServiceRecord = SERVICES[name];
      const wanted = record.last === last && (record.where?.(ctx) ?? true);
      return wanted ? [record.define(ctx, machine, others)] : [];
    }),
  );
}
