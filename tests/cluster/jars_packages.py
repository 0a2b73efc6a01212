"""Jars by `spark.jars.packages`, as a notebook's user asks for them: prints the cells' outputs as JSON.

    python3 jars_packages.py delta                  Delta Lake, from a repository that the client reaches
    python3 jars_packages.py coordinates module     a package of Python modules: what executors get of `module.hello()`
"""

import json
import sys
from typing import Dict

import nbformat
from nbclient import NotebookClient
from notebook_messages import text

DELTA = """
from pyspark.sql import SparkSession
spark = (
    SparkSession.builder.config("spark.jars.packages", "io.delta:delta-spark_2.12:3.3.2")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .getOrCreate()
)
"""
WRITE = """
spark.range(100).repartition(4).write.format("delta").mode("overwrite").save("delta-table")
print("rows", spark.read.format("delta").load("delta-table").where("id % 2 = 0").count())
"""

# A kernel in which the cluster's own session is there already, and one in which nothing is.
OF_DELTA = [
    {
        "own": "spark.range(3).count()",
        "ignored": DELTA,
        "no jars": WRITE,
        "stopped": f"spark.stop()\n{DELTA}\n{WRITE}",
        "extensions": 'spark.sparkContext.getConf().get("spark.sql.extensions")',
        "unshared": WRITE.replace("delta-table", "file:///tmp/delta-table"),
        "memory": """
spark.stop()
spark = SparkSession.builder.config("spark.driver.memory", "600m").getOrCreate()
print("MiB", spark._jvm.java.lang.Runtime.getRuntime().maxMemory() >> 20, "rows", spark.range(3).count())
""",
        "not there": """
spark.stop()
SparkSession.builder.config("spark.jars.packages", "org.example:not-there:1").getOrCreate()
""",
    },
    {"fresh": f"{DELTA}\n{WRITE}"},
]


def of_modules(coordinates: str, module: str) -> Dict[str, str]:
    return {
        "modules": f"""
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.jars.packages", "{coordinates}").getOrCreate()
spark.sparkContext.parallelize([1], 1).map(lambda _: __import__("{module}").hello()).collect()
""",
    }


def main() -> None:
    notebooks = OF_DELTA if sys.argv[1:] == ["delta"] else [of_modules(*sys.argv[1:])]
    said: Dict[str, str] = {}
    for cells in notebooks:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells.values()])
        notebook.metadata.kernelspec = {"name": "pyspark", "display_name": "PySpark", "language": "python"}
        NotebookClient(notebook, timeout=240, allow_errors=True).execute()
        said.update({name: text(cell) for name, cell in zip(cells, notebook.cells)})
    json.dump(said, sys.stdout)
    print()


if __name__ == "__main__":
    main()
