import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** What a program prints that uses the client's modules. */
function ask(program: string, argument = "", more: Record<string, string> = {}): string {
  const env = {
    ...process.env,
    PYTHONPATH: join(ROOT, "images/client"),
    PYTHONDONTWRITEBYTECODE: "1",
    TRIPLEWIDE_SHARED: "/home/spark/work",
    ...more,
  };
  return execFileSync("python3", ["-c", program, argument], { env, encoding: "utf8" }).trim();
}

/** What a notebook adds to an error of Spark's. */
function advice(error: string): string {
  return ask("import sys; from triplewide_watch import after_failure; print(after_failure(sys.argv[1]))", error);
}

const lost =
  "org.apache.spark.SparkException: Job aborted due to stage failure: Lost task 0.3 (10.60.0.64 executor 0): ";

test.each([
  ["Illegal Parquet type: INT64 (TIMESTAMP(NANOS,true)).", 'coerce_timestamps="us"'],
  [
    "None\n\tat org.apache.hadoop.fs.http.AbstractHttpFileSystem.listStatus(AbstractHttpFileSystem.java:94)",
    "!wget URL",
  ],
  ["[PATH_NOT_FOUND] Path does not exist: file:/home/spark/work/~/work/p.csv.", "os.path.expanduser"],
  [
    `${lost}org.apache.spark.SparkFileNotFoundException: File file:/tmp/x.csv does not exist`,
    "executors have no /tmp/x.csv: they see the files in /home/spark/work",
  ],
  [
    `${lost}org.apache.spark.SparkFileNotFoundException: File file:/tmp/spark-1/userFiles-2/adult.csv does not exist`,
    "!wget URL, then its name, adult.csv",
  ],
  ["Path does not exist: file:/home/spark/work/data/mllib/sample_libsvm_data.txt.", "!cp -r $SPARK_HOME/data ."],
  ["Input path does not exist: file:/home/spark/work/data/mllib/kmeans_data.txt", "!cp -r $SPARK_HOME/data ."],
  [
    "[LOCATION_ALREADY_EXISTS] Cannot name the managed table as `t`, as its associated location 'file:/home/spark/work/spark-warehouse/t' already exists.",
    "another job writes just now, or whose writing was cut off. Wait for that job and try again; if there is none and nobody needs the files: !rm -r /home/spark/work/spark-warehouse/t",
  ],
  [
    "[LOCATION_ALREADY_EXISTS] Cannot name the managed table as `t`, as its associated location 'hdfs://cluster/user/spark/warehouse/t' already exists.",
    "!hdfs dfs -rm -r /user/spark/warehouse/t",
  ],
  [
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `_pyspark_d9c63a7d` cannot be found.",
    'df.createOrReplaceTempView("a_name") first',
  ],
  [
    "Input path does not exist: hdfs://10.60.0.16:8020/user/spark/package.json",
    "package.json is in the notebook's folder: !hdfs dfs -put package.json copies it",
  ],
  ["java.net.URISyntaxException: Relative path in absolute URI: file:./results", "takes a whole path: '/"],
  ["java.io.IOException: Incomplete HDFS URI, no host: hdfs:///x.csv", "datanodeCount"],
  ["java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found", "s3Endpoint"],
  [
    'UnsupportedFileSystemException: No FileSystem for scheme "gs"',
    '"spark.jars.packages", "group:artifact_2.12:version"',
  ],
  ["Failed to find data source: avro. Avro is built-in but external", "org.apache.spark:spark-avro_2.12:version"],
  ["Failed to find data source: kafka. Please deploy", "org.apache.spark:spark-sql-kafka-0-10_2.12:version"],
  ["[DATA_SOURCE_NOT_FOUND] Failed to find the data source: hudi", "group:artifact_2.12:version"],
  [
    `${lost}org.apache.spark.api.python.PythonException: File "/opt/spark/python/lib/pyspark.zip/pyspark/worker.py", line 1247\nFileNotFoundError: [Errno 2] No such file or directory: 'lookup.txt'`,
    "executors look for lookup.txt in the folder of the notebook",
  ],
  ["java.net.URISyntaxException: Relative path in absolute URI: a:b.csv", "no file with a colon in its name (a:b.csv)"],
  ["[UNABLE_TO_INFER_SCHEMA] Unable to infer schema for CSV. It must be", "whose names begin with _ or a dot"],
  ['UnsupportedFileSystemException: No FileSystem for scheme "s3"', "s3a://"],
  [
    `${lost}org.apache.spark.SparkFileNotFoundException: File file:/home/spark/work/p/part-0.parquet does not exist\nIt is possible the underlying files have been updated.`,
    "write to another folder",
  ],
  [
    '[CANNOT_MODIFY_CONFIG] Cannot modify the value of the Spark config: "spark.executor.memory".',
    'spark = SparkSession.builder.config("spark.executor.memory", "…").getOrCreate()',
  ],
  [
    "org.apache.spark.scheduler.BarrierJobRunWithDynamicAllocationException: [SPARK-24942]",
    'config("spark.dynamicAllocation.enabled", "false")',
  ],
  ["java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.", "this session was stopped"],
  ["Cannot run multiple SparkContexts at once; existing SparkContext(app=mine", "SparkContext.getOrCreate()"],
  ["MERGE INTO TABLE is not supported temporarily.", "Delta Lake"],
  ["UPDATE TABLE is not supported temporarily.", "INSERT OVERWRITE"],
  [
    "The feature is not supported: Table `spark_catalog`.`shop`.`sales` does not support DELETE. Please check",
    "Delta Lake",
  ],
  ["columns only include the internal corrupt record column\n(named _corrupt_record by default)", "multiLine=True"],
  ["`a` cannot be resolved. Did you mean one of the following? [`_c0`, `_c1`].;", "header=True"],
  ["`a` cannot be resolved. Did you mean one of the following? [`_corrupt_record`].; line 1", "multiLine=True"],
  [
    "Could not serialize object: TypeError: cannot pickle '_thread.RLock' object",
    "model.write().overwrite().save(folder)",
  ],
  [
    `${lost}net.razorvine.pickle.PickleException: expected zero arguments for construction of ClassDict (for numpy.dtype).`,
    "x.tolist()",
  ],
  [
    `${lost}net.razorvine.pickle.PickleException: expected zero arguments for construction of ClassDict (for collections.Counter).`,
    "dict(x) of a Counter",
  ],
  [`${lost}java.lang.ClassNotFoundException: org.apache.hadoop.io.compress.BrotliCodec`, 'compression="zstd"'],
  ["[CANNOT_INFER_SCHEMA_FOR_TYPE] Can not infer schema for type: `str`.", "spark.createDataFrame(pd.DataFrame(data))"],
  ["py4j.Py4JException: Method and([class java.lang.Double]) does not exist", "(df.a > 0.5) & (df.b == 1)"],
  ["[CANNOT_INFER_EMPTY_SCHEMA] Can not infer schema from empty dataset.", '"id long, name string"'],
  ["[CANNOT_DETERMINE_TYPE] Some of types cannot be determined after inferring.", "no row has a value"],
  ["[CANNOT_INFER_TYPE_FOR_FIELD] Unable to infer the type of the field `a`.", "x.item() of NumPy's"],
  [
    "SparkClassNotFoundException: [DATA_SOURCE_NOT_FOUND] Failed to find the data source: xml. Please find packages at",
    "com.databricks:spark-xml_2.12",
  ],
  ["[DATA_SOURCE_NOT_FOUND] Failed to find the data source: delta. Please find packages", "the other two settings"],
  ["[DATA_SOURCE_NOT_FOUND] Failed to find the data source: com.crealytics.spark.excel. Please", "pd.read_excel(path)"],
  [
    `${lost}PythonException: Traceback\nModuleNotFoundError: No module named 'xgboost.core'`,
    "executors have no xgboost: %pip install",
  ],
  [
    `${lost}java.io.IOException: Cannot run program "/usr/bin/python3.8": error=2, No such file or directory`,
    "executors have no /usr/bin/python3.8",
  ],
  ["Type <class 'pandas.core.frame.DataFrame'> was not understood.", "leave it away, or name them"],
  ["[INCORRECT_CONF_FOR_PROFILE] `spark.python.profile` or", 'config("spark.python.profile", "true")'],
  [
    `${lost}Encountered error while reading file file:///home/spark/work/a.csv.gz. Details:\nCaused by: java.io.EOFException: Unexpected end\n\tat org.apache.hadoop.io.compress.DecompressorStream.decompress`,
    "a.csv.gz was cut off, or is not compressed as the end of its name says",
  ],
  [
    `${lost}Could not read footer for file: file:/home/spark/work/c.csv.\nCaused by: java.lang.RuntimeException: file:/home/spark/work/c.csv is not a Parquet file. Expected magic number`,
    "file:/home/spark/work/c.csv is of another format",
  ],
  [
    `${lost}Python worker exited unexpectedly (crashed)\nCaused by: java.io.EOFException`,
    "a Python process on agent 10.60.0.64",
  ],
  [`${lost}OSError: [Errno 28] No space left on device`, "on agent 10.60.0.64 is full: raise scratchGb"],
])("a notebook says what to do about: %s", (error, expected) => {
  expect(advice(error)).toContain(expected);
});

