"""Runs cells whose messages the tests check. Prints each cell's output, as the user sees it, as JSON by the cell's name.

    python3 notebook_messages.py     in the client of a standalone cluster that has two agents
"""

import json
import subprocess
import sys

import nbformat
from nbclient import NotebookClient

# Takes every core until its input ends, and releases none while it is idle.
HOLDER = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("big-job").config("spark.cores.max", "100").config("spark.dynamicAllocation.enabled", "false").getOrCreate()
while len(spark.sparkContext.parallelize(range(64), 64).map(lambda _: __import__("socket").gethostname()).distinct().collect()) < 2:
    pass
print("holding", flush=True)
sys.stdin.read()
"""

# The holder is ended once the waiting cell has said why it waits. If that message never comes, the notebook's timeout ends the test.
CELLS = {
    "waits": "spark.range(10).count()",
    "page": """
import json, os, re, urllib.request
token = open(os.environ["JUPYTER_TOKEN_FILE"]).read().strip()
host, port = re.match(r"http://([^:/]+):(\\d+)", sc.uiWebUrl).groups()
path = f"{os.environ.get('JUPYTER_BASE_URL', '/')}proxy/{os.environ['SPARK_LOCAL_IP']}:{port}"
page = urllib.request.urlopen(f"http://127.0.0.1:{os.environ['JUPYTER_PORT']}{path}/jobs/?token={token}").read().decode()
links = set(re.findall(r'href="(/[^"]*)"', page))
print(json.dumps({"title": re.search("<title>(.*?)</title>", page)[1], "astray": sorted(link for link in links if not link.startswith(path))}))
""",
    "dies": """
def die(_):
    import os, signal

    process = os.getpid()
    while b"CoarseGrained" not in open(f"/proc/{process}/cmdline", "rb").read():
        process = int(open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[1])
    os.kill(process, signal.SIGKILL)
    yield 1


sc.parallelize([1], 1).mapPartitions(die).collect()
""",
    "full disk": """
def full(_):
    raise OSError(28, "No space left on device")


sc.parallelize([1], 1).map(full).collect()
""",
    "stopped": """
log = sc._jvm.org.apache.logging.log4j.LogManager.getLogger("of-a-test")
log.warn("Lost task 1.0 in stage 5.0 (TID 6) (10.60.0.65 executor 1): TaskKilled (Stage cancelled: Job 3 cancelled part of cancelled job group x)")
log.error("Data source write support MicroBatchWrite[epoch: 0, writer: x] is aborting.")
log.warn("Lost task 1.1 in stage 5.0 (TID 7) (10.60.0.65 executor 1): java.io.IOException: kept")
""",
    "nanoseconds": """
import pandas as pd
pd.DataFrame({"day": pd.date_range("2024-01-01", periods=3)}).to_parquet("days.parquet")
spark.read.parquet("file:/home/spark/work/days.parquet").show()
""",
    "beside the notebook": """
pd.DataFrame({"n": [1]}).to_csv("beside.csv")
spark.read.csv("beside.csv").count()
""",
    "in HDFS": """
spark.range(1).write.mode("overwrite").parquet("there.parquet")
pd.read_parquet("there.parquet")
""",
    "web address": 'spark.read.csv("https://files.example/flights.csv")',
    "file of the client": """
pd.DataFrame({"n": [1]}).to_csv("/tmp/mine.csv")
spark.read.csv("file:/tmp/mine.csv").count()
""",
    "jdbc": 'spark.read.jdbc("jdbc:sqlite:mine.db", "mine")',
    "avro": 'spark.range(1).write.format("avro").save("a.avro")',
    "no module": "import seaborn",
    "%pip pandas": "%pip install pandas",
    "!pip nothing": "!pip install --no-index a-package-that-is-not-there",
    "%pip mine": """
import pathlib
pathlib.Path("/tmp/mine/mine_here").mkdir(parents=True, exist_ok=True)
pathlib.Path("/tmp/mine/mine_here/__init__.py").write_text("answer = 42")
pathlib.Path("/tmp/mine/setup.py").write_text("from setuptools import setup; setup(name='mine-here', version='1', packages=['mine_here'])")
%pip install --no-index --no-build-isolation /tmp/mine
import mine_here
print("answer", mine_here.answer)
""",
}


def text(cell: nbformat.NotebookNode) -> str:
    parts = []
    for output in cell.get("outputs", []):
        parts.append(output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", ""))
    return "".join(parts)


def main() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert holder.stdout and holder.stdin and holder.stdout.readline() == "holding\n"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    notebook.metadata.kernelspec = {"name": "pyspark", "display_name": "PySpark", "language": "python"}

    class Client(NotebookClient):
        def process_message(self, message, cell, cell_index):  # type: ignore[no-untyped-def]
            if cell_index == 0 and "waits for executors" in str(message["content"]) and not holder.stdin.closed:
                holder.stdin.close()
            return super().process_message(message, cell, cell_index)

    Client(notebook, timeout=240, allow_errors=True).execute()
    holder.wait()
    json.dump({name: text(cell) for name, cell in zip(CELLS, notebook.cells)}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
