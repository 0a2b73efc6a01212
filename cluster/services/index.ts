import type { WiredContext } from "../context.ts";
import { hasHub, hasStandbyNamenode } from "../features.ts";
import { clientServesFolder } from "../shared-storage.ts";
import type { Machine, Role, Service } from "../types.ts";
import { executorHttp, executorUpload, executorUri, historyServer, jupyter } from "./client/client.ts";
import { sparkConnect } from "./connect/connect.ts";
import { gatewayForward, isForwarded } from "./gateway/forward.ts";
import { gateway } from "./gateway/gateway.ts";
import { datanode, feedsExecutors, journalnode, namenode, zkfc } from "./hdfs/hdfs.ts";
import { hub, hubGuard } from "./hub/hub.ts";
import { logSender, logStore, storesLogs } from "./logs/logs.ts";
import { marathon } from "./marathon/marathon.ts";
import { agentShuffleService, mesosAgent, mesosMaster } from "./mesos/mesos.ts";
import { hasMetastore, metastore } from "./metastore/metastore.ts";
import { nodeExporter, prometheus } from "./prometheus/prometheus.ts";
import { registry, registryReader } from "./registry/registry.ts";
import { sharedStorage } from "./shared-storage/shared-storage.ts";
import { ownShuffleService, sparkMaster, sparkWorker } from "./spark/spark.ts";
import { zookeeper } from "./zookeeper/zookeeper.ts";

/** How a service comes about. */
export interface ServiceRecord {
  /** Whether this cluster has it. @default wherever the role is */
  where?: (ctx: WiredContext, machine: Machine) => boolean;
  /** The service on one machine. @param others What the cluster runs besides; empty but for a service that comes `last`. */
  define: (ctx: WiredContext, machine: Machine, others: readonly Service[]) => Service;
  /** Whether it is made of what all others are, those among them that come last and stand before it here. */
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
  "hub-guard": { where: ({ config }) => hasHub(config), define: hubGuard },
  hub: { where: ({ config }) => hasHub(config), define: hub },
  "executor-http": { where: servesTarball, define: executorHttp },
  "executor-upload": { where: feedsExecutors, define: executorUpload },
  "node-exporter": {
    // On this machine's Docker all machines share one kernel, so the client's exporter is enough.
    where: ({ config, platform, addresses }, { address }) =>
      config.monitoring && (platform.servers || addresses("client")[0] === address),
    define: nodeExporter,
  },
  "log-store": { where: ({ config }) => storesLogs(config), define: logStore },
  "log-sender": { where: ({ config }) => storesLogs(config), define: logSender },
  prometheus: { where: ({ config }) => config.monitoring, define: prometheus, last: true },
  "gateway-forward": { where: isForwarded, define: gatewayForward },
  gateway: { where: ({ config }) => config.gateway, define: gateway, last: true },
} as const satisfies Readonly<Record<string, ServiceRecord>>;

/** Name of a service. */
export type ServiceName = keyof typeof SERVICES;

/** The services of each role, in the order in which they are listed. */
export const ROLES: Readonly<Record<Role, readonly ServiceName[]>> = {
  bastion: ["gateway-forward"],
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
    "hub-guard",
    "hub",
    "executor-http",
    "executor-upload",
    "log-store",
    "prometheus",
    "gateway",
  ],
};

/** Services that every machine has, whatever it is for. */
const EVERYWHERE: readonly ServiceName[] = ["node-exporter", "log-sender"];

const recordOf = (name: ServiceName): ServiceRecord => SERVICES[name];

/** Services that are made of what the others are, in their order. */
const LAST = (Object.keys(SERVICES) as ServiceName[]).filter((name) => recordOf(name).last);

/**
 * What the machines run, one after the other. Each service waits only for services that are there.
 *
 * @param seenBy What is known on a machine. @default the same everywhere
 */
export function servicesOf(ctx: WiredContext, seenBy: (machine: Machine) => WiredContext = () => ctx): Service[] {
  const machines = ctx.machines.map((machine) => ({ machine, seen: seenBy(machine), services: [] as Service[] }));
  const all = (): Service[] => machines.flatMap(({ services }) => services);
  const add = (wanted: (name: ServiceName) => boolean): void => {
    const others = all();
    for (const { machine, seen, services } of machines) {
      const names = [...machine.roles.flatMap((role) => ROLES[role]), ...EVERYWHERE].filter(wanted);
      for (const { where, define } of names.map(recordOf)) {
        if (where?.(seen, machine) ?? true) services.push(define(seen, machine, others));
      }
    }
  };
  add((name) => !LAST.includes(name));
  for (const last of LAST) add((name) => name === last);
  return machines.flatMap(({ services }) => {
    const here = new Set(services.map((s) => s.name));
    return services.map((s) => ({ ...s, after: s.after.filter((name) => here.has(name)) }));
  });
}
