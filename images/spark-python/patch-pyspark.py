"""Adapts Spark 3.5's Python to today's pandas and PyArrow and fixes errors of it: in SPARK_HOME/python and in its zip alike.

Each change replaces a text that must occur exactly as often as stated. Otherwise the build fails: a new version of Spark has to be checked.

    patch-pyspark.py <SPARK_HOME/python>
"""

import os
import sys
import zipfile

# PyArrow 13 and later give pandas 2 datetime64[us] by default. Spark 3.5 documents datetime64[ns] (Arrow type mapping, "Timestamp with
# Time Zone Semantics"), and gives that without Arrow: numbers made from the same timestamps would differ by a factor of 1,000.
# Spark 4 passes the same argument.
NANOSECONDS = "coerce_temporal_nanoseconds"

# The class that Spark's message names when the catalogue of tables does not answer, and an explanation for users.
NO_CATALOGUE = "SessionHiveMetaStoreClient"
NO_CATALOGUE_SAYS = (
    "the catalogue of tables (Hive metastore) does not answer, so no table is found by its name. The cluster's own is started again"
    " by itself: try again in a minute; `triplewide status` and `triplewide logs` say how it is. Files can be read by their path."
)
DESCRIPTION = "        self.desc = desc if desc is not None else cast(Py4JJavaError, origin).getMessage()\n"

# Modules beside a notebook or a script: executors see the same folder at the same path, and search it for modules as the driver does.
# Packages that users installed for themselves come last, as on the driver.
SHARED_MODULES = '''

def _shared_module_folders() -> List[str]:
    """Folders of the driver's modules that executors have too."""
    shared = "/home/spark/work"
    installed = os.environ.get("PYTHONUSERBASE", os.path.join(shared, ".python"))
    folders = dict.fromkeys(os.path.abspath(folder) for folder in sys.path)
    inside = [folder for folder in folders if (folder + os.sep).startswith(shared + os.sep)]
    return [folder for folder in inside if not (folder + os.sep).startswith(installed + os.sep)]
'''

# Relative paths in functions that run on executors start from the folder of the notebook or script, as on the driver, if executors
# have that folder. In a session with files of addFile, --files or spark.archives, executors stay in the folder with these files.
FOLDER = '''

def _folder_of_driver(sc: "SparkContext") -> Dict[str, str]:
    """The driver's working folder, for an environment of Python on executors; empty where theirs is another."""
    shared = os.environ.get("TRIPLEWIDE_SHARED")
    here = os.path.abspath(os.curdir)
    if not shared or not (here + os.sep).startswith(shared + os.sep):
        return {}
    modules = sc._python_includes or []
    names = [os.path.basename(file) for file in sc.listFiles]
    if sc.listArchives or any(not name.endswith(".py") and name not in modules for name in names):
        return {}
    return {"TRIPLEWIDE_FOLDER": here}
'''

# The executors' side of both: a Python worker changes to that folder for each task, and forgets modules of the shared folder that were
# edited. Otherwise it would use the old versions as long as it lives.
ENTER = '''

_EXECUTOR_FOLDER = os.getcwd()
_MODULES: dict = {}


def _enter_folder() -> None:
    """Goes to the folder that relative paths are meant from."""
    try:
        os.chdir(os.environ.get("TRIPLEWIDE_FOLDER") or _EXECUTOR_FOLDER)
    except OSError:
        os.chdir(_EXECUTOR_FOLDER)


def _times_of_modules() -> dict:
    """When the file of each module of the shared folder was changed."""
    shared = "/home/spark/work/"
    installed = os.environ.get("PYTHONUSERBASE", shared + ".python") + os.sep
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(shared) and not path.startswith(installed):
            try:
                found[name] = os.stat(path).st_mtime_ns
            except OSError:
                found[name] = 0
    return found


def _forget_changed_modules() -> None:
    """All of them, where one has changed: others hold parts of it."""
    times = _times_of_modules()
    if any(times[name] != before for name, before in _MODULES.items() if name in times):
        for name in times:
            del sys.modules[name]


def _remember_modules() -> None:
    _MODULES.clear()
    _MODULES.update(_times_of_modules())


def main(infile, outfile):
'''

