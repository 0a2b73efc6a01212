"""Checks each SQL type with each way of moving values between Spark and Python, on a cluster, against the documentation of Spark 3.5.

    spark-submit types_table.py         prints one JSON document: {"cells": n, "wrong": [{"cell", "expected", "got"}, ...]}

The expected values come from Spark 3.5's "Data Types" (Python), "Apache Arrow in PySpark" (Supported SQL Types, Timestamp with Time Zone
Semantics) and from toPandas without Arrow, which Arrow must not change: integers with nulls become float64, booleans with nulls and
everything nested object, dates datetime.date, timestamps datetime64[ns] without a zone, in the session's time zone.
"""

import datetime
import decimal
import json
import sys
import warnings
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import pandas as pd
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

ZONE = "America/New_York"
D = decimal.Decimal
UTC = datetime.timezone.utc

# name, SQL type, three values as Spark's SQL writes them (the last is null), the dtype without and with the null, and the
# Python values that collect() gives.
Values = List[Any]
TYPES: List[Tuple[str, str, List[str], str, str, Values]] = [
    ("boolean", "boolean", ["true", "false"], "bool", "object", [True, False]),
    ("byte", "tinyint", ["-128Y", "127Y"], "int8", "float64", [-128, 127]),
    ("short", "smallint", ["-32768S", "32767S"], "int16", "float64", [-32768, 32767]),
    ("int", "int", ["-2147483648", "7"], "int32", "float64", [-2147483648, 7]),
    ("long", "bigint", ["-9007199254740993L", "9007199254740993L"], "int64", "float64", [-9007199254740993, 9007199254740993]),
    ("float", "float", ["float(0.5)", "float(-2.25)"], "float32", "float32", [0.5, -2.25]),
    ("double", "double", ["0.1D", "-1e300D"], "float64", "float64", [0.1, -1e300]),
    ("decimal", "decimal(38,18)", ["12345678901234567890.123456789012345678BD", "-0.5BD"], "object", "object",
     [D("12345678901234567890.123456789012345678"), D("-0.500000000000000000")]),
    ("string", "string", ["'Zürich 東京'", "''"], "object", "object", ["Zürich 東京", ""]),
    ("binary", "binary", ["X'00FF10'", "X''"], "object", "object", [bytearray(b"\x00\xff\x10"), bytearray()]),
    ("date", "date", ["date'1582-10-15'", "date'9999-12-31'"], "object", "object",
     [datetime.date(1582, 10, 15), datetime.date(9999, 12, 31)]),
    # Winter and summer of the session's zone, one before 1970, microseconds.
    ("timestamp", "timestamp", ["timestamp'2024-07-01 12:00:00.123456Z'", "timestamp'1969-12-31 23:30:00Z'"],
     "datetime64[ns]", "datetime64[ns]",
     [datetime.datetime(2024, 7, 1, 12, 0, 0, 123456, UTC), datetime.datetime(1969, 12, 31, 23, 30, 0, 0, UTC)]),
    ("timestamp_ntz", "timestamp_ntz", ["timestamp_ntz'2024-07-01 12:00:00.123456'", "timestamp_ntz'2024-03-10 02:30:00'"],
     "datetime64[ns]", "datetime64[ns]",
     [datetime.datetime(2024, 7, 1, 12, 0, 0, 123456), datetime.datetime(2024, 3, 10, 2, 30)]),
    ("interval", "interval day to second", ["interval '1 02:03:04.567' day to second", "interval '-5' day"],
     "timedelta64[ns]", "timedelta64[ns]",
     [datetime.timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=567), datetime.timedelta(days=-5)]),
    ("array", "array<int>", ["array(1, 2)", "array(3)"], "object", "object", [[1, 2], [3]]),
    ("array_of_strings", "array<string>", ["array('a', null)", "array('')"], "object", "object", [["a", None], [""]]),
    ("array_of_timestamps", "array<timestamp>", ["array(timestamp'2024-07-01 12:00:00Z')", "array(timestamp'2024-01-01 00:00:00Z')"],
     "object", "object", [[datetime.datetime(2024, 7, 1, 12, tzinfo=UTC)], [datetime.datetime(2024, 1, 1, tzinfo=UTC)]]),
    ("map", "map<string,int>", ["map('a', 1, 'b', 2)", "map('c', 3)"], "object", "object", [{"a": 1, "b": 2}, {"c": 3}]),
    ("struct", "struct<n:int,s:string>", ["named_struct('n', 1, 's', 'x')", "named_struct('n', 2, 's', 'y')"], "object", "object",
     [Row(n=1, s="x"), Row(n=2, s="y")]),
]


