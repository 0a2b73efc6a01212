"""Tries every way to write files from Spark, on a cluster. Writing to a folder that executors do not share is refused before it runs,
and existing files stay. Writing to other folders works, and the files can be read back.

    spark-submit write_guard.py refused FOLDER WORDS SHARED    FOLDER is on the driver only, WORDS must be in the message;
                                                               SHARED may hold links (it need not be a shared folder)
    spark-submit write_guard.py works FOLDER                   a path or an address

With TRIPLEWIDE_FORMS, names separated by semicolons, only these of the forms.

Prints one JSON document: {"tried": n, "wrong": ["what is wrong", ...]}
"""

import glob
import json
import os
import shutil
import sys
import uuid
from typing import Any, Callable, Dict, Iterator, List

import pyarrow
import pyarrow.parquet
from pyspark.errors import PySparkException, StreamingQueryException, UnsupportedOperationException
from pyspark.ml.feature import Binarizer
from pyspark.ml import Pipeline
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

spark = SparkSession.builder.appName("write guard").getOrCreate()
sc = spark.sparkContext
tried = 0
wrong: List[str] = []
OLD = 424242


def frame(rows: int = 10) -> DataFrame:
    # Has a shuffle, which a refused write must not run.
    return spark.range(rows).withColumn("day", F.col("id") % 2).repartition(4, "id")


def address(path: str) -> str:
    return path if "://" in path else "file://" + path


def table(name: str, folder: str) -> str:
    """A name of a managed table whose files lie below the folder."""
    database = "db_" + uuid.uuid4().hex[:8]
    spark.sql(f"CREATE DATABASE {database} LOCATION '{address(folder)}'")
    return f"{database}.{name}"


def hadoop_rows(rows: int = 10) -> Any:
    return sc.parallelize([(i, str(i)) for i in range(rows)], 4)


def insert_overwrite(folder: str, mode: str) -> None:
    name = table("t", os.path.dirname(folder))
    spark.sql(f"CREATE TABLE {name} (id BIGINT, day BIGINT) USING parquet PARTITIONED BY (day) LOCATION '{address(folder)}'")
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", mode)
    frame().write.mode("overwrite").insertInto(name)


def insert_into(folder: str) -> None:
    name = table("t", os.path.dirname(folder))
    spark.sql(f"CREATE TABLE {name} (id BIGINT, day BIGINT) USING parquet LOCATION '{address(folder)}'")
    frame().write.insertInto(name)


def replace_table(folder: str) -> None:
    """saveAsTable drops the table and its files before Spark plans the write."""
    name = table(os.path.basename(folder), os.path.dirname(folder))
    # Spark refuses to create a table in a folder that has files.
    aside = folder + "-aside"
    if os.path.exists(folder):
        os.rename(folder, aside)
    spark.sql(f"CREATE TABLE {name} (id BIGINT, day BIGINT) USING parquet")
    if os.path.exists(aside):
        # The catalogue makes the table's folder, which may be on another machine.
        if os.path.exists(folder):
            os.rmdir(folder)
        os.rename(aside, folder)
    kept(name, lambda: frame().write.mode("overwrite").saveAsTable(name))


def kept(name: str, write: Callable[[], Any]) -> None:
    """A table still exists after overwriting it was refused."""
    try:
        write()
    except Exception:
        if not spark.catalog.tableExists(name):
            wrong.append(f"{name} was dropped before the write was refused")
        raise


def moved_table(folder: str) -> None:
    """A managed table in an allowed place is overwritten by a table with a path."""
    name = "t_" + uuid.uuid4().hex[:8]
    spark.sql(f"CREATE TABLE {name} (id BIGINT, day BIGINT) USING parquet")
    kept(name, lambda: frame().write.mode("overwrite").option("path", address(folder)).saveAsTable(name))


def hive_table(folder: str) -> str:
    name = table("t", os.path.dirname(folder))
    spark.sql(f"CREATE TABLE {name} (id BIGINT, day BIGINT) STORED AS TEXTFILE LOCATION '{address(folder)}'")
    return name


