import type { Config } from "../config/schema.ts";
import { SECRET_KEYS } from "../config/secrets.ts";
import { cloud, secret, type Value } from "./values.ts";

/** Where `s3a://` paths lead: to an object store that the config names, or to a container that the cluster makes in its cloud's. */

type Keys = Pick<Config, "s3Endpoint" | "objectStore">;

/** Whether the cluster makes a container in the cloud's own object store. */
export const makesContainer = (c: Pick<Config, "objectStore">): boolean => c.objectStore !== "none";

/** Whether `s3a://` paths lead anywhere, so that images hold the jars for it. */
export const hasObjectStore = (c: Keys): boolean => c.s3Endpoint !== undefined || makesContainer(c);

/** The container that the cluster makes: at least as long as S3 wants names of buckets, whatever the cluster is called. */
export const containerName = (c: Pick<Config, "clusterName">): string => `${c.clusterName}-data`;

/** Where Swift's S3 interface keeps the parts of objects that were uploaded in parts. */
export const segmentsName = (c: Pick<Config, "clusterName">): string => `${containerName(c)}+segments`;

/** The container as Spark has it; `undefined` where the cluster makes none. */
export const containerUrl = (c: Pick<Config, "objectStore" | "clusterName">): string | undefined =>
  makesContainer(c) ? `s3a://${containerName(c)}` : undefined;

/** How `s3a://` paths are read. Executors get it from their driver. */
export function objectStoreProperties(c: Config): Record<string, Value> {
  const own: Record<string, Value> | undefined = makesContainer(c)
    ? {
        "spark.hadoop.fs.s3a.endpoint": cloud("object-store-endpoint"),
        "spark.hadoop.fs.s3a.endpoint.region": cloud("object-store-region"),
        "spark.hadoop.fs.s3a.access.key": cloud("object-store-access-key"),
      }
    : c.s3Endpoint === undefined
      ? undefined
      : {
          "spark.hadoop.fs.s3a.endpoint": c.s3Endpoint.replace(/\/$/, ""),
          "spark.hadoop.fs.s3a.access.key": c.s3AccessKey ?? "",
        };
  if (own === undefined) return {};
  return {
    ...own,
    // Buckets have names in DNS at AWS only.
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    "spark.hadoop.fs.s3a.secret.key": secret(SECRET_KEYS.s3SecretKey),
    // Results appear when a job commits them, and nothing is copied: images/spark-python/s3.
    "spark.sql.sources.commitProtocolClass": "triplewide.s3.CommitProtocol",
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
    "spark.hadoop.fs.s3a.committer.name": "magic",
  };
}
