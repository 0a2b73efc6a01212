"""IPython extension: `spark` and `sc` are defined from the first prompt, and Spark starts when a cell first mentions one of them.

Starting at once would make every `ipython` wait for a JVM and a cluster that the next cell may not need, and would show a long Java
trace if the cluster is down. Instead, a cell that names `spark` or `sc` gets the real objects before it runs. If there is no cluster,
it gets one line that says which address did not answer, and the next such cell tries again.

The master and the settings come from spark-defaults.conf in SPARK_CONF_DIR and from the environment (MASTER), as in Spark itself.
"""

import ast
import functools
import os
import re
import shutil
import socket
import sys
import threading
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

from triplewide_cluster import defaults
from triplewide_watch import CellWatcher, active_context, say

NAMES = ("spark", "sc")
DEFAULT_PORTS = {"spark": 7077, "mesos": 5050, "zk": 2181}
CONNECT_SECONDS = 3.0


class SparkUnavailable(RuntimeError):
    """Spark cannot start. The message is complete, so it is shown without a trace."""


def configured_master() -> str:
    """Returns the master that spark-submit will choose, in its order: spark-defaults.conf, then MASTER, then this machine."""
    given = defaults().get("spark.master")
    if given:
        return given
    return os.environ.get("MASTER") or "local[*]"


def addresses(master: str) -> List[Tuple[str, int]]:
    """Returns the addresses that this master URL names: spark://a:7077,b:7077, mesos://host:5050 or mesos://zk://a:2181,b:2181/mesos."""
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
    """Returns the one line of a Java stack trace that tells the reason."""
    java = getattr(error, "java_exception", None)
    text = str(java) if java is not None else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class Pending:
    """Stands for `spark` or `sc` until Spark has started, for code that uses them without naming them in a cell."""

    def __init__(self, launcher: "Launcher", name: str):
        self.__dict__.update(_launcher=launcher, _name=name)

    def __getattr__(self, attribute: str) -> Any:
        # IPython asks every object for attributes such as _repr_html_; that must not start an application on the cluster.
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
        """Starts Spark and returns the real objects. With `once`, a start that already failed in this cell is not tried again."""
        if once and self.failure:
            raise self.failure
        self.failure = None
        try:
            master = configured_master()
            check_reachable(master)
            from pyspark.sql import SparkSession

            print(f"Starting Spark at {master} ...", file=sys.stderr, flush=True)
            builder = SparkSession.builder
            name = notebook_name()
            if name and "spark.app.name" not in builder._options:
                # The master's page, and the messages to users who wait for cores, show the notebook's name.
                builder = builder.appName(name)
            spark = builder.getOrCreate()
        except SparkUnavailable as error:
            self.failure = error
            raise
        except Exception as error:  # Spark, py4j and the JVM raise many kinds of errors.
            self.failure = SparkUnavailable(f"Spark did not start at {configured_master()}: {reason(error)}")
            raise self.failure from error
        real = {"spark": spark, "sc": spark.sparkContext}
        for name, value in real.items():
            if self.shell.user_ns.get(name) is self.pending[name]:
                self.shell.user_ns[name] = value
                # Hidden names belong to the shell, so that `who` does not list them and %reset keeps them.
                self.shell.user_ns_hidden[name] = value
        sc = real["sc"]
        print(f"Spark {sc.version}, application {sc.applicationId}", file=sys.stderr, flush=True)
        show_ui(self.shell, sc.uiWebUrl)
        return real

    def before_cell(self, info: Any) -> None:
        self.failure = None
        waiting = [name for name in NAMES if self.shell.user_ns.get(name) is self.pending[name]]
        if waiting and mentions(self.shell, info.raw_cell or "", waiting):
            try:
                self.start()
            except SparkUnavailable:
                pass  # The cell raises it again when it uses `spark` or `sc`.


def mentions(shell: Any, cell: str, names: List[str]) -> bool:
    """Tells whether this cell uses one of the names. Comments and strings do not count; the body of a %%magic does."""
    word = re.compile(r"\b(%s)\b" % "|".join(names))
    if not word.search(cell):
        return False
    try:
        tree = ast.parse(shell.transform_cell(cell))
    except SyntaxError:
        return False
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
                return True
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("run_cell_magic", "run_line_magic"):
                values = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
                if any(map(word.search, values)) or (values[:1] == ["run"] and mentions(shell, program_text(values[-1]), names)):
                    return True
        # A cell that makes its own session needs its own settings. The statements after it use that session.
        if any(makes_session(node) for node in ast.walk(statement)):
            return False
    return False