def hive_table_as(folder: str) -> None:
    frame().createOrReplaceTempView("rows")
    name = table("t", os.path.dirname(folder))
    spark.sql(f"CREATE TABLE {name} STORED AS TEXTFILE LOCATION '{address(folder)}' AS SELECT * FROM rows")


def hive_directory(folder: str) -> None:
    frame().createOrReplaceTempView("rows")
    spark.sql(f"INSERT OVERWRITE DIRECTORY '{address(folder)}' STORED AS TEXTFILE SELECT * FROM rows")


def create_table(folder: str) -> None:
    frame().write.saveAsTable(table(os.path.basename(folder), os.path.dirname(folder)))


def create_table_as(folder: str) -> None:
    frame().createOrReplaceTempView("rows")
    spark.sql(f"CREATE TABLE {table('t', os.path.dirname(folder))} USING parquet LOCATION '{address(folder)}' AS SELECT * FROM rows")


def insert_directory(folder: str) -> None:
    frame().createOrReplaceTempView("rows")
    spark.sql(f"INSERT OVERWRITE DIRECTORY '{address(folder)}' USING parquet SELECT * FROM rows")


def pandas_on_spark(folder: str) -> None:
    spark.range(10).pandas_api().to_parquet(address(folder))


def bucketed(folder: str) -> None:
    frame().write.bucketBy(2, "id").option("path", address(folder)).saveAsTable(table("t", os.path.dirname(folder)))


MODEL = Binarizer(threshold=0.5, inputCol="day", outputCol="on")
TEXT_OUTPUT = "org.apache.hadoop.mapreduce.lib.output.TextOutputFormat"
INT, STRING = "org.apache.hadoop.io.IntWritable", "org.apache.hadoop.io.Text"

FORMS: Dict[str, Callable[[str], Any]] = {
    **{
        f"write.{kind}": lambda folder, kind=kind: getattr(frame().write, kind)(address(folder))
        for kind in ("parquet", "csv", "json", "orc")
    },
    "write.text": lambda folder: frame().select(F.col("id").cast("string")).write.text(address(folder)),
    "write.partitionBy": lambda folder: frame().write.partitionBy("day").parquet(address(folder)),
    "write.mode(append)": lambda folder: frame().write.mode("append").parquet(address(folder)),
    "saveAsTable": create_table,
    "saveAsTable, bucketed, with a path": bucketed,
    "CREATE TABLE AS": create_table_as,
    "insertInto": insert_into,
    "INSERT OVERWRITE DIRECTORY": insert_directory,
    "Hive's insertInto": lambda folder: frame().write.insertInto(hive_table(folder)),
    "Hive's CREATE TABLE AS": hive_table_as,
    "Hive's INSERT OVERWRITE DIRECTORY": hive_directory,
    "pandas on Spark": pandas_on_spark,
    "saveAsTextFile": lambda folder: hadoop_rows().saveAsTextFile(address(folder)),
    "saveAsPickleFile": lambda folder: hadoop_rows().saveAsPickleFile(address(folder)),
    "saveAsSequenceFile": lambda folder: hadoop_rows().saveAsSequenceFile(address(folder)),
    "saveAsNewAPIHadoopFile": lambda folder: hadoop_rows().saveAsNewAPIHadoopFile(address(folder), TEXT_OUTPUT, INT, STRING),
    "MLlib": lambda folder: MODEL.save(address(folder)),
    "MLlib's pipeline": lambda folder: Pipeline(stages=[MODEL]).save(address(folder)),
}

# Python looks at the first row to find its Hadoop types.
LOOK_FIRST = {"saveAsSequenceFile", "saveAsNewAPIHadoopFile"}

# These delete existing files first.
OVERWRITES: Dict[str, Callable[[str], Any]] = {
    "write.mode(overwrite)": lambda folder: frame().write.mode("overwrite").parquet(address(folder)),
    "INSERT OVERWRITE DIRECTORY": insert_directory,
    "insertInto, static overwrite": lambda folder: insert_overwrite(folder, "static"),
    "insertInto, dynamic overwrite": lambda folder: insert_overwrite(folder, "dynamic"),
    "saveAsTable, overwrite": replace_table,
    "saveAsTable, overwrite, with a path": moved_table,
    "Hive's insertInto, overwrite": lambda folder: frame().write.mode("overwrite").insertInto(hive_table(folder)),
    "MLlib, overwrite": lambda folder: MODEL.write().overwrite().save(address(folder)),
    "MLlib's pipeline, overwrite": lambda folder: Pipeline(stages=[MODEL]).write().overwrite().save(address(folder)),
}

