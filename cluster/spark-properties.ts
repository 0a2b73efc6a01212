import { redactionFor } from "../config/redact.ts";
import type { Config, ConfigKey } from "../config/schema.ts";
import type { ArchitectureFacts } from "./architectures/facts.ts";
import { startedByMesos } from "./architectures/facts.ts";

/**
 * Who reads which property of `sparkConf`. Spark has one name space for all of its programs, but each reads its own file, so a
 * property that is only in the drivers' file has no effect on a worker.
 */

/** A program of Spark's that reads properties. Executors get theirs from their driver. */
export type SparkProgram = "driver" | "worker" | "master" | "shuffle" | "history";

const EVERYONE: readonly SparkProgram[] = ["driver", "worker", "master", "shuffle", "history"];

/** The first rule whose prefix fits counts. A prefix that ends in a dot means all below it, any other that one property. */
const READERS: readonly (readonly [prefix: string, programs: readonly SparkProgram[]])[] = [
  ["spark.worker.", ["worker"]],
  ["spark.master.", ["master"]],
  ["spark.deploy.", ["master"]],
  ["spark.history.", ["history"]],
  // A worker is its machine's shuffle service too.
  ["spark.shuffle.", ["driver", "worker", "shuffle"]],
  // A worker makes the folders of its executors.
  ["spark.local.dir", ["driver", "worker"]],
  ["spark.ui.", ["driver", "worker", "master", "history"]],
  ["spark.hadoop.", ["driver", "history"]],
  ["spark.io.", ["driver", "history", "worker", "shuffle"]],
  // Both ends of a connection have to agree on these.
  ["spark.network.", EVERYONE],
  ["spark.rpc.", EVERYONE],
  ["spark.ssl.", EVERYONE],
  ["spark.metrics.", EVERYONE],
  ["spark.acls.", EVERYONE],
  ["spark.admin.", EVERYONE],
  ["spark.user.groups.", EVERYONE],
];

const below = (property: string, prefix: string): boolean =>
  prefix.endsWith(".") ? property.startsWith(prefix) : property === prefix;

/** Programs that read a property; what is not known is the drivers', who hand it to their executors. */
function readersOf(property: string): readonly SparkProgram[] {
  return READERS.find(([prefix]) => below(property, prefix))?.[1] ?? ["driver"];
}

/** The part of `sparkConf` that a program reads. */
export function propertiesFor({ sparkConf }: Pick<Config, "sparkConf">, program: SparkProgram): Record<string, string> {
  const own = Object.entries(sparkConf).filter(([property]) => readersOf(property).includes(program));
  const redaction = redactionFor(own.map(([property]) => property));
  return { ...(redaction === undefined ? {} : { "spark.redaction.regex": redaction }), ...Object.fromEntries(own) };
}

/** Properties that a config key sets, by prefix as above. */
const BY_KEY: readonly (readonly [prefix: string, key: ConfigKey])[] = [
  ["spark.executor.memory", "executorMemoryMiB"],
  ["spark.executor.memoryOverhead", "executorMemoryOverheadMiB"],
  ["spark.executor.memoryOverheadFactor", "executorMemoryOverheadMiB"],
  ["spark.mesos.executor.memoryOverhead", "executorMemoryOverheadMiB"],
  ["spark.executor.cores", "executorCores"],
  ["spark.cores.max", "coresMax"],
  ["spark.deploy.defaultCores", "coresMax"],
  ["spark.driver.memory", "driverMemoryMiB"],
  ["spark.dynamicAllocation.enabled", "dynamicAllocation"],
  ["spark.dynamicAllocation.shuffleTracking.enabled", "dynamicAllocation"],
  ["spark.shuffle.service.enabled", "dynamicAllocation"],
  ["spark.shuffle.service.port", "shuffleServicePort"],
  ["spark.driver.port", "driverPort"],
  ["spark.blockManager.port", "blockManagerPort"],
  ["spark.driver.blockManager.port", "blockManagerPort"],
  ["spark.ui.port", "sparkUiPort"],
  ["spark.master.ui.port", "sparkMasterUiPort"],
  ["spark.worker.ui.port", "sparkWorkerUiPort"],
  ["spark.history.ui.port", "historyServerPort"],
  ["spark.mesos.role", "mesosRole"],
  ["spark.executor.uri", "executorSource"],
  ["spark.network.crypto.", "encryption"],
  ["spark.io.encryption.", "encryption"],
];

