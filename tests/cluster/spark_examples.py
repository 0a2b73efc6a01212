"""Spark's own Python examples, as published with it, on a cluster: each by spark-submit, from the shared folder.

    python3 spark_examples.py [name...]     in the client; without names all. Prints a JSON object for each as it ends.

Examples and data are those of pyspark's source distribution, as they lie in the image (`images/versions.env` pins its digest). It has
no `examples/src/main/resources`: the files of that name are made here, with the same content or columns.
"""

import concurrent.futures
import glob
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

SPARK = os.environ["SPARK_HOME"]
FOLDER = "/home/spark/work/spark-examples"
SOURCES = "examples/src/main/python"
RESOURCES = "examples/src/main/resources"
# The longest time for one example.
SECONDS = 900
# The number of drivers that share the cluster at the same time.
AT_ONCE = 2

SOCKET = "needs a server at a socket"
CONVERTERS = "needs Scala classes of Spark's examples, which nobody publishes as a jar"
EXCLUDED = {
    "avro_inputformat.py": CONVERTERS,
    "parquet_inputformat.py": CONVERTERS,
    "sql/hive.py": "needs Hive",
    "sql/streaming/structured_kafka_wordcount.py": "needs Kafka",
    "sql/streaming/structured_network_wordcount.py": SOCKET,
    "sql/streaming/structured_network_wordcount_session_window.py": SOCKET,
    "sql/streaming/structured_network_wordcount_windowed.py": SOCKET,
    "sql/streaming/structured_sessionization.py": SOCKET,
    "streaming/network_wordcount.py": SOCKET,
    "streaming/network_wordjoinsentiments.py": SOCKET,
    "streaming/recoverable_network_wordcount.py": SOCKET,
    "streaming/sql_network_wordcount.py": SOCKET,
    "streaming/stateful_network_wordcount.py": SOCKET,
}

ARGUMENTS = {
    "kmeans.py": ["data/mllib/kmeans_data.txt", "2", "0.1"],
    "logistic_regression.py": ["data/lr_data.txt", "5"],
    "mllib/gaussian_mixture_model.py": ["data/mllib/kmeans_data.txt", "2"],
    "mllib/kmeans.py": ["data/mllib/kmeans_data.txt", "2"],
    "mllib/logistic_regression.py": ["data/lr_data.txt", "5"],
    "mllib/word2vec.py": ["data/text8_lines"],
    "pagerank.py": ["data/mllib/pagerank_data.txt", "5"],
    "pi.py": ["4"],
    "sort.py": ["data/numbers.txt"],
    "wordcount.py": ["data/streaming/AFINN-111.txt"],
    "mllib/streaming_linear_regression_example.py": ["data/arrives", "data/arrives"],
    "streaming/hdfs_wordcount.py": ["data/arrives"],
}

# Functions in which an example may fail. All that stands before them has run.
MAY_FAIL_IN = {
    # The example reads only files modified after the year 2050. There are none, so Spark cannot infer a schema.
    "sql/datasource.py": "in generic_file_source_options_example",
}

# Examples that run until they are ended: the line of each file that arrives, and the text that shows that a file was processed. The
# text is in the example's output, or in Spark's event log if the example prints nothing.
ENDLESS = {
    "mllib/streaming_linear_regression_example.py": ("(1.0,[1.0,2.0,3.0])", "treeAggregate at StreamingLinearAlgorithm|treeAggregate at GradientDescent"),
    "streaming/hdfs_wordcount.py": ("arrived", r"\('arrived', \d+\)"),
}


def names() -> List[str]:
    found = glob.glob("**/*.py", root_dir=os.path.join(SPARK, SOURCES), recursive=True)
    return sorted(name for name in found if os.path.basename(name) != "__init__.py")


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def prepare() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(os.path.join(SPARK, "examples"), os.path.join(FOLDER, "examples"))
    shutil.copytree(os.path.join(SPARK, "data"), os.path.join(FOLDER, "data"))
    os.chdir(FOLDER)
    write(f"{RESOURCES}/people.json", '{"name":"Michael"}\n{"name":"Andy", "age":30}\n{"name":"Justin", "age":19}\n')
    write(f"{RESOURCES}/people.txt", "Michael, 29\nAndy, 30\nJustin, 19\n")
    write(f"{RESOURCES}/people.csv", "name;age;job\nJorge;30;Developer\nBob;32;Developer\n")
    write("data/numbers.txt", "3\n1\n2\n")
    rows = [[i % 2] + [((i * 7 + j * 3) % 10) / 10 + i % 2 for j in range(10)] for i in range(100)]
    # Words that occur often enough to be counted. The example asks for the neighbours of "china".
    words = ["china", *(f"word{i}" for i in range(60))]
    write("data/text8_lines", "".join(" ".join(words[(i * j) % len(words)] for j in range(1, 40)) + "\n" for i in range(1, 100)))
    write("data/lr_data.txt", "".join(" ".join(map(str, row)) + "\n" for row in rows))

    import pyarrow as arrow
    import pyarrow.orc
    import pyarrow.parquet

    users = arrow.table(
        {
            "name": ["Alyssa", "Ben"],
            "favorite_color": arrow.array([None, "red"], arrow.string()),
            "favorite_numbers": arrow.array([[3, 9, 15, 20], []], arrow.list_(arrow.int32())),
            # Spark's own file has no such column, but its example sorts by it.
            "age": [30, 32],
        }
    )
    arrow.parquet.write_table(users, f"{RESOURCES}/users.parquet")
    arrow.orc.write_table(users, f"{RESOURCES}/users.orc")
    for number, folder in (("1", "dir1"), ("2", "dir1/dir2")):
        os.makedirs(f"{RESOURCES}/{folder}", exist_ok=True)
        arrow.parquet.write_table(arrow.table({"file": [f"file{number}.parquet"]}), f"{RESOURCES}/{folder}/file{number}.parquet")
    write(f"{RESOURCES}/dir1/file3.json", '{"file":"corrupt.json"}\n')