if "TRIPLEWIDE_FORMS" in os.environ:
    chosen = os.environ["TRIPLEWIDE_FORMS"].split(";")
    unknown = set(chosen) - set(FORMS) - set(OVERWRITES)
    if unknown:
        raise SystemExit(f"no forms of these names: {unknown}")
    FORMS = {name: FORMS[name] for name in FORMS if name in chosen}
    OVERWRITES = {name: OVERWRITES[name] for name in OVERWRITES if name in chosen}


def count(folder: str) -> Callable[[], int]:
    return lambda: spark.read.parquet(address(folder)).count()


# How to read the files back, if not as Parquet.
READERS: Dict[str, Callable[[str], int]] = {
    **{f"write.{kind}": lambda folder, kind=kind: getattr(spark.read, kind)(address(folder)).count() for kind in ("csv", "json", "orc", "text")},
    **{
        name: lambda folder: sc.textFile(address(folder)).count()
        for name in (
            "saveAsTextFile",
            "saveAsNewAPIHadoopFile",
            "Hive's insertInto",
            "Hive's insertInto, overwrite",
            "Hive's CREATE TABLE AS",
            "Hive's INSERT OVERWRITE DIRECTORY",
        )
    },
    "saveAsPickleFile": lambda folder: sc.pickleFile(address(folder)).count(),
    "saveAsSequenceFile": lambda folder: sc.sequenceFile(address(folder)).count(),
    **{
        name: lambda folder: 10 if Binarizer.load(address(folder)).getThreshold() == 0.5 else 0
        for name in ("MLlib", "MLlib, overwrite")
    },
    **{
        name: lambda folder: 10 * len(Pipeline.load(address(folder)).getStages())
        for name in ("MLlib's pipeline", "MLlib's pipeline, overwrite")
    },
}


def stream(folder: str, stateful: bool) -> Any:
    source = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).option("numPartitions", 2).load()
    checkpoint = address(folder + "-checkpoint")
    if stateful:
        writer = source.groupBy(F.col("value") % 2).count().writeStream.outputMode("complete").format("memory")
        writer = writer.queryName("q" + uuid.uuid4().hex)
    else:
        writer = source.writeStream.format("parquet").option("path", address(folder))
    return writer.option("checkpointLocation", checkpoint).trigger(availableNow=True).start()


def files_below(folder: str) -> List[str]:
    return sorted(path for path in glob.glob(folder + "*/**", recursive=True, include_hidden=True) if os.path.isfile(path))


def on_executors(folder: str) -> List[str]:
    """Returns the files below the folder on the executors' machines."""

    def look(_: Iterator[int]) -> Iterator[str]:
        yield from files_below(folder)

    return sorted(set(sc.parallelize(range(8), 8).mapPartitions(look).collect()))


def expect_refusal(name: str, write: Callable[[], Any], target: str, words: List[str], what: str = "The write to") -> None:
    global tried
    tried += 1
    group = uuid.uuid4().hex
    sc.setJobGroup(group, name)
    try:
        write()
    except UnsupportedOperationException as error:
        first = str(error).split("\n")[0]
        for text in [f"{what} file:{target}", "not shared", *words]:
            if text not in first:
                wrong.append(f"{name}: the message's first line lacks {text!r}: {first}")
    except Exception as error:
        wrong.append(f"{name}: refused by {type(error).__name__}: {str(error)[:600]}")
    else:
        wrong.append(f"{name}: not refused")
    if sc.statusTracker().getJobIdsForGroup(group) and name not in LOOK_FIRST:
        wrong.append(f"{name}: a job ran before it was refused")
    sc.setLocalProperty("spark.jobGroup.id", None)