test.each([
  "[PATH_NOT_FOUND] Path does not exist: file:/home/spark/work/nosuch.csv.",
  "ZeroDivisionError: division by zero",
  `${lost}Caused by: com.fasterxml.jackson.core.io.JsonEOFException: Unexpected end-of-input within/between Object entries`,
  "No module named 'seaborn'",
  `${lost}org.apache.spark.SparkFileNotFoundException: File file:/home/spark/work/gone.parquet does not exist`,
])("and adds nothing where Spark says enough: %s", (error) => {
  expect(advice(error)).toBe("None");
});

test.each([
  ["spark.range(3)", "spark = SparkSession.builder.getOrCreate(). `ipython program.py` runs"],
  ["sc.parallelize([])", "sc = spark.sparkContext"],
  ["get_ipython()", "a script has no % and no !"],
  ["nobodys", "'nobodys' is not defined"],
  ["def f():\n  print(spark)\n  spark = 1\nf()", "cannot access local variable 'spark'"],
])("a script that ends at %s says at last: %s", (program, last) => {
  const env = { ...process.env, PYTHONPATH: join(ROOT, "images/client"), PYTHONDONTWRITEBYTECODE: "1" };
  const { stderr } = spawnSync("python3", ["-c", `import triplewide_script\n${program}`], { env, encoding: "utf8" });
  expect(stderr.trim().split("\n").at(-1)).toContain(last);
});

