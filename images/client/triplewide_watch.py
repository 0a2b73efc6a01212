"""Tells in a notebook, or among a script's output, what its jobs wait for and why executors were lost.

While a cell or a script runs, a thread looks at the Spark session of this process every two seconds. It reports, once for each case:

- that stages wait and no task runs, because there is no executor or none has a free core; and which applications hold the cores;
- that an executor was killed for memory, with the settings to raise; or that it ended for another reason.

After a cell or a script has failed, it adds advice that Spark's trace does not give: about a full disk, or a Python worker that was killed.
"""

import contextvars
import functools
import json
import logging
import os
import re
import socket
import sys
import threading
import time
from datetime import datetime
from typing import Any, Dict, FrozenSet, List, Optional, Set, Tuple

from triplewide_cluster import defaults, last_refusal, why_no_executor

LOOK_EVERY = 2.0
LOOPBACK = re.compile(r"^(localhost(\.localdomain)?|127(\.\d+){3}|\[?::1\]?)$", re.IGNORECASE)
# Executors take a few seconds to start; an earlier message would be noise.
SAY_AFTER = 8.0

RAISE_MEMORY = (
    "raise executorMemoryOverheadMiB (spark.executor.memoryOverhead: what Python, pandas and Arrow use beside Java) or executorMemoryMiB "
    "(spark.executor.memory), or make partitions smaller: df.repartition(n)"
)
KILLED_FOR_MEMORY = re.compile(r"\b137\b|OOM|out of memory|memory limit|exceed\w* (the )?memory|Container killed", re.IGNORECASE)
JAVA_OUT_OF_MEMORY = re.compile(r"(code|status):? 52\b|OutOfMemoryError")
# The only reasons that Spark gives for a lost executor that Mesos started. Mesos has a more precise message.
SAYS_LITTLE = re.compile(r"finished with state (FAILED|LOST)$|Remote RPC client disassociated")
# The executor was released, or ended with its application: nothing to report.
AS_ASKED = re.compile(r"killed by driver|idle|Executor decommission|SparkContext|stopped|finished with state (KILLED|FINISHED)", re.IGNORECASE)


# The folder that executors share with the client; empty if there is none.
SHARED = os.environ.get("TRIPLEWIDE_SHARED", "")
# Spark's own modules that its distribution leaves out, by the format that asks for them.
MODULES = {"avro": "spark-avro", "kafka": "spark-sql-kafka-0-10", "protobuf": "spark-protobuf"}
# Third-party packages for the formats that users ask for most.
PACKAGES = {"delta": "io.delta:delta-spark_2.12:3.3.2", "xml": "com.databricks:spark-xml_2.12:0.18.0"}
# Paths in code that was written for another computer: Windows, macOS, Colab, Kaggle and Databricks.
OF_ANOTHER_COMPUTER = re.compile(
    r"(?:Path does not exist: |Relative path in absolute URI: |No such file or directory: ')(?:file:)?"
    r"([A-Za-z]:(?:[\\/]|%5C)[^\s'\"]*|/(?:Users|content|kaggle|dbfs|FileStore)/[^\s'\"]*?)(?=[.]?(?:\s|$)|['\"])"
    r'|No FileSystem for scheme "(dbfs|[A-Za-z])"'
)


# Text formats, and archives that their readers cannot read. Spark itself unpacks .gz, .bz2 and .deflate, but no .tar in them.
TEXT_FORMATS = ("csv", "json", "text")
ARCHIVE = re.compile(r"\.(zip|xlsx?|7z|rar|xz|tar|tgz|tar\.gz|tar\.bz2)$", re.IGNORECASE)

# `triplewide scale` writes this file before it ends a forgotten cluster.
NOTICE = "/run/notice/notice.json"


def say(text: str) -> None:
    print(f"triplewide: {text}", file=sys.stderr, flush=True)


def executor_lost(host: str, reason: str) -> Optional[str]:
    """Returns what to tell the user about a lost executor; None if it ended on request."""
    if AS_ASKED.search(reason):
        return None
    if JAVA_OUT_OF_MEMORY.search(reason):
        return f"an executor on {host} ran out of Java memory: raise executorMemoryMiB (spark.executor.memory), or make partitions smaller: df.repartition(n)"
    if KILLED_FOR_MEMORY.search(reason):
        return f"an executor on {host} was killed, most often for its memory ({reason.strip().rstrip('.')}): {RAISE_MEMORY}"
    return f"an executor on {host} was lost ({reason.strip().rstrip('.')}). Its tasks run again elsewhere"


def after_failure(text: str) -> Optional[str]:
    """Returns advice on a failed cell if Spark's own text gives none."""
    at = re.search(r"\((\d+\.\d+\.\d+\.\d+|[\w.-]+) executor (\w+)\)", text)
    where = f"agent {at[1]}" if at and at[2] != "driver" else "the client" if at else "an agent"
    if "No space left on device" in text:
        return f"the disk for shuffle and spilled data on {where} is full: raise scratchGb, or free it (spark.stop() in notebooks that are done; `make status`)"
    if re.search(r"(is not a Parquet file|hadoop\.io\.compress\.Decompress)", text):
        return not_as_named(text)
    if re.search(r"Python worker exited unexpectedly|Python worker failed to connect back|EOFException occurred while reading the port", text):
        return f"a Python process on {where} ended in the middle of a task, most often because its machine or container had no memory left: {RAISE_MEMORY}"
    found = advice_on_files(text) or advice_on_jars(text) or advice_on_sessions(text) or advice_on_python(text)
    if found:
        return found
    if "java.lang.OutOfMemoryError" in text:
        return f"Java ran out of memory on {where}: raise executorMemoryMiB (spark.executor.memory), or driverMemoryMiB (spark.driver.memory) for what is collected"
    if "exceeds spark.driver.maxResultSize" in text or "bigger than spark.driver.maxResultSize" in text:
        return "the result is too large to bring to the notebook: aggregate or limit() first, or raise spark.driver.maxResultSize and driverMemoryMiB"
    return None


