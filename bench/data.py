"""Seconds of a shuffle, and of a round trip through Parquet in each of some folders, as JSON:

    data.py [--master MASTER] [--megabytes N] FOLDER...

The data is random, so that compression gains nothing; shuffles are not compressed, so that all of it is sent.
"""

import argparse
import json
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

parser = argparse.ArgumentParser()
parser.add_argument("folders", nargs="+")
parser.add_argument("--master")
parser.add_argument("--megabytes", type=int, default=1024)
asked = parser.parse_args()

builder = SparkSession.builder.appName("bench").config("spark.shuffle.compress", "false")
builder = builder.config("spark.sql.shuffle.partitions", "16").config("spark.sql.adaptive.enabled", "false")
if asked.master:
    builder = builder.master(asked.master).config("spark.dynamicAllocation.enabled", "false")
spark = builder.getOrCreate()

# Rows of 16 numbers of 8 bytes, made anew each time by the executors.
total = asked.megabytes * 2**20 // 128
numbers = [F.xxhash64("id", F.lit(n)).alias(f"n{n}") for n in range(15)]
rows = spark.range(0, total, 1, 16).select("id", *numbers)
seconds = {}


def measure(name, work):
    start = time.monotonic()
    work()
    seconds[name] = round(time.monotonic() - start, 2)


def count(frame):
    assert frame.agg(F.count("*"), *[F.max(f"n{n}") for n in range(15)]).first()[0] == total


def remove(folder):
    path = spark._jvm.org.apache.hadoop.fs.Path(folder)
    path.getFileSystem(spark._jsc.hadoopConfiguration()).delete(path, True)


measure("session's first job", lambda: spark.range(100).count())
measure("making the rows", lambda: count(rows))
measure("shuffle", lambda: count(rows.repartition(16, "id")))
for folder in asked.folders:
    # One folder needs no name.
    of = f" {folder}" if len(asked.folders) > 1 else ""
    measure(f"write Parquet{of}", lambda: rows.write.mode("overwrite").option("compression", "none").parquet(folder))
    measure(f"read Parquet{of}", lambda: count(spark.read.parquet(folder)))
    remove(folder)
spark.stop()
print("seconds: " + json.dumps(seconds))
