"""`%sql` and `%%sql`: SQL as a cell.

    %%sql delays --rows 5
    SELECT carrier, avg(dep_delay) AS delay FROM {flights} WHERE month = :month GROUP BY carrier

`{flights}` refers to a DataFrame variable of the notebook. `:month` refers to another variable, which is passed to Spark as a query
parameter. The result is assigned to `delays`. Semicolons separate statements; only the rows of the last one are shown.
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
# Types that Spark accepts as query parameters.
VALUES = (str, int, float, bool, bytes, decimal.Decimal, datetime.date, numpy.generic, type(None))


class Result(DataFrame):
    """A DataFrame that a notebook cell displays as a table of its first rows, with values formatted by Spark."""

    rows = ROWS
    shown: Optional[Dict[str, str]] = None

    def show_rows(self) -> Dict[str, str]:
        """Returns the first rows as a table, by MIME type. Runs the query, so a failing query raises its error here."""
        header, *lines = _load_from_socket(self._jdf.getRowsToPython(self.rows + 1, CELL_CHARACTERS), BatchedSerializer(CPickleSerializer()))
        rows = lines[: self.rows]
        more = [f"the first {self.rows} rows"] if len(lines) > self.rows else []
        self.shown = {"text/html": "\n".join([html_table(header, rows), *more]), "text/plain": "\n".join([text_table(header, rows), *more])}
        return self.shown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Dict[str, str]:
        return self.shown or self.show_rows()


def rows_of(frame: DataFrame) -> Result:
    """Wraps a DataFrame so that it displays its first rows. Runs the query, so a failing query raises its error here."""
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
    """Splits a text into statements without their semicolons. Leaves out statements that consist only of comments."""
    parts = (part.strip().rstrip(";").rstrip() for part in sqlparse.split(text))
    return [part for part in parts if sqlparse.format(part, strip_comments=True).strip(" ;\n")]


def run(spark: Any, statement: str, names: Dict[str, Any]) -> DataFrame:
    """Runs one statement with the notebook variables that it refers to. Braces around a name that is not a DataFrame are kept."""
    frames = {name: names[name] for name in FRAME.findall(statement) if hasattr(names.get(name), "createOrReplaceTempView")}
    if frames:
        statement = statement.replace("{", "{{").replace("}", "}}")
        for name in frames:
            statement = statement.replace("{{%s}}" % name, "{%s}" % name)
    # The pattern also matches inside quoted text. Spark's parser ignores the values of such matches.
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
    """Runs `%sql` (without a cell) or `%%sql`. Returns the frame of the last statement; None if it has no columns."""
    options = first_line("" if cell is None else line)
    found = statements(line if cell is None else cell)
    if not found:
        raise UsageError("there is no SQL: %sql SELECT …, or %%sql as the first line of a cell and SQL below it")
    for statement in found:
        frame = run(shell.user_ns["spark"], statement, shell.user_ns)
    if not frame.columns:
        return None
    # DataFrames of Spark Connect have another class and keep their own display.
    if isinstance(frame, DataFrame):
        frame = Result(frame._jdf, frame.sparkSession)
        frame.rows = options.rows
        if cell is not None:
            # IPython does not fail a cell when displaying its result raises an error, so the query has to run before that.
            frame.show_rows()
    if options.name:
        shell.user_ns[options.name] = frame
    return frame