def not_as_named(text: str) -> str:
    """Returns advice for a file whose format differs from its name or from what its reader expects."""
    parquet = re.search(r"(\S+) is not a Parquet file", text)
    if parquet:
        return f"{parquet[1]} is of another format (spark.read.csv, json, orc …), or was cut off while it was written or uploaded"
    file = re.search(r"reading file (\S+?)\.? ", text)
    return (
        f"{file[1] if file else 'a file'} was cut off, or is not compressed as the end of its name says (.gz): !gzip -t tells. A plain file is read under "
        "a name without it"
    )


def archive_text(path: Any) -> Optional[str]:
    """Returns a message if this path, given to a text reader, is an archive; None for other files."""
    archive = ARCHIVE.search(path) if isinstance(path, str) else None
    if not archive:
        return None
    name = os.path.basename(path)
    if archive[1].lower().startswith("xls"):
        return f"{name} is a workbook of Excel, which Spark reads as if it were text: spark.createDataFrame(pd.read_excel(path))"
    return f"{name} is an archive, which Spark reads as if it were text: unpack it first (!unzip, !tar xf, !unxz). pd.read_csv takes .zip and .xz as they are"


def wide_text(reader: Any, call: str, args: Any, kwargs: Any) -> None:
    """Turns on multiLine for CSV in UTF-16 or UTF-32: Spark searches for line ends by single bytes, which garbles such text.

    `call` is the reader's method that was called.
    """
    options: Dict[str, Any] = reader.__dict__.setdefault("_noted", {})
    given = {args[0]: args[1] if len(args) > 1 else kwargs.get("value")} if call == "option" and args else kwargs
    options.update((key.lower(), value) for key, value in given.items() if value is not None)
    wide = re.match(r"utf-?(16|32)", str(options.get("encoding", options.get("charset", ""))), re.IGNORECASE)
    if wide and call in ("csv", "load") and not {"multiline", "linesep"} & set(options):
        options["multiline"] = True
        reader.option("multiLine", True)


def look_at_readers() -> None:
    """Makes the readers of csv, json and text warn about archives and read UTF-16: Spark returns garbage for both without a warning."""
    reader: Any = getattr(sys.modules.get("pyspark.sql"), "DataFrameReader", None)
    if reader is None or hasattr(reader.csv, "__wrapped__"):
        return

    def telling(read: Any, name: str) -> Any:
        @functools.wraps(read)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            wide_text(self, name, args, kwargs)
            if name == "format":
                self._asked = args[0] if args else kwargs.get("source")
            elif name in TEXT_FORMATS or (name == "load" and kwargs.get("format", getattr(self, "_asked", None)) in TEXT_FORMATS):
                path = args[0] if args else kwargs.get("path", kwargs.get("paths"))
                for text in filter(None, map(archive_text, path if isinstance(path, (list, tuple)) else [path])):
                    say(text)
            return read(self, *args, **kwargs)

        return call

    for name in (*TEXT_FORMATS, "format", "load", "option", "options"):
        setattr(reader, name, telling(getattr(reader, name), name))


