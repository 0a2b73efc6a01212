"""A script that reads a file by a path that Spark takes for another one than its author does."""

from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate().read.csv("~/nosuch.csv")