test.each([
  ["spark://127.0.0.1:1", "taken"],
  ["local[2]", "taken"],
  ["k8s://https://10.0.0.1:6443", "taken"],
  ["yarn", "leave .master(…)"],
  ["mesos://127.0.0.1:5050", "leave .master(…)"],
  ["spark://localhost:2", "This cluster's is spark://127.0.0.1:1"],
])("a session with master %s is %s", (master, expected) => {
  const folder = mkdtempSync(join(tmpdir(), "tw-"));
  writeFileSync(join(folder, "spark-defaults.conf"), "spark.master spark://127.0.0.1:1\n");
  const program = `
import sys, triplewide_watch as w
try:
    w.check_master(sys.argv[1])
    print("taken")
except RuntimeError as error:
    print(error)`;
  expect(ask(program, master, { SPARK_CONF_DIR: folder, YARN_CONF_DIR: "" })).toContain(expected);
  rmSync(folder, { recursive: true });
});

test.each([
  ["spark://10.0.0.2:7077", "localhost", "10.0.0.9"],
  ["spark://10.0.0.2:7077", "127.0.0.1", "10.0.0.9"],
  ["spark://10.0.0.2:7077", "10.0.0.10", "10.0.0.10"],
  ["local[2]", "localhost", "localhost"],
])("a session with master %s and a driver's address of %s has %s", (master, given, expected) => {
  const folder = mkdtempSync(join(tmpdir(), "tw-"));
  writeFileSync(join(folder, "spark-defaults.conf"), "spark.driver.host 10.0.0.9\nspark.driver.bindAddress 10.0.0.9\n");
  const program = `
import sys, triplewide_watch as w
class Conf(dict):
    def set(self, key, value): self[key] = value
conf = Conf({"spark.master": sys.argv[1], "spark.driver.host": "${given}", "spark.driver.bindAddress": "0.0.0.0"})
w.keep_address(conf)
print(conf["spark.driver.host"], conf["spark.driver.bindAddress"])`;
  expect(ask(program, master, { SPARK_CONF_DIR: folder })).toContain(`${expected} 0.0.0.0`);
  rmSync(folder, { recursive: true });
});

