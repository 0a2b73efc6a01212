"""Seconds of a shuffle of 1 GB and of a round trip of 1 GB through Parquet, as JSON: data.py <folder> [master]

The data is random, so that compression gains nothing; shuffles are not compressed, so that all of it is sent.
"""

import json
import shutil
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

folder, master = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
builder = SparkSession.builder.appName("bench").config("spark.shuffle.compress", "false")
builder = builder.config("spark.sql.shuffle.partitions", "16").config("spark.sql.adaptive.enabled", "false")
if master:
    builder = builder.master(master).config("spark.dynamicAllocation.enabled", "false")
spark = builder.getOrCreate()

# 2**23 rows of 16 numbers of 8 bytes, made anew each time by the executors.
numbers = [F.xxhash64("id", F.lit(n)).alias(f"n{n}") for n in range(15)]
rows = spark.range(0, 2**23, 1, 16).select("id", *numbers)
seconds = {}


def measure(name, work):
    start = time.monotonic()
    work()
    seconds[name] = round(time.monotonic() - start, 2)


def count(frame):
    assert frame.agg(F.count("*"), *[F.max(f"n{n}") for n in range(15)]).first()[0] == 2**23


measure("session's first job", lambda: spark.range(100).count())
measure("making the rows", lambda: count(rows))
measure("shuffle", lambda: count(rows.repartition(16, "id")))
measure("write Parquet", lambda: rows.write.mode("overwrite").option("compression", "none").parquet(folder))
measure("read Parquet", lambda: count(spark.read.parquet(folder)))
spark.stop()
shutil.rmtree(folder.removeprefix("file:"), ignore_errors=True)
print("seconds: " + json.dumps(seconds))