def program_text(line: str) -> str:
    """Returns the source of the program that `%run` with this line runs; an empty string if it cannot be read or is a notebook."""
    name = next((word for word in line.split() if not word.startswith("-")), "")
    for path in (name, f"{name}.py"):
        try:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                return file.read() if path.endswith(".py") else ""
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def share_names(shell: Any, names: Tuple[str, ...]) -> None:
    """Defines `spark` and `sc` in programs that `%run` starts, which otherwise have an empty namespace."""
    make = shell.new_main_mod

    def new_main_mod(*args: Any, **kwargs: Any) -> Any:
        module = make(*args, **kwargs)
        vars(module).update((name, shell.user_ns[name]) for name in names if name in shell.user_ns)
        return module

    shell.new_main_mod = new_main_mod


def before_programs(shell: Any, gateway: "Gateway") -> None:
    """Makes `ipython program.py` and `ipython -m module` wait until PySpark is imported. They run without a cell, which would wait for it."""

    def after_import(run: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(run)
        def call(*args: Any, **kwargs: Any) -> Any:
            gateway.before_cell(None)
            return run(*args, **kwargs)

        return call

    for name in ("safe_execfile", "safe_run_module"):
        setattr(shell, name, after_import(getattr(shell, name)))


def makes_session(node: ast.AST) -> bool:
    """Tells whether this is a call `...getOrCreate()` or `SparkContext(...)`."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("getOrCreate", "SparkContext")


def show_one_line(shell: Any, etype: type, value: BaseException, tb: Any, tb_offset: Any = None) -> List[str]:
    line = [f"{etype.__name__}: {value}"]
    shell._showtraceback(etype, value, line)
    return line


def notebook_name() -> str:
    """Returns the file name of the notebook that this kernel runs, as Jupyter gives it; an empty string without a notebook."""
    path = os.environ.get("JPY_SESSION_NAME", "")
    return os.path.basename(path) if path.endswith(".ipynb") else ""


def is_kernel(shell: Any) -> bool:
    return getattr(shell, "kernel", None) is not None


def show_ui(shell: Any, url: Optional[str]) -> None:
    """Shows where this driver's UI is. Notebooks get a link through Jupyter, because browsers cannot reach the client's own address."""
    if not url:
        return
    match = re.match(r"http://(\[[^\]]+\]|[^:/]+):(\d+)", url)
    if not is_kernel(shell) or not match:
        print(f"Spark's pages: {url}", file=sys.stderr, flush=True)
        return
    host = os.environ.get("SPARK_LOCAL_IP") or match[1]
    path = f"{os.environ.get('JUPYTER_BASE_URL', '/').rstrip('/')}/proxy/{host}:{match[2]}/jobs/"
    from IPython.display import display

    html = f'<a href="{path}" target="_blank">Spark\'s pages for this notebook</a>'
    display({"text/html": html, "text/plain": f"Spark's pages for this notebook: {path}"}, raw=True)


# Environment variables that a JVM reads when it starts. If one has changed since, the JVM that was started ahead cannot be used.
ENVIRONMENT = re.compile(r"^(_?SPARK|TRIPLEWIDE_TEAM$|PYSPARK|JAVA|JDK|HADOOP|MESOS|LIBPROCESS|PYTHON|MASTER|TZ|LANG|LC_|AWS_|PATH$)")
# Variables that PySpark itself sets when a session starts.
OF_SESSIONS = ("SPARK_AUTH_SOCKET_TIMEOUT", "SPARK_BUFFER_SIZE")
# Settings that a running JVM still takes from SparkConf. Memory, class path, packages and the like are fixed when it starts.
STILL_FREE = re.compile(
    r"^spark\.(app\.name|master|sql\.(?!extensions|catalogImplementation|warehouse|hive)[\w.]+|executor\.(memory|cores|memoryOverhead|instances)|cores\.max|task\.\w+"
    r"|default\.parallelism|dynamicAllocation\.\w+|scheduler\.\w+|ui\.showConsoleProgress|python\.[\w.]+|shuffle\.partitions)$"
)


class Gateway:
    """Starts a notebook's JVM together with its kernel, while the user still writes the first cell.

    This JVM holds no session and no executor. A session with settings that only a new JVM can take (memory, packages, another
    environment) gets a new one, even if another session was stopped before. PySpark would keep the old JVM and ignore those
    settings silently.
    """

    def __init__(self, options: Dict[str, str], ahead: bool):
        """`options` are settings of every session. `ahead` tells whether a JVM starts before a session asks for it."""
        self.options = options
        self.starts_ahead = ahead
        # The environment with which the present JVM started; empty if another program started it, as in `pyspark`.
        self.launched: Dict[str, str] = {}
        self.homes = {key: os.environ.get(key, "") for key in HOMES}
        self.ahead: Any = None
        self.environment: Dict[str, str] = {}
        self.launch: Callable[..., Any] = lambda *_: None
        self.imported = threading.Event()
        self.ready = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self.run, name="triplewide-java", daemon=True).start()

    def run(self) -> None:
        java = threading.Thread(target=self.start_ahead, name="triplewide-java-ahead", daemon=True)
        try:
            import pyspark.context
            import pyspark.sql

            self.launch = pyspark.context.launch_gateway
            pyspark.context.launch_gateway = self.give
            self.renew_when_asked(pyspark.context.SparkContext)
            tell_ignored(pyspark.sql.SparkSession.Builder)
            stop_again(pyspark.sql.SparkSession)
            if self.starts_ahead:
                java.start()
                # Sessions import these anyway; here they load while Java starts.
                import pandas  # noqa: F401
                import pyarrow  # noqa: F401
        except Exception:  # The first cell that needs Java will fail with the same error and show it.
            pass
        finally:
            self.imported.set()
            if java.ident is not None:
                java.join()
            self.ready.set()

    def start_ahead(self) -> None:
        from pyspark import SparkConf

        try:
            conf = SparkConf(loadDefaults=False)
            for key, value in self.options.items():
                conf.set(key, value)
            self.environment = environment()
            self.ahead = self.launch(conf)
        except Exception:  # as above
            pass

    def before_cell(self, _: Any) -> None:
        """Waits for the imports: if two threads import parts of one package at the same time, each finds the other's unfinished."""
        self.imported.wait(60)

    def give(self, conf: Any = None, popen_kwargs: Any = None) -> Any:
        self.ready.wait(60)
        restore_homes(self.homes)
        self.launched = environment()
        ahead, self.ahead = self.ahead, None
        asked = dict(conf.getAll()) if conf is not None else {}
        if ahead is not None and popen_kwargs is None and environment() == self.environment and all(STILL_FREE.match(key) for key in asked):
            return ahead
        if ahead is not None:
            ahead.proc.stdin.close()
        if conf is not None:
            for key, value in self.options.items():
                if not conf.contains(key):
                    conf.set(key, value)
            keep_extensions(conf)
        try:
            return self.launch(conf, popen_kwargs)
        except Exception:
            arguments = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
            if "pyspark-shell" not in arguments.split():
                say(f"Java did not start with PYSPARK_SUBMIT_ARGS={arguments}: the last word there has to be pyspark-shell")
            packages = asked.get("spark.jars.packages") or defaults().get("spark.jars.packages")
            if packages:
                say(f"Java did not start with spark.jars.packages={packages}; its lines above say why. {NO_PACKAGES}")
            raise

    def renew_when_asked(self, context: Any) -> None:
        ensure = context._ensure_initialized.__func__

        def ensure_initialized(cls: Any, instance: Any = None, gateway: Any = None, conf: Any = None) -> Any:
            with cls._lock:
                if instance is not None and gateway is None and conf is not None and cls._gateway and not cls._active_spark_context:
                    self.renew(cls, conf)
                return ensure(cls, instance, gateway, conf)

        context._ensure_initialized = classmethod(ensure_initialized)

    def renew(self, context: Any, conf: Any) -> None:
        """Ends the JVM of a stopped session if the next session needs settings that only a new JVM can take."""
        from pyspark import SparkConf

        there = dict(SparkConf(_jvm=context._jvm).getAll())
        asked = {key: value for key, value in conf.getAll() if there.get(key) != value}
        if all(STILL_FREE.match(key) for key in asked) and self.launched in ({}, environment()):
            return
        # `conf` kept its settings in the old JVM, together with those that this JVM started with. Only the former are kept.
        conf._jconf, conf._conf = None, asked
        old, context._gateway, context._jvm = context._gateway, None, None
        old.shutdown()
        old.proc.stdin.close()


# Variables that name an installation, each with a program that the installation has.
HOMES = {"SPARK_HOME": "bin/spark-submit", "JAVA_HOME": "bin/java"}


def restore_homes(ours: Dict[str, str]) -> None:
    """Restores SPARK_HOME and JAVA_HOME if a cell set them to folders that do not exist here, as guides for Colab do."""
    for key, program in HOMES.items():
        named = os.environ.get(key, "")
        if not named or named == ours[key] or os.path.exists(os.path.join(named, program)):
            continue
        say(f"there is no {named}, and {key} is this client's own again: Spark and Java are here, so leave such lines away")
        if ours[key]:
            os.environ[key] = ours[key]
        else:
            del os.environ[key]


NO_PACKAGES = (
    "Where there is no way to Maven Central, `mavenMirror` of the cluster's config names a mirror (`trustedCertificates`: whose "
    "certificates are trusted); jars that you have go into spark.jars"
)


def keep_extensions(conf: Any) -> None:
    """Keeps the cluster's SQL extensions if a session names its own."""
    ours = defaults().get("spark.sql.extensions", "").split(",")
    theirs = (conf.get("spark.sql.extensions") or "").split(",")
    if theirs != [""]:
        conf.set("spark.sql.extensions", ",".join([name for name in ours if name and name not in theirs] + theirs))


def stop_again(session: Any) -> None:
    """Lets users stop a session twice, even if its JVM has ended since: the second stop would call that JVM and fail."""
    stop = session.stop

    def stop_once(self: Any) -> None:
        context = self._sc
        if getattr(context, "_jsc", None) is None and self._jvm is not type(context)._jvm:
            return
        stop(self)

    session.stop = stop_once


def tell_ignored(builder: Any) -> None:
    """Tells which settings of a builder a running session ignores; Spark says only that there are some."""
    make = builder.getOrCreate

    def get_or_create(self: Any) -> Any:
        running = active_context()
        session = make(self)
        if running is not None and session.sparkContext is running:
            try:
                ignored = without_effect(session, self._options)
            except Exception:  # The session works without this message.
                ignored = []
            if ignored:
                say(f"only a new session takes {', '.join(ignored)}, and this one runs already: spark.stop(), then this cell again")
        return session

    builder.getOrCreate = get_or_create


def without_effect(session: Any, options: Dict[str, Any]) -> List[str]:
    conf = session.sparkContext.getConf()
    static = session._jvm.org.apache.spark.sql.internal.SQLConf.isStaticConfigKey
    changed = [key for key, value in options.items() if conf.get(key) != str(value) and key not in ("spark.app.name", "spark.remote")]
    return sorted(key for key in changed if not key.startswith("spark.sql.") or static(key))


def environment() -> Dict[str, str]:
    return {key: value for key, value in os.environ.items() if ENVIRONMENT.match(key) and key not in OF_SESSIONS}


def progress(shell: Any) -> Dict[str, str]:
    """Connects sparkmonitor, which draws jobs and stages under the running cell. Returns the settings that its listener needs."""
    try:
        from sparkmonitor import kernelextension as monitor

        monitor.logger = monitor.logging.getLogger("sparkmonitor")
        monitor.logger.setLevel(monitor.logging.ERROR)
        monitor.monitor = monitor.ScalaMonitor(shell)
        # A notebook without an open browser has no progress bar, and no connection to send messages on.
        monitor.monitor.send = lambda message: getattr(monitor.monitor, "comm", None) and monitor.monitor.comm.send(message)
        monitor.monitor.register_comm()
        monitor.monitor.scalaSocket = monitor.SocketThread()
        # A daemon thread does not keep a kernel alive that was shut down.
        monitor.monitor.scalaSocket.daemon = True
        os.environ["SPARKMONITOR_KERNEL_PORT"] = str(monitor.monitor.scalaSocket.startSocket())
        jar = monitor.get_listener_jar_path(*monitor.get_spark_versions())
    except Exception:  # The notebook works without the progress bar.
        return {}
    if not jar:
        return {}
    given = defaults()
    if "spark.ui.showConsoleProgress" not in given:
        # sparkmonitor draws the bar, so Spark's own text bar is turned off.
        options = {"spark.ui.showConsoleProgress": "false"}
    else:
        options = {}
    joined = {
        "spark.driver.extraClassPath": (given.get("spark.driver.extraClassPath"), jar, ":"),
        "spark.extraListeners": (given.get("spark.extraListeners"), "sparkmonitor.listener.JupyterSparkMonitorListener", ","),
    }
    return {**options, **{key: f"{there}{by}{ours}" if there else ours for key, (there, ours, by) in joined.items()}}


def pip_magic(shell: Any) -> Callable[[str], None]:
    def pip(line: str) -> None:
        """`%pip install X`: for this driver; it says what that means for executors."""
        wrapper = shutil.which("pip") or "pip"
        shell.system(f"{wrapper} {line}")
        if line.split()[:1] == ["install"]:
            import importlib
            import site

            # Python searches this folder only if it existed when the kernel started.
            folder = site.getusersitepackages()
            if os.path.isdir(folder) and folder not in sys.path:
                site.addsitedir(folder)
            importlib.invalidate_caches()

    return pip


def sql_magic(shell: Any) -> Callable[..., Any]:
    from IPython.core.magic import no_var_expand

    # Without this, IPython would replace {df} by the text of the frame.
    @no_var_expand
    def sql(line: str, cell: Optional[str] = None) -> Any:
        """SQL: `%sql SELECT …`, or `%%sql [name] [--rows n]` as the first line of a cell with SQL below it.

        `{df}` is a frame of the notebook and `:value` a value of it. `name` becomes the frame of the result.
        """
        # Imported here because it imports PySpark, which a kernel does in a thread while it starts.
        from triplewide_sql import sql as run

        return run(shell, line, cell)

    return sql


def show_frames(shell: Any) -> None:
    """Makes `display(frame)` show rows of a Spark DataFrame, as in Databricks. A frame as the last line of a cell still shows its columns."""
    import builtins

    import IPython.display

    display = builtins.display  # type: ignore[attr-defined]

    def has_rows(value: Any) -> bool:
        module = sys.modules.get("pyspark.sql.dataframe")
        return module is not None and type(value) is module.DataFrame and not value.isStreaming

    @functools.wraps(display)
    def display_rows(*objects: Any, **options: Any) -> Any:
        if any(map(has_rows, objects)):
            from triplewide_sql import rows_of

            objects = tuple(rows_of(value) if has_rows(value) else value for value in objects)
        return display(*objects, **options)

    # Cells use the built-in `display`, or import it from IPython.
    IPython.display.display = builtins.display = display_rows  # type: ignore[attr-defined]


def load_ipython_extension(shell: Any) -> None:
    shell.register_magic_function(pip_magic(shell), magic_kind="line", magic_name="pip")
    shell.register_magic_function(sql_magic(shell), magic_kind="line_cell", magic_name="sql")
    CellWatcher(shell)
    show_frames(shell)
    # scikit-learn sends Python's warning filters to its workers; those on executors (joblib-spark) have no IPython.
    warnings.filters[:] = [entry for entry in warnings.filters if not entry[2].__module__.startswith("IPython.")]
    in_notebook = is_kernel(shell)
    gateway = Gateway(progress(shell) if in_notebook else {}, ahead=in_notebook)
    gateway.start()
    shell.events.register("pre_run_cell", gateway.before_cell)
    before_programs(shell, gateway)
    # `pyspark` has made its own spark and sc by the time it hands over to IPython.
    if os.path.basename(os.environ.get("PYTHONSTARTUP", "")) == "shell.py":
        return
    launcher = Launcher(shell)
    shell.user_ns.update(launcher.pending)
    shell.user_ns_hidden.update(launcher.pending)
    share_names(shell, NAMES)
    shell.set_custom_exc((SparkUnavailable,), show_one_line)
    shell.events.register("pre_run_cell", launcher.before_cell)