def local(moment: datetime.datetime) -> datetime.datetime:
    """Returns what pandas must show for a moment: the time in the session's zone, without a zone."""
    import zoneinfo

    return moment.astimezone(zoneinfo.ZoneInfo(ZONE)).replace(tzinfo=None) if moment.tzinfo else moment


def plain(value: Any) -> Any:
    """Converts equal values to one form: arrays and lists, dicts and rows, Timestamps and datetimes, NaT and None."""
    if isinstance(value, (np.ndarray, list, tuple)) and not isinstance(value, Row):
        return [plain(item) for item in value]
    if isinstance(value, Row):
        return {key: plain(item) for key, item in value.asDict().items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, (pd.Timestamp, datetime.datetime)):
        return local(pd.Timestamp(value).to_pydatetime(warn=False))
    if isinstance(value, (pd.Timedelta, datetime.timedelta, np.timedelta64)):
        return pd.Timedelta(value).to_pytimedelta()
    if isinstance(value, np.generic):
        return value.item()
    return value


class Table:
    def __init__(self) -> None:
        self.cells = 0
        self.wrong: List[Dict[str, str]] = []

    def check(self, cell: str, expected: Any, found: Callable[[], Any]) -> None:
        self.cells += 1
        try:
            got = found()
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            if isinstance(expected, str) and f"[{expected}]" in str(error):
                return
            got = f"{type(error).__name__}: {([line for line in lines if 'Error' in line] or lines or [''])[-1]}"
        if got != expected:
            self.wrong.append({"cell": cell, "expected": repr(expected), "got": repr(got)})


def described(series: pd.Series) -> Tuple[str, List[Any]]:
    return str(series.dtype), [plain(value) for value in series]


