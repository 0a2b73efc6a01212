"""What a data scientist tries on the first day, as one cell of a notebook in a folder of their own. The result of each step, or its
error, is written to /tmp/first_day.json. A second run must give the same results, although files and tables then exist already.
"""

import fcntl
import glob
import io
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyspark.pandas as ps
from pyspark import SparkFiles
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

steps = []


def step(function):
    steps.append(function)


@step
def categories_become_text():
    return spark.createDataFrame(pd.DataFrame({"c": pd.Categorical(["a", "b"]), "x": [1, 2]})).dtypes


@step
def pandas_nullable_types():
    frame = pd.DataFrame({"i": pd.array([1, None], "Int64"), "s": pd.array(["a", None], "string"), "b": pd.array([True, None], "boolean")})
    return [list(row) for row in spark.createDataFrame(frame).collect()]


@step
def pandas_on_spark_reads_what_pandas_wrote():
    pd.DataFrame({"a": range(5)}).to_csv("by-pandas.csv", index=False)
    return len(ps.read_csv("by-pandas.csv"))


@step
def pandas_reads_what_pandas_on_spark_wrote():
    ps.DataFrame({"a": range(5)}).to_parquet("by-ps.parquet")
    return len(pd.read_parquet("by-ps.parquet"))


@step
def pandas_on_spark_plots():
    return type(ps.DataFrame({"a": range(5), "b": range(5)}).plot.line(x="a", y="b")).__name__


@step
def excel():
    pd.DataFrame({"a": [1]}).to_excel("book.xlsx", index=False)
    return int(pd.read_excel("book.xlsx").a[0])


@step
def pandas_on_spark_takes_what_pandas_takes():
    ps.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_excel("by-ps.xlsx", index=False)
    day = ps.to_datetime(ps.Series(["2024-01-02"])).dt.day.tolist()
    left = len(ps.date_range("2024-01-01", "2024-01-04", closed="left"))
    return [list(ps.read_excel("by-ps.xlsx").shape), len(ps.date_range("2024-01-01", periods=3)), left, *day]


@step
def pandas_on_spark_resamples():
    minutes = ps.Series(range(9), index=pd.date_range("2024-01-01", periods=9, freq="min"), name="minutes")
    return [minutes.resample(span).sum().sort_index().astype(int).tolist() for span in ("3T", "h", "ME")]


@step
def pandas_on_spark_counts_and_draws():
    """Entries of an index of several levels, and a histogram beside a column of text."""
    entries = ps.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)], names=["letter", "number"])
    counts = entries.value_counts().sort_index().to_pandas()
    bars = ps.DataFrame({"text": ["x", "y"], "number": [1, 3]}).plot.hist(bins=3).data
    return [[[*entry, count] for entry, count in counts.items()], list(counts.index.names), [sum(bar.y) for bar in bars]]


@step
def pandas_on_spark_draws_with_matplotlib():
    """Each kind, of a frame and of a column; box is for columns alone. How many bars a histogram has."""
    frame = ps.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 2.0]})
    with ps.option_context("plotting.backend", "matplotlib"):
        bars = len(frame.a.plot.hist(bins=3).patches)
        for data in (frame, frame.a):
            for kind in ("line", "bar", "barh", "area", "hist", "kde"):
                data.plot(kind=kind, **({"bw_method": 3} if kind == "kde" else {}))
        frame.plot.scatter("a", "b")
        frame.plot.pie(y="a")
        return [bars, [label.get_text() for label in frame.a.plot.box().get_xticklabels()]]


@step
def pandas_on_spark_cuts_text_and_days():
    """Arguments that pandas 2 takes only by name, or has renamed."""
    words = ps.Series(["a b c", "d e"])
    cut = [[list(parts) for parts in how(" ", n=1).to_pandas()] for how in (words.str.split, words.str.rsplit)]
    columns = words.str.split(" ", n=1, expand=True).sort_index().to_pandas()
    times = ps.DataFrame({"a": range(4)}, index=pd.date_range("2024-01-01", periods=4, freq="6h"))
    noon = [sorted(times.between_time("06:00", "12:00", *ends).a.tolist()) for ends in ((), (False, True), (True, False), (False, False))]
    places = sorted(times.index.indexer_between_time("06:00", "12:00", include_end=False).tolist())
    return [cut, columns[1].tolist(), noon, places, ps.DataFrame({"a": [1], "b": [3]}).mad(axis=1).tolist()]


