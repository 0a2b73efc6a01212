import { hasHdfs, mesosStartsExecutors, SPARK_PORT_RANGE } from "../config/ports.ts";
import { SECRET_KEYS } from "../config/secrets.ts";
import type { Context } from "./context.ts";
import { EVENT_LOG_DIR, EXECUTOR_TARBALL_DIR, executorTarball, executorTarballInHdfs } from "./services/client.ts";
import { defaultFs } from "./services/hdfs.ts";
import { marathonMasterUrl } from "./services/marathon.ts";
import { LIBMESOS, mesosZk, PRINCIPALS } from "./services/mesos.ts";
import { ownShuffleService, SHUFFLE_DIR, SPARK_HOME, sharedSecret, sparkMasterUrl } from "./services/spark.ts";
import { image, type SparkWiring, secret } from "./types.ts";

/** Python that executors run, wherever they run: the same virtual environment path in images and on machines. */
const PYTHON = "/opt/venv/bin/python3";

/** How a driver on the client reaches the cluster, for the architecture that the config names. */
export function wireSpark(ctx: Context): SparkWiring {
  const c = ctx.config;
  const client = ctx.addresses("client")[0] ?? "";
  const mesos = mesosStartsExecutors(c);
  const master = mesos
    ? `mesos://${mesosZk(ctx)}`
    : c.architecture === "marathon-standalone"
      ? marathonMasterUrl(ctx)
      : sparkMasterUrl(ctx);

  const conf: Record<string, string> = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.executor.memory": `${c.executorMemoryMiB}m`,
    "spark.driver.memory": `${c.driverMemoryMiB}m`,
    ...optional("spark.executor.cores", c.executorCores),
    ...optional("spark.cores.max", coresMax(ctx)),
    ...(c.dynamicAllocation
      ? {
          "spark.dynamicAllocation.enabled": "true",
          "spark.shuffle.service.enabled": "true",
          "spark.shuffle.service.port": String(c.shuffleServicePort),
          ...(ownShuffleService(c) ? { "spark.local.dir": SHUFFLE_DIR.path } : {}),
        }
      : {}),
    ...(hasHdfs(c) ? { "spark.hadoop.fs.defaultFS": defaultFs(ctx) } : {}),
    ...(c.historyServer
      ? {
          "spark.eventLog.enabled": "true",
          "spark.eventLog.dir": `${defaultFs(ctx)}${EVENT_LOG_DIR}`,
          "spark.history.fs.logDirectory": `${defaultFs(ctx)}${EVENT_LOG_DIR}`,
          "spark.history.ui.port": String(c.historyServerPort),
        }
      : {}),
    ...objectStore(ctx),
    ...c.sparkConf,
    // From here on addresses and ports, which nothing may override: the firewall knows these and no others.
    "spark.master": master,
    "spark.driver.host": client,
    "spark.driver.bindAddress": client,
    "spark.driver.port": String(c.driverPort),
    "spark.blockManager.port": String(c.blockManagerPort),
    "spark.ui.port": String(c.sparkUiPort),
    "spark.port.maxRetries": String(SPARK_PORT_RANGE - 1),
    "spark.pyspark.python": PYTHON,
    "spark.pyspark.driver.python": PYTHON,
    ...sharedSecret(),
  };
  const env: Record<string, string> = { SPARK_LOCAL_IP: client, PYSPARK_PYTHON: PYTHON };
  if (!mesos) return { conf, env, master };

  // A fixed port would have to be among what Mesos offers, and only one executor of an agent could have it: executors take
  // any. The driver's own stays.
  conf["spark.driver.blockManager.port"] = String(c.blockManagerPort);
  delete conf["spark.blockManager.port"];
  // Unlike Spark's own workers, Mesos' executors are not told that connections are authenticated, nor the secret, before
  // their first one.
  conf["spark.executorEnv.JAVA_TOOL_OPTIONS"] = "-Dspark.authenticate=true";
  conf["spark.executorEnv._SPARK_AUTH_SECRET"] = secret("spark-auth");
  conf["spark.mesos.coarse"] = "true";
  conf["spark.mesos.role"] = c.mesosRole;
  conf["spark.mesos.principal"] = PRINCIPALS.spark;
  conf["spark.mesos.secret"] = secret(`mesos-${PRINCIPALS.spark}`);
  env.MESOS_NATIVE_JAVA_LIBRARY = LIBMESOS;
  // libmesos announces this address to the masters; without it, 127.0.1.1.
  env.LIBPROCESS_IP = client;
  switch (c.architecture) {
    case "vanilla":
      // On this machine's Docker every agent's machine is an image that holds Spark.
      if (c.executorSource === "local" && c.platform === "docker") {
        conf["spark.mesos.executor.home"] = SPARK_HOME;
        break;
      }
      conf["spark.executor.uri"] = executorUri(ctx);
      env.SPARK_EXECUTOR_URI = executorUri(ctx);
      break;
    case "docker-executors":
      conf["spark.mesos.executor.docker.image"] = image("spark-python");
      conf["spark.mesos.executor.docker.forcePullImage"] = "false";
      conf["spark.mesos.executor.docker.parameters"] = "network=host";
      if (ownShuffleService(c))
        conf["spark.mesos.executor.docker.volumes"] = `${SHUFFLE_DIR.path}:${SHUFFLE_DIR.path}:rw`;
      conf["spark.mesos.executor.home"] = SPARK_HOME;
      break;
    case "mesos-in-docker":
      conf["spark.mesos.executor.home"] = SPARK_HOME;
      break;
  }
  return { conf, env, master };
}

/** How `s3a://` paths are read. Executors get it from their driver. */
function objectStore({ config: c }: Context): Record<string, string> {
  if (c.s3Endpoint === "") return {};
  return {
    "spark.hadoop.fs.s3a.endpoint": c.s3Endpoint.replace(/\/$/, ""),
    "spark.hadoop.fs.s3a.connection.ssl.enabled": String(c.s3Endpoint.startsWith("https:")),
    // Buckets have names in DNS at AWS only.
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    "spark.hadoop.fs.s3a.access.key": c.s3AccessKey,
    "spark.hadoop.fs.s3a.secret.key": secret(SECRET_KEYS.s3SecretKey),
  };
}

/** Where executors get Spark from in `vanilla`. */
export function executorUri(ctx: Context): string {
  const c = ctx.config;
  const file = executorTarball(c.sparkVersion);
  switch (c.executorSource) {
    case "hdfs":
      return `${defaultFs(ctx)}${executorTarballInHdfs(c.sparkVersion)}`;
    case "http":
      return `http://${ctx.addresses("client")[0]}:${c.executorHttpPort}/${file}`;
    case "local":
      return `file://${EXECUTOR_TARBALL_DIR}/${file}`;
  }
}

/**
 * On one machine: half of the cores, so that a notebook and a job run side by side, but one of each agent, so that
 * every agent takes part. In a cloud the number of agents must not be in the client's files: one agent more would
 * replace the client.
 */
function coresMax(ctx: Context): number {
  const c = ctx.config;
  if (c.coresMax > 0 || c.agentCpus === 0 || c.platform !== "docker") return c.coresMax;
  return Math.max(c.agentCount, Math.floor((c.agentCount * c.agentCpus) / 2));
}

function optional(key: string, value: number): Record<string, string> {
  return value > 0 ? { [key]: String(value) } : {};
}