def run(name: str) -> Dict[str, Any]:
    """Runs one example in a folder of its own, which holds links to what the examples read."""
    if name in EXCLUDED:
        return {"name": name, "excluded": EXCLUDED[name]}
    place = os.path.join(FOLDER, "runs", name[:-3].replace("/", "-"))
    os.makedirs(os.path.join(place, "data"))
    os.symlink(os.path.join(FOLDER, "examples"), os.path.join(place, "examples"))
    for entry in os.listdir(os.path.join(FOLDER, "data")):
        os.symlink(os.path.join(FOLDER, "data", entry), os.path.join(place, "data", entry))
    os.mkdir(os.path.join(place, "data", "arrives"))
    os.mkdir(os.path.join(place, "events"))
    os.mkdir(os.path.join(place, "tmp"))
    # Some write results with Spark to Python's folder for temporary files. Folds depend on Python's hash seed, and some seeds give folds
    # with rows of only one label. Spark's own tests fix the seed too.
    env = {**os.environ, "TMPDIR": os.path.join(place, "tmp"), "PYTHONHASHSEED": "0"}
    begun = time.monotonic()
    with open(os.path.join(place, "output"), "w", encoding="utf-8") as output, open(os.path.join(place, "log"), "w", encoding="utf-8") as log:
        conf = [
            "spark.sql.shuffle.partitions=4",
            # The folds of a cross validation depend on it, and without it repeated joins get more and more partitions.
            "spark.default.parallelism=4",
            f"spark.sql.warehouse.dir=file://{place}/warehouse",
            "spark.eventLog.enabled=true",
            f"spark.eventLog.dir=file://{place}/events",
        ]
        words = [os.path.join(SOURCES, name), *ARGUMENTS.get(name, [])]
        command = ["spark-submit", *(word for setting in conf for word in ("--conf", setting)), *words]
        process = subprocess.Popen(command, cwd=place, env=env, stdout=output, stderr=log)
        code = finish(process, begun + SECONDS) if name not in ENDLESS else feed(process, begun + SECONDS, place, *ENDLESS[name])
    expected = MAY_FAIL_IN.get(name)
    if code and expected and expected in read(os.path.join(place, "output")) + read(os.path.join(place, "log")):
        code = 0
    said = {} if code == 0 else {"code": code, "output": read(os.path.join(place, "output"))[-1000:], "log": read(os.path.join(place, "log"))[-3000:]}
    return {"name": name, "ok": code == 0, "seconds": round(time.monotonic() - begun, 1), **said}


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def finish(process: "subprocess.Popen[bytes]", until: float) -> Optional[int]:
    """Returns the example's exit code; None if it did not end in time."""
    try:
        return process.wait(until - time.monotonic())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def feed(process: "subprocess.Popen[bytes]", until: float, place: str, line: str, seen: str) -> Optional[int]:
    """Adds a file every second until the example has processed one, and then ends it. Returns 0 if it did."""
    for number in itertools.count():
        said = "".join(map(read, [os.path.join(place, "output"), *glob.glob(f"{place}/events/*")]))
        if process.poll() is not None:
            return process.returncode or 1
        if re.search(seen, said) or time.monotonic() > until:
            process.kill()
            process.wait()
            return 0 if re.search(seen, said) else None
        # Written under another name first, because a stream reads a file as soon as it sees it.
        write(f"{place}/data/arriving", f"{line}\n")
        os.rename(f"{place}/data/arriving", f"{place}/data/arrives/{number}")
        time.sleep(1)
    return None


def main() -> None:
    wanted = sys.argv[1:] or names()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        sys.exit(f"no examples of Spark: {', '.join(unknown)}")
    prepare()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, name) for name in wanted]):
            print(json.dumps(done.result()), flush=True)


if __name__ == "__main__":
    main()