def main() -> None:
    warnings.simplefilter("ignore")
    spark = SparkSession.builder.appName("types").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.conf.set("spark.sql.session.timeZone", ZONE)
    table = Table()

    for arrow in (True, False):
        spark.conf.set("spark.sql.execution.arrow.pyspark.enabled", str(arrow).lower())
        # A silent fallback to the slow path would hide what Arrow cannot do.
        spark.conf.set("spark.sql.execution.arrow.pyspark.fallback.enabled", "false")
        mode = "Arrow" if arrow else "no Arrow"
        for name, sql, texts, dtype, dtype_null, values in TYPES:
            expected = [plain(value) for value in values]
            for nulls in (False, True):
                rows = " union all ".join(
                    f"select {i} as i, cast({text} as {sql}) as v" for i, text in enumerate([*texts, *(["null"] if nulls else [])])
                )
                # Two partitions: values travel to executors and back.
                df = spark.sql(rows).repartition(2, "i").sortWithinPartitions("i").cache()
                want = expected + ([None] if nulls else [])
                want_dtype = dtype_null if nulls else dtype
                where = f"{name}{' with null' if nulls else ''}, {mode}"
                # int64 with nulls is float64, as documented: large values are rounded there.
                rounded = [int(float(v)) if v is not None else None for v in want] if name == "long" and nulls else want
                ordered = df.orderBy("i")

                table.check(f"{where}: toPandas", (want_dtype, rounded), lambda: described(ordered.toPandas()["v"]))
                if "datetime64" in dtype and not nulls:
                    nanoseconds = [pd.Timestamp(v).value for v in want]
                    table.check(f"{where}: toPandas, astype(int64)", nanoseconds, lambda: ordered.toPandas()["v"].astype("int64").tolist())
                # collect() gives naive datetimes in the driver's zone, which is UTC here whatever the session's zone is.
                table.check(f"{where}: collect", want, lambda: [collected(row.v, name) for row in ordered.collect()])
                # Integers with nulls are floats in pandas. Arrow converts them back to integers; Spark without Arrow refuses them.
                if nulls and want_dtype == "float64" != dtype and not arrow:
                    want_back: Any = "CANNOT_ACCEPT_OBJECT_IN_TYPE"
                else:
                    want_back = rounded
                table.check(f"{where}: createDataFrame(toPandas())", want_back, lambda: back(spark, ordered.toPandas(), sql, name))
                table.check(f"{where}: createDataFrame(list)", want,
                            lambda: [collected(row.v, name) for row in spark.createDataFrame(ordered.collect(), f"i int, v {sql}").orderBy("i").collect()])
                # The rest always uses Arrow, whatever the setting is.
                if not arrow:
                    continue
                schema = f"i int, v {sql}"
                # A pandas UDF gets a struct as a DataFrame, which has no null rows.
                of_udf = [{"n": None, "s": None} if name == "struct" and v is None else v for v in rounded]
                # One partition, because a column without nulls in its partition would have another dtype.
                one = df.coalesce(1)
                table.check(f"{where}: pandas UDF sees", [f"{want_dtype}"], lambda: seen_by_udf(one))
                table.check(f"{where}: pandas UDF returns", of_udf, lambda: [collected(r.v, name) for r in one.select("i", identity(sql)("v").alias("v")).orderBy("i").collect()])
                table.check(f"{where}: applyInPandas sees", [f"{want_dtype}"], lambda: [
                    row.d for row in one.groupBy(F.lit(1)).applyInPandas(lambda pdf: pd.DataFrame({"d": [str(pdf["v"].dtype)]}), "d string").collect()])
                table.check(f"{where}: applyInPandas returns", rounded, lambda: [
                    collected(r.v, name) for r in one.groupBy(F.lit(1)).applyInPandas(lambda pdf: pdf[["i", "v"]], schema).orderBy("i").collect()])
                table.check(f"{where}: mapInPandas returns", rounded, lambda: [
                    collected(r.v, name) for r in one.mapInPandas(lambda frames: frames, schema).orderBy("i").collect()])
                table.check(f"{where}: mapInArrow returns", want, lambda: [
                    collected(r.v, name) for r in one.mapInArrow(lambda batches: batches, schema).orderBy("i").collect()])
                df.unpersist()

        # Types of pandas that Spark does not have.
        given: List[Tuple[str, pd.Series, str, List[Any]]] = [
            ("categorical", pd.Series(["a", "b", "a"], dtype="category"), "string", ["a", "b", "a"]),
            ("datetime64[s]", pd.Series(np.array(["2024-07-01T12:00:00"], dtype="datetime64[s]")), "timestamp", [datetime.datetime(2024, 7, 1, 12)]),
            ("datetime64[us]", pd.Series(np.array(["2024-07-01T12:00:00.000001"], dtype="datetime64[us]")), "timestamp", [datetime.datetime(2024, 7, 1, 12, 0, 0, 1)]),
            ("datetime64[ns, Asia/Tokyo]", pd.Series(pd.to_datetime(["2024-07-01 12:00:00"]).tz_localize("Asia/Tokyo")), "timestamp",
             [datetime.datetime(2024, 6, 30, 23)]),
            ("datetime.date", pd.Series([datetime.date(2024, 2, 29)]), "date", [datetime.date(2024, 2, 29)]),
            ("float32", pd.Series([0.5, np.nan], dtype="float32"), "float", [0.5, None]),
            ("uint8", pd.Series([0, 255], dtype="uint8"), "smallint", [0, 255]),
            ("strings with None", pd.Series(["a", None]), "string", ["a", None]),
        ]
        for name, series, sql, want in given:
            table.check(f"pandas {name}, {mode}: createDataFrame with a schema", want,
                        lambda: [collected(row.v, sql) for row in spark.createDataFrame(pd.DataFrame({"v": series}), f"v {sql}").collect()])
        for name, series, sql, want in given[:5]:
            table.check(f"pandas {name}, {mode}: createDataFrame infers", (sql, want), lambda: inferred(spark, series, sql))
        table.check(f"empty, {mode}: toPandas keeps its columns", ["i", "v"], lambda: list(spark.sql("select 1 as i, timestamp'2024-01-01 00:00:00' as v where 1 = 0").toPandas().columns))

    table.check("time zone of the driver's Python, the executors' Python, the driver's JVM, the executors' JVM", [["UTC"]] * 4, lambda: zones(spark))
    table.check("encoding of the driver's Python, the executors' Python, the executors' JVM", [["utf-8"]] * 3, lambda: encodings(spark))
    json.dump({"cells": table.cells, "wrong": table.wrong}, sys.stdout, ensure_ascii=False, indent=1)
    print()