@step
def pandas_on_spark_applies_with_an_index_that_is_named():
    """A function that keeps the rows it was given, and one that makes a row of each group."""
    frame = ps.DataFrame({"a": ["x", "x", "y"], "b": [1, 2, 3]})

    def more(group) -> ps.DataFrame[int, [int]]:
        return group[["b"]] + 1

    def both(group) -> ps.DataFrame[[("a", str), ("row", int)], [("b", int)]]:
        return group[["b"]] + 1

    kept = frame.groupby("a").apply(more).sort_index().to_pandas()
    keyed = frame.groupby("a").apply(both).sort_index().to_pandas()
    return [kept.index.tolist(), kept.iloc[:, 0].tolist(), [list(entry) for entry in keyed.index], keyed.b.tolist()]


@step
def text_files():
    os.system("rm -rf lines")
    sc.parallelize(["a", "b"] * 10, 4).saveAsTextFile("lines")
    return sc.textFile("lines").count()


@step
def sequence_files():
    os.system("rm -rf sequence sequence-new")
    pairs, formats = sc.parallelize([("a", 1), ("b", 2)], 2), "org.apache.hadoop.mapreduce.lib.%s.SequenceFile%sFormat"
    pairs.saveAsSequenceFile("sequence")
    pairs.saveAsNewAPIHadoopFile("sequence-new", formats % ("output", "Output"))
    new = sc.newAPIHadoopFile("sequence-new", formats % ("input", "Input"), "org.apache.hadoop.io.Text", "org.apache.hadoop.io.IntWritable")
    return [sc.sequenceFile("sequence").count(), sorted(new.keys().collect())]


@step
def text_of_two_bytes():
    with open("two-bytes.csv", "w", encoding="utf-16") as file:
        file.write("a,b\nü,2\n😀,3\n")
    rows = spark.read.option("encoding", "UTF-16").csv("two-bytes.csv", header=True).orderBy("b").collect()
    return [list(row) for row in rows]


@step
def environment_of_executors():
    """conf.set says that it is too late, and the way that its message names works."""
    from IPython.utils.capture import capture_output

    with capture_output() as said:
        spark.conf.set("spark.executorEnv.LATE", "yes")
    try:
        exec(said.stderr.partition("starts. ")[2].partition(" gives it")[0])
        return sc.parallelize([1], 1).map(lambda _: os.environ.get("LATE")).collect()
    finally:
        sc.environment.pop("LATE", None)


@step
def log_of_ones_own():
    """A log after logging.basicConfig(level=logging.INFO) holds no lines of py4j."""
    lines = io.StringIO()
    handler, before = logging.StreamHandler(lines), logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)
    spark.range(2).select(F.udf(lambda x: x, "long")("id")).collect()
    logging.error("KeyboardInterrupt while sending command.")
    logging.getLogger("mine").info("my own line")
    logging.root.removeHandler(handler)
    logging.root.setLevel(before)
    return lines.getvalue()


@step
def processes_and_threads():
    """Forked processes of multiprocessing can compute but not use Spark. Threads can use it, and the session goes on."""
    computed = multiprocessing.Pool(2).map(abs, [-1, -2])
    try:
        multiprocessing.Pool(1).apply(count_a_row)
    except RuntimeError as error:
        said = str(error)
    with ThreadPoolExecutor(2) as threads:
        return [computed, said[:37], list(threads.map(lambda rows: spark.range(rows).count(), [3, 4]))]


def count_a_row():
    return spark.range(1).count()


