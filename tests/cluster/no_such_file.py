"""A script that reads a path with `~`, which Spark does not resolve to the home folder."""

from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate().read.csv("~/nosuch.csv")
