import { describeCluster } from "./cluster/load.ts";
import { withAgentsOfToday } from "./components/agents-now.ts";
import { lookAround } from "./components/look-around.ts";
import { renderReadme } from "./components/readme.ts";
import { SparkCluster } from "./components/spark-cluster.ts";
import { readStackConfig } from "./components/stack-config.ts";

/** `pulumi up`: the cluster that this stack's config describes, on OpenStack. */

const root = import.meta.dirname;
const { config, secrets } = readStackConfig();
const cluster = describeCluster(await withAgentsOfToday(config, root));
const found = await lookAround(cluster, root);
const spark = new SparkCluster(cluster.name, { cluster, root, ...found, secrets });

// The outputs do not wait for the machines to be ready: with them people find out why one is not. The update itself does
// wait, and fails if one does not become ready (spark.ready).
export const { masterUrl, jupyterUrl, jupyterToken, uis, bastionAddress, sshConfig, sshKnownHosts, privateKey } = spark;
export const { gatewayCertificate, gatewayPassword, hubPasswords, objectStore, sparkProperties, sparkRemote, summary } =
  spark;
/** Agents of no group, whose number `triplewide scale` decides where the config gives a range. */
export const agents = cluster.config.agentCount;
export const readme = renderReadme(root, cluster, { masterUrl, jupyterUrl, uis, bastionAddress });