def advice_on_files(text: str) -> Optional[str]:
    """Returns advice when Spark cannot read a file or its timestamps."""
    if re.search(r"Illegal Parquet type: INT64 \(TIMESTAMP\(NANOS", text):
        return (
            "Spark 3.5 reads no times in nanoseconds, which is how pandas writes them. Write microseconds: "
            'pdf.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)'
        )
    if "BrotliCodec" in text:
        return 'Spark reads and writes no Brotli: pdf.to_parquet(path, compression="zstd")'
    if "AbstractHttpFileSystem" in text:
        return (
            "Spark reads no address of the web. Fetch the file into the notebook's folder first (!wget URL), or let pandas read it: "
            "spark.createDataFrame(pd.read_csv(URL))"
        )
    in_hdfs = re.search(r"[Pp]ath does not exist: hdfs://[^/\s]*/user/[^/\s]+/(\S+?)\.?(?=\s|$)", text)
    if in_hdfs and os.path.exists(in_hdfs[1]):
        path = os.path.abspath(in_hdfs[1])
        here = f"read file:{path}, or " if SHARED and path.startswith(SHARED + "/") else ""
        return f"Spark's relative paths lie in HDFS here, and {in_hdfs[1]} is in the notebook's folder: {here}!hdfs dfs -put {in_hdfs[1]} copies it"
    missing = re.search(r"(?:Path does not exist|Input path does not exist|File)[: ]+(?:file:)?(/\S+?)\.?(?=\s|$)", text)
    if missing and "/~/" in missing[1]:
        return 'Spark takes ~ for the name of a folder: os.path.expanduser("~/…"), or a path that is relative to the notebook'
    if missing and re.search(r"/data/(mllib|graphx|streaming)/", missing[1]):
        return f"Spark's sample data lies in {os.environ.get('SPARK_HOME', '/opt/spark')}/data: !cp -r $SPARK_HOME/data . puts it beside the notebook"
    if missing and "/userFiles-" in missing[1]:
        return (
            "a file of sc.addFile lies elsewhere on each machine: SparkFiles.get(name) is for open() in a function that runs there. spark.read takes "
            f"files of the notebooks' folder: !wget URL, then its name, {os.path.basename(missing[1])}"
        )
    if missing and SHARED and "SparkFileNotFoundException" in text and not missing[1].startswith(SHARED + "/"):
        return f"executors have no {missing[1]}: they see the files in {SHARED}, where the notebooks are, and no other folder of this client"
    there = re.search(r"LOCATION_ALREADY_EXISTS.*?associated location '(file:|hdfs://[^/']*)(/[^']+)'", text)
    if there:
        remove = "!rm -r" if there[1] == "file:" else "!hdfs dfs -rm -r"
        return (
            "files of a table that another job writes just now, or whose writing was cut off. Wait for that job and try again; if there is none and "
            f"nobody needs the files: {remove} {there[2]}"
        )
    if "SparkFileNotFoundException" in text and "is possible the underlying files have been updated" in text:
        return (
            "files that a frame was made of have been replaced or removed since: spark.read… anew. A job that overwrites the folder it reads "
            "loses what is in it: write to another folder"
        )
    in_function = re.search(r"FileNotFoundError: \[Errno 2\][^\n]*: '([^/'][^']*)'", text)
    if in_function and "pyspark/worker.py" in text:
        return (
            f"executors look for {in_function[1]} in the folder of the notebook or script, or in one of their own where the session has files of addFile, "
            "--files or spark.archives. A path by os.path.abspath, made outside of the function, is the same everywhere in the notebooks' folder"
        )
    local = re.search(r"Relative path in absolute URI: file:\./(\S+)", text)
    if local:
        return f"INSERT OVERWRITE LOCAL DIRECTORY takes a whole path: '{os.path.abspath(local[1])}'"
    colon = re.search(r"Relative path in absolute URI: (\S+)", text)
    if colon:
        return f"Spark reads no file with a colon in its name ({colon[1]}), nor patterns like *.csv in its folder: rename it, or let pandas read it"
    if "UNABLE_TO_INFER_SCHEMA" in text:
        return (
            "there is no file with data at that path: Spark passes over empty files, and over those whose names begin with _ or a dot. "
            "A table's LOCATION or path is below the warehouse where it is relative: os.path.abspath"
        )
    if "only include the internal corrupt record column" in text or "Did you mean one of the following? [`_corrupt_record`]" in text:
        return "Spark reads a JSON document from each line: spark.read.json(path, multiLine=True) where one takes several"
    if "Did you mean one of the following? [`_c0`" in text:
        return "the columns of this CSV have no names yet: spark.read.csv(path, header=True) takes them from its first line"
    if re.search(r"(UPDATE|MERGE INTO) TABLE is not supported temporarily|does not support DELETE", text):
        return (
            "rows of a table of plain files (Parquet, say) are added, or the table or a partition is written anew (INSERT OVERWRITE). A table of Delta Lake "
            "has UPDATE, DELETE and MERGE: spark.jars.packages, as docs/NOTEBOOKS.md has it"
        )
    if re.search(r'No FileSystem for scheme "s3n?"', text):
        return "Spark calls it s3a:// (an object store is s3Endpoint or objectStore in the cluster's config)"
    if "Incomplete HDFS URI, no host" in text:
        return "this cluster has no HDFS (datanodeCount in its config). Relative paths lie in the notebook's folder, which executors see"
    return None


def only_in_hdfs(error: BaseException, sc: Any) -> Optional[str]:
    """Returns advice when Python does not find a file that Spark wrote."""
    path = getattr(error, "filename", None) if isinstance(error, FileNotFoundError) else None
    if not isinstance(path, str) or os.path.isabs(path):
        return None
    files = sc._jvm.org.apache.hadoop.fs.FileSystem.get(sc._jsc.hadoopConfiguration())
    if files.getScheme() != "hdfs" or not files.exists(sc._jvm.org.apache.hadoop.fs.Path(path)):
        return None
    return f"{path} is in HDFS, where Spark's relative paths lie; Python reads the notebook's folder: spark.read….toPandas(), or !hdfs dfs -get {path} copies it"


def advice_on_jars(text: str) -> Optional[str]:
    """Returns advice on how this session gets jars that it lacks."""
    if "org.apache.hadoop.fs.s3a" in text and "ClassNotFoundException" in text:
        return "this cluster has no object store: s3Endpoint or objectStore in its config adds the jars for s3a:// to all its machines"
    if "No suitable driver" in text:
        return (
            "no driver of that database is in this session. For PostgreSQL, say: spark.stop(), then "
            'SparkSession.builder.config("spark.jars.packages", "org.postgresql:postgresql:version").getOrCreate(), and '
            '.option("driver", "org.postgresql.Driver")'
        )
    source = re.search(r"Failed to find (?:the )?data source: ([\w-]+(?:\.[\w-]+)*)", text)
    if not (source or re.search(r"DATA_SOURCE_NOT_FOUND|ClassNotFoundException|No FileSystem for scheme", text)):
        return None
    name = source[1].lower() if source else ""
    if "excel" in name:
        return "pandas reads Excel's files: spark.createDataFrame(pd.read_excel(path)), or pyspark.pandas.read_excel(path).to_spark()"
    version = getattr(sys.modules.get("pyspark"), "__version__", "version")
    package = f"org.apache.spark:{MODULES[name]}_2.12:{version}" if name in MODULES else PACKAGES.get(name, "group:artifact_2.12:version")
    more = ". docs/NOTEBOOKS.md has the other two settings that Delta Lake wants" if name == "delta" else ""
    return (
        "its jars are not in this session. For a package of Maven: spark.stop(), then "
        f'SparkSession.builder.config("spark.jars.packages", "{package}").getOrCreate(){more}'
    )


