"""Reads the state of the cluster for messages to users: which applications hold cores, and whether executors can start."""

import base64
import json
import os
import re
import ssl
import time
import urllib.request
from typing import Any, Dict, List, Optional, Tuple

DEFAULT_MASTER_UI_PORT = 8080
SECONDS_TO_ANSWER = 3.0


def defaults() -> Dict[str, str]:
    """Returns the settings of spark-defaults.conf in SPARK_CONF_DIR, parsed as Spark does."""
    conf_dir = os.environ.get("SPARK_CONF_DIR") or os.path.join(os.environ.get("SPARK_HOME", ""), "conf")
    found: Dict[str, str] = {}
    try:
        with open(os.path.join(conf_dir, "spark-defaults.conf"), encoding="utf-8") as conf:
            for line in conf:
                match = re.match(r"\s*(spark\.[^\s=:]+)[\s=:]+(.*\S)", line)
                if match:
                    found[match[1]] = match[2]
    except OSError:
        pass
    return found


def masters(master: str) -> List[str]:
    """Returns the hosts of a master URL such as spark://a:7077,b:7077; an empty list for other kinds of masters."""
    if not master.startswith("spark://"):
        return []
    return [part.rpartition(":")[0] or part for part in master[len("spark://") :].split(",")]


def master_state(master: str) -> Optional[Dict[str, Any]]:
    """Returns the state that the leading Spark master reports at `/json/`, or None if no leading master answers.

    SPARK_MASTER_UI_PORT is the port of that page (default 8080).
    """
    port = int(os.environ.get("SPARK_MASTER_UI_PORT") or DEFAULT_MASTER_UI_PORT)
    for host in masters(master):
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/json/", timeout=SECONDS_TO_ANSWER) as answer:
                state = json.load(answer)
        except (OSError, ValueError):
            continue
        if state.get("status") == "ALIVE":
            return state
    return None