const CONTEXT = `
import sys
from types import SimpleNamespace as Of
import triplewide_watch as w

class Running:
    def __init__(self, numbers): self.numbers = list(numbers)
    def hasNext(self): return bool(self.numbers)
    def next(self): return self.numbers.pop(0)

def context(active, running):
    stage = Of(stageId=7, numActiveTasks=active, numCompletedTasks=0, numTasks=1)
    tracker = Of(getActiveStageIds=lambda: [7], getStageInfo=lambda _: stage)
    tasks = Of(runningTasksByExecutors=lambda: Of(valuesIterator=lambda: Running(running)))
    return Of(statusTracker=lambda: tracker, _jsc=Of(sc=lambda: Of(taskScheduler=lambda: tasks)))
`;

test.each([
  ["0, [0, 0]", "[7]"],
  ["0, []", "[7]"],
  ["1, [1]", "[]"],
  // Spark's status leaves out a task that began with its stage; the scheduler knows it.
  ["0, [0, 1]", "[]"],
])("a cell waits while no task runs: %s", (numbers, expected) => {
  const program = `${CONTEXT}\nprint(sorted(w.Watcher("cell").waits(context(${numbers}))))`;
  expect(ask(program)).toBe(expected);
});

test.each([
  // All three tasks that run are a stream's with a continuous trigger, which end when it does.
  ["3, [1, 2]", "[7]"],
  ["3, [2, 2]", "[]"],
])("a cell waits for the cores of a stream with a continuous trigger: %s", (numbers, expected) => {
  const program = `${CONTEXT}
def both(endless, running):
    stages = {7: Of(stageId=7, numActiveTasks=0, numCompletedTasks=0, numTasks=1), 9: Of(stageId=9, numActiveTasks=endless, numCompletedTasks=0, numTasks=3)}
    info = Of(stageIds=[9])
    tracker = Of(getActiveStageIds=lambda: list(stages), getStageInfo=stages.get, getJobIdsForGroup=lambda run: {"r": [4]}[run], getJobInfo={4: info}.get)
    tasks = Of(runningTasksByExecutors=lambda: Of(valuesIterator=lambda: Running(running)))
    return Of(statusTracker=lambda: tracker, _jsc=Of(sc=lambda: Of(taskScheduler=lambda: tasks)), getConf=lambda: Of(getAll=lambda: []))
def query(name):
    return Of(runId="r", _jsq=Of(streamingQuery=lambda: Of(getClass=lambda: Of(getName=lambda: name))))
w.active_streams = lambda: [query("org.apache.spark.sql.execution.streaming.continuous.ContinuousExecution"), query("MicroBatchExecution")]
watcher = w.Watcher("cell")
sc = both(${numbers})
print(sorted(watcher.waits(sc)))
watcher.executors = lambda *_: [Of(addTime=lambda: Of(getTime=lambda: 0))]
print(watcher.waiting_text(sc)[:67])`;
  expect(ask(program).split("\n")).toEqual([
    expected,
    "this cell waits: a stream with trigger(continuous=…) holds 3 of thi",
  ]);
});

