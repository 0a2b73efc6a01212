import { hasMesos } from "../config/ports.ts";
import type { Config } from "../config/schema.ts";
import { type Context, makeContext } from "./context.ts";
import { firewall } from "./firewall.ts";
import { placeMachines } from "./machines.ts";
import { quotaOf } from "./quota.ts";
import { collectSecrets } from "./secrets.ts";
import { executorHttp, executorUpload, historyServer, jupyter } from "./services/client.ts";
import { datanode, feedsExecutors, hdfsReady, journalnode, namenode } from "./services/hdfs.ts";
import { marathon, marathonApps, marathonGates } from "./services/marathon.ts";
import { agentShuffleService, agentsRegistered, mesosAgent, mesosMaster } from "./services/mesos.ts";
import { registry } from "./services/registry.ts";
import { ownShuffleService, sparkMaster, sparkWorker, workersRegistered } from "./services/spark.ts";
import { zookeeper } from "./services/zookeeper.ts";
import type { Cluster, Gate, Machine, Role, Service, SparkWiring } from "./types.ts";
import { executorUri, wireSpark } from "./wiring.ts";

/** Turns a valid config into the cluster that it describes: pure, and the same for the same config. */
export function defineCluster(config: Config): Cluster {
  const machines = placeMachines(config);
  const ctx = makeContext(config, machines);
  const spark = wireSpark(ctx);
  const services = machines.flatMap((m) => m.roles.flatMap((role) => servicesOf(role, ctx, m, spark)));
  const rules = config.platform === "openstack" ? firewall(config, machines, services) : [];
  return {
    name: config.clusterName,
    architecture: config.architecture,
    config,
    machines,
    services,
    spark,
    quota: quotaOf(config, machines, rules),
    firewall: rules,
    secrets: collectSecrets(config, machines, services),
    gates: gatesOf(ctx),
    apps: config.architecture === "marathon-standalone" ? marathonApps(ctx) : [],
  };
}

function servicesOf(role: Role, ctx: Context, machine: Machine, spark: SparkWiring): Service[] {
  switch (role) {
    case "bastion":
      return [];
    case "registry":
      return [registry(ctx, machine)];
    case "zookeeper":
      return [zookeeper(ctx, machine)];
    case "mesos-master":
      return [mesosMaster(ctx, machine)];
    case "mesos-agent":
      return [
        mesosAgent(ctx, machine),
        ...(ownShuffleService(ctx.config) ? [agentShuffleService(ctx, machine, executorUri(ctx))] : []),
      ];
    case "spark-master":
      return [sparkMaster(ctx, machine)];
    case "spark-worker":
      return [sparkWorker(ctx, machine)];
    case "marathon":
      return [marathon(ctx, machine)];
    case "namenode":
      return namenode(ctx, machine);
    case "journalnode":
      return [journalnode(ctx, machine)];
    case "datanode":
      return [datanode(ctx, machine)];
    case "client": {
      const c = ctx.config;
      return [
        jupyter(ctx, machine, spark),
        ...(c.historyServer ? [historyServer(ctx, machine, spark)] : []),
        ...(c.architecture === "vanilla" && c.executorSource === "http" ? [executorHttp(ctx, machine)] : []),
        ...(feedsExecutors(ctx) ? [executorUpload(ctx, machine)] : []),
      ];
    }
  }
}

function gatesOf(ctx: Context): Gate[] {
  const c = ctx.config;
  return [
    ...(hasMesos(c)
      ? [agentsRegistered(ctx, c.agentCount)]
      : [workersRegistered(ctx, c.agentCount, ctx.addresses("spark-master"), "master")]),
    ...(c.datanodeCount > 0 ? [hdfsReady(ctx)] : []),
    ...(c.architecture === "marathon-standalone" ? marathonGates(ctx) : []),
  ];
}
