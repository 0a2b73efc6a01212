import type { Config } from "../../../config/schema.ts";
import { LOOPBACK } from "../../../lib/loopback.ts";
import type { Context, WiredContext } from "../../context.ts";
import { hasHdfs } from "../../features.ts";
import { healthOf, tcp } from "../../probe.ts";
import { clientFolder } from "../../shared-storage.ts";
import type { Machine, Service } from "../../types.ts";
import type { Value } from "../../values.ts";
import { HADOOP_CONF_DIR, hadoopConf } from "../hdfs/hdfs.ts";
import { CONNECTION } from "../prometheus/targets.ts";
import { SPARK_CONF_DIR, SPARK_HOME, SPARK_UID } from "../spark/spark.ts";

/**
 * The catalogue of tables: Hive's metastore, which every driver on the client asks. It has no login, so it listens on the loopback
 * interface alone.
 */

/** Folder of its database and its log. The images have it, owned by Spark's user. */
const DATA = "/var/lib/spark";

/** MiB of its heap: enough for tens of thousands of partitions. */
const HEAP_MIB = 256;
/** MiB that it may take in all. */
const METASTORE_MIB = 768;

const CATALOG = "spark.sql.catalogImplementation";
const URIS = "spark.hadoop.hive.metastore.uris";

/** Whether the cluster has a catalogue of its own: `sparkConf` may name another one, or none. */
export const hasMetastore = ({ sparkConf }: Pick<Config, "sparkConf">): boolean =>
  sparkConf[CATALOG] !== "in-memory" && sparkConf[URIS] === undefined;

/** Properties by which drivers find it. It is asked when a cell first names a table, and not before. */
export function metastoreClient({ config: c }: Context): Record<string, string> {
  return {
    [CATALOG]: "hive",
    [URIS]: `thrift://${LOOPBACK}:${c.metastorePort}`,
    // One retry a second: a metastore that was restarted answers again within these 15 seconds.
    "spark.hadoop.hive.metastore.connect.retries": "15",
    // Tables are Parquet unless a statement says otherwise, as DataFrames' are.
    "spark.sql.legacy.createHiveTableByDefault": "false",
    // A driver would go on with the files that a table had when it was first read there, whatever other drivers write.
    "spark.sql.filesourceTableRelationCacheSize": "0",
    // By default this folder is in HDFS, where an account may not have it.
    "spark.hadoop.hive.exec.scratchdir": "file:/tmp/hive",
  };
}

/** What the metastore reads: where tables lie, and how to get there. It makes their folders, and removes them with the table. */
function hiveProperties(ctx: WiredContext): Record<string, Value> {
  const prefix = "spark.hadoop.";
  // The properties of a driver, less those that only a driver can use: the check of writes, and the metastore's address.
  const hadoop = Object.entries(ctx.spark.conf)
    .filter(([property]) => property.startsWith(prefix) && !/^spark\.hadoop\.(hive\.|fs\..*file\.impl$)/.test(property))
    .map(([property, value]) => [property.slice(prefix.length), value] as const);
  return {
    ...Object.fromEntries(hadoop),
    "hive.metastore.warehouse.dir": ctx.spark.conf["spark.sql.warehouse.dir"] ?? "",
    "javax.jdo.option.ConnectionURL": "jdbc:derby:;databaseName=metastore;create=true",
    // It is the only one that opens this database, and makes what is not there.
    "datanucleus.schema.autoCreateAll": "true",
    "hive.metastore.schema.verification": "false",
  };
}

/** The catalogue of tables, for all drivers on the client: a table that one of them makes is there for the others, and stays. */
export function metastore(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  const classes = [SPARK_CONF_DIR, ...(hasHdfs(c) ? [HADOOP_CONF_DIR] : []), `${SPARK_HOME}/jars/*`];
  return {
    name: "metastore",
    machine: machine.name,
    runtime: "docker",
    image: "client",
    command: [
      "java",
      `-Xmx${HEAP_MIB}m`,
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      `-Dderby.system.home=${DATA}`,
      "-cp",
      classes.join(":"),
      "triplewide.metastore.Metastore",
      LOOPBACK,
      String(c.metastorePort),
    ],
    env: { TZ: c.timeZone },
    files: [
      {
        path: `${SPARK_CONF_DIR}/hive-site.xml`,
        content: { format: "hadoop-xml", properties: hiveProperties(ctx) },
        mode: "0600",
      },
      ...(hasHdfs(c) ? hadoopConf(ctx) : []),
    ],
    ports: [
      {
        name: "thrift",
        key: "metastorePort",
        port: c.metastorePort,
        from: [],
        metrics: [{ ...CONNECTION, loopback: true }],
      },
    ],
    health: healthOf(tcp(LOOPBACK, c.metastorePort)),
    uid: SPARK_UID,
    memoryMiB: METASTORE_MIB,
    dirs: [{ path: DATA, lasts: "data" }, ...clientFolder(c)],
    after: [],
  };
}
