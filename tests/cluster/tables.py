"""What users do with tables in several sessions, run on a cluster's client. Prints the results as JSON.

    spark-submit tables.py make          makes tables, a database, a view
    spark-submit tables.py find          in another session: finds them all, by name, and runs the cell again that made one
    spark-submit tables.py shared A B    two sessions at a time: this one adds table A, and waits for B of the other
    spark-submit tables.py outlive FILE  looks at a table, writes /tmp/tables-ready, and looks again when FILE is there
    spark-submit tables.py missing       what is said where the catalogue does not answer
    spark-submit tables.py drop          drops them: their files are gone as well
"""

import json
import os
import sys
import time
from typing import Any, Dict

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

step = sys.argv[1]
spark = SparkSession.builder.appName(f"tables {step}").config("spark.sql.shuffle.partitions", "2").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
found: Dict[str, Any] = {}
rows = spark.range(0, 1000, 1, 4).withColumn("day", F.col("id") % 5)


def names(database: str) -> list:
    return sorted(row.tableName for row in spark.sql(f"SHOW TABLES IN {database}").collect() if not row.isTemporary)


def make_plain() -> None:
    for mode in ("overwrite", "append"):
        rows.write.mode(mode).saveAsTable("plain")


if step == "make":
    make_plain()
    rows.write.mode("overwrite").partitionBy("day").saveAsTable("by_day")
    spark.sql("CREATE DATABASE IF NOT EXISTS team COMMENT 'of two people'")
    rows.write.mode("overwrite").format("csv").saveAsTable("team.plain")
    spark.sql("CREATE OR REPLACE VIEW team.evens AS SELECT id FROM default.plain WHERE id % 2 = 0")
    spark.sql("CREATE TABLE IF NOT EXISTS by_hand (name STRING, at TIMESTAMP, list ARRAY<STRUCT<a: INT, b: DECIMAL(20, 2)>>)")
    spark.sql("INSERT OVERWRITE by_hand VALUES ('ä', TIMESTAMP '2024-02-29 12:00:00', array(named_struct('a', 1, 'b', 2.50BD)))")
    spark.sql("CREATE TABLE IF NOT EXISTS as_hive (id BIGINT) PARTITIONED BY (day BIGINT) STORED AS TEXTFILE")
    spark.conf.set("hive.exec.dynamic.partition.mode", "nonstrict")
    rows.write.mode("overwrite").insertInto("as_hive")
    wide = spark.range(1).select(*[F.lit(i).alias(f"a_column_with_quite_a_long_name_{i}") for i in range(1500)])
    wide.write.mode("overwrite").saveAsTable("wide")
    rows.createOrReplaceTempView("mine_alone")
    found["rows"] = spark.table("plain").count()
elif step == "find":
    found["databases"] = sorted(row.namespace for row in spark.sql("SHOW DATABASES").collect())
    found["default"] = names("default")
    found["team"] = names("team")
    found["plain"] = spark.table("plain").count()
    found["one day"] = spark.table("by_day").where("day = 3").count()
    found["partitions"] = spark.sql("SHOW PARTITIONS by_day").count()
    found["csv"] = spark.table("team.plain").agg(F.sum("id")).first()[0]
    found["view"] = spark.sql("SELECT count(*) FROM team.evens").first()[0]
    by_hand = spark.table("by_hand").first()
    found["by hand"] = [by_hand.name, str(by_hand.at), by_hand.list[0].a, str(by_hand.list[0].b)]
    found["provider"] = spark.sql("DESCRIBE EXTENDED by_hand").where("col_name = 'Provider'").first().data_type
    found["hive"] = spark.table("as_hive").groupBy("day").count().count()
    found["columns"] = len(spark.table("wide").columns)
    make_plain()
    found["made again"] = spark.table("plain").count()
elif step == "shared":
    mine, theirs = sys.argv[2:]
    rows.write.mode("overwrite").saveAsTable(mine)
    end = time.monotonic() + 120
    while not spark.catalog.tableExists(theirs) and time.monotonic() < end:
        time.sleep(0.5)
    found[theirs] = spark.table(theirs).count()
elif step == "outlive":
    found["before"] = spark.table("plain").count()
    with open("/tmp/tables-ready", "w") as file:
        file.write("ready")
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.2)
    found["after"] = spark.table("plain").count()
elif step == "missing":
    found["without a table"] = spark.range(10).count()
    rows.createOrReplaceTempView("mine_alone")
    found["a view of its own"] = spark.sql("SELECT count(*) FROM mine_alone").first()[0]
    try:
        spark.table("plain")
    except AnalysisException as error:
        found["said"] = str(error)
elif step == "drop":
    for name in names("team"):
        spark.sql(f"DROP {'VIEW' if name == 'evens' else 'TABLE'} team.{name}")
    spark.sql("DROP DATABASE team")
    for name in names("default"):
        spark.sql(f"DROP TABLE {name}")
    found["tables"] = names("default")
    folder = spark._jvm.org.apache.hadoop.fs.Path(spark.conf.get("spark.sql.warehouse.dir"))
    files = folder.getFileSystem(spark._jsc.hadoopConfiguration())
    found["files"] = [status.getPath().getName() for status in files.listStatus(folder)]
spark.stop()
print("found: " + json.dumps(found))
