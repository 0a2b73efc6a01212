import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** What a notebook adds to an error of Spark's. */
function advice(error: string): string {
  const ask = "import sys; from triplewide_watch import after_failure; print(after_failure(sys.argv[1]))";
  const env = {
    ...process.env,
    PYTHONPATH: join(ROOT, "images/client"),
    PYTHONDONTWRITEBYTECODE: "1",
    TRIPLEWIDE_SHARED: "/home/spark/work",
  };
  return execFileSync("python3", ["-c", ask, error], { env, encoding: "utf8" }).trim();
}

const lost =
  "org.apache.spark.SparkException: Job aborted due to stage failure: Lost task 0.3 (10.60.0.64 executor 0): ";

test.each([
  ["Illegal Parquet type: INT64 (TIMESTAMP(NANOS,true)).", 'coerce_timestamps="us"'],
  [
    "None\n\tat org.apache.hadoop.fs.http.AbstractHttpFileSystem.listStatus(AbstractHttpFileSystem.java:94)",
    "!wget URL",
  ],
  ["[PATH_NOT_FOUND] Path does not exist: file:/home/spark/work/~/work/p.csv.", "os.path.expanduser"],
  [
    `${lost}org.apache.spark.SparkFileNotFoundException: File file:/tmp/x.csv does not exist`,
    "executors have no /tmp/x.csv: they see the files in /home/spark/work",
  ],
  ["Path does not exist: file:/home/spark/work/data/mllib/sample_libsvm_data.txt.", "!cp -r $SPARK_HOME/data ."],
  ["Input path does not exist: file:/home/spark/work/data/mllib/kmeans_data.txt", "!cp -r $SPARK_HOME/data ."],
  [
    "[LOCATION_ALREADY_EXISTS] Cannot name the managed table as `t`, as its associated location 'file:/home/spark/work/spark-warehouse/t' already exists.",
    "!rm -r /home/spark/work/spark-warehouse/t",
  ],
  [
    "[LOCATION_ALREADY_EXISTS] Cannot name the managed table as `t`, as its associated location 'hdfs://cluster/user/spark/warehouse/t' already exists.",
    "!hdfs dfs -rm -r /user/spark/warehouse/t",
  ],
  ["java.io.IOException: Incomplete HDFS URI, no host: hdfs:///x.csv", "datanodeCount"],
  ["java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found", "s3Endpoint"],
  [
    'UnsupportedFileSystemException: No FileSystem for scheme "gs"',
    '"spark.jars.packages", "group:artifact_2.12:version"',
  ],
  ["Failed to find data source: avro. Avro is built-in but external", "org.apache.spark:spark-avro_2.12:version"],
  ["Failed to find data source: kafka. Please deploy", "org.apache.spark:spark-sql-kafka-0-10_2.12:version"],
  ["[DATA_SOURCE_NOT_FOUND] Failed to find the data source: delta", "group:artifact_2.12:version"],
  [`${lost}OSError: [Errno 28] No space left on device`, "on agent 10.60.0.64 is full: raise scratchGb"],
])("a notebook says what to do about: %s", (error, expected) => {
  expect(advice(error)).toContain(expected);
});

test.each([
  "[PATH_NOT_FOUND] Path does not exist: file:/home/spark/work/nosuch.csv.",
  "ZeroDivisionError: division by zero",
  `${lost}org.apache.spark.SparkFileNotFoundException: File file:/home/spark/work/gone.parquet does not exist`,
])("and adds nothing where Spark says enough: %s", (error) => {
  expect(advice(error)).toBe("None");
});
