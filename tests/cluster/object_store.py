"""Partitioned Parquet in an object store, written and read by executors: prints what came of it as JSON.

    python3 object_store.py s3a://bucket       in the client of a cluster with s3Endpoint; makes the bucket, ends with its input
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
    done = {
        "rows": there.count(),
        "part 3": there.where("part = 3").agg(f.count("id"), f.sum("id")).first().asDict(),
        "parts": sorted(status.getPath().getName() for status in store.listStatus(path(table))),
        "executors": sc._jsc.sc().getExecutorMemoryStatus().size() - 1,
        "text": sorted(line for line in sc.textFile(written(sc, bucket)).collect()),
    }
    # What this driver's pages show of its login.
    page = urllib.request.urlopen(f"{sc.uiWebUrl}/environment/", timeout=30).read().decode()
    shown = dict(re.findall(r"<tr><td>(spark\.hadoop\.fs\.s3a\.[^<]*)</td><td>([^<]*)</td></tr>", page))
    print(json.dumps({**done, "page": shown, "secret on page": sc.getConf().get("spark.hadoop.fs.s3a.secret.key") in page}))
    # Until it was looked at who knows the secret.
    sys.stdout.flush()
    sys.stdin.read()


def written(sc: Any, bucket: str) -> str:
    """By the older interface, whose tasks make their files another way."""
    sc.parallelize(["one", "two", "three"], 3).saveAsTextFile(f"{bucket}/out/text")
    return f"{bucket}/out/text"


if __name__ == "__main__":
    main(sys.argv[1])