def collected(value: Any, kind: str) -> Any:
    """Converts a collected value to the session's time zone: collect() gives naive timestamps in the driver's zone."""
    if kind.startswith("timestamp") and kind != "timestamp_ntz" and isinstance(value, datetime.datetime):
        return local(value.astimezone(UTC))
    if kind == "array_of_timestamps" and value is not None:
        return [local(item.astimezone(UTC)) for item in value]
    return plain(value)


def back(spark: SparkSession, pdf: pd.DataFrame, sql: str, name: str) -> List[Any]:
    return [collected(row.v, name) for row in spark.createDataFrame(pdf, f"i int, v {sql}").orderBy("i").collect()]


def inferred(spark: SparkSession, series: pd.Series, sql: str) -> Tuple[str, List[Any]]:
    df = spark.createDataFrame(pd.DataFrame({"v": series}))
    return df.dtypes[0][1], [collected(row.v, sql) for row in df.collect()]


def identity(sql: str) -> Callable[..., Any]:
    def series(v: pd.Series) -> pd.Series:
        return v

    def frame(v: pd.DataFrame) -> pd.DataFrame:
        return v

    return F.pandas_udf(frame if sql.startswith("struct") else series, sql)


def seen_by_udf(df: Any) -> List[str]:
    def dtype(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for v in batches:
            yield pd.Series([str(v.dtype) if isinstance(v, pd.Series) else "object"] * len(v))

    return sorted({row[0] for row in df.select(F.pandas_udf(dtype, "string")("v")).collect()})


def zones(spark: SparkSession) -> List[List[str]]:
    import time

    def zone(_: Any) -> Iterator[str]:
        time.tzset()
        yield time.tzname[0]

    sc = spark.sparkContext
    id_of = "java_method('java.time.ZoneId', 'systemDefault')"
    jvm = spark.range(0, 8, 1, 8).selectExpr(f"cast({id_of} as string) as z").distinct().collect()
    return [
        [time.tzname[0]],
        sorted(set(sc.parallelize(range(8), 8).mapPartitions(zone).collect())),
        [normal(sc._jvm.java.util.TimeZone.getDefault().getID())],
        sorted({normal(row.z) for row in jvm}),
    ]


def normal(zone: str) -> str:
    return "UTC" if zone in ("Etc/UTC", "Z", "GMT", "UTC") else zone


def encodings(spark: SparkSession) -> List[List[str]]:
    import locale

    def encoding(_: Any) -> Iterator[str]:
        import locale

        yield locale.getpreferredencoding(False).lower()

    jvm = spark.range(0, 8, 1, 8).selectExpr("java_method('java.nio.charset.Charset', 'defaultCharset') as c").distinct().collect()
    return [
        [locale.getpreferredencoding(False).lower()],
        sorted(set(spark.sparkContext.parallelize(range(8), 8).mapPartitions(encoding).collect())),
        sorted({row.c.lower() for row in jvm}),
    ]


if __name__ == "__main__":
    main()
