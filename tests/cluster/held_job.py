"""A job that keeps an executor until the test makes a file. Another file tells the test that the job has one."""

import os
import time

from pyspark.sql import SparkSession

for file in ("/tmp/enough", "/tmp/held"):
    if os.path.exists(file):
        os.remove(file)
spark = SparkSession.builder.appName("held").getOrCreate()
spark.sparkContext.parallelize(range(4), 4).count()
with open("/tmp/held", "w"):
    pass
while not os.path.exists("/tmp/enough"):
    time.sleep(0.2)
