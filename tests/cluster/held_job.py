"""A job that has an executor until somebody says that it is enough, by a file."""

import os
import time

from pyspark.sql import SparkSession

if os.path.exists("/tmp/enough"):
    os.remove("/tmp/enough")
spark = SparkSession.builder.appName("held").getOrCreate()
spark.sparkContext.parallelize(range(4), 4).count()
while not os.path.exists("/tmp/enough"):
    time.sleep(0.2)