test.each([
  [0, "None"],
  [60, "this cell waits: executors are there (1)"],
])("an executor that came %s s ago and has no task: %s", (seconds, expected) => {
  const program = `${CONTEXT}
import time
added = Of(getTime=lambda: (time.time() - ${seconds}) * 1000)
watcher = w.Watcher("cell")
watcher.executors = lambda *_: [Of(addTime=lambda: added)]
print(watcher.waiting_text(Of(getConf=lambda: Of(getAll=lambda: []))))`;
  expect(ask(program)).toContain(expected);
});

test("a session that was stopped says how another is had, and an error of one's own says nothing of it", () => {
  const program = `
import os, sys, tempfile, importlib
import triplewide_watch as w
folder = os.path.join(tempfile.mkdtemp(), "pyspark")
os.mkdir(folder)
with open(os.path.join(folder, "__init__.py"), "w") as file:
    file.write("""
class SparkContext:
    _jsc = None
    def parallelize(self): return self._jsc.sc
class Session:
    def __init__(self): self._sc = SparkContext()
    def range(self): return self._sc._jsc.sc
""")
sys.path.insert(0, os.path.dirname(folder))
import pyspark
for ask in (pyspark.Session().range, pyspark.SparkContext().parallelize, lambda: None.sc, lambda: 1 / 0):
    try: ask()
    except Exception as error: print((w.hint_for(error, None) or "nothing")[:24])`;
  expect(ask(program).split("\n")).toEqual([
    "this session was stopped",
    "this session was stopped",
    "nothing",
    "nothing",
  ]);
});

test("a frame of Spark's that is taken for one of pandas', or for an RDD, says what has it", () => {
  const program = `
import os, sys, tempfile
import triplewide_watch as w
folder = os.path.join(tempfile.mkdtemp(), "pyspark", "sql")
os.makedirs(folder)
with open(os.path.join(folder, "dataframe.py"), "w") as file:
    file.write("""
class DataFrame:
    def __getattr__(self, name): raise AttributeError(f"'DataFrame' object has no attribute '{name}'")
""")
sys.path.insert(0, folder)
import dataframe
class DataFrame: iloc = map = sum = None
class RDD: map = sum = flatMap = None
sys.modules["pandas"] = type("pandas", (), {"DataFrame": DataFrame})
sys.modules["pyspark.rdd"] = type("rdd", (), {"RDD": RDD})
frame = dataframe.DataFrame()
for ask in (lambda: frame.iloc, lambda: frame.sum, lambda: frame.typo, lambda: DataFrame().plot, lambda: frame.map, lambda: frame.flatMap):
    try: ask()
    except Exception as error: print((w.hint_for(error, None) or "nothing")[:32])`;
  expect(ask(program).split("\n")).toEqual([
    "iloc is of pandas' frames, and t",
    "sum is of pandas' frames, and th",
    "nothing",
    "nothing",
    "map is of RDDs: df.rdd.map(…), w",
    "flatMap is of RDDs: df.rdd.flatM",
  ]);
});

test("what pandas 2 no longer has, or does, is said where pandas itself raised it", () => {
  const program = `
import os, sys, tempfile
import triplewide_watch as w
folder = os.path.join(tempfile.mkdtemp(), "pandas", "core")
os.makedirs(folder)
with open(os.path.join(folder, "frame.py"), "w") as file:
    file.write("""
class DataFrame:
    def __getattr__(self, name): raise AttributeError(f"'DataFrame' object has no attribute '{name}'")
    def corr(self): return float_of("y")
    def apply(self): return float_of("y")
def float_of(text): raise ValueError("could not convert string to float: 'y'")
""")
sys.path.insert(0, folder)
from frame import DataFrame
for ask in (lambda: DataFrame().append, lambda: DataFrame().typo, lambda: DataFrame().corr(), lambda: DataFrame().apply(), lambda: float("y")):
    try: ask()
    except Exception as error: print((w.hint_for(error, None) or "nothing"))`;
  expect(ask(program).split("\n")).toEqual([
    "pandas 2 has no append any more: pd.concat([a, b], ignore_index=True)",
    "nothing",
    "pandas 2 does not leave columns of text out by itself: .corr(numeric_only=True)",
    "nothing",
    "nothing",
  ]);
});