# pandas 2.2 renamed codes of time spans; this returns the names that Spark knows.
RULE_CODE = '''

def _rule_code(offset: Any) -> str:
    code = offset.rule_code
    return {"YE-DEC": "A-DEC", "ME": "M", "h": "H", "min": "T", "s": "S"}.get(code, code)


class Resampler(Generic[FrameLike], metaclass=ABCMeta):
'''

# between_time: pandas 2 has the single argument `inclusive` in place of include_start and include_end.
BETWEEN = "between_time(start_time, end_time, include_start, include_end)"
BETWEEN_NOW = (
    "between_time(start_time, end_time, "
    'inclusive={(True, True): "both", (True, False): "left", (False, True): "right"}.get((include_start, include_end), "neither"))'
)

# The function that pandas-on-Spark's groupby.apply sends to executors.
KEYED = (
    "        def pandas_groupby_apply(pdf: pd.DataFrame) -> pd.DataFrame:\n\n            if is_series_groupby:\n"
    "                pdf_or_ser = pdf.groupby(groupkey_names)[name].apply("
)
INDEX_LEVELS = "        keys = list(range(len(groupkey_names)))\n        levels = 0 if should_infer_schema or not should_retain_index else len(index_fields)\n\n"
KEYED_RESULT = (
    "            if not isinstance(pdf_or_ser, pd.DataFrame):\n                return pd.DataFrame(pdf_or_ser)\n            else:\n"
    "                return pdf_or_ser\n\n        sdf = GroupBy._spark_group_map_apply(\n            psdf,\n            pandas_groupby_apply,\n"
)
KEYS_DROPPED = "            if levels and pdf_or_ser.index.nlevels == len(keys) + levels:\n                pdf_or_ser = pdf_or_ser.droplevel(keys)\n\n"

# Arrow's rows come from a thread of the driver's Java. Python waited for the end of that thread even when the cell was interrupted: the
# cell ended only with its job, minutes later, and only then was the job cancelled.
INTERRUPTED = (
    "        finally:\n            with unwrap_spark_exception():\n                # Join serving thread and raise any exceptions from"
    " collectAsArrowToPython\n                jsocket_auth_server.getResult()\n"
)
INTERRUPTED_LEAVES = (
    "        except KeyboardInterrupt:\n            jsocket_auth_server = None\n            raise\n        finally:\n"
    "            if jsocket_auth_server is not None:\n                with unwrap_spark_exception():\n"
    "                    # Join serving thread and raise any exceptions from collectAsArrowToPython\n"
    "                    jsocket_auth_server.getResult()\n"
)

# The path of a stream reaches executors as it was written: a relative path would start from the working folder of each executor.
QUALIFIED = '''

def _qualified(spark: "SparkSession", path: str) -> str:
    """A path as the driver means it."""
    assert spark._jvm is not None
    hadoop_path = spark._jvm.org.apache.hadoop.fs.Path(path)
    configuration = spark._jsparkSession.sessionState().newHadoopConf()
    return hadoop_path.getFileSystem(configuration).makeQualified(hadoop_path).toString()
'''

# A session with a `local` master creates its own secret and leaves it with the user of its JVM. The next session in that JVM would use
# it in place of its own secret, and no master would accept it.
OWN_SECRET = """

def _take_secret(jvm: JVMView, jconf: JavaObject) -> None:
    \"\"\"Puts this session's secret where an earlier one of the same JVM left its own.\"\"\"
    secret = jconf.get("spark.authenticate.secret", "")
    if not secret or jconf.get("spark.master", "").startswith("local"):
        return
    key = jvm.org.apache.hadoop.io.Text("sparkCookie")
    user = jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser()
    if user.getCredentials().getSecretKey(key) is not None:
        ours = jvm.org.apache.hadoop.security.Credentials()
        ours.addSecretKey(key, bytearray(secret, "utf-8"))
        user.addCredentials(ours)


class SparkContext:
"""

