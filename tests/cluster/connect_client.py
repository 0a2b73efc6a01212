"""Uses Spark Connect as from a user's own computer. Reads the lines that make `spark` from standard input, and prints JSON."""

import json
import sys

lines = sys.stdin.read()
exec(lines)

import pandas as pd
from pyspark.sql.functions import col, pandas_udf
from pyspark.sql.streaming import StreamingQueryListener

spark = globals()["spark"]


@pandas_udf("double")
def half(values: pd.Series) -> pd.Series:
    return values / 2


def where(batches):
    import socket

    for batch in batches:
        yield pd.DataFrame({"host": [socket.gethostname()] * len(batch)})


numbers = spark.range(1000)
hosts = numbers.repartition(4).mapInPandas(where, "host string").distinct().toPandas()
spark.createDataFrame([(1, "b"), (2, "c")], ["id", "name"]).write.mode("overwrite").saveAsTable("from_outside")


class Listener(StreamingQueryListener):
    """Runs on the client, beside the server."""

    def onQueryStarted(self, event):
        with open("/home/spark/work/started.txt", "w") as file:
            file.write(str(event.id))

    def onQueryProgress(self, event):
        pass

    def onQueryIdle(self, event):
        pass

    def onQueryTerminated(self, event):
        pass


def keep(batch, number):
    batch.write.mode("append").saveAsTable("from_stream")


spark.streams.addListener(Listener())
stream = spark.readStream.schema("id long, name string").parquet("/home/spark/work/spark-warehouse/from_outside")
query = stream.writeStream.foreachBatch(keep).option("checkpointLocation", "from_stream_checkpoint").trigger(availableNow=True).start()
query.awaitTermination()

# Every error must arrive unchanged. Tried several times, because the gateway once lost one of five.
refused = []
for _ in range(15):
    try:
        spark.range(3).write.parquet("file:/tmp/scattered")
    except Exception as error:
        refused.append(str(error))
print(
    json.dumps(
        {
            "version": spark.version,
            "sum": numbers.filter(col("id") % 2 == 0).groupBy().sum("id").collect()[0][0],
            "half": numbers.select(half("id").alias("h")).agg({"h": "sum"}).collect()[0][0],
            "hosts": sorted(hosts.host),
            "table": [row.name for row in spark.table("from_inside").orderBy("id").collect()],
            "file": spark.read.text("/home/spark/work/note.txt").collect()[0][0],
            "streamed": [row.name for row in spark.table("from_stream").orderBy("id").collect()],
            "started": spark.read.text("/home/spark/work/started.txt").collect()[0][0] == query.id,
            "refused": refused,
        }
    )
)