/** Properties that follow from what the cluster is: no other value would work. */
const OWNED: readonly (readonly [prefix: string, why: string])[] = [
  ["spark.master", "drivers connect to the masters of this cluster"],
  ["spark.driver.host", "it is the client's address"],
  ["spark.driver.bindAddress", "it is the client's address"],
  ["spark.port.maxRetries", "the firewall opens as many ports as the cluster asks for"],
  ["spark.authenticate", "every connection is authenticated by a secret of the cluster"],
  ["spark.authenticate.", "every connection is authenticated by a secret of the cluster"],
  ["spark.pyspark.python", "driver and executors run the Python of the image"],
  ["spark.pyspark.driver.python", "driver and executors run the Python of the image"],
  ["spark.deploy.recoveryMode", "it follows from whether there is a ZooKeeper"],
  ["spark.deploy.recoveryDirectory", "it follows from whether there is a ZooKeeper"],
  ["spark.deploy.zookeeper.", "it follows from whether there is a ZooKeeper"],
  ["spark.mesos.principal", "the cluster makes the login of Spark"],
  ["spark.mesos.principal.", "the cluster makes the login of Spark"],
  ["spark.mesos.secret", "the cluster makes the login of Spark"],
  ["spark.mesos.secret.", "the cluster makes the login of Spark"],
  ["spark.mesos.coarse", "Spark 3 has no other mode that works here"],
  ["spark.mesos.executor.docker.", "it follows from the architecture"],
  ["spark.mesos.executor.home", "it follows from the architecture"],
];

/** Why a property cannot stand in `sparkConf`, and what to do instead. */
export interface RefusedProperty {
  rule: string;
  fix: string;
}

/**
 * Whether a property can stand in `sparkConf`: it would have no effect, or the cluster itself has to set it.
 *
 * @returns `undefined` where it can.
 */
export function refusedProperty(
  c: Config,
  architecture: Pick<ArchitectureFacts, "executorsStartedBy" | "fetchesSpark">,
  property: string,
): RefusedProperty | undefined {
  const refused = (why: string, fix = "remove it"): RefusedProperty => ({ rule: `without ${property}: ${why}`, fix });
  const key = BY_KEY.find(([prefix]) => below(property, prefix))?.[1];
  const owned = OWNED.find(([prefix]) => below(property, prefix))?.[1];
  const mesos = startedByMesos(architecture);
  const none = `no effect in architecture ${c.architecture}`;

  if (!property.startsWith("spark.")) return refused("Spark reads no property whose name does not begin with `spark.`");
  if (/^spark\.(yarn|kubernetes)\./.test(property)) return refused("there is no YARN and no Kubernetes here");
  if (property.startsWith("spark.mesos.dispatcher.") || property.startsWith("spark.mesos.driverEnv.")) {
    return refused("drivers run on the client, and there is no dispatcher");
  }
  if (property.startsWith("spark.mesos.") && !mesos) return refused(`${none}, in which Mesos starts no executors`);
  if (/^spark\.(worker|master|deploy)\./.test(property) && mesos) {
    return refused(`${none}, which has no master and no workers of Spark's own`);
  }
  if (property === "spark.executor.uri" && !architecture.fetchesSpark) {
    return refused(`${none}, in which executors do not fetch Spark`);
  }
  if (property === "spark.submit.deployMode") return refused("drivers run on the client only");
  if (property.startsWith("spark.history.") && !c.historyServer) {
    return refused("there is no history server", "set historyServer to true, or remove it");
  }
  if (property === "spark.local.dir" && mesos && c.dynamicAllocation) {
    return refused(
      "executors leave their shuffle files where the agent's shuffle service finds them",
      "set dynamicAllocation to false, or remove it",
    );
  }
  if (key !== undefined) return refused(`the config key ${key} sets it`, `set ${key} instead`);
  if (owned !== undefined) return refused(owned);
  return undefined;
}
