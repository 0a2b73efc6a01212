"""A session that keeps executors until its input ends. Each line of the input is a command that every executor runs in a task.

    python3 -c "$(cat task_shell.py)" NAME CORES

Each executor has one core. For each machine and each different output of a command, prints the machine and the output, with `|` for line ends.
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
    """Runs all tasks at the same time, so that each executor gets one."""

    def task(_):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        yield f"{socket.gethostname()} {'|'.join((done.stdout + done.stderr).splitlines())}"

    return sorted(set(sc.parallelize(range(cores), cores).barrier().mapPartitions(task).collect()))


print(f"{name} is {sc.applicationId}\n{name} begins", flush=True)
for number, line in enumerate(sys.stdin, 1):
    for said in on_each(line.strip()):
        print(f"{name} {number}: {said}", flush=True)
    print(f"{name} {number} ends", flush=True)
