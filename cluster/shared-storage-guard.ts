import type { Context } from "./context.ts";
import { hasHdfs } from "./features.ts";
import { containerUrl, hasObjectStore } from "./object-store.ts";
import { sharedFolder } from "./shared-storage.ts";
import type { Value } from "./values.ts";

const PLAN_CHECK = "triplewide.guard.PlanCheck";

/**
 * Properties by which drivers refuse writes that would be scattered over the disks of their executors, before anything runs
 * (`images/spark-python/guard`).
 *
 * `sparkConf` may add what the cluster does not know of: a folder that a site mounts everywhere by itself, as
 * `spark.triplewide.sharedFolders`. It may also name extensions of its own, which come beside the guard's.
 */
export function writeGuard(ctx: Context): Record<string, Value> {
  const sharedFolders = sharedFolder(ctx.config).map(({ path }) => path);
  const theirs = ctx.config.sparkConf["spark.sql.extensions"];
  return {
    "spark.hadoop.fs.file.impl": "triplewide.guard.GuardedFileSystem",
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.GuardedLocalFs",
    ...(sharedFolders.length > 0 ? { "spark.triplewide.sharedFolders": sharedFolders.join(",") } : {}),
    "spark.triplewide.writeInstead": writeInstead(ctx, sharedFolders),
    ...ownProperties(ctx),
    "spark.sql.extensions": theirs ? `${PLAN_CHECK},${theirs}` : PLAN_CHECK,
  };
}

/** Properties of the guard in `sparkConf`: they win over the cluster's. */
function ownProperties({ config }: Context): Record<string, string> {
  return Object.fromEntries(
    Object.entries(config.sparkConf).filter(
      ([key]) =>
        key.startsWith("spark.triplewide.") || /^spark\.hadoop\.fs\.(AbstractFileSystem\.)?file\.impl$/.test(key),
    ),
  );
}

/** The end of the message: where to write on this cluster, as a user would type it. */
function writeInstead(ctx: Context, sharedFolders: readonly string[]): string {
  const folder = sharedFolders[0];
  const places = [
    ...(hasHdfs(ctx.config) ? ["hdfs:///user/spark/results (a relative path lies in /user/spark there)"] : []),
    ...(folder === undefined
      ? []
      : [hasHdfs(ctx.config) ? `file://${folder}/results` : `${folder}/results (or a relative path in a notebook)`]),
    ...(hasObjectStore(ctx.config) ? [`${containerUrl(ctx.config) ?? "s3a://<bucket>"}/results`] : []),
  ];
  return places.length > 0
    ? `Write to ${places.join(", or to ")}.`
    : "This cluster has no place that all machines share: its config can add one (sharedStorage, datanodeCount or s3Endpoint). What fits into memory can be written by the driver: df.toPandas().to_parquet(...).";
}
