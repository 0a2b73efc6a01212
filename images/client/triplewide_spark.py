"""IPython extension: `spark` and `sc` are there from the first prompt, and Spark starts when a cell first mentions one of them.

Starting at once would make every `ipython` wait for a JVM and a cluster that the next cell may not need; and a cluster that is
down would greet its user with a page of Java. Instead: a cell that names `spark` or `sc` gets the real objects before it runs, and
if there is no cluster, one line that says which address did not answer. The next such cell tries again.

Master and settings come from where Spark itself takes them: spark-defaults.conf in SPARK_CONF_DIR, the environment (MASTER).
"""

import ast
import os
import re
import socket
import sys
from typing import Any, Dict, List, Optional, Tuple

NAMES = ("spark", "sc")
DEFAULT_PORTS = {"spark": 7077, "mesos": 5050, "zk": 2181}
CONNECT_SECONDS = 3.0


class SparkUnavailable(RuntimeError):
    """There is no Spark to be had; the message is the whole story."""


def configured_master() -> str:
    """The master that spark-submit will choose, in its order: spark-defaults.conf, then MASTER, then this machine."""
    conf_dir = os.environ.get("SPARK_CONF_DIR") or os.path.join(os.environ.get("SPARK_HOME", ""), "conf")
    try:
        with open(os.path.join(conf_dir, "spark-defaults.conf"), encoding="utf-8") as conf:
            for line in conf:
                match = re.match(r"\s*spark\.master[\s=:]+(\S+)", line)
                if match:
                    return match.group(1)
    except OSError:
        pass
    return os.environ.get("MASTER") or "local[*]"


def addresses(master: str) -> List[Tuple[str, int]]:
    """What has to answer for this master: spark://a:7077,b:7077, mesos://host:5050 or mesos://zk://a:2181,b:2181/mesos."""
    scheme, found, rest = master.partition("://")
    if not found or scheme not in DEFAULT_PORTS:
        return []
    if rest.startswith("zk://"):
        scheme, rest = "zk", rest[len("zk://"):]
    result = []
    for part in rest.split("/")[0].rpartition("@")[2].split(","):
        host, _, port = part.rpartition(":")
        result.append((host, int(port)) if port.isdigit() and host else (part, DEFAULT_PORTS[scheme]))
    return result


def check_reachable(master: str) -> None:
    failures = []
    for host, port in addresses(master):
        try:
            socket.create_connection((host.strip("[]"), port), CONNECT_SECONDS).close()
            return
        except OSError as error:
            failures.append(f"{host}:{port}: {error.strerror or error}")
    if failures:
        raise SparkUnavailable(f"no Spark at {master} ({'; '.join(failures)}). The next cell that uses spark tries again.")


def reason(error: BaseException) -> str:
    """One line out of a Java stack trace."""
    java = getattr(error, "java_exception", None)
    text = str(java) if java is not None else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class Pending:
    """Stands for `spark` or `sc` until Spark has started, for code that reaches them another way than by name in a cell."""

    def __init__(self, launcher: "Launcher", name: str):
        self.__dict__.update(_launcher=launcher, _name=name)

    def __getattr__(self, attribute: str) -> Any:
        # IPython asks every object for _repr_html_ and the like: that is no reason to start a cluster application.
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(self._launcher.start(once=True)[self._name], attribute)

    def __dir__(self) -> List[str]:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        return dir(SparkSession if self._name == "spark" else SparkContext)

    def __repr__(self) -> str:
        failure = self._launcher.failure
        return f"{type(failure).__name__}: {failure}" if failure else f"<{self._name}: starts with its first use, at {configured_master()}>"


class Launcher:
    def __init__(self, shell: Any):
        self.shell = shell
        self.failure: Optional[SparkUnavailable] = None
        self.pending = {name: Pending(self, name) for name in NAMES}

    def start(self, once: bool = False) -> Dict[str, Any]:
        """The real objects. With `once`, a start that failed for this cell already is not tried again."""
        if once and self.failure:
            raise self.failure
        self.failure = None
        try:
            master = configured_master()
            check_reachable(master)
            from pyspark.sql import SparkSession

            print(f"Starting Spark at {master} ...", file=sys.stderr, flush=True)
            spark = SparkSession.builder.getOrCreate()
        except SparkUnavailable as error:
            self.failure = error
            raise
        except Exception as error:  # whatever Spark, py4j or the JVM came up with
            self.failure = SparkUnavailable(f"Spark did not start at {configured_master()}: {reason(error)}")
            raise self.failure from error
        real = {"spark": spark, "sc": spark.sparkContext}
        for name, value in real.items():
            if self.shell.user_ns.get(name) is self.pending[name]:
                self.shell.user_ns[name] = value
                # Not the user's own: `who` and %reset treat them as part of the shell.
                self.shell.user_ns_hidden[name] = value
        sc = real["sc"]
        print(f"Spark {sc.version}, application {sc.applicationId}" + (f", {sc.uiWebUrl}" if sc.uiWebUrl else ""), file=sys.stderr, flush=True)
        return real

    def before_cell(self, info: Any) -> None:
        self.failure = None
        waiting = [name for name in NAMES if self.shell.user_ns.get(name) is self.pending[name]]
        if waiting and mentions(self.shell, info.raw_cell or "", waiting):
            try:
                self.start()
            except SparkUnavailable:
                pass  # said when the cell touches it


def mentions(shell: Any, cell: str, names: List[str]) -> bool:
    """Does this cell use one of the names? Comments and strings do not count, the body of a %%magic does."""
    word = re.compile(r"\b(%s)\b" % "|".join(names))
    if not word.search(cell):
        return False
    try:
        tree = ast.parse(shell.transform_cell(cell))
    except SyntaxError:
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("run_cell_magic", "run_line_magic"):
            if any(isinstance(argument, ast.Constant) and word.search(str(argument.value)) for argument in node.args):
                return True
    return False


def show_one_line(shell: Any, etype: type, value: BaseException, tb: Any, tb_offset: Any = None) -> List[str]:
    line = [f"{etype.__name__}: {value}"]
    shell._showtraceback(etype, value, line)
    return line


def load_ipython_extension(shell: Any) -> None:
    # `pyspark` has made its own spark and sc by the time it hands over to IPython.
    if os.path.basename(os.environ.get("PYTHONSTARTUP", "")) == "shell.py":
        return
    launcher = Launcher(shell)
    shell.user_ns.update(launcher.pending)
    shell.user_ns_hidden.update(launcher.pending)
    shell.set_custom_exc((SparkUnavailable,), show_one_line)
    shell.events.register("pre_run_cell", launcher.before_cell)