@step
def program_by_run():
    """%run gives a program its own namespace, which has `spark` too."""
    with open("program.py", "w") as file:
        file.write("rows_of_program = spark.range(7).count() + sc.parallelize([1]).count()\n")
    shell = get_ipython()  # noqa: F821
    shell.run_line_magic("run", "program.py")
    return shell.user_ns["rows_of_program"]


@step
def frames_that_are_displayed():
    """display(frame) shows rows, as on Databricks."""
    from IPython.display import display
    from IPython.utils.capture import capture_output

    with capture_output() as shown:
        display(spark.range(30), "text")
    return [shown.outputs[0].data["text/plain"].splitlines()[-1], len(shown.outputs)]


@step
def relative_paths_in_functions():
    """Runs before addFile: after it, an executor stays in the folder that holds the added files."""
    os.system("rm -f written.txt")
    with open("looked-up.txt", "w") as file:
        file.write("found")

    def write(rows):
        with open("written.txt", "w") as file:
            file.write(str(sum(rows)))

    sc.parallelize([1, 2], 1).foreachPartition(write)
    looked_up = spark.range(1).select(F.udf(lambda _: open("looked-up.txt").read())("id")).first()[0]
    return [looked_up, open("written.txt").read()]


@step
def folder_that_is_changed():
    """After os.chdir or %cd, Spark resolves relative paths in the new folder too."""
    os.makedirs("deeper", exist_ok=True)
    here = os.getcwd()
    os.chdir("deeper")
    try:
        pd.DataFrame({"a": [1]}).to_csv("by-pandas.csv", index=False)
        os.system("rm -rf lines")
        sc.parallelize(["a"], 1).saveAsTextFile("lines")
        spark.range(2).write.mode("overwrite").parquet("by-spark.parquet")
        found = [spark.read.csv("by-pandas.csv").count(), len(pd.read_parquet("by-spark.parquet")), sc.textFile("lines").count()]
    finally:
        os.chdir(here)
    return [*found, os.path.isdir("deeper/by-spark.parquet"), os.path.isdir("by-spark.parquet")]


@step
def file_for_executors():
    with open("told.txt", "w") as file:
        file.write("hello")
    sc.addFile("told.txt")
    os.makedirs("deeper", exist_ok=True)
    here = os.getcwd()
    os.chdir("deeper")
    try:
        with open("told-deeper.txt", "w") as file:
            file.write("goodbye")
        sc.addFile(Path("told-deeper.txt"))
    finally:
        os.chdir(here)
    return sc.parallelize([1], 1).map(lambda _: open(SparkFiles.get("told.txt")).read() + open("told.txt").read() + open("told-deeper.txt").read()).collect()


@step
def file_of_the_web_that_is_not_there():
    """Later jobs do not fetch a file that could not be added."""
    failed, before = 0, sc.listFiles
    for add in (sc.addFile, sc.addPyFile, sc.addArchive):
        try:
            add("http://127.0.0.1:9/none.zip")
        except Exception as error:
            failed += "Connection refused" in str(error)
    return [failed, sc.listFiles == before, sc.listArchives, sc.parallelize([1, 2], 2).count()]


@step
def module_beside_the_notebook():
    os.makedirs("beside", exist_ok=True)
    with open("beside_me.py", "w") as file:
        file.write("from beside import deeper\n\ndef more(x):\n    return x + deeper.ONE\n")
    with open("beside/deeper.py", "w") as file:
        file.write("ONE = 1\n")
    import beside_me

    return [row[0] for row in spark.range(3).select(F.udf(beside_me.more, "long")("id")).collect()]


@step
def filters_of_warnings_on_executors():
    """joblib-spark sends Python's warning filters to executors with each task of scikit-learn."""
    filters = list(warnings.filters)
    return sc.parallelize([1], 1).map(lambda _: len(filters)).first() == len(filters)


@step
def module_that_was_edited():
    import importlib

    def by_executors(text):
        with open("edited.py", "w") as file:
            file.write(text)
        import edited

        importlib.reload(edited)
        return sc.parallelize([1, 2], 2).map(lambda x: edited.more(x)).collect()

    return [by_executors("def more(x):\n    return x\n"), by_executors("def more(x):\n    return x * 100\n")]