# Spark registers a file from the web for every task before it fetches it: if the file did not exist, each later job of the session failed.
ADD = """

def _add_or_take_back(sc: "SparkContext", kind: str, path: Any, *more: Any) -> None:
    \"\"\"Adds a file or an archive for every task (`kind`: addFile, addArchive), and takes back one that cannot be fetched.\"\"\"
    path = os.fspath(path)
    # Java's working folder stays the one in which it was started.
    if os.path.exists(path.partition("#")[0]):
        path = os.path.abspath(path)
    java = sc._jsc.sc()
    added, listed = (java.addedFiles, "listFiles") if kind == "addFile" else (java.addedArchives, "listArchives")
    before = set(getattr(sc, listed))
    try:
        getattr(java, kind)(path, *more)
    except Exception:
        for name in set(getattr(sc, listed)) - before:
            added().apply("default").remove(name)
        raise


class SparkContext:
"""

# Functions of foreachBatch and of query listeners run beside Spark Connect's server and call it as clients do: they need its token.
CALL_BACK = "SparkSession.builder.remote(connect_url).getOrCreate()"
WITH_TOKEN = """

def _with_token(url: str) -> str:
    \"\"\"Address of the server with the token that it asks for.\"\"\"
    with open(os.environ["SPARK_CONNECT_TOKEN_FILE"]) as file:
        return f"{url};authorization=Bearer%20{file.read().strip()}"


def main(infile: IO, outfile: IO) -> None:
"""
CONNECT_WORKER = [
    ("\n\ndef main(infile: IO, outfile: IO) -> None:\n", WITH_TOKEN, 1),
    (CALL_BACK, CALL_BACK.replace("connect_url", "_with_token(connect_url)"), 1),
]

# The client image has a module that reports what jobs wait for; executors do not have it.
WATCH = '''

def _check_addresses(jconf: JavaObject) -> None:
    """Refuses a master that is not there, before Java waits for it, and replaces a driver's address that no executor reaches."""
    try:
        from triplewide_watch import check_master, keep_address
    except ImportError:
        return
    check_master(jconf.get("spark.master", ""))
    keep_address(jconf)


def _watch(master: str) -> None:
    """Has a script say what its jobs wait for."""
    try:
        from triplewide_watch import watch_script
    except ImportError:
        return
    watch_script(master)


class SparkContext:
'''
SIGNAL = "        # create a signal handler which would be invoked on receiving SIGINT\n"

