"""Runs what a new session does first: a Python job, a SQL job with a shuffle, rows as Arrow. Java records the classes that this needs.

It uses no NumPy, pandas or PyArrow: it runs before they are installed, so that one more package does not rebuild the archive.
"""

from pyspark.sql import SparkSession, functions

spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
assert sc.parallelize(range(1000), 2).map(lambda n: (n % 7, n)).reduceByKey(lambda a, b: a + b, 2).values().sum() == 499500
counts = spark.range(100_000).withColumn("k", functions.col("id") % 7).groupBy("k").count().orderBy("k")
assert len(counts.collect()) == 7
counts._jdf.collectAsArrowToPython()
gateway = sc._gateway
spark.stop()
# Java writes its record when it ends.
gateway.shutdown()
gateway.proc.stdin.close()
gateway.proc.wait()