@step
def module_of_another_folder():
    os.makedirs("library", exist_ok=True)
    with open("library/of_mine.py", "w") as file:
        file.write("def ten():\n    return 10\n")
    sys.path.append(os.path.abspath("library"))
    import of_mine

    return sc.parallelize([1], 1).map(lambda _: of_mine.ten()).collect()


@step
def module_by_add_py_file():
    with open("/tmp/by_add.py", "w") as file:
        file.write("V = 42\n")
    sc.addPyFile("/tmp/by_add.py")

    def value(_):
        import by_add

        return by_add.V

    return sc.parallelize([1], 1).map(value).collect()


@step
def window_and_join():
    frame = spark.range(1000).withColumn("g", F.col("id") % 7)
    ranked = frame.withColumn("r", F.row_number().over(Window.partitionBy("g").orderBy("id")))
    return ranked.join(F.broadcast(spark.range(7).toDF("g")), "g").agg(F.max("r")).first()[0]


@step
def model_is_saved_and_read():
    frame = spark.range(100).select(F.col("id").cast("double").alias("x"), (F.col("id") * 2 + 1).cast("double").alias("y"))
    model = Pipeline(stages=[VectorAssembler(inputCols=["x"], outputCol="f"), LinearRegression(featuresCol="f", labelCol="y")]).fit(frame)
    model.write().overwrite().save("model")
    return round(PipelineModel.load("model").transform(frame).orderBy("x").first().prediction, 3)


@step
def model_of_scikit_learn_in_a_udf():
    from sklearn.linear_model import LinearRegression as Line

    line = sc.broadcast(Line().fit(np.arange(10).reshape(-1, 1), np.arange(10)))

    @F.pandas_udf("double")
    def predicted(s: pd.Series) -> pd.Series:
        return pd.Series(line.value.predict(s.to_numpy().reshape(-1, 1)))

    return [abs(round(row[0], 3)) for row in spark.range(3).select(predicted("id")).collect()]


@step
def stream_in_memory():
    query = spark.readStream.format("rate").option("rowsPerSecond", 10).load().writeStream.format("memory").queryName("rates").start()
    while spark.table("rates").count() == 0:
        time.sleep(0.2)
    query.stop()
    return True


@step
def stream_with_state_and_without_a_checkpoint_folder():
    """Every executor must find a stream's state, because the tasks of a partition run on another executor in most batches."""
    os.system("rm -rf .stream-*")
    spark.conf.set("spark.sql.shuffle.partitions", 4)
    rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 40).option("numPartitions", 4).load()
    counts = rows.groupBy(F.col("value") % 7).count()
    query = counts.writeStream.outputMode("complete").format("memory").queryName("counts").start()
    while (query.lastProgress or {"batchId": 0})["batchId"] < 2 and query.isActive:
        time.sleep(0.2)
    shared = len(glob.glob(".stream-*/state/0/*/*.delta")) > 0
    query.stop()
    spark.conf.unset("spark.sql.shuffle.partitions")
    return [shared, query.exception(), glob.glob(".stream-*")]


@step
def folders_that_a_killed_driver_left():
    """The next stream removes the folders of drivers that have ended, and none of a running driver."""
    os.system("rm -rf .stream-* .streams-*; mkdir .stream-gone-0 .stream-mine-0; touch .streams-gone .stream-gone-0/metadata .streams-mine")
    with open(".streams-mine", "r+") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 4).load()
        query = rows.groupBy("value").count().writeStream.outputMode("complete").format("memory").queryName("left").start()
        found = [len(glob.glob(".stream-*")), os.path.exists(".stream-mine-0"), os.path.exists(".streams-gone")]
        query.stop()
    os.system("rm -rf .stream-mine-0 .streams-mine")
    return found