CHANGES = {
    "pyspark/sql/connect/streaming/worker/foreach_batch_worker.py": CONNECT_WORKER,
    "pyspark/sql/connect/streaming/worker/listener_worker.py": CONNECT_WORKER,
    # With encryption, broadcast() writes through a stream that took pickle's buffers (NumPy arrays, pandas' data) for bytes.
    "pyspark/serializers.py": [
        (
            "        byte_pos = 0\n        byte_remaining = len(bytes)\n",
            "        if isinstance(bytes, pickle.PickleBuffer):\n            bytes = bytes.raw()\n        byte_pos = 0\n        byte_remaining = len(bytes)\n",
            1,
        ),
    ],
    "pyspark/context.py": [
        ("\n\nclass SparkContext:\n", OWN_SECRET, 1),
        ("\n\nclass SparkContext:\n", WATCH, 1),
        ("\n\nclass SparkContext:\n", ADD, 1),
        ("        self._jsc.sc().addFile(path, recursive)\n", '        _add_or_take_back(self, "addFile", path, recursive)\n', 1),
        ("        self._jsc.sc().addArchive(path)\n", '        _add_or_take_back(self, "addArchive", path)\n', 1),
        (SIGNAL, f"        _watch(self.master)\n\n{SIGNAL}", 1),
        (
            "        return self._jvm.JavaSparkContext(jconf)\n",
            '        _check_addresses(jconf)\n        _take_secret(self._jvm, jconf)\n        return self._jvm.JavaSparkContext(jconf)\n',
            1,
        ),
        # stop() of an already stopped session also cleared the reference to the running one: that Python could then get no more session.
        (
            "        with SparkContext._lock:\n            SparkContext._active_spark_context = None\n\n    def emptyRDD",
            "        with SparkContext._lock:\n            if SparkContext._active_spark_context in (None, self):\n"
            "                SparkContext._active_spark_context = None\n\n    def emptyRDD",
            1,
        ),
    ],
    "pyspark/rdd.py": [
        (
            "\n\ndef _prepare_for_python_RDD(",
            f"{SHARED_MODULES}{FOLDER}\n\ndef _prepare_for_python_RDD(",
            1,
        ),
        (
            "    return pickled_command, broadcast_vars, sc.environment, sc._python_includes\n",
            "    includes = [*(sc._python_includes or []), *_shared_module_folders()]\n"
            "    environment = {**sc.environment, **_folder_of_driver(sc)}\n"
            "    return pickled_command, broadcast_vars, environment, includes\n",
            1,
        ),
        # The new Hadoop API sends a path to executors as it was written; the old one makes it absolute.
        (
            "        self.ctx._jvm.PythonRDD.saveAsNewAPIHadoopFile(\n",
            "        hadoop_path = self.ctx._jvm.org.apache.hadoop.fs.Path(path)\n"
            "        path = hadoop_path.getFileSystem(self.ctx._jsc.hadoopConfiguration()).makeQualified(hadoop_path).toString()\n"
            "        self.ctx._jvm.PythonRDD.saveAsNewAPIHadoopFile(\n",
            1,
        ),
    ],
    "pyspark/worker.py": [
        ("\n\ndef main(infile, outfile):\n", ENTER, 1),
        (
            "        spark_files_dir = utf8_deserializer.loads(infile)\n",
            "        spark_files_dir = os.path.normpath(os.path.join(_EXECUTOR_FOLDER, utf8_deserializer.loads(infile)))\n        _enter_folder()\n",
            1,
        ),
        ("\n        importlib.invalidate_caches()\n", "\n        _forget_changed_modules()\n        importlib.invalidate_caches()\n", 1),
        ("    finish_time = time.time()\n", "    _remember_modules()\n    finish_time = time.time()\n", 1),
    ],
    "pyspark/pandas/resample.py": [
        ("\n\nclass Resampler(Generic[FrameLike], metaclass=ABCMeta):\n", RULE_CODE, 1),
        ("self._offset.rule_code", "_rule_code(self._offset)", 5),
    ],
    "pyspark/sql/streaming/readwriter.py": [
        ('__all__ = ["DataStreamReader", "DataStreamWriter"]\n', f'__all__ = ["DataStreamReader", "DataStreamWriter"]\n{QUALIFIED}', 1),
        ("self._jwrite.start(path)", "self._jwrite.start(_qualified(self._spark, path))", 1),
        (
            "        self._jwrite = self._jwrite.option(key, to_str(value))\n        return self\n",
            "        return self.options(**{key: value})\n",
            1,
        ),
        (
            "            self._jwrite = self._jwrite.option(k, to_str(options[k]))\n        return self\n\n    @overload\n    def partitionBy",
            "            value = to_str(options[k])\n"
            # Spark's checkpoints do not work with `hdfs:///folder`, which does not name the HDFS.
            '            if k.lower() in ("path", "checkpointlocation") and value is not None:\n'
            "                value = _qualified(self._spark, value)\n"
            "            self._jwrite = self._jwrite.option(k, value)\n        return self\n\n    @overload\n    def partitionBy",
            1,
        ),
    ],
    "pyspark/errors/exceptions/captured.py": [
        (
            DESCRIPTION,
            f'{DESCRIPTION}        if "{NO_CATALOGUE}" in str(self.desc):\n            self.desc = f"triplewide: {NO_CATALOGUE_SAYS} ({{self.desc}})"\n',
            1,
        ),
    ],
    # With mode overwrite, Spark drops the existing table before the guard can check where the new one would lie.
    "pyspark/sql/readwriter.py": [
        (
            "        self._jwrite.saveAsTable(name)\n",
            "        self._spark._jvm.triplewide.guard.PlanCheck.beforeSaveAsTable(self._jwrite, name)\n        self._jwrite.saveAsTable(name)\n",
            1,
        ),
    ],
    "pyspark/sql/pandas/serializers.py": [
        ("arrow_column.to_pandas(date_as_object=True)", f"arrow_column.to_pandas(date_as_object=True, {NANOSECONDS}=True)", 1),
    ],
    "pyspark/sql/pandas/conversion.py": [
        ('pandas_options = {"date_as_object": True}', f'pandas_options = {{"date_as_object": True, "{NANOSECONDS}": True}}', 1),
        (INTERRUPTED, INTERRUPTED_LEAVES, 1),
        # createDataFrame without a schema: a pandas timestamp without a zone is in the session's time zone, as with Arrow and as
        # documented. Without Arrow, Spark took the driver's time zone.
        (
            "if should_localize and is_datetime64tz_dtype(s.dtype) and s.dt.tz is not None:",
            'if should_localize and (is_datetime64tz_dtype(s.dtype) or s.dtype.kind == "M"):',
            1,
        ),
        # NaT among intervals becomes null, as among timestamps; Spark refused it as an object of type NaTType.
        (
            "ser.dt.to_pytimedelta(), index=ser.index",
            "[None if value is pd.NaT else value.to_pytimedelta() for value in ser], index=ser.index",
            1,
        ),
    ],
    # value_counts of an index with several levels returns entries by level, as in pandas. Spark returned dictionaries, which an index
    # cannot hold.
    "pyspark/pandas/base.py": [
        (
            '            sdf = sdf.withColumn("count", F.col("count") / F.lit(drop_sum))\n\n        internal = InternalFrame(\n'
            "            spark_frame=sdf,\n            index_spark_columns=[scol_for(sdf, index_name)],\n",
            '            sdf = sdf.withColumn("count", F.col("count") / F.lit(drop_sum))\n\n'
            "        levels, level_names = [index_name], None\n"
            "        if isinstance(self, ps.MultiIndex):\n"
            "            fields = sdf.schema[index_name].dataType.names\n"
            "            level_names = self._internal.index_names\n"
            '            levels = [f"__index_level_{i}__" for i in range(len(fields))]\n'
            "            entry = scol_for(sdf, index_name)\n"
            "            sdf = sdf.select(\n"
            '                *[entry.getField(field).alias(level) for field, level in zip(fields, levels)], "count"\n'
            "            )\n\n"
            "        internal = InternalFrame(\n            spark_frame=sdf,\n"
            "            index_spark_columns=[scol_for(sdf, level) for level in levels],\n            index_names=level_names,\n",
            1,
        ),
    ],
    # pandas 2 puts the group's keys before the index even if a function returns the rows that it was given. A function that declares
    # the index of its result (`-> ps.DataFrame[int, [...]]`) declares it without these keys.
    "pyspark/pandas/groupby.py": [
        (KEYED, f"{INDEX_LEVELS}{KEYED}", 1),
        (KEYED_RESULT, f"{KEYS_DROPPED}{KEYED_RESULT}", 1),
    ],
    # Methods and arguments that pandas 2 removed, or accepts only by keyword.
    "pyspark/pandas/strings.py": [
        ("return s.str.split(pat, n)", "return s.str.split(pat, n=n)", 1),
        ("return s.str.rsplit(pat, n)", "return s.str.rsplit(pat, n=n)", 1),
    ],
    "pyspark/pandas/frame.py": [
        (f"return pdf.{BETWEEN}.reset_index()", f"return pdf.{BETWEEN_NOW}.reset_index()", 1),
        (
            "return pd.concat(cols, axis=1).mad(axis=1)",
            "values = pd.concat(cols, axis=1)\n                return values.sub(values.mean(axis=1), axis=0).abs().mean(axis=1)",
            1,
        ),
    ],
    "pyspark/pandas/indexes/datetimes.py": [
        (f"return pdf.{BETWEEN}", f"return pdf.{BETWEEN_NOW}", 1),
    ],
    # The bounds of a histogram must come from the columns that it shows.
    "pyspark/pandas/plot/core.py": [
        ("get_bins(data._to_spark(), bins)", "get_bins(numeric_data._to_spark(), bins)", 1),
    ],
    # The matplotlib plots are based on pandas' internal classes, which pandas 2.1 and 2.2 changed.
    "pyspark/pandas/plot/matplotlib.py": [
        ("    def _make_plot(self):\n", "    def _make_plot(self, fig):\n", 8),
        ("super()._make_plot()", "super()._make_plot(fig)", 5),
        ("            kwds = self._make_plot_keywords(kwds, y)\n", "            self._make_plot_keywords(kwds, y)\n", 2),
        ("        sort_columns=sort_columns,\n        **kwds,\n", "        **kwds,\n", 1),
        (
            "    def _args_adjust(self):\n        if is_list_like(self.bottom):\n            self.bottom = np.array(self.bottom)\n",
            "    def _ensure_frame(self, data):\n        return data\n\n    def _adjust_bins(self, bins):\n        return bins\n",
            1,
        ),
        (
            'class PandasOnSparkBoxPlot(PandasBoxPlot, BoxPlotBase):\n    _kind = "box"\n',
            'class PandasOnSparkBoxPlot(PandasBoxPlot, BoxPlotBase):\n    _kind = "box"\n\n    def _ensure_frame(self, data):\n        return data\n',
            1,
        ),
        (
            "        self._set_ticklabels(ax, labels)\n",
            '        axis = ax.xaxis if self.orientation == "vertical" else ax.yaxis\n        axis.set_ticklabels(labels)\n',
            1,
        ),
        (
            "    def _get_ind(self, y):\n        return KdePlotBase.get_ind(y, self.ind)\n",
            "    @staticmethod\n    def _get_ind(y, ind):\n        return KdePlotBase.get_ind(y, ind)\n",
            1,
        ),
    ],
    # Arguments that pandas 2 removed. Without `squeeze`, one column stays a frame, as in pandas itself.
    "pyspark/pandas/namespace.py": [
        ("            squeeze=sq,\n", "", 1),
        ("            convert_float=convert_float,\n            mangle_dupe_cols=mangle_dupe_cols,\n", "", 1),
        ("            date_parser=date_parser,\n", "            **({} if date_parser is None else {\"date_parser\": date_parser}),\n", 1),
        ("            unit=unit,\n            infer_datetime_format=infer_datetime_format,\n", "            unit=unit,\n", 1),
        ("        unit=unit,\n        infer_datetime_format=infer_datetime_format,\n", "        unit=unit,\n", 1),
        ("                name=name,\n                closed=closed,\n                **kwargs,\n", '                name=name,\n                inclusive=closed or "both",\n                **kwargs,\n', 1),
    ],
    "pyspark/sql/connect/client/core.py": [
        ("renamed_table.to_pandas(**pandas_options)", f"renamed_table.to_pandas({NANOSECONDS}=True, **pandas_options)", 1),
        ("renamed_table.to_pandas()", f"renamed_table.to_pandas({NANOSECONDS}=True)", 1),
    ],
}


def changed(name: str, text: str) -> str:
    for old, new, times in CHANGES[name]:
        if text.count(old) != times:
            raise SystemExit(f"patch-pyspark.py: {name} holds {old!r} {text.count(old)} times, not {times}")
        text = text.replace(old, new)
    return text


def main(python: str) -> None:
    for name in CHANGES:
        path = os.path.join(python, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(changed(name, text))
    archive = os.path.join(python, "lib", "pyspark.zip")
    left = set(CHANGES)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(archive + ".new", "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename in CHANGES:
                data = changed(entry.filename, data.decode("utf-8")).encode("utf-8")
                left.remove(entry.filename)
            new.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
    if left:
        raise SystemExit(f"patch-pyspark.py: {archive} has no {', '.join(sorted(left))}")
    os.replace(archive + ".new", archive)


main(sys.argv[1])
