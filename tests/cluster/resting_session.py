"""A session that works, is idle until a line comes, and goes on with shuffled data and a cached table, as a notebook does."""

import sys
import time
from itertools import chain

from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.appName("resting")
    .config("spark.cores.max", "4")
    # The cluster's own behaviour with a shorter timeout.
    .config("spark.dynamicAllocation.executorIdleTimeout", "5s")
    .config("spark.dynamicAllocation.cachedExecutorIdleTimeout", "5s")
    .getOrCreate()
)
shuffled = (
    spark.sparkContext.parallelize(range(240), 120)
    .map(lambda n: (n % 7, time.sleep(0.2) or n))
    .reduceByKey(lambda a, b: a + b, 4)
)
table = spark.range(1000).repartition(4).cache()
print("begins", flush=True)
for line in chain(["first"], sys.stdin):
    found = sorted(shuffled.collect())
    print(f"{line.strip()}: {sum(value for _, value in found)} in {len(found)} parts, {table.count()} rows", flush=True)
