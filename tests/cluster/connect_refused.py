"""Tries each kind of Spark Connect request. Reads the address and the client version to claim from standard input. Prints refusals."""

import sys

import grpc
import pyspark.sql.connect.client.core as core
from pyspark.sql import SparkSession

address, version = sys.stdin.read().split("\n")
if version:
    core.__version__ = version
spark = SparkSession.builder.remote(address).getOrCreate()
refusals = set()
# Requests that send files do not name the client's version.
silent = ["artifacts"] if version else []
tries = {
    "analyze": lambda: spark.version,
    "config": lambda: spark.conf.get("spark.authenticate.secret"),
    "execute": lambda: spark.range(3).collect(),
    "artifacts": lambda: spark.addArtifacts(__file__, file=True),
    "interrupt": lambda: spark.interruptAll(),
}
for name, attempt in tries.items():
    if name in silent:
        continue
    try:
        raise SystemExit(f"{name} was let in: {attempt()!r}")
    except (core.SparkConnectException, grpc.RpcError) as error:
        cause = error if isinstance(error, grpc.RpcError) else error.__context__
        while cause is not None and not isinstance(cause, grpc.RpcError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        refusals.add(f"{cause.code().name}: {cause.details()}")
print("\n".join(sorted(refusals)))