def advice_on_sessions(text: str) -> Optional[str]:
    """Returns advice for errors of a session that is stopped, exists already or has the wrong settings."""
    setting = re.search(r'CANNOT_MODIFY_CONFIG\][^"]*"([^"]+)"', text)
    if setting:
        return f'{setting[1]} is decided when a session starts: spark.stop(), then spark = SparkSession.builder.config("{setting[1]}", "…").getOrCreate()'
    if "INCORRECT_CONF_FOR_PROFILE" in text:
        return 'spark.stop(), then spark = SparkSession.builder.config("spark.python.profile", "true").getOrCreate(): it is decided when a session starts'
    if "BarrierJobRunWithDynamicAllocation" in text:
        return 'spark.stop(), then spark = SparkSession.builder.config("spark.dynamicAllocation.enabled", "false").getOrCreate()'
    if re.search(r"table or view `_pyspark_\w+` cannot be found", text):
        return 'a view does not keep a frame that SQL has by {its name}: df.createOrReplaceTempView("a_name") first, then the view of FROM a_name'
    if "Cannot run multiple SparkContexts at once" in text:
        return "the session that is there has one: sc = SparkContext.getOrCreate(). Another one with settings of its own: spark.stop() first"
    if "Cannot call methods on a stopped SparkContext" in text:
        return STOPPED
    return None


NAME_TYPES = 'Name the columns and their types: spark.createDataFrame(data, "id long, name string")'


def advice_on_python(text: str) -> Optional[str]:
    """Returns advice for errors about Python modules and values that Spark cannot handle."""
    missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", text)
    if missing:
        return (
            f"executors have no {missing[1]}: %pip install where the notebooks' folder is shared, sc.addPyFile for a module of your own, or a line in "
            "images/spark-python/requirements.in"
        )
    program = re.search(r'Cannot run program "([^"]*python[^"]*)"', text)
    if program:
        return (
            f'executors have no {program[1]}, which PYSPARK_PYTHON or spark.pyspark.python names: leave it away, or os.environ["PYSPARK_PYTHON"] = '
            "sys.executable; then spark.stop(), and the session anew"
        )
    if "cannot pickle '_thread." in text:
        return (
            "what Spark itself has (a session, a frame, a model of MLlib) is neither pickled nor sent to executors. A model is kept by "
            "model.write().overwrite().save(folder); functions take values, by collect() or sc.broadcast(value)"
        )
    if re.search(r"construction of ClassDict \(for (numpy|pandas)", text):
        return "a function on executors gave a value of NumPy or pandas where Spark takes Python's own: float(x), x.item(), x.tolist(), or a pandas_udf"
    if "net.razorvine.pickle" in text and "ClassDict" in text:
        return (
            "a function on executors gave an object of a class that Spark does not know. It takes numbers, text, dates, lists, tuples and dicts: "
            "x.value of an Enum, dict(x) of a Counter, list(x) of a range, str(x) of a Path"
        )
    if re.search(r"CANNOT_INFER_(SCHEMA_FOR_TYPE|TYPE_FOR_FIELD)", text):
        return (
            "createDataFrame takes a list of rows (tuples or dicts of Python's own values: x.item() of NumPy's), or a frame of pandas: "
            "spark.createDataFrame(pd.DataFrame(data)) takes a dict of columns, a Series and an array too"
        )
    if re.search(r"Method (and|or)\(\[class java\.lang\.\w+\]\) does not exist", text):
        return "& and | come before < and ==: put each comparison in parentheses, (df.a > 0.5) & (df.b == 1)"
    if "CANNOT_INFER_EMPTY_SCHEMA" in text:
        return f"there are no rows whose types could be seen. {NAME_TYPES}"
    if "CANNOT_DETERMINE_TYPE" in text:
        return f"there is a column of which no row has a value. {NAME_TYPES}"
    if "pandas.core.frame.DataFrame'> was not understood" in text or "pandas.core.series.Series'> was not understood" in text:
        return (
            "pandas-on-Spark takes what stands after -> for the types of the result: leave it away, or name them: "
            '-> pd.DataFrame["id": int, "x": float], -> pd.Series[float]'
        )
    return None


STOPPED = "this session was stopped: spark = SparkSession.builder.getOrCreate() starts another (and sc = spark.sparkContext)"


def is_stopped(error: BaseException) -> bool:
    """Tells whether PySpark raised this error because its session was stopped: it then says that None has no such attribute."""
    if not isinstance(error, AttributeError) or not str(error).startswith("'NoneType' object has no attribute"):
        return False
    frame = innermost(error)
    context = frame.f_locals.get("self") if frame and "/pyspark/" in frame.f_code.co_filename else None
    context = getattr(context, "_sc", context)
    return type(context).__name__ == "SparkContext" and getattr(context, "_jsc", 0) is None