test.each([
  ["databricks.koalas", "Koalas is a part of Spark now"],
  ["seaborn", "this Python has no seaborn: %pip install"],
])("a cell that imports %s is told what there is", (name, expected) => {
  const program = `${CONTEXT}
w.say = print
w.CellWatcher(Of(events=Of(register=lambda *_: None))).after_cell(Of(error_in_exec=ModuleNotFoundError("no", name=sys.argv[1])))`;
  expect(ask(program, name)).toContain(expected);
});

test("a frame of pandas without columns says how types are named", () => {
  const program = `
import triplewide_watch as w
def fromarrays(arrays): return arrays[0]
for ask in (lambda: fromarrays([]), lambda: [][0]):
    try: ask()
    except Exception as error: print((w.hint_for(error, None) or "nothing")[:32])`;
  expect(ask(program).split("\n")).toEqual(["a frame of pandas without column", "nothing"]);
});

test("a process that was forked refuses Java's connection, and the one it came from keeps it", () => {
  const program = `
import os, sys, types
import triplewide_watch as w
client = types.SimpleNamespace(send_command=lambda text: "answer", garbage_collect_object=lambda target: "sent")
sys.modules["pyspark.context"] = types.SimpleNamespace(SparkContext=types.SimpleNamespace(_gateway=types.SimpleNamespace(_gateway_client=client)))
w.leave_forks_out()
w.leave_forks_out()
if os.fork() == 0:
    try: client.send_command("x")
    except RuntimeError as error: print(str(error)[:35], client.garbage_collect_object("o1"), flush=True)
    os._exit(0)
os.wait()
print(client.send_command("x"))`;
  expect(ask(program).split("\n")).toEqual(["triplewide: this process was forked None", "answer"]);
});

test("names that notebooks have elsewhere are said, and a misspelt one is not", () => {
  const program = `
import triplewide_watch as w
for text in ("sqlContext.sql", "dbutils.fs", "displayHTML('')", "sqlContextt"):
    try: eval(text)
    except Exception as error: print((w.hint_for(error, None) or "nothing")[:24])`;
  expect(ask(program).split("\n")).toEqual([
    "sqlContext is what Spark",
    "dbutils is of Databricks",
    "displayHTML is of Databr",
    "nothing",
  ]);
});

test.each([
  ["[PATH_NOT_FOUND] Path does not exist: file:/Users/me/x.csv.", "/Users/me/x.csv is a place on another computer"],
  ["[PATH_NOT_FOUND] Path does not exist: file:/content/x.csv.", "/content/x.csv is a place on another computer"],
  ["java.net.URISyntaxException: Relative path in absolute URI: C:%5CUsers%5Cme%5Cx.csv", "C:\\Users\\me\\x.csv is"],
  ['UnsupportedFileSystemException: No FileSystem for scheme "dbfs"', "dbfs: is a place on another computer"],
  ['UnsupportedFileSystemException: No FileSystem for scheme "C"', "C: is a place on another computer"],
  ["[Errno 2] No such file or directory: 'C:\\\\data\\\\x.csv'", "C:\\data\\x.csv is a place on another computer"],
  ["[Errno 2] No such file or directory: '/kaggle/input/x.csv'", "upload the file"],
  ["[Errno 2] No such file or directory: 'c'", "nothing"],
  ["[Errno 2] No such file or directory: '/home/spark/work/content/x.csv'", "nothing"],
  ["java.net.URISyntaxException: Relative path in absolute URI: a:b.csv", "nothing"],
  ["object of type 'DataFrame' has no len()", "df.count()"],
  ["'DataFrame' object does not support item assignment", "df.withColumn"],
  [
    "[NOT_COLUMN_OR_FLOAT_OR_INT_OR_LIST_OR_STR] Argument `item` should be a column, float, integer, list or string, got slice.",
    "df.limit(n)",
  ],
  ["object of type 'int' has no len()", "nothing"],
])(
  "code for another computer, or for pandas, says what to write here, also before a session: %s",
  (error, expected) => {
    const program =
      "import sys; from triplewide_watch import hint_for; print(hint_for(TypeError(sys.argv[1]), None) or 'nothing')";
    expect(ask(program, error)).toContain(expected);
  },
);

