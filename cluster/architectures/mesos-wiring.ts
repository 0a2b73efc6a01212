import type { Context } from "../context.ts";
import { agentRange } from "../features.ts";
import { overheadMiB } from "../memory.ts";
import { mesosSecret } from "../secret-names.ts";
import { libprocessEnv } from "../services/mesos/libprocess.ts";
import { LIBMESOS, mesosZk } from "../services/mesos/mesos.ts";
import { PRINCIPALS } from "../services/mesos/principals.ts";
import { FINDS_SECRET } from "../services/spark/executor-secret.ts";
import { connectionProperties } from "../services/spark/spark.ts";
import { hasTeams } from "../teams.ts";
import { secret, type Value } from "../values.ts";
import type { Wiring } from "./record.ts";

/**
 * How a driver registers with Mesos, whatever its executors run in.
 *
 * @param conf Properties that say where executors get Spark from.
 * @param env Further variables of `spark-env.sh`.
 */
export function registersWithMesos(
  ctx: Context,
  conf: Readonly<Record<string, Value>>,
  env: Readonly<Record<string, string>> = {},
): Wiring {
  const c = ctx.config;
  const masters = ctx.addresses("mesos-master").map((host) => `${host}:${c.mesosMasterPort}`);
  return {
    master: `mesos://${mesosZk(ctx)}`,
    coresKnownBy: { kind: "mesos", at: masters },
    conf: {
      // A fixed port would have to be among what Mesos offers, and only one executor of an agent could have it: executors take
      // any. The driver's own stays.
      "spark.driver.blockManager.port": String(c.blockManagerPort),
      // Unlike Spark's own workers, Mesos' executors are not told that connections are authenticated and encrypted before their
      // first one. Their agent has the secret.
      "spark.executorEnv.JAVA_TOOL_OPTIONS": Object.entries(connectionProperties(c))
        .map(([property, value]) => `-D${property}=${value}`)
        .join(" "),
      ...FINDS_SECRET,
      "spark.mesos.coarse": "true",
      // By itself, Spark never uses an agent again on which two executors failed, and takes one user name for tasks on agents and for HDFS.
      // These plugins change both.
      "spark.plugins": ["triplewide.mesos.AgentsAgain", "triplewide.mesos.ExecutorUser", c.sparkConf["spark.plugins"]]
        .filter(Boolean)
        .join(","),
      // Spark's own masters tell drivers that all shuffle files of an agent are gone. With Mesos, a driver learns it for one executor at a
      // time, and gives a job up after four of them.
      ...(agentRange(c) === undefined ? {} : { "spark.files.fetchFailure.unRegisterOutputOnHost": "true" }),
      // The general property has no effect here. MiB, without a unit.
      "spark.mesos.executor.memoryOverhead": String(overheadMiB(c)),
      // Where there are teams, a driver gets these three as options when it starts, and this file would win over them.
      ...(hasTeams(c)
        ? {}
        : {
            "spark.mesos.role": c.mesosRole,
            "spark.mesos.principal": PRINCIPALS.spark,
            "spark.mesos.secret": secret(mesosSecret(PRINCIPALS.spark)),
          }),
      ...conf,
    },
    without: ["spark.blockManager.port"],
    env: {
      MESOS_NATIVE_JAVA_LIBRARY: LIBMESOS,
      // Whom a waiting cell asks why it has no executor.
      MESOS_MASTERS: masters.join(","),
      // libmesos announces this address to the masters; without it, 127.0.1.1.
      LIBPROCESS_IP: ctx.addresses("client")[0] ?? "",
      ...libprocessEnv(c),
      ...env,
    },
  };
}
