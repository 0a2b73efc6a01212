"""Has a script that uses a name of notebooks, `spark` for one, say how it gets it. Every Python of the client imports this when it starts."""

import sys  # And nothing else: every start of Python waits for this.

SESSION = "from pyspark.sql import SparkSession; spark = SparkSession.builder.getOrCreate()"
# Names that notebooks have by themselves, and what a script has in their place.
NAMES = {
    "spark": f"a script begins its own session: {SESSION}",
    "sc": f"a script begins its own session: {SESSION}; sc = spark.sparkContext",
    "display": "a script prints: df.show(), or print(df.toPandas())",
    "get_ipython": "a script has no % and no !",
}

print_error = sys.excepthook


def excepthook(kind: type, error: BaseException, trace: object) -> None:
    print_error(kind, error, trace)
    # A subclass says that a variable of a function has no value yet.
    name = error.name if type(error) is NameError else None
    if name in NAMES:
        file = sys.argv[0] if sys.argv[0].endswith(".py") else "program.py"
        print(f"triplewide: only notebooks have {name} by themselves: {NAMES[name]}. `ipython {file}` runs an exported notebook as it is", file=sys.stderr)


sys.excepthook = excepthook
