"""Attacks of one hub user on another, from a notebook: hub_attacks.py NAME ADDRESS HUB [CLOSED...]. CLOSED are addresses with
ports that must not answer. Prints the result of each attack as JSON."""

import http.client
import json
import os
import socket
import sys

name, address, hub, *closed = sys.argv[1:]
found = {}


def tried(what, attempt):
    try:
        found[what] = attempt()
    except OSError as error:
        found[what] = type(error).__name__


def asked(method, host, path, token=None):
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request(method, path, headers={"Authorization": f"token {token}"} if token else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def bind():
    with socket.socket() as listening:
        listening.bind((address, 8888))
    return "bound"


def connect(at):
    socket.create_connection(at.rsplit(":", 1), timeout=5).close()
    return "answers"


own = os.environ["JUPYTERHUB_API_TOKEN"]
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and os.stat(f"/proc/{pid}").st_uid != os.getuid()]
tried("home", lambda: os.listdir(f"/home/{name}"))
tried("work", lambda: os.listdir(f"/home/spark/work/users/{name}"))
tried("all work", lambda: sorted(os.listdir("/home/spark/work/users")))
tried("processes", lambda: others)
tried("her address", bind)
tried("her server without a token", lambda: asked("GET", f"{address}:8888", f"/user/{name}/api/kernels"))
tried("her server with one's own", lambda: asked("GET", f"{address}:8888", f"/user/{name}/api/kernels", own))
tried("stopping her server", lambda: asked("DELETE", hub, f"/hub/api/users/{name}/server", own))
tried("a token of hers", lambda: asked("POST", hub, f"/hub/api/users/{name}/tokens", own))
tried("what the hub knows of her", lambda: asked("GET", hub, f"/hub/api/users/{name}", own))
tried("the hub around its proxy", lambda: asked("GET", f"{hub.split(':')[0]}:{int(hub.split(':')[1]) + 1}", "/hub/api/"))
tried("the guard", lambda: os.listdir("/run/hub"))
tried("Docker", lambda: os.stat("/var/run/docker.sock").st_uid)
found["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))]
if closed:
    found["closed"] = {}
for at in closed:
    try:
        found["closed"][at] = connect(at)
    except OSError as error:
        found["closed"][at] = type(error).__name__
print(json.dumps(found))
