#!/usr/bin/python3
"""Keeps the journals of all machines: log-store.py SETTINGS, a file of JSON.

Machines send what they have with systemd-journal-upload, by HTTPS and with a certificate of the cluster's authority, which Debian's
systemd-journal-remote cannot ask for. It writes what each of them sends: to FOLDER/MACHINE.journal, by the certificate's name, whatever
the records say. To Prometheus it says when each of them was heard last, at the same port of the loopback interface.
"""
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REMOTE = "/usr/lib/systemd/systemd-journal-remote"
# In which what was begun goes on.
STALL_SECONDS = 60
# In which who is there says something again.
SILENT_SECONDS = 3600
# A journal with a single line takes as much.
SMALLEST = 8 << 20

with open(sys.argv[1]) as file:
    settings = json.load(file)
FOLDER, BOUND = settings["folder"], settings["bytes"]


class Journal:
    """What one machine sends."""

    def __init__(self, machine):
        self.path = "%s/%s.journal" % (FOLDER, machine)
        self.lock = threading.Lock()
        self.writer = None
        self.used = 0.0
        # When it was heard last, in seconds since 1970.
        self.heard = 0.0

    def take(self, chunks):
        with self.lock:
            self.begin_another()
            if self.writer is None:
                # It says of each file how much it wrote, which would be sent here in turn.
                quiet = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
                command = [REMOTE, "--split-mode=none", "--output=" + self.path, "-"]
                self.writer = subprocess.Popen(command, stdin=subprocess.PIPE, env=quiet)
            try:
                for chunk in chunks:
                    self.writer.stdin.write(chunk)
                self.writer.stdin.flush()
            except BaseException:
                # Half a record must not be taken for the beginning of the next.
                self.end()
                raise
            self.used = time.monotonic()
            self.heard = time.time()

    def end(self):
        if self.writer is not None:
            try:
                self.writer.stdin.close()
            except OSError:
                pass
            self.writer.wait()
            self.writer = None

    def begin_another(self):
        """Files are small parts of all that is kept: the oldest ones are deleted as a whole."""
        if taken(self.path) > max(SMALLEST, BOUND // 4 // len(journals)):
            self.end()
            os.rename(self.path, self.path.replace(".journal", "@%d.journal" % time.time_ns()))

    def rest(self):
        if self.lock.acquire(blocking=False):
            try:
                if time.monotonic() - self.used > STALL_SECONDS:
                    self.end()
            finally:
                self.lock.release()

    def delete(self):
        """Whether nobody was writing to it."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.writer is not None:
                return False
            # It may have another name since the folder was read.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            return True
        finally:
            self.lock.release()


journals = {}


def journal(machine):
    return journals.setdefault(machine, Journal(machine))


def taken(path):
    try:
        return os.stat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def delete_oldest():
    """Until the bound is kept: the oldest of whoever has said most, so that nobody's lines push out another's."""
    files = sorted(os.listdir(FOLDER), key=lambda name: os.stat(FOLDER + "/" + name).st_mtime)
    sizes = {name: taken(FOLDER + "/" + name) for name in files}
    left = sum(sizes.values())
    of = {name: name.split("@")[0].replace(".journal", "") for name in files}
    totals = {machine: sum(sizes[name] for name in files if of[name] == machine) for machine in of.values()}
    while left > BOUND and files:
        most = max(totals[of[name]] for name in files)
        name = next(name for name in files if totals[of[name]] == most)
        files.remove(name)
        if "@" in name:
            os.unlink(FOLDER + "/" + name)
        elif not journal(of[name]).delete():
            continue
        left -= sizes[name]
        totals[of[name]] -= sizes[name]


def keep_house():
    while True:
        for one in list(journals.values()):
            one.rest()
        try:
            delete_oldest()
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(10)


class Receive(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        # Not where it is accepted: others would wait there for who says nothing.
        self.request.settimeout(STALL_SECONDS)
        self.request.do_handshake()
        self.request.settimeout(SILENT_SECONDS)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        super().setup()

    def do_POST(self):
        if self.path != "/upload" or self.headers.get("Transfer-Encoding") != "chunked":
            return self.answer(404)
        shown = self.request.getpeercert()
        # MACHINE.CLUSTER.internal, and its address.
        [name] = [name for kind, name in shown["subjectAltName"] if kind == "DNS"]
        machine, cluster = name.split(".")[:2]
        # Other services of the machine have certificates as well, some with a key that people's programs read.
        if shown["subject"] != ((("commonName", "log-sender of %s-%s" % (cluster, machine)),),):
            return self.answer(403)
        self.request.settimeout(STALL_SECONDS)
        journal(machine).take(self.chunks())
        self.request.settimeout(SILENT_SECONDS)
        self.answer(202)

    def chunks(self):
        length = 1
        while length > 0:
            length = left = int(self.rfile.readline(20), 16)
            while left > 0:
                part = self.rfile.read1(min(left, 65536))
                if not part:
                    raise ConnectionError("ended in the middle")
                left -= len(part)
                yield part
            if self.rfile.readline(3) != b"\r\n":
                raise ConnectionError("no end of a chunk")

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status != 202:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass


class Tell(BaseHTTPRequestHandler):
    """Prometheus' metrics. Of who was not heard since the store began there is none."""

    def do_GET(self):
        known = self.path == "/metrics"
        heard = sorted((machine, one.heard) for machine, one in list(journals.items()) if one.heard) if known else []
        lines = ['logs_received_timestamp_seconds{sender="%s"} %.3f\n' % pair for pair in heard]
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.end_headers()
        self.wfile.write("".join(lines).encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def get_request(self):
        connection, address = super().get_request()
        return tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, _, address):
        error = sys.exc_info()[1]
        # Who only looks whether somebody listens shows no certificate either.
        if not isinstance(error, (ssl.SSLError, ConnectionError, TimeoutError)):
            print("%s: %r" % (address[0], error), file=sys.stderr, flush=True)


tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings["authority"])
tls.verify_mode = ssl.CERT_REQUIRED
tls.load_cert_chain(settings["certificate"], settings["key"])
os.umask(0o077)
threading.Thread(target=keep_house, daemon=True).start()
tell = ThreadingHTTPServer(("127.0.0.1", settings["port"]), Tell)
threading.Thread(target=tell.serve_forever, daemon=True).start()
Server((settings["address"], settings["port"]), Receive).serve_forever()
