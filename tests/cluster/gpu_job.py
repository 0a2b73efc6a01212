"""Prints what tasks see of their agent's GPU: its address, its device, and the devices that its driver needs."""

import os
import socket
import stat

from pyspark import TaskContext
from pyspark.sql import SparkSession


def seen(_):
    address = TaskContext.get().resources()["gpu"].addresses[0]
    found = [f"{path} {os.path.exists(path) and stat.S_ISCHR(os.stat(path).st_mode)}" for path in ("/dev/fuse", "/dev/kmsg")]
    return f"{socket.gethostname()} gpu {address}, {', '.join(found)}"


asking = SparkSession.builder.config("spark.executor.resource.gpu.amount", "1").config("spark.task.resource.gpu.amount", "1")
spark = asking.getOrCreate()
print("seen:", sorted(set(spark.sparkContext.parallelize(range(4), 4).map(seen).collect())))