def refused(base: str, words: List[str], shared: str) -> None:
    global tried
    fresh = lambda: os.path.join(base, "new_" + uuid.uuid4().hex)
    targets: Dict[str, str] = {}
    for name, write in FORMS.items():
        target = fresh()
        targets[name] = target
        expect_refusal(name, lambda: write(target), target, words)
    for name, write in OVERWRITES.items():
        target = fresh()
        os.makedirs(os.path.join(target, "day=1"))
        old = os.path.join(target, "day=1", "old.parquet")
        pyarrow.parquet.write_table(pyarrow.table({"id": [OLD]}), old)
        expect_refusal(name, lambda: write(target), target, words)
        if not os.path.exists(old) or pyarrow.parquet.read_table(old)["id"].to_pylist() != [OLD]:
            wrong.append(f"{name}: what was there before the refused write is gone")
        shutil.rmtree(target, ignore_errors=True)

    # The same folder by another name.
    link = os.path.join(shared, "link-" + uuid.uuid4().hex)
    target = fresh()
    os.makedirs(target)
    os.symlink(target, link)
    expect_refusal("a link that leads out", lambda: frame().write.parquet(address(link + "/out")), link, words)
    os.unlink(link)
    link = fresh()
    os.symlink(shared, link)
    expect_refusal("a link that only this machine has", lambda: frame().write.parquet(address(link + "/out")), link, words)
    os.unlink(link)
    dots = f"{shared}/../{uuid.uuid4().hex}"
    expect_refusal("dots", lambda: frame().write.parquet(address(dots)), os.path.normpath(dots), words)
    sibling = f"{shared}-{uuid.uuid4().hex}"
    expect_refusal("a name that begins alike", lambda: frame().write.parquet(address(sibling)), sibling, words)

    target = fresh()
    expect_refusal("setCheckpointDir", lambda: sc.setCheckpointDir(address(target)), target, words, "The checkpoint folder")
    target = fresh()
    expect_refusal("a stream's files", lambda: stream(target, False), target, words)
    expect_refusal("a stream's state", lambda: stream(target, True), target, words, "The checkpoint folder")
    # A stream that seems to have begun elsewhere, because its folder has a stream's metadata. The executors refuse it.
    tried += 1
    os.makedirs(os.path.join(target, "_spark_metadata"))
    try:
        stream(target, False).awaitTermination()
        wrong.append("a stream's files in a folder that was there: not refused")
    except StreamingQueryException as error:
        if "not shared" not in str(error):
            wrong.append(f"a stream's files in a folder that was there: {error}")
    left = [path for path in files_below(os.path.join(base, "new_")) if "-checkpoint" not in path]
    left += on_executors(os.path.join(base, "new_"))
    if left:
        wrong.append(f"left behind: {left}")


def works(base: str) -> None:
    global tried
    for name, write in [*FORMS.items(), *OVERWRITES.items()]:
        folder = f"{base}/new_{uuid.uuid4().hex}"
        tried += 1
        try:
            write(folder)
            if name in OVERWRITES and write is not replace_table:
                write(folder)
            rows = READERS[name](folder) if name in READERS else count(folder)()
            if rows != 10:
                wrong.append(f"{name}: {rows} rows of 10 come back from {folder}")
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:600]}")
    folder = f"{base}/new_{uuid.uuid4().hex}"
    tried += 3
    stream(folder + "-state", True).awaitTermination()
    stream(folder, False).awaitTermination()
    # Spark 3.5 cannot read a stream's files at an address without a host, such as hdfs:///folder.
    path = spark._jvm.org.apache.hadoop.fs.Path(address(folder))
    written = path.getFileSystem(spark._jsc.hadoopConfiguration()).makeQualified(path).toString()
    if spark.read.parquet(written).count() == 0:
        wrong.append("a stream's files: none come back")
    sc.setCheckpointDir(address(folder + "-rdd"))
    checkpointed = sc.parallelize(range(10), 4)
    checkpointed.checkpoint()
    if checkpointed.count() != 10 or checkpointed.sum() != 45:
        wrong.append("an RDD's checkpoint does not come back")


if sys.argv[1] == "refused":
    os.makedirs(sys.argv[2], exist_ok=True)
    refused(sys.argv[2], [sys.argv[3]], sys.argv[4])
else:
    works(sys.argv[2])
print(json.dumps({"tried": tried, "wrong": wrong}))
