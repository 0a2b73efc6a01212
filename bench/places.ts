import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../lib/root.ts";
import { findDocker } from "../local/docker.ts";
import { TestCluster } from "../tests/containers/harness.ts";
import { S3Server } from "../tests/containers/s3-server.ts";

/**
 * What the places for data cost: a shuffle, and a round trip through Parquet in the shared folder, in HDFS and in an object store,
 * on one cluster; against `local[2]` in the same image with a folder of its own disk. In turns.
 *
 *   node bench/places.ts [megabytes] [rounds]    default: 1024 and 2
 */

const INDEX = 13;
const [megabytes = 1024, rounds = 2] = process.argv.slice(2).map(Number);
const program = readFileSync(join(ROOT, "bench/data.py"), "utf8");
const d = await findDocker();
const server = new S3Server(d, "tw-places-store", `10.${98 - INDEX}.200.2`);

/** Folder of each place, by its name. */
const PLACES = {
  "shared folder": "file:/home/spark/work/bench",
  HDFS: "hdfs:///user/spark/bench",
  S3: "s3a://bench/parquet",
} as const;

/** Spark makes no buckets by itself. */
const BUCKET = `
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").getOrCreate()
store = spark._jvm.org.apache.hadoop.fs.Path("s3a://bench/").getFileSystem(spark._jsc.hadoopConfiguration())
store.getAmazonS3ClientForTesting("to make the bucket").createBucket("bench")
`;

type Times = Map<string, number[]>;
const times: { cluster: Times; local: Times } = { cluster: new Map(), local: new Map() };

await server.start(`${Math.ceil(512 + 4 * megabytes)}m`);
const cluster = new TestCluster(d, "tw-places", INDEX, [
  ...["agentCount=2", "coresMax=2", "datanodeCount=1"],
  ...server.settings,
]);

async function run(into: Times, args: readonly string[]): Promise<void> {
  const { output } = await cluster.exec("client", [
    "python3",
    "-c",
    program,
    "--megabytes",
    String(megabytes),
    ...args,
  ]);
  const line = /^(?:.*\r)?.*seconds: (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(output.slice(-3000));
  for (const [what, value] of Object.entries<number>(JSON.parse(line)))
    into.set(what, [...(into.get(what) ?? []), value]);
}

const median = (values: readonly number[] = []): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

try {
  const { code, output } = await cluster.cli("up", ["--no-smoke"]);
  if (code !== 0) throw new Error(output);
  await server.join("tw-places");
  const { code: made, output: why } = await cluster.exec("client", ["python3", "-c", BUCKET]);
  if (made !== 0) throw new Error(why);
  for (let round = 0; round < rounds; round++) {
    await run(times.cluster, Object.values(PLACES));
    await run(times.local, ["--master", "local[2]", "file:/tmp/bench"]);
  }
} finally {
  // It is in the cluster's network, which could not be removed before.
  await server.remove();
  await cluster.cli("down", ["--volumes"]);
}

const row = (what: string, on: number, local: number): string =>
  `| ${what} | ${on.toFixed(1)} | ${local.toFixed(1)} | ${(on / local).toFixed(2)} |\n`;
process.stdout.write(
  `| ${megabytes} MB, median of ${rounds}, s | cluster | local[2], own disk | ratio |\n| --- | --- | --- | --- |\n`,
);
process.stdout.write(row("shuffle", median(times.cluster.get("shuffle")), median(times.local.get("shuffle"))));
for (const [place, folder] of Object.entries(PLACES)) {
  for (const what of ["write Parquet", "read Parquet"]) {
    const on = median(times.cluster.get(`${what} ${folder}`));
    process.stdout.write(row(`${what}, ${place}`, on, median(times.local.get(what))));
  }
}