test("a function of Spark's that hides Python's own is named, and one of the user's own is not", () => {
  const program = `
import os, sys, tempfile
import triplewide_watch as w
folder = os.path.join(tempfile.mkdtemp(), "pyspark", "sql")
os.makedirs(folder)
with open(os.path.join(folder, "functions.py"), "w") as file:
    file.write("""
def max(col): return column(col)
def lower(col): return column(col)
def column(col): raise TypeError("[NOT_COLUMN_OR_STR] Argument \`col\` should be a Column or str, got list.")
""")
sys.path.insert(0, folder)
import functions
with open(os.path.join(folder, "utils.py"), "w") as file:
    file.write("""
def wrapped(f):
    return lambda *a: f(*a)
""")
import utils
def max(): pass
for ask in (lambda: functions.max([1]), lambda: functions.lower([1]), lambda: utils.wrapped(functions.max)(1, 2), lambda: max(1)):
    try: ask()
    except Exception as error: print((w.hint_for(error, None) or "nothing")[:24])`;
  expect(ask(program).split("\n")).toEqual([
    "max is Spark's function ",
    "nothing",
    "max is Spark's function ",
    "nothing",
  ]);
});

test("an archive that is read as text is said, once for each, and a file that Spark unpacks is not", () => {
  const program = `
import sys, types
import triplewide_watch as w
class DataFrameReader:
    def option(self, key, value): return self
    options = option
    def format(self, source): return self
    def load(self, path=None, format=None): return "loaded"
    def csv(self, path, sep=None): return "read"
    def json(self, path): return "read"
    def text(self, paths): return "read"
sys.modules["pyspark.sql"] = types.SimpleNamespace(DataFrameReader=DataFrameReader)
said = []
w.say = lambda text: said.append(text.split(",")[0])
w.look_at_readers()
w.look_at_readers()
new = DataFrameReader
print(new().csv("a/titanic.zip", sep=";"), new().json(path=["b.json.gz", "c.tar.gz"]), new().text(paths="d.XLSX"), new().csv("e.csv"))
print(new().format("csv").load("f.xz"), new().load("g.zip"), new().load("h.zip", format="json"), new().format("binaryFile").load("i.zip"))
print(said)`;
  expect(ask(program).split("\n")).toEqual([
    "read read read read",
    "loaded loaded loaded loaded",
    "['titanic.zip is an archive', 'c.tar.gz is an archive', 'd.XLSX is a workbook of Excel', 'f.xz is an archive', 'h.zip is an archive']",
  ]);
});

test("CSV in UTF-16 is read as one text, where its reader was not told otherwise", () => {
  const program = `
import sys, types
import triplewide_watch as w
class DataFrameReader:
    def __init__(self): self.set = []
    def option(self, key, value): self.set.append(key); return self
    def options(self, **options): self.set += options; return self
    def format(self, source): return self
    def load(self, path=None, format=None): return self.set
    def csv(self, path, encoding=None, multiLine=None): return self.set
    def json(self, path): return self.set
    def text(self, paths): return self.set
sys.modules["pyspark.sql"] = types.SimpleNamespace(DataFrameReader=DataFrameReader)
w.look_at_readers()
new = DataFrameReader
print(new().csv("a", encoding="UTF-16"), new().option("charset", "utf-16le").format("csv").load("a"), new().options(encoding="utf16").csv("a"))
print(new().csv("a", encoding="utf-16", multiLine=False), new().option("lineSep", "x").option("encoding", "UTF-16").csv("a"), new().csv("a", encoding="utf-8"))
print(new().option("encoding", "UTF-16").json("a"))`;
  expect(ask(program).split("\n")).toEqual([
    "['multiLine'] ['charset', 'multiLine'] ['encoding', 'multiLine']",
    "[] ['lineSep', 'encoding'] []",
    "['encoding']",
  ]);
});