@step
def streams_to_relative_folders():
    os.system("rm -rf arriving checkpoint checkpoint2 arrived arrived2")
    os.makedirs("arriving")
    pd.DataFrame({"a": [1, 2]}).to_csv("arriving/1.csv", index=False)
    rows = spark.readStream.schema("a int").option("header", True).csv("arriving")
    once = rows.writeStream.format("parquet").trigger(availableNow=True)
    once.option("checkpointLocation", "checkpoint").start("arrived").awaitTermination(120)
    once.option("checkpointLocation", "checkpoint2").option("path", "arrived2").start().awaitTermination(120)
    return [spark.read.parquet(folder).count() for folder in ("arrived", "arrived2")]


@step
def formats():
    for kind in ("json", "orc", "csv", "parquet"):
        spark.range(10).write.mode("overwrite").format(kind).save(f"out-{kind}")
    return [spark.read.format(kind).load(f"out-{kind}").count() for kind in ("json", "orc", "csv", "parquet")]


@step
def other_alphabets():
    spark.createDataFrame([("ü😀",)], ["s"]).write.mode("overwrite").csv("alphabets")
    return spark.read.csv("alphabets").first()[0]


@step
def table_by_sql():
    spark.sql("drop table if exists by_sql")
    spark.sql("create table by_sql as select 1 as a")
    spark.sql("create table if not exists parted (a int, p string) using parquet partitioned by (p)")
    spark.sql("insert overwrite parted values (1, 'x')")
    return [spark.table("by_sql").count(), spark.table("parted").count()]


@step
def cells_of_sql():
    """%%sql: several statements, a frame and values of the notebook, and a table of what comes out; %sql in one line."""
    shell = get_ipython()  # noqa: F821
    shell.user_ns.update(numbers=spark.range(5), least=2, word="a;b <i>")
    cell = """-- Statements end with a semicolon; here is one in a comment.
        CREATE OR REPLACE TEMP VIEW words AS SELECT 'k;' AS k;
        SELECT id, :word AS word, k, '{"a": ":no"}' AS json, NULL AS nothing FROM {numbers}, words WHERE id >= :least ORDER BY id;
        -- The end.
    """
    shell.run_cell_magic("sql", "found --rows 2", cell)
    shown = shell.user_ns["found"]._repr_mimebundle_()
    line = shell.run_line_magic("sql", "SELECT sum(id) AS total FROM {numbers}")
    failed = []
    for line_of_cell, text in (("", "SELECT raise_error('shown')"), ("SELECT 1", "FROM x"), ("", "-- nothing")):
        try:
            shell.run_cell_magic("sql", line_of_cell, text)
        except Exception as error:
            failed.append(type(error).__name__)
    return [shown["text/plain"], shown["text/html"].count("&lt;i&gt;"), shell.user_ns["found"].count(), line.first()[0], failed]


@step
def table_by_frame():
    spark.range(5).write.mode("overwrite").saveAsTable("by_frame")
    spark.range(5).write.mode("append").saveAsTable("by_frame")
    return spark.table("by_frame").count()


@step
def table_that_another_session_writes():
    """Another notebook writes the table, or a function of foreachBatch, which has its own session."""
    spark.range(5).write.mode("overwrite").saveAsTable("grown")
    before = spark.table("grown").count()
    spark.newSession().range(5).write.mode("append").saveAsTable("grown")
    return [before, spark.table("grown").count()]


@step
def broadcast_of_arrays_and_frames():
    arrays = sc.broadcast({"c": np.arange(2000.0).reshape(40, 50), "fortran": np.asfortranarray(np.arange(2000.0).reshape(40, 50))})
    frame = sc.broadcast(pd.DataFrame({"n": range(1000), "s": ["x"] * 1000}))

    def look(row):
        return float(arrays.value["c"][1][row] + arrays.value["fortran"][1][row]) + int(frame.value["n"][row])

    return sc.parallelize(range(3), 3).map(look).collect()


@step
def checkpoint():
    sc.setCheckpointDir("checkpoints")
    return spark.range(10).checkpoint().count()