def alive_workers(state: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [worker for worker in state.get("workers", []) if worker.get("state") == "ALIVE"]


def holders(state: Dict[str, Any], own: str) -> List[Tuple[str, int, float]]:
    """Lists the other applications that hold cores, as (name, cores, hours since their start), most cores first."""
    apps = [app for app in state.get("activeapps", []) if app.get("id") != own and app.get("cores", 0) > 0]
    hours = [(app["name"], int(app["cores"]), max(0.0, time.time() - app.get("starttime", 0) / 1000) / 3600) for app in apps]
    return sorted(hours, key=lambda app: -app[1])


def for_how_long(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes} min" if minutes < 120 else f"{round(hours)} h"


TEAM_LOGINS = "/etc/mesos/teams"
# The Linux user that Mesos runs executors as, whichever user owns the driver.
TASK_USER = "spark"


def mesos_login() -> str:
    """Returns the Mesos login `principal:secret` of this process's drivers.

    It is the user's own (DRIVER_PRINCIPAL), or else the one in spark-defaults.conf, or else the team's (TRIPLEWIDE_TEAM).
    """
    if "DRIVER_PRINCIPAL" in os.environ:
        with open(os.environ["DRIVER_SECRET_FILE"], encoding="utf-8") as secret:
            return f"{os.environ['DRIVER_PRINCIPAL']}:{secret.read()}"
    conf = defaults()
    if "spark.mesos.secret" in conf:
        return f"{conf.get('spark.mesos.principal', '')}:{conf['spark.mesos.secret']}"
    principal = os.environ.get("TRIPLEWIDE_TEAM") or "spark"
    with open(os.path.join(TEAM_LOGINS, os.path.basename(principal)), encoding="utf-8") as secret:
        return f"{principal}:{secret.read()}"


def last_refusal(own: str) -> Optional[str]:
    """Returns Mesos' message about the application's newest task that failed; None if no task failed or no master answers.

    MESOS_MASTERS lists the masters, `host:port,...`. The request uses the driver's own login.
    """
    try:
        login = mesos_login().encode()
    except OSError:
        return None  # There is no such team. The driver did not start, and said why.
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": f"Basic {base64.b64encode(login).decode()}"}
    tls = os.environ.get("LIBPROCESS_SSL_ENABLED") == "true"
    trusted = ssl.create_default_context(cafile=os.environ["LIBPROCESS_SSL_CA_FILE"]) if tls else None
    for master in filter(None, os.environ.get("MESOS_MASTERS", "").split(",")):
        request = urllib.request.Request(f"{'https' if tls else 'http'}://{master}/api/v1", b'{"type": "GET_TASKS"}', headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER, context=trusted) as answer:
                tasks = json.load(answer)["get_tasks"].get("completed_tasks", [])
        except (OSError, ValueError, KeyError):
            continue  # This master does not lead, or does not answer.
        ended = [task["statuses"][-1] for task in tasks if task["framework_id"]["value"] == own and task.get("statuses")]
        bad = [status for status in ended if status["state"] in ("TASK_FAILED", "TASK_ERROR") and status.get("message")]
        return max(bad, key=lambda status: float(status.get("timestamp", 0)))["message"] if bad else None
    return None


def of_team() -> str:
    """Returns a sentence on how teams may keep a session waiting; an empty string if the cluster has no teams."""
    if "DRIVER_ROLE" in os.environ:
        return f". This session is in the role {os.environ['DRIVER_ROLE']}, which may be at its limit; what other teams are guaranteed is kept free for them"
    if not os.path.isdir(TEAM_LOGINS):
        return ""
    team = os.environ.get("TRIPLEWIDE_TEAM")
    names = ", ".join(sorted(name for name in os.listdir(TEAM_LOGINS) if name != "spark"))
    mine = f"is of team {team}, which may be at its limit" if team and team != "spark" else f"is of no team ({names}; %env TRIPLEWIDE_TEAM=... before it starts)"
    return f". This session {mine}; what other teams are guaranteed is kept free for them"


def why_no_executor(master: str, own: str, executor_mib: int, user: str = "", cores: int = 1) -> str:
    """Returns one sentence on why a user's application has no executor yet, as far as the client can tell.

    `executor_mib` and `cores` are the memory and the cores of each executor that it asks for.
    """
    if not master.startswith("spark://"):
        if user and user != TASK_USER:
            return (
                f"this session asks Mesos to run its executors as {user}, and Mesos runs Spark's tasks as {TASK_USER} only: have SPARK_USER say so "
                f'(os.environ["SPARK_USER"] = "{TASK_USER}") and start the session anew'
            )
        refusal = last_refusal(own)
        if refusal is not None and re.search(r"status 125\b", refusal):
            return (
                f"the agents refuse the executors' container ({refusal}): spark.mesos.executor.docker.* asks for what tasks may not have. "
                "Agents give no rights, and no image, folder or network but those of the config; the executor's stderr in Mesos' pages names the option"
            )
        if refusal is not None:
            return (
                f"its executors end as soon as they start, and Mesos says of the last one: {refusal}. An agent on which two of them ended "
                "is tried again after a minute"
            )
        return (
            "the Mesos masters have offered no free cores and memory that suffice for one executor yet: other applications hold them, or "
            f"executors of {executor_mib} MiB do not fit on an agent, or end as soon as they start (`make status`, `make logs`){of_team()}"
        )
    state = master_state(master)
    if state is None:
        return "the Spark master's page does not answer, so who has the cores is not known (`make status`)"
    workers = alive_workers(state)
    if not workers:
        return "no agent is registered with the Spark master: `make status` and `make logs` say why"
    if own not in [app.get("id") for app in state.get("activeapps", [])]:
        # If the master takes over 20 s to answer, Spark registers again: the master then has two applications, the driver the first id.
        return "the Spark master does not know this application, as happens where it registered on a machine that was too busy: spark.stop() and begin anew"
    largest = max(worker["cores"] for worker in workers)
    if cores > largest:
        return f"an executor of this session needs {cores} cores and no agent has more than {largest}: lower spark.executor.cores, in a new session"
    total = sum(worker["cores"] for worker in workers)
    free = sum(worker["coresfree"] for worker in workers)
    others = holders(state, own)
    taken = ", ".join(f"{name} has {cores} (for {for_how_long(hours)})" for name, cores, hours in others[:4])
    if len(others) > 4:
        taken += f", {len(others) - 4} more applications have {sum(cores for _, cores, _ in others[4:])}"
    if free == 0:
        return f"all {total} cores of the cluster are taken: {taken}. Stop one of them (Kernel > Shut Down, or spark.stop()), or bound it by coresMax"
    room = max((worker["memoryfree"] for worker in workers if worker["coresfree"] > 0), default=0)
    if executor_mib > room:
        holding = f" ({taken})" if taken else ""
        return (
            f"an executor needs {executor_mib} MiB and no agent with free cores has more than {room} MiB left{holding}: "
            "lower executorMemoryMiB (spark.executor.memory), or stop another application"
        )
    return f"{free} of {total} cores are free: executors are starting. If none comes, they end as soon as they start: `make logs` says why"