test("Spark's relative paths follow os.chdir, while there is a session, and in this process alone", () => {
  const program = `${CONTEXT}
import os
told = []
files = Of(Path=str, FileSystem=Of(getLocal=lambda _: Of(setWorkingDirectory=told.append)))
sc = Of(_jvm=Of(org=Of(apache=Of(hadoop=Of(fs=files)))), _jsc=Of(hadoopConfiguration=lambda: None))
w.active_context = lambda: sc
os.chdir("/")
w.follow_folder(sc)
w.follow_folder(sc)
os.chdir("/usr")
if os.fork() == 0:
    os.chdir("/")
    os._exit(len(told) - 3)
print(os.wait()[1])
w.active_context = lambda: None
os.chdir("/")
print(told)`;
  expect(ask(program).split("\n")).toEqual(["0", "['/', '/', '/usr']"]);
});

test("a cell that is interrupted cancels its jobs, and leaves those of streams", () => {
  const program = `${CONTEXT}
cancelled = []
groups = {1: None, 2: "a-stream", 3: "a-group"}
def job(number):
    return Of(jobGroup=lambda: Of(isDefined=lambda: groups[number] is not None, get=lambda: groups[number]))
spark = Of(statusStore=lambda: Of(job=job), cancelJob=cancelled.append)
sc = Of(statusTracker=lambda: Of(getActiveJobsIds=lambda: [1, 2, 3]), _jsc=Of(sc=lambda: spark))
session = Of(streams=Of(active=[Of(runId="a-stream")]))
sys.modules["pyspark.sql"] = Of(SparkSession=Of(_instantiatedSession=session))
w.active_context = lambda: sc
watcher = w.CellWatcher(Of(events=Of(register=lambda *_: None)))
watcher.after_cell(Of(error_in_exec=ValueError("mine")))
print(cancelled)
watcher.after_cell(Of(error_in_exec=KeyboardInterrupt()))
print(cancelled)`;
  expect(ask(program)).toBe("[]\n[1, 3]");
});

test.each([
  [
    "16",
    undefined,
    "an executor of this session needs 16 cores and no agent has more than 2: lower spark.executor.cores",
  ],
  ["4", "3", "one needs 4 cores (spark.executor.cores), and this session gets 3 (spark.cores.max)"],
  ["2", "4", "all 4 cores of the cluster are taken: other has 4 (for 0 min)"],
  [undefined, undefined, "all 4 cores of the cluster are taken"],
])("a session that asks for %s cores for each executor, and %s in all, is told why none comes", (each, all, said) => {
  const program = `${CONTEXT}
import json, time, triplewide_cluster
workers = [{"state": "ALIVE", "cores": 2, "coresfree": 0, "memoryfree": 1024}] * 2
apps = [{"id": "mine"}, {"id": "other", "name": "other", "cores": 4, "starttime": time.time() * 1000}]
triplewide_cluster.master_state = lambda _: {"workers": workers, "activeapps": apps}
conf = {key: value for key, value in json.loads(sys.argv[1]).items() if value}
none = Of(size=lambda: 0)
spark = Of(statusStore=lambda: Of(executorList=lambda _: none))
sc = Of(getConf=lambda: Of(getAll=lambda: conf), _jsc=Of(sc=lambda: spark), master="spark://m:7077", applicationId="mine", sparkUser=lambda: "spark")
print(w.Watcher("cell").waiting_text(sc))`;
  const conf = { "spark.executor.cores": each, "spark.cores.max": all };
  expect(ask(program, JSON.stringify(conf))).toContain(said);
});

test("a program that IPython runs without a cell waits until PySpark is imported", () => {
  const program = `
import threading, types, triplewide_spark as t
gateway = t.Gateway({}, ahead=False)
shell = types.SimpleNamespace(safe_execfile=lambda name: gateway.imported.is_set(), safe_run_module=lambda name, names: gateway.imported.is_set())
t.before_programs(shell, gateway)
threading.Timer(0.2, gateway.imported.set).start()
print(shell.safe_execfile("x.py"), shell.safe_run_module("x", {}))`;
  expect(ask(program)).toBe("True True");
});
