"""Executors write partitioned Parquet to an object store and read it back. Prints the results as JSON.

    python3 object_store.py s3a://bucket       in the client of a cluster with s3Endpoint; makes the bucket, ends when its input ends
"""

import json
import re
import sys
import urllib.request
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def main(bucket: str) -> None:
    spark = SparkSession.builder.appName("object-store").getOrCreate()
    sc = spark.sparkContext
    jvm: Any = sc._jvm
    path = jvm.org.apache.hadoop.fs.Path
    store = path(f"{bucket}/").getFileSystem(sc._jsc.hadoopConfiguration())
    store.getAmazonS3ClientForTesting("to make the bucket").createBucket(store.getBucket())

    rows = spark.range(100_000, numPartitions=4).withColumn("part", f.col("id") % 5)
    table = f"{bucket}/out/table"
    rows.write.mode("overwrite").partitionBy("part").parquet(table)
    rows.where("part = 0").write.mode("append").partitionBy("part").parquet(table)
    there = spark.read.parquet(table)
    # Spark ignores files whose names begin with an underscore.
    success = store.open(path(f"{table}/_SUCCESS"))
    committer = json.loads(jvm.org.apache.commons.io.IOUtils.toString(success, "UTF-8"))["committer"]
    done = {
        "committer": committer,
        "single partitions": overwritten(spark, f"{bucket}/out/single"),
        "left by a job that failed": failed(spark, store, f"{bucket}/out/failed"),
        "rows": there.count(),
        "part 3": there.where("part = 3").agg(f.count("id"), f.sum("id")).first().asDict(),
        "parts": sorted(status.getPath().getName() for status in store.listStatus(path(table))),
        "executors": sc._jsc.sc().getExecutorMemoryStatus().size() - 1,
        "text": sorted(line for line in sc.textFile(written(sc, bucket)).collect()),
    }
    # What this driver's web UI shows of the object store's login.
    page = urllib.request.urlopen(f"{sc.uiWebUrl}/environment/", timeout=30).read().decode()
    shown = dict(re.findall(r"<tr><td>(spark\.hadoop\.fs\.s3a\.[^<]*)</td><td>([^<]*)</td></tr>", page))
    print(json.dumps({**done, "page": shown, "secret on page": sc.getConf().get("spark.hadoop.fs.s3a.secret.key") in page}))
    # Runs until the test has checked which processes show the secret.
    sys.stdout.flush()
    sys.stdin.read()


def overwritten(spark: Any, table: str) -> list[list[int]]:
    """Returns the partitions and their row counts after one of three was overwritten."""
    spark.range(9).selectExpr("id", "id % 3 AS part").write.partitionBy("part").parquet(table)
    one = spark.range(5).selectExpr("id + 100 AS id", "1 AS part")
    one.write.mode("overwrite").option("partitionOverwriteMode", "dynamic").partitionBy("part").parquet(table)
    counts = spark.read.parquet(table).groupBy("part").count().orderBy("part").collect()
    return [[row["part"], row["count"]] for row in counts]


def failed(spark: Any, store: Any, table: str) -> list[str]:
    """Returns the files that readers see after a job whose last task fails when the others have written theirs."""
    rows = spark.range(100, numPartitions=4)
    rows.write.parquet(table)
    before = names(spark, store, table)
    try:
        rows.selectExpr("IF(id < 99, id, raise_error('on purpose')) AS id").write.mode("append").parquet(table)
    except Exception as error:  # The class of the error depends on the version of py4j.
        assert "on purpose" in str(error)
    else:
        raise AssertionError("the job ended well")
    assert spark.read.parquet(table).count() == 100
    return sorted(set(names(spark, store, table)) - set(before))


def names(spark: Any, store: Any, table: str) -> list[str]:
    listed = store.listFiles(spark._jvm.org.apache.hadoop.fs.Path(table), True)
    found = []
    while listed.hasNext():
        found.append(listed.next().getPath().getName())
    return found


def written(sc: Any, bucket: str) -> str:
    """Writes by the older RDD interface, whose tasks commit their files differently."""
    sc.parallelize(["one", "two", "three"], 3).saveAsTextFile(f"{bucket}/out/text")
    return f"{bucket}/out/text"


if __name__ == "__main__":
    main(sys.argv[1])
