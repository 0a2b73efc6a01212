"""A session that has executors until its input ends. Each line of that is a command, which every executor runs in a task.

    python3 -c "$(cat task_shell.py)" NAME CORES

Each executor has one core. What a command says is printed once for each machine and text: machine, then text with its lines joined by `|`.
"""

import socket
import subprocess
import sys

from pyspark.sql import SparkSession

name, cores = sys.argv[1], int(sys.argv[2])
spark = (
    SparkSession.builder.appName(name)
    .config("spark.cores.max", str(cores))
    .config("spark.executor.cores", "1")
    .config("spark.dynamicAllocation.enabled", "false")
    .getOrCreate()
)
sc = spark.sparkContext


def on_each(command):
    """All of its tasks run at once, so each executor has one."""

    def task(_):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        yield f"{socket.gethostname()} {'|'.join((done.stdout + done.stderr).splitlines())}"

    return sorted(set(sc.parallelize(range(cores), cores).barrier().mapPartitions(task).collect()))


print(f"{name} is {sc.applicationId}\n{name} begins", flush=True)
for number, line in enumerate(sys.stdin, 1):
    for said in on_each(line.strip()):
        print(f"{name} {number}: {said}", flush=True)
    print(f"{name} {number} ends", flush=True)
