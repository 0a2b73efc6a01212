"""Seconds from the first cell of a new kernel to its results, in a client's container: kernel-start.py <rounds>

Each round runs the same three cells in new kernels: on the cluster and in `local[2]`, each with and without the archives of Java's
classes, in the opposite order of the round before. Prints a line of JSON for each kernel.
"""

import json
import os
import shutil
import sys
import time

from jupyter_client.manager import start_new_kernel

CELLS = {
    "session": "from pyspark.sql import SparkSession\nspark = SparkSession.builder{master}.getOrCreate(); sc = spark.sparkContext",
    "python": "assert sc.parallelize(range(1000), 2).map(lambda n: n * n).sum() == 332833500",
    "sql": "assert len(spark.range(1000000).selectExpr('id % 7 as k').groupBy('k').count().toPandas()) == 7",
}
PLAIN = "/tmp/conf-without-archives"


def conf_without_archives() -> None:
    shutil.rmtree(PLAIN, ignore_errors=True)
    shutil.copytree(os.environ["SPARK_CONF_DIR"], PLAIN)
    with open(f"{PLAIN}/spark-defaults.conf", encoding="utf-8") as file:
        lines = [line for line in file if "/opt/spark-classes/" not in line]
    with open(f"{PLAIN}/spark-defaults.conf", "w", encoding="utf-8") as file:
        file.writelines(lines)


def seconds(client: object, code: str) -> float:
    began = time.monotonic()
    reply = client.execute_interactive(code, timeout=600, output_hook=lambda _: None)
    if reply["content"]["status"] != "ok":
        raise SystemExit(f"{code}: {reply['content']}")
    return time.monotonic() - began


def kernel(master: str, archives: bool) -> dict:
    env = dict(os.environ) if archives else {**os.environ, "SPARK_CONF_DIR": PLAIN}
    manager, client = start_new_kernel(kernel_name="pyspark", startup_timeout=300, env=env)
    try:
        chosen = f".master('{master}')" if master else ""
        return {part: seconds(client, code.format(master=chosen)) for part, code in CELLS.items()}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)


conf_without_archives()
ways = [(master, archives) for archives in (True, False) for master in ("", "local[2]")]
for i in range(int(sys.argv[1])):
    for master, archives in ways if i % 2 == 0 else ways[::-1]:
        print(json.dumps({"master": master, "archives": archives, **kernel(master, archives)}), flush=True)