def innermost(error: BaseException) -> Any:
    """Returns the stack frame in which an error was raised; None if it has no traceback."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    return last.tb_frame if last else None


def of_another_frame(error: BaseException) -> Optional[str]:
    """Returns advice if code uses a Spark DataFrame as one of pandas, or as an RDD."""
    name = re.fullmatch(r"'DataFrame' object has no attribute '(\w+)'", str(error))
    if not name or not isinstance(error, AttributeError):
        return None
    frame = innermost(error)
    if not frame or not frame.f_code.co_filename.endswith("/pyspark/sql/dataframe.py"):
        return None
    in_pandas = hasattr(getattr(sys.modules.get("pandas"), "DataFrame", None), name[1])
    # pandas also has `map`, for each cell. Code that calls it on a Spark DataFrame is from Spark 1, whose frames were RDDs.
    if hasattr(getattr(sys.modules.get("pyspark.rdd"), "RDD", None), name[1]) and (not in_pandas or name[1] == "map"):
        return f"{name[1]} is of RDDs: df.rdd.{name[1]}(…), whose elements are rows, and .toDF() of the result; df.select and df.withColumn are faster"
    if in_pandas:
        return f"{name[1]} is of pandas' frames, and this one is Spark's: df.pandas_api() has most of theirs, on executors; df.toPandas() brings all rows here"
    return None


def of_empty_frame(error: BaseException) -> Optional[str]:
    """Returns advice if createDataFrame got a pandas frame without columns."""
    frame = innermost(error)
    # NumPy's fromarrays fails for an empty list of columns.
    if isinstance(error, IndexError) and frame and frame.f_code.co_name == "fromarrays":
        return f"a frame of pandas without columns makes none of Spark's. {NAME_TYPES}"
    return None


# Names that Spark 1 or Databricks define, and what to use here instead.
NAMES_ELSEWHERE = {
    "sqlContext": "sqlContext is what Spark 1 had: sqlContext = spark has its sql, read, table and createDataFrame",
    "dbutils": "dbutils is of Databricks. The notebook's folder is an ordinary one: !ls, open, os and shutil; parameters by os.environ or papermill",
    "displayHTML": "displayHTML is of Databricks: from IPython.display import HTML, then HTML(text) as the last line of a cell",
}


def name_of_elsewhere(error: BaseException) -> Optional[str]:
    return NAMES_ELSEWHERE.get(error.name or "") if isinstance(error, NameError) else None


# Attributes that pandas 2 removed, and what replaces them.
GONE_FROM_PANDAS = {
    "append": "pd.concat([a, b], ignore_index=True)",
    "iteritems": "items()",
    "ix": "loc[…] by labels, iloc[…] by places",
    "lookup": "df.melt, or df.to_numpy() with indexers",
    "mad": "(x - x.mean()).abs().mean()",
    "as_matrix": "to_numpy()",
    "get_value": "at[row, column]",
}


def of_older_pandas(error: BaseException) -> Optional[str]:
    """Returns advice if code was written for pandas 0 or 1."""
    gone = re.fullmatch(r"'(?:DataFrame|Series)' object has no attribute '(\w+)'", str(error))
    frame = innermost(error)
    file = frame.f_code.co_filename if frame else ""
    if isinstance(error, AttributeError) and gone and gone[1] in GONE_FROM_PANDAS and "/pandas/core/" in file and "pyspark" not in file:
        return f"pandas 2 has no {gone[1]} any more: {GONE_FROM_PANDAS[gone[1]]}"
    of_text = str(error).startswith("could not convert string to float") or "agg function failed" in str(error)
    if isinstance(error, (ValueError, TypeError)) and of_text:
        trace = error.__traceback__
        while trace:
            code = trace.tb_frame.f_code
            if re.search(r"/pandas/core/(frame|groupby/\w+)\.py$", code.co_filename) and code.co_name in TAKES_NUMERIC_ONLY:
                return f"pandas 2 does not leave columns of text out by itself: .{code.co_name}(numeric_only=True)"
            trace = trace.tb_next
    return None


TAKES_NUMERIC_ONLY = ("corr", "cov", "mean", "median", "std", "var", "skew", "quantile", "sem")


def by_operators(error: BaseException) -> Optional[str]:
    """Returns advice if code uses len(), slices or item assignment on a Spark DataFrame, as pandas allows."""
    if not isinstance(error, TypeError):
        return None
    if str(error) == "object of type 'DataFrame' has no len()":
        return "this frame is Spark's: df.count() counts its rows, on executors"
    if str(error) == "'DataFrame' object does not support item assignment":
        return 'this frame is Spark\'s, and is not changed: df = df.withColumn("name", F.col("other") * 2). df.pandas_api() takes df["name"] = …'
    if re.search(r"Argument `item` should be .*, got slice\.", str(error)):
        return "rows of a frame of Spark's have no places: df.limit(n), df.filter(…), df.orderBy(…); df.pandas_api().iloc[a:b]"
    return None


def hides_python(error: BaseException) -> Optional[str]:
    """Returns advice if a Spark function such as `max` hides Python's built-in of the same name; None for other errors."""
    if not isinstance(error, TypeError):
        return None
    wrong_number = re.match(r"(\w+)\(\) (takes|missing|got) ", str(error))
    name = wrong_number[1] if wrong_number else None
    trace, by_spark = error.__traceback__, False
    while trace:
        code = trace.tb_frame.f_code
        by_spark = by_spark or code.co_filename.endswith(("/pyspark/sql/utils.py", "/pyspark/sql/functions.py"))
        if code.co_filename.endswith("/pyspark/sql/functions.py") and "NOT_COLUMN" in str(error):
            name = name or code.co_name
        trace = trace.tb_next
    if not by_spark or name not in ("abs", "filter", "hash", "hex", "max", "min", "pow", "round", "slice", "sum"):
        return None
    return (
        f"{name} is Spark's function of columns here, as after `from pyspark.sql.functions import *`: `from builtins import {name}` has Python's own back, "
        "and `from pyspark.sql import functions as F` leaves it alone"
    )


