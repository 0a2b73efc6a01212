"""`%sql` and `%%sql`: SQL as a cell.

    %%sql delays --rows 5
    SELECT carrier, avg(dep_delay) AS delay FROM {flights} WHERE month = :month GROUP BY carrier

`{flights}` is a frame of the notebook, `:month` a value of it, which Spark gets apart from the text. `delays` becomes the frame of the
result. Statements are divided by semicolons; the rows of the last one are shown.
"""

import datetime
import decimal
import re
from html import escape
from typing import Any, Dict, List, Optional

import numpy
import sqlparse
from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser
from pyspark.serializers import BatchedSerializer, CPickleSerializer
from pyspark.sql import DataFrame
from pyspark.sql.dataframe import _load_from_socket

ROWS = 20
# Longer text in a cell of the table ends with three dots.
CELL_CHARACTERS = 100
FRAME = re.compile(r"\{([A-Za-z_]\w*)\}")
VALUE = re.compile(r":([A-Za-z_]\w*)")
# What Spark takes as a value beside its text.
VALUES = (str, int, float, bool, bytes, decimal.Decimal, datetime.date, numpy.generic, type(None))


class Result(DataFrame):
    """A frame that a cell shows as its first rows, as Spark itself writes them."""

    rows = ROWS
    shown: Optional[Dict[str, str]] = None

    def show_rows(self) -> Dict[str, str]:
        """Its first rows as a table, by kind of text. A query that fails does so here."""
        header, *lines = _load_from_socket(self._jdf.getRowsToPython(self.rows + 1, CELL_CHARACTERS), BatchedSerializer(CPickleSerializer()))
        rows = lines[: self.rows]
        more = [f"the first {self.rows} rows"] if len(lines) > self.rows else []
        self.shown = {"text/html": "\n".join([html_table(header, rows), *more]), "text/plain": "\n".join([text_table(header, rows), *more])}
        return self.shown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Dict[str, str]:
        return self.shown or self.show_rows()


def rows_of(frame: DataFrame) -> Result:
    """A frame that shows its first rows. A query that fails does so here."""
    result = Result(frame._jdf, frame.sparkSession)
    result.show_rows()
    return result


def html_table(header: List[str], lines: List[List[str]]) -> str:
    def row(cells: List[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells) + "</tr>"

    return "<table>\n" + "\n".join([row(header, "th"), *(row(line, "td") for line in lines)]) + "\n</table>"


def text_table(header: List[str], lines: List[List[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [header, *lines])


def statements(text: str) -> List[str]:
    """The statements of a text, without their semicolons, and without those that are comments alone."""
    parts = (part.strip().rstrip(";").rstrip() for part in sqlparse.split(text))
    return [part for part in parts if sqlparse.format(part, strip_comments=True).strip(" ;\n")]


def run(spark: Any, statement: str, names: Dict[str, Any]) -> DataFrame:
    """Runs one statement with what it takes of the notebook. Braces around anything but a frame stay what they are."""
    frames = {name: names[name] for name in FRAME.findall(statement) if hasattr(names.get(name), "createOrReplaceTempView")}
    if frames:
        statement = statement.replace("{", "{{").replace("}", "}}")
        for name in frames:
            statement = statement.replace("{{%s}}" % name, "{%s}" % name)
    # Spark's parser decides which of these are values: one that it finds in quoted text is not asked for.
    values = {name: names[name] for name in VALUE.findall(statement) if name in names and isinstance(names[name], VALUES)}
    return spark.sql(statement, args=values, **frames)


OPTIONS = MagicArgumentParser("%%sql")
OPTIONS.add_argument("name", nargs="?", default="", help="what the frame of the result is called")
OPTIONS.add_argument("--rows", "-n", type=int, default=ROWS, help="rows that are shown")


def first_line(line: str) -> Any:
    try:
        options = OPTIONS.parse_argstring(line)
        if options.name and not options.name.isidentifier():
            raise UsageError(f"{options.name} is no name for a frame")
        return options
    except UsageError as error:
        raise UsageError(f"{error}. The first line is %%sql [name] [--rows n]; SQL begins in the one below it") from None


def sql(shell: Any, line: str, cell: Optional[str] = None) -> Any:
    """What `%sql` (without a cell) and `%%sql` do. Returns the frame of the last statement; None where it has no columns."""
    options = first_line("" if cell is None else line)
    found = statements(line if cell is None else cell)
    if not found:
        raise UsageError("there is no SQL: %sql SELECT …, or %%sql as the first line of a cell and SQL below it")
    for statement in found:
        frame = run(shell.user_ns["spark"], statement, shell.user_ns)
    if not frame.columns:
        return None
    # A frame of Spark Connect is of another class, and shows what such frames show.
    if isinstance(frame, DataFrame):
        frame = Result(frame._jdf, frame.sparkSession)
        frame.rows = options.rows
        if cell is not None:
            # IPython goes on after an error of what it displays. The cell of a query that fails has to fail.
            frame.show_rows()
    if options.name:
        shell.user_ns[options.name] = frame
    return frame
