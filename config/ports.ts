import type { Config, ConfigKey } from "./schema.ts";

/** Ports kept from each first one on (driver, blocks, UI): as many drivers, or executors, fit on one machine. */
export const SPARK_PORT_RANGE = 32;

/** A configured port and the ports that follow it for the same use. */
export interface PortRange {
  key: ConfigKey;
  first: number;
  last: number;
}

export const hasMesos = (c: Config): boolean => c.architecture !== "standalone";
/** Where Spark's own master and workers run, whoever starts them. */
export const hasSparkMaster = (c: Config): boolean =>
  c.architecture === "standalone" || c.architecture === "marathon-standalone";
/** Whether Mesos starts the executors, and not workers of Spark's own. */
export const mesosStartsExecutors = (c: Config): boolean => hasMesos(c) && !hasSparkMaster(c);
/** Whether the cluster has an HDFS of its own. */
export const runsHdfs = (c: Config): boolean => c.datanodeCount > 0;
/** Whether there is an HDFS, its own or another. */
export const hasHdfs = (c: Config): boolean => runsHdfs(c) || c.existingNamenodes.length > 0;
export const hasRegistry = (c: Config): boolean => c.platform === "openstack" && c.registry === "";

/** ZooKeeper members: derived unless configured. */
export function zookeeperMembers(c: Config): number {
  if (c.zookeeperCount > 0) return c.zookeeperCount;
  if (!hasMesos(c) && c.masterCount === 1 && c.namenodeCount === 1) return 0;
  return c.masterCount === 1 ? 1 : 3;
}

/** Every port that this config really uses. */
export function usedPorts(c: Config): PortRange[] {
  const spark = hasSparkMaster(c);
  const zookeeper = zookeeperMembers(c) > 0;
  const ha = runsHdfs(c) && c.namenodeCount === 2;
  const used: [ConfigKey, boolean, number?][] = [
    ["jupyterPort", true],
    ["sparkUiPort", true, SPARK_PORT_RANGE],
    ["driverPort", true, SPARK_PORT_RANGE],
    ["blockManagerPort", true, SPARK_PORT_RANGE],
    ["sparkMasterPort", spark],
    ["sparkMasterUiPort", spark],
    ["sparkWorkerPort", spark],
    ["sparkWorkerUiPort", spark],
    ["shuffleServicePort", c.dynamicAllocation],
    ["historyServerPort", c.historyServer],
    ["mesosMasterPort", hasMesos(c)],
    ["mesosAgentPort", hasMesos(c)],
    ["marathonPort", c.architecture === "marathon-standalone"],
    ["zookeeperClientPort", zookeeper],
    ["zookeeperPeerPort", zookeeper],
    ["zookeeperElectionPort", zookeeper],
    ["namenodePort", runsHdfs(c)],
    ["namenodeUiPort", runsHdfs(c)],
    ["datanodePort", runsHdfs(c)],
    ["datanodeIpcPort", runsHdfs(c)],
    ["datanodeUiPort", runsHdfs(c)],
    ["journalnodePort", ha],
    ["journalnodeUiPort", ha],
    ["zkfcPort", ha],
    ["registryPort", hasRegistry(c)],
    ["executorHttpPort", c.architecture === "vanilla" && c.executorSource === "http"],
  ];
  return used
    .filter(([, inUse]) => inUse)
    .map(([key, , count = 1]) => {
      const first = c[key] as number;
      return { key, first, last: first + count - 1 };
    });
}