def of_another_computer(text: str) -> Optional[str]:
    """Returns advice if a path belongs to the computer that the code was written for."""
    path = OF_ANOTHER_COMPUTER.search(text)
    if not path:
        return None
    where = f"{path[2]}:" if path[2] else path[1].replace("%5C", "\\").replace("\\\\", "\\")
    return (
        f"{where} is a place on another computer, and this runs on the cluster: upload the file (the arrow over JupyterLab's list of files) and name it "
        "as it is called beside the notebook"
    )


def check_master(master: str) -> None:
    """Refuses a master that this client cannot reach. Java would try for minutes and then give a misleading error.

    @throws RuntimeError with what to do instead
    """
    ours = defaults().get("spark.master", "")
    if not ours or master == ours or master.startswith("local"):
        return
    kind = master.partition(":")[0]
    there = kind == ours.partition(":")[0] or (kind == "yarn" and bool(os.environ.get("YARN_CONF_DIR"))) or kind == "k8s"
    if kind == "spark" and there:
        there = any(answers(part) for part in master[len("spark://") :].split(","))
    if not there:
        raise RuntimeError(
            f"triplewide: there is no master at {master}. This cluster's is {ours}, which sessions take by themselves: leave .master(…), "
            "setMaster(…) and --master away, or name local[*] for a session without the cluster"
        )


def keep_address(conf: Any) -> None:
    """Replaces a loopback address of the driver by the client's own, because executors could not connect to it.

    @param conf Java's SparkConf of the session that starts
    """
    if conf.get("spark.master", "").startswith("local"):
        return
    for key in ("spark.driver.host", "spark.driver.bindAddress"):
        ours, given = defaults().get(key), conf.get(key, "")
        if ours and ours != given and LOOPBACK.search(given):
            conf.set(key, ours)
            say(f"executors on other machines cannot reach a driver at {key}={given}: this session takes {ours}, the cluster's own value")


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 3.0).close()
    except (OSError, ValueError):
        return False
    return True


def active_context() -> Any:
    """Returns the active SparkContext of this process; None if there is none."""
    context = sys.modules.get("pyspark.context") or sys.modules.get("pyspark")
    return getattr(getattr(context, "SparkContext", None), "_active_spark_context", None)


def mib(text: str) -> int:
    match = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)b?\s*", text.lower())
    if not match:
        return 1024
    return int(int(match[1]) * {"": 1 / 2**20, "k": 1 / 1024, "m": 1, "g": 1024, "t": 2**20}[match[2]])


