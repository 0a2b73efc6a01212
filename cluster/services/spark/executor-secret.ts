import { SECRET_NAMES } from "../../secret-names.ts";
import type { File } from "../../types.ts";
import { derived, secret } from "../../values.ts";
import { SPARK_CONF_DIR, SPARK_UID } from "./spark.ts";

/**
 * File of an agent that gives executors of Mesos the cluster's secret before their first connection. What a driver hands them itself
 * stands in their task, which Mesos shows, and in their container, which Docker shows. Spark takes files with the secret on Kubernetes
 * alone (`spark.authenticate.secret.file`), but asks the credentials of its user first, and those Hadoop reads from a file.
 * Source: `getSecretKey` of https://github.com/apache/spark/blob/v3.5.9/core/src/main/scala/org/apache/spark/SecurityManager.scala
 */
export const EXECUTOR_SECRET = `${SPARK_CONF_DIR}/executor.token`;

/** Environment of executors by which Hadoop, and so Spark, finds that file. */
export const FINDS_SECRET = { "spark.executorEnv.HADOOP_TOKEN_FILE_LOCATION": EXECUTOR_SECRET } as const;

/** The file, for Spark's user alone: teams' executors run as that as well, and tasks of other frameworks as users of their own. */
export const executorSecretFile = (): File => ({
  path: EXECUTOR_SECRET,
  content: { format: "text", text: derived(credentials, secret(SECRET_NAMES.spark)) },
  mode: "0600",
  uid: SPARK_UID,
});

/**
 * Hadoop's file of credentials with the entry under which Spark looks: magic, format 1, and a `CredentialsProto` behind its length.
 * Source: https://github.com/apache/hadoop/blob/rel/release-3.3.4/hadoop-common-project/hadoop-common/src/main/proto/Security.proto
 *
 * @param value ASCII, as secrets of the cluster are, and short enough that each length is one byte.
 */
export function credentials(value: string): string {
  const sized = (text: string): string => String.fromCharCode(text.length) + text;
  // CredentialsKVProto: 1 is the alias, 3 the secret. CredentialsProto: 2 are the secrets.
  const entry = `\x0a${sized("sparkCookie")}\x1a${sized(value)}`;
  return `HDTS\x01${sized(`\x12${sized(entry)}`)}`;
}
