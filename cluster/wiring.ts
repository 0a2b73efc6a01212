import type { ArchitectureRecord } from "./architectures/record.ts";
import type { Context } from "./context.ts";
import { hasHdfs } from "./features.ts";
import { javaProperties } from "./java.ts";
import { executorCores, overheadMiB } from "./memory.ts";
import { objectStoreProperties } from "./object-store.ts";
import { packageProperties } from "./packages.ts";
import { EVENT_LOG_DIR } from "./services/client/client.ts";
import { defaultFs } from "./services/hdfs/hdfs.ts";
import { metastoreClient } from "./services/metastore/metastore.ts";
import { driverMetricsProperties } from "./services/spark/metrics.ts";
import { outsideSandbox, SHUFFLE_DIR, SPARK_PORT_RANGE, sharedSecret } from "./services/spark/spark.ts";
import { SHARED_FOLDER } from "./shared-storage.ts";
import { writeGuard } from "./shared-storage-guard.ts";
import { dynamicAllocation, fairShare } from "./sharing.ts";
import { propertiesFor } from "./spark-properties.ts";
import { driverOptions } from "./teams.ts";
import type { SparkWiring } from "./types.ts";
import type { Value } from "./values.ts";

/** Python that executors run, wherever they run: the same virtual environment path in images and on machines. */
const PYTHON = "/opt/venv/bin/python3";

/** How a driver on the client reaches the cluster, for the architecture that the config names. */
export function wireSpark(ctx: Context, architecture: Pick<ArchitectureRecord, "wire">): SparkWiring {
  const c = ctx.config;
  const client = ctx.addresses("client")[0] ?? "";
  const own = architecture.wire(ctx);
  const cores = executorCores(c, ctx.architecture);
  const further = driverOptions(c, fairShare(c, own.coresKnownBy, cores));
  const options = own.program ? [...own.program, ...(further ?? [])] : further;

  const conf: Record<string, Value> = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.executor.memory": `${c.executorMemoryMiB}m`,
    "spark.driver.memory": `${c.driverMemoryMiB}m`,
    "spark.executor.memoryOverhead": `${overheadMiB(c)}m`,
    ...optional("spark.executor.cores", cores),
    ...optional("spark.cores.max", c.coresMax),
    ...dynamicAllocation(c),
    "spark.executorEnv.TZ": c.timeZone,
    ...(outsideSandbox(ctx) ? { "spark.local.dir": SHUFFLE_DIR.path } : {}),
    ...(hasHdfs(c) ? { "spark.hadoop.fs.defaultFS": defaultFs(ctx) } : {}),
    "spark.sql.warehouse.dir": warehouse(ctx),
    ...metastoreClient(ctx),
    ...(c.historyServer
      ? {
          "spark.eventLog.enabled": "true",
          "spark.eventLog.dir": `${defaultFs(ctx)}${EVENT_LOG_DIR}`,
          "spark.history.fs.logDirectory": `${defaultFs(ctx)}${EVENT_LOG_DIR}`,
          "spark.history.ui.port": String(c.historyServerPort),
        }
      : {}),
    ...objectStoreProperties(c),
    ...driverMetricsProperties(c),
    ...packageProperties(c),
    ...javaProperties(c, own.fetchesSpark === true),
    ...propertiesFor(c, "driver"),
    ...writeGuard(ctx),
    // From here on addresses and ports, which nothing may override: the firewall knows these and no others.
    "spark.master": own.master,
    "spark.driver.host": client,
    "spark.driver.bindAddress": client,
    "spark.driver.port": String(c.driverPort),
    "spark.blockManager.port": String(c.blockManagerPort),
    "spark.ui.port": String(c.sparkUiPort),
    "spark.port.maxRetries": String(SPARK_PORT_RANGE - 1),
    "spark.pyspark.python": PYTHON,
    "spark.pyspark.driver.python": PYTHON,
    ...sharedSecret(c),
    // What executors and drivers leave on disks: shuffles, spilled data, cached blocks, broadcasts. Spark refuses it on Mesos.
    ...(c.encryption && ctx.architecture.executorsStartedBy === "spark-workers"
      ? { "spark.io.encryption.enabled": "true", "spark.io.encryption.keySizeBits": "256" }
      : {}),
  };
  for (const key of own.without) delete conf[key];
  return {
    conf: { ...conf, ...own.conf },
    env: { SPARK_LOCAL_IP: client, PYSPARK_PYTHON: PYTHON, ...own.env },
    master: own.master,
    ...(options ? { options } : {}),
  };
}

/** Where tables lie: in HDFS where there is one, else in the folder that executors have too. */
function warehouse(ctx: Context): string {
  return hasHdfs(ctx.config) ? `${defaultFs(ctx)}/user/spark/warehouse` : `file:${SHARED_FOLDER}/spark-warehouse`;
}

function optional(key: string, value: number | undefined): Record<string, string> {
  return value === undefined ? {} : { [key]: String(value) };
}