def notice_text() -> Optional[str]:
    """Returns a warning that the cluster will be ended; None if it will not."""
    try:
        with open(NOTICE, encoding="utf-8") as file:
            notice = json.load(file)
        ends, last_up = (datetime.fromisoformat(notice[key].replace("Z", "+00:00")) for key in ("ends", "lastUp"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    here = "%a %d %b %H:%M %Z"
    return (
        f"this cluster ends on {ends.astimezone():{here}}: nobody has run an up since {last_up.astimezone():{here}}. "
        "Files and tables stay, what is in memory does not. Another up (make up, pulumi up) keeps it"
    )


def active_streams() -> List[Any]:
    """Returns the active streaming queries of this process's session."""
    session = getattr(getattr(sys.modules.get("pyspark.sql"), "SparkSession", None), "_instantiatedSession", None)
    return list(session.streams.active) if session else []


def cancel_jobs(sc: Any) -> None:
    """Cancels the running jobs except those of streams. PySpark's own signal handler does not run when a kernel is interrupted."""
    streams = {query.runId for query in active_streams()}
    spark = sc._jsc.sc()
    for job in sc.statusTracker().getActiveJobsIds():
        group = spark.statusStore().job(job).jobGroup()
        if not (group.isDefined() and group.get() in streams):
            spark.cancelJob(job)


def hint_for(error: BaseException, sc: Any) -> Optional[str]:
    """Returns advice on an error whose own text gives none; None if there is nothing to add."""
    try:
        if is_stopped(error):
            return STOPPED
        for advise in (of_another_frame, of_older_pandas, of_empty_frame, name_of_elsewhere, by_operators, hides_python):
            found = advise(error)
            if found:
                return found
        elsewhere = of_another_computer(str(error))
        if elsewhere or sc is None:
            return elsewhere
        # Some Java errors have no message; their stack trace then shows what failed.
        return after_failure(f"{error}\n{getattr(error, 'stackTrace', None) or ''}") or only_in_hdfs(error, sc)
    except Exception:  # Reading the error's text may itself fail, for example after Java has ended.
        return None


class Watcher:
    """Watches the Spark session of this process in a thread. `what` is the word for the running code in messages: cell or script."""

    def __init__(self, what: str):
        self.what = what
        # Advice that was given already. The next executor with the same problem gets a short line.
        self.advised: Set[str] = set()
        # Lost executors that were reported already, as (application, executor).
        self.told: Set[Tuple[str, str]] = set()
        # The number of tasks of streams with a continuous trigger. Each holds a core.
        self.cores_of_streams = 0

    def start(self, done: threading.Event) -> None:
        # With the caller's context, ipykernel shows the thread's output under this cell and not under a later one.
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self.watch, done), name="triplewide-watch", daemon=True).start()

    def watch(self, done: threading.Event) -> None:
        waiting_since = 0.0
        waiting: FrozenSet[int] = frozenset()
        said = False
        while not done.wait(LOOK_EVERY):
            sc = active_context()
            if sc is None:
                continue
            try:
                waits = self.waits(sc)
                self.tell_lost(sc, done)
            except Exception:  # Spark may end at any moment; this thread does not report that.
                continue
            if waits != waiting:
                # Each change of stages restarts the time, so that a series of short stages does not count as waiting.
                waiting, waiting_since = waits, time.monotonic()
            said = said and bool(waits)
            if waiting and not said and time.monotonic() - waiting_since >= SAY_AFTER - LOOK_EVERY:
                text = self.waiting_text(sc)
                if text and not done.is_set():
                    say(text)
                    said = True

    def waits(self, sc: Any) -> FrozenSet[int]:
        """Returns the active stages if no task runs; an empty set if one does.

        Spark's status tracker is late: it counts the first tasks of a stage only after an executor's next heartbeat. Therefore this also
        asks the scheduler.
        """
        tracker = sc.statusTracker()
        stages = [info for info in (tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()) if info]
        # Tasks of a stream with a continuous trigger run as long as the stream. Other stages may wait for their cores, so they do not count here.
        endless = self.endless_stages(sc)
        self.cores_of_streams = sum(info.numActiveTasks for info in stages if info.stageId in endless)
        stages = [info for info in stages if info.stageId not in endless]
        if not all(info.numActiveTasks == 0 and info.numCompletedTasks < info.numTasks for info in stages):
            return frozenset()
        tasks = 0
        running = sc._jsc.sc().taskScheduler().runningTasksByExecutors().valuesIterator()
        while running.hasNext():
            tasks += running.next()
        return frozenset() if tasks > self.cores_of_streams else frozenset(info.stageId for info in stages)

    def endless_stages(self, sc: Any) -> Set[int]:
        """Returns the stages of streams with a continuous trigger."""
        found: Set[int] = set()
        for query in active_streams():
            if "ContinuousExecution" in query._jsq.streamingQuery().getClass().getName():
                tracker = sc.statusTracker()
                for job in tracker.getJobIdsForGroup(query.runId):
                    info = tracker.getJobInfo(job)
                    found.update(info.stageIds if info else [])
        return found

    def executors(self, sc: Any, active: bool) -> List[Any]:
        listed = sc._jsc.sc().statusStore().executorList(active)
        found = [listed.apply(i) for i in range(listed.size())]
        return [executor for executor in found if executor.id() != "driver"]

    def waiting_text(self, sc: Any) -> Optional[str]:
        """Returns why no task runs; None if executors have only just started, since tasks may be about to reach them."""
        conf: Dict[str, str] = dict(sc.getConf().getAll())
        here = self.executors(sc, True)
        if here:
            if time.time() - max(executor.addTime().getTime() for executor in here) / 1000 < SAY_AFTER:
                return None
            if self.cores_of_streams:
                return (
                    f"this {self.what} waits: a stream with trigger(continuous=…) holds {self.cores_of_streams} of this session's cores for as long as it runs. "
                    "query.stop() ends it; with trigger(processingTime=…) it takes cores only while it has rows"
                )
            return (
                f"this {self.what} waits: executors are there ({len(here)}) and none runs a task of it. They may be busy with another job of this session, or "
                "Spark has stopped using agents on which tasks failed (spark.excludeOnFailure): spark.stop() and a new session uses them again"
            )
        memory = mib(conf.get("spark.executor.memory", "1g"))
        # Without this setting an executor takes all cores of its agent; it needs at least one.
        cores = int(conf.get("spark.executor.cores", "1"))
        most = int(conf.get("spark.cores.max", cores))
        if cores > most:
            return f"this {self.what} waits for executors: one needs {cores} cores (spark.executor.cores), and this session gets {most} (spark.cores.max)."
        return f"this {self.what} waits for executors: {why_no_executor(sc.master, sc.applicationId, memory, sc.sparkUser(), cores)}."

    def tell_lost(self, sc: Any, done: threading.Event) -> None:
        for executor in self.executors(sc, False):
            key = (sc.applicationId, executor.id())
            if executor.isActive() or key in self.told:
                continue
            self.told.add(key)
            removed = executor.removeReason()
            reason = removed.get() if removed.isDefined() else ""
            if sc.master.startswith("mesos:") and SAYS_LITTLE.search(reason):
                reason = last_refusal(sc.applicationId) or reason
            text = executor_lost(executor.hostPort().rpartition(":")[0], reason)
            if text and not done.is_set():
                told, _, advice = text.partition(": ")
                say(f"{told}, as before" if advice in self.advised else text)
                self.advised.add(advice or told)


