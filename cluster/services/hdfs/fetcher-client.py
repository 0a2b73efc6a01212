#!/usr/bin/python3
"""Mesos' fetcher calls this: hadoop version, hadoop fs -copyToLocal hdfs://... TARGET, hadoop fs -du hdfs://..."""
import json
import shutil
import sys
from urllib.parse import quote, urlparse
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

NAMENODES = []


class Redirects(HTTPRedirectHandler):
    """Remembers the last one: errors do not name the host that they are about."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        self.to = f", which sent on to {urlparse(newurl).netloc}"
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def ask(source, operation, take):
    """What `take` makes of the answer of the first namenode that gives one."""
    path = quote(urlparse(source).path)
    redirects = Redirects()
    # The namenode is inside of the cluster, whatever proxy there is to the outside.
    opener = build_opener(ProxyHandler({}), redirects)
    failures = []
    for namenode in NAMENODES:
        redirects.to = ""
        # A standby refuses; the active one sends on to a datanode.
        try:
            with opener.open(f"http://{namenode}/webhdfs/v1{path}?op={operation}", timeout=60) as answer:
                return take(answer)
        except OSError as error:
            failures.append(f"{namenode}{redirects.to}: {error}")
    sys.exit(f"{source} cannot be read: " + "; ".join(failures))


def copy_to_local(source, target):
    def save(answer):
        with open(target, "wb") as file:
            shutil.copyfileobj(answer, file)

    ask(source, "OPEN", save)


def size(source):
    print(ask(source, "GETFILESTATUS", json.load)["FileStatus"]["length"], source)


if sys.argv[1:] == ["version"]:
    print("Hadoop: the part of it that Mesos' fetcher needs")
elif sys.argv[1:3] == ["fs", "-copyToLocal"] and len(sys.argv) == 5:
    copy_to_local(*sys.argv[3:])
elif sys.argv[1:3] == ["fs", "-du"] and len(sys.argv) == 4:
    size(sys.argv[3])
else:
    sys.exit("usage: hadoop version | hadoop fs -copyToLocal SOURCE TARGET | hadoop fs -du SOURCE")