@step
def interrupt_while_rows_are_awaited():
    """Interrupts the kernel, as JupyterLab's stop button does: toPandas() must not wait until its job is done."""
    done = os.path.abspath("slow-is-done")
    os.system(f"rm -f {done}")

    def interrupt():
        while not sc.statusTracker().getActiveJobsIds():
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    @F.udf("long")
    def slow(x):
        time.sleep(100)
        open(done, "w").close()
        return x

    threading.Thread(target=interrupt).start()
    try:
        spark.range(1, numPartitions=1).select(slow("id")).toPandas()
    except KeyboardInterrupt:
        # Not a check that the job has ended: PySpark cancels it too, and that may take effect at any time.
        return os.path.exists(done)
    finally:
        sc.cancelAllJobs()


@step
def own_error_is_shown():
    def bad(x):
        raise ValueError("my own error")

    try:
        spark.range(2).select(F.udf(bad)("id")).collect()
    except Exception as error:
        return "ValueError: my own error" in str(error)


@step
def session_in_local_mode_and_back():
    """Users copy `local[*]` from a book and remove it again."""
    global spark, sc
    spark.stop()
    local = SparkSession.builder.master("local[1]").getOrCreate()
    there = [local.sparkContext.master, local.range(3).count()]
    local.stop()
    spark = SparkSession.builder.getOrCreate()
    sc = spark.sparkContext
    return [*there, sc.master.partition(":")[0], spark.range(4).count()]


@step
def tests_of_ones_own_code():
    """Users run tests of their own code with pytest, in a terminal."""
    with open("test_own.py", "w") as file:
        file.write(
            "import pytest\n"
            "from pyspark.sql import SparkSession\n"
            "from pyspark.testing import assertDataFrameEqual\n"
            "from tqdm import tqdm\n"
            "@pytest.fixture(scope='session')\n"
            "def spark():\n"
            "    yield SparkSession.builder.master('local[1]').getOrCreate()\n"
            "def test_ids(spark):\n"
            "    rows = [(number,) for number in tqdm(range(3))]\n"
            "    assertDataFrameEqual(spark.range(3).toDF('id'), spark.createDataFrame(rows, 'id long'))\n"
        )
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_own.py"], capture_output=True, text=True)
    return [run.returncode, "1 passed" in run.stdout]


@step
def homes_of_another_computer():
    """The first lines of notebooks for Colab."""
    global spark, sc
    spark.stop()
    ours = [os.environ.get(key) for key in ("SPARK_HOME", "JAVA_HOME")]
    os.environ["SPARK_HOME"] = "/content/spark-3.1.1-bin-hadoop3.2"
    os.environ["JAVA_HOME"] = "/usr/lib/jvm/java-8-openjdk-amd64"
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--conf spark.submitted=yes pyspark-shell"
    spark = SparkSession.builder.getOrCreate()
    sc = spark.sparkContext
    del os.environ["PYSPARK_SUBMIT_ARGS"]
    return [spark.range(3).count(), [os.environ.get(key) for key in ("SPARK_HOME", "JAVA_HOME")] == ours, sc.getConf().get("spark.submitted")]


@step
def session_that_is_stopped_twice():
    """A cell that stops `spark` is run again after another cell has made a session with another name."""
    global spark, sc
    old = spark
    old.stop()
    other = SparkSession.builder.getOrCreate()
    old.stop()
    spark = SparkSession.builder.getOrCreate()
    sc = spark.sparkContext
    return [other.range(2).count(), spark.range(3).count()]


@step
def master_of_a_book():
    """The error comes at once; Spark itself would try for a minute or forever."""
    global spark, sc
    spark.stop()
    said = []
    for master in ("yarn", "spark://localhost:7077"):
        begin = time.monotonic()
        try:
            SparkSession.builder.master(master).getOrCreate()
        except Exception as error:
            said.append(["leave .master(" in str(error), time.monotonic() - begin < 30])
    spark = SparkSession.builder.getOrCreate()
    sc = spark.sparkContext
    return [said, spark.range(4).count()]


results = {}
for function in steps:
    try:
        results[function.__name__] = function()
    except Exception as error:
        results[function.__name__] = f"{type(error).__name__}: {str(error)[:1500]}"
with open("/tmp/first_day.json", "w") as file:
    json.dump(results, file)