def without_module(name: str) -> str:
    """Returns advice if a cell imports a module that this Python does not have."""
    if name == "databricks":
        return "Koalas is a part of Spark now: import pyspark.pandas as ps"
    return f"this Python has no {name}: %pip install, with the name that the package has on PyPI, adds it for you and says what executors get"


class CellWatcher(Watcher):
    """Watches while a cell of a notebook runs."""

    def __init__(self, shell: Any):
        super().__init__("cell")
        self.done: Optional[threading.Event] = None
        # The notice that was shown last.
        self.notice: Optional[str] = None
        shell.events.register("pre_run_cell", self.before_cell)
        shell.events.register("post_run_cell", self.after_cell)

    def before_cell(self, _: Any) -> None:
        if self.done:
            self.done.set()
        self.done = threading.Event()
        self.advised = set()
        notice = notice_text()
        if notice and notice != self.notice:
            say(notice)
        self.notice = notice
        self.start(self.done)

    def after_cell(self, result: Any) -> None:
        if self.done:
            self.done.set()
        error = getattr(result, "error_in_exec", None)
        if isinstance(error, ModuleNotFoundError) and error.name:
            say(without_module(error.name.partition(".")[0]))
        sc = active_context()
        if isinstance(error, KeyboardInterrupt) and sc is not None:
            try:
                cancel_jobs(sc)
            except Exception:  # The session has ended as well.
                return
        hint = hint_for(error, sc) if error is not None else None
        if hint:
            say(hint)


def share_folder(sc: Any) -> None:
    """Makes Spark resolve relative paths in this process's working directory. The JVM itself stays in the one where it started."""
    files = sc._jvm.org.apache.hadoop.fs
    files.FileSystem.getLocal(sc._jsc.hadoopConfiguration()).setWorkingDirectory(files.Path(os.getcwd()))


def follow_folder(sc: Any) -> None:
    """Calls share_folder now and after each os.chdir, which %cd uses too."""
    share_folder(sc)
    change, process = os.chdir, os.getpid()
    if hasattr(change, "__wrapped__"):
        return

    @functools.wraps(change)
    def chdir(path: Any) -> None:
        change(path)
        here = active_context()
        # A forked process must not use its parent's connection to Java.
        if here is not None and os.getpid() == process:
            try:
                share_folder(here)
            except Exception:  # The session is ending.
                pass

    os.chdir = chdir


def quiet_py4j() -> None:
    """Keeps py4j's messages out of the user's log: at logging.INFO it logs lines for each thread and process, and a trace for each interrupt."""
    of_py4j = logging.getLogger("py4j")
    if of_py4j.level == logging.NOTSET:
        of_py4j.setLevel(logging.WARNING)
    logging.root.addFilter(is_no_interrupt)


def is_no_interrupt(record: logging.LogRecord) -> bool:
    """Filters out py4j's record of an interrupt, which Python shows itself."""
    return record.msg != "KeyboardInterrupt while sending command."


FORKED = (
    "triplewide: this process was forked (multiprocessing), and the session is of the one that it was forked from. Threads can use it: "
    "concurrent.futures.ThreadPoolExecutor, multiprocessing.pool.ThreadPool"
)


@functools.lru_cache(maxsize=None)
def leave_forks_out() -> None:
    """Makes forked processes refuse to use their parent's connection to Java, since each would get answers meant for the other. Registers once."""
    os.register_at_fork(after_in_child=leave_java)


def leave_java() -> None:
    gateway = getattr(getattr(sys.modules.get("pyspark.context"), "SparkContext", None), "_gateway", None)
    if gateway is None:
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(FORKED)

    gateway._gateway_client.send_command = refuse
    # When the forked process drops a proxy of a Java object, Java must keep the object: the parent still uses it.
    gateway._gateway_client.garbage_collect_object = lambda *_, **__: None


def tell_late_settings() -> None:
    """Makes `spark.conf.set` warn that environment variables for executors come too late. Spark accepts them silently."""
    runtime: Any = getattr(sys.modules.get("pyspark.sql.conf"), "RuntimeConfig", None)
    if runtime is None or hasattr(runtime.set, "__wrapped__"):
        return
    change = runtime.set

    @functools.wraps(change)
    def set_and_say(self: Any, key: str, value: Any) -> None:
        change(self, key, value)
        begin, _, name = key.partition(".executorEnv.")
        if begin == "spark" and name:
            say(f'{key} is decided when a session starts. sc.environment["{name}"] = "{value}" gives it to functions of Python from now on')

    runtime.set = set_and_say


script: Optional[Watcher] = None


def watch_script(master: str) -> None:
    """Watches for as long as this process lives, unless it is a notebook or IPython, or Spark runs locally.

    PySpark calls this when a session has started.
    """
    global script
    follow_folder(active_context())
    look_at_readers()
    tell_late_settings()
    quiet_py4j()
    leave_forks_out()
    shell = sys.modules.get("IPython")
    if script is not None or master.startswith("local") or (shell is not None and shell.get_ipython() is not None):
        return
    script = Watcher("script")
    script.start(threading.Event())
    notice = notice_text()
    if notice:
        say(notice)
    print_error = sys.excepthook

    def excepthook(kind: Any, error: BaseException, trace: Any) -> None:
        print_error(kind, error, trace)
        hint = hint_for(error, active_context())
        if hint:
            say(hint)

    sys.excepthook = excepthook
