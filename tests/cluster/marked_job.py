"""A job whose data repeats one word, so that data that is sent or spilled without encryption holds it: marked_job.py <word>

Prints as JSON which share of the executors' files holds the word.
"""

import json
import os
import sys

from pyspark import StorageLevel
from pyspark.sql import SparkSession

word = sys.argv[1]
builder = SparkSession.builder.appName("marked")
for name in ("spark.shuffle.compress", "spark.shuffle.spill.compress", "spark.broadcast.compress", "spark.rdd.compress"):
    builder = builder.config(name, "false")
sc = builder.getOrCreate().sparkContext

rows = sc.parallelize([(n % 7, word) for n in range(20_000)], 8)
told = sc.broadcast([word] * 100)
groups = rows.mapValues(lambda value: value + told.value[0]).groupByKey(8).cache()
assert groups.mapValues(len).collectAsMap()[0] == 2858
# Blocks that are stored on disk.
assert rows.persist(StorageLevel.DISK_ONLY).count() == 20_000


def files(_: object) -> list[tuple[str, int, bool]]:
    found = []
    for place in {os.environ.get("SPARK_LOCAL_DIRS", "/tmp").split(",")[0], "/var/lib/spark/work", "/tmp"}:
        for folder, _folders, names in os.walk(place):
            for name in names:
                path = os.path.join(folder, name)
                if "blockmgr-" not in path and not name.startswith(("shuffle_", "rdd_")):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
                found.append((path, len(content), word.encode() in content))
    return found


looked = set(sc.parallelize(range(8), 8).mapPartitions(files).collect())
print("job: " + json.dumps({"bytes": sum(size for _, size, _ in looked), "readable": sorted(p for p, _, yes in looked if yes)}))
