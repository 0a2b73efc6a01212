# Starts and ends the servers of the hub's users, for the hub: guard.py [POLICY]. It alone has Docker's socket.
#
# The hub faces everybody, so what it may ask for is little: a server for a user of the config, with variables of JupyterHub's, to be
# started, looked at or ended. All else (image, command, user's number, folders, address, limits) is in the policy and is none of the
# hub's business. It asks by a Unix socket, a line of JSON each; nobody but its user is answered.
#
# A user's server is a container of its own, with an address of its own: what listens at its ports is nobody else's, loopback included.
# Where this container is on a network of Docker's, that is where users' servers are too. Where it is on its machine's (the policy has
# `networks` then), each user's server is on a network of its own, between which the machine has walls (`render/cloud-init/guest/users`),
# and executors reach its drivers by ports of the machine. What its user writes lies in two folders: HOME, which nobody else reads, and the user's part of the shared
# folder, which executors read and write as well (they are in the group of Spark's user, and no other user is).

import fcntl
import http.client
import io
import json
import os
import pwd
import re
import socket
import socketserver
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

DOCKER = "/var/run/docker.sock"
CONTAINER = "/etc/triplewide/container"
STATE = "/var/lib/notebooks"
VARIABLE = re.compile(r"JUPYTERHUB_[A-Z_]+")
PORT = 8888
# In a user's container: the secret by which their drivers register with Mesos.
LOGIN = "/etc/mesos/login"
# What OpenSSL is told of a certificate: nothing of its own defaults, by which it would be an authority's.
ISSUED = """[req]
distinguished_name = none
x509_extensions = issued
[none]
[issued]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:{address}
"""
# As long as a server may run.
DAYS = "3650"
# What finds a port there by which Mesos' masters reach a driver.
FREE_PORT = "/opt/hub/free-port"


class Refused(Exception):
    """What was asked for is not to be had; the message says why."""


class Docker:
    """Docker's interface (https://docs.docker.com/reference/api/engine/), by its socket, in the engine's own version: engines give up old ones."""

    def __init__(self, path):
        self.path = path

    def ask(self, method, path, body=None, fine=()):
        connection = http.client.HTTPConnection("docker", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(120)
        connection.sock.connect(self.path)
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body)
        try:
            connection.request(method, path, sent, {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status in fine:
            return None
        if answer.status >= 400:
            raise Refused(f"Docker: {text.decode(errors='replace').strip()[:300]}")
        return json.loads(text) if text.startswith((b"{", b"[")) else None


class Numbers:
    """The number of each user, from 1: given once, kept for good, never given to another."""

    def __init__(self, path):
        self.path = path

    def of(self, user, most):
        try:
            with open(self.path, encoding="utf-8") as file:
                known = json.load(file)
        except FileNotFoundError:
            known = {}
        if user not in known:
            number = max(known.values(), default=0) + 1
            if number > most:
                raise Refused(f"the hub had {most} users already, those that left included; there are no more addresses for others")
            known[user] = number
            with open(self.path + ".new", "w", encoding="utf-8") as file:
                json.dump(known, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self.path + ".new", self.path)
        return known[user]


class Guard:
    def __init__(self, policy, docker, container, state=STATE):
        self.policy = policy
        self.docker = docker
        self.container = container
        self.state = state
        self.numbers = Numbers(f"{state}/numbers.json")
        self.lock = threading.Lock()

    def answer(self, question):
        """What is said to a question: {"ask": "where"}, or {"ask": "start" | "look" | "end", "user": NAME, "env": {…} for start}."""
        if question.get("ask") == "where":
            return {"targets": {user: f"{self.address(self.number(user))}:{PORT}" for user in self.policy["users"]}}
        user = question.get("user")
        if user not in self.policy["users"]:
            raise Refused("no such user")
        asked = question.get("ask")
        if asked == "start":
            return self.start(user, question.get("env"))
        if asked == "look":
            return {"running": self.running(user)}
        if asked == "end":
            self.end(user)
            return {}
        raise Refused("no such question")

    def name(self, user):
        # No service is called so.
        return f"{self.container['MACHINE']}-user-{user}"

    def running(self, user):
        there = self.docker.ask("GET", f"/containers/{self.name(user)}/json", fine=(404,))
        return bool(there and there["State"]["Running"])

    def end(self, user):
        self.docker.ask("POST", f"/containers/{self.name(user)}/stop?t=10", fine=(304, 404))
        self.docker.ask("DELETE", f"/containers/{self.name(user)}?force=true", fine=(404,))

    def end_others(self):
        """Servers of those who are no users any more."""
        label = json.dumps({"label": [f"triplewide.hub={self.container['MACHINE']}"]})
        for one in self.docker.ask("GET", f"/containers/json?all=true&filters={urllib.parse.quote(label)}"):
            user = one["Labels"].get("triplewide.user")
            if user not in self.policy["users"]:
                self.docker.ask("DELETE", f"/containers/{one['Id']}?force=true", fine=(404,))
                print(f"guard: ended the server of {user}, who is no user any more", flush=True)

    def start(self, user, env):
        if not isinstance(env, dict) or not all(isinstance(k, str) and isinstance(v, str) and VARIABLE.fullmatch(k) for k, v in env.items()):
            raise Refused("variables other than JupyterHub's")
        number = self.number(user)
        home, work = self.folders(user, number)
        address = self.address(number)
        self.end(user)
        asked = self.container_of(user, number, address, self.network(number), home, work, env)
        made = self.docker.ask("POST", f"/containers/create?name={self.name(user)}", asked)
        try:
            self.docker.ask("PUT", f"/containers/{made['Id']}/archive?path=/", self.files(user, number, address))
            self.docker.ask("POST", f"/containers/{made['Id']}/start")
        except Exception:
            self.end(user)
            raise
        return {"address": address, "port": PORT}

    def number(self, user):
        with self.lock:
            return self.numbers.of(user, self.policy["most"])

    def address(self, number):
        # Of a network of its own: that of the network itself and the machine's come first.
        return self.after(4 * number + 2 if "networks" in self.policy else number)

    def after(self, offset):
        first = struct.unpack("!I", socket.inet_aton(self.policy["addressesAbove"]))[0]
        return socket.inet_ntoa(struct.pack("!I", first + offset))

    def network(self, number):
        """Name of the network that the user's server is on, made where it is not there."""
        networks = self.policy.get("networks")
        if not networks:
            return next(iter(self.docker.ask("GET", f"/containers/{self.container['MACHINE']}/json")["NetworkSettings"]["Networks"]))
        name = f"{networks['prefix']}{number}"
        wanted = [{"Subnet": f"{self.after(4 * number)}/30", "Gateway": self.after(4 * number + 1)}]
        there = self.docker.ask("GET", f"/networks/{name}", fine=(404,))
        if not there:
            options = {"com.docker.network.bridge.name": name, "com.docker.network.driver.mtu": str(mtu_of(networks["host"]))}
            asked = {"Name": name, "Driver": "bridge", "IPAM": {"Config": wanted}, "Options": options}
            self.docker.ask("POST", "/networks/create", asked)
        elif there["IPAM"]["Config"] != wanted:
            raise Refused(f"the network {name} is another than this cluster's")
        return name

    def ports(self, number):
        """How executors reach the user's drivers where that is by ports of the machine, as Spark has it."""
        networks = self.policy.get("networks")
        if not networks:
            return {}
        first = self.first_port(number)
        return {
            "spark.driver.host": networks["host"],
            "spark.driver.port": str(first),
            "spark.driver.blockManager.port": str(first + networks["ports"]),
        }

    def first_port(self, number):
        """The first of the machine's ports that lead to the user's drivers."""
        networks = self.policy["networks"]
        return networks["portsFrom"] + networks["each"] * (number - 1)

    def login(self, user):
        """How the user's drivers register with Mesos: {"role": …, "principal": …, "secret": …}; None where there is none."""
        return self.policy["mesos"]["logins"][user] if "mesos" in self.policy else None

    def mesos_env(self, user, address):
        """What tells drivers, and who asks the masters for them, who they are and where they are spoken to."""
        login = self.login(user)
        if login is None:
            return {}
        role = {"DRIVER_ROLE": login["role"]} if self.policy["mesos"]["teams"] else {}
        # The masters compare who speaks to them with who that says it is: on a machine of its own network, that is the machine.
        said = {"LIBPROCESS_ADVERTISE_IP": self.policy["networks"]["host"]} if "networks" in self.policy else {}
        return {"LIBPROCESS_IP": address, **said, "DRIVER_PRINCIPAL": login["principal"], "DRIVER_SECRET_FILE": LOGIN, **role}

    def identity(self, user, address):
        """By what the masters know the user's drivers, where Mesos speaks TLS: files of a new key, and of a certificate for the address."""
        paths = self.policy.get("libprocess")
        if not paths:
            return {}
        at = self.policy["networks"]["host"] if "networks" in self.policy else address
        command = ["openssl", "req", "-x509", "-CA", paths["authority"], "-CAkey", paths["authorityKey"], "-config", "/dev/stdin"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-sha256", "-days", DAYS, "-keyout", "-"]
        # A name with a space: nobody takes it for a host's.
        command += ["-subj", f"/CN=drivers of {user}"]
        made = subprocess.run(command, input=ISSUED.format(address=at), capture_output=True, text=True)
        if made.returncode != 0:
            raise Refused(f"no certificate for {user}'s drivers: {made.stderr.strip()[-300:]}")
        begin = made.stdout.index("-----BEGIN CERTIFICATE-----")
        return {paths["key"]: made.stdout[:begin], paths["certificate"]: made.stdout[begin:]}

    def uid(self, number):
        return self.policy["uidsAbove"] + number

    def folders(self, user, number):
        """The user's folders, made where they are not: as the Docker engine knows them."""
        uid = self.uid(number)
        homes, shared = f"{self.state}/homes", f"{self.policy['shared']}/users"
        for folder in (homes, shared):
            make(folder, 0, 0, 0o711)
        make(f"{homes}/{user}", uid, uid, 0o700)
        # Sticky: executors put files into it, and replace none of its owner's. What programs are started from is not theirs to make.
        make(f"{shared}/{user}", uid, self.policy["sparkGid"], 0o1770, [".python", ".ivy2"])
        return self.host_path(f"{homes}/{user}"), self.host_path(f"{shared}/{user}")

    def host_path(self, path):
        """The path by which the Docker engine knows a path of this container."""
        mounts = self.docker.ask("GET", f"/containers/{self.container['SELF']}/json")["Mounts"]
        for mount in sorted(mounts, key=lambda one: -len(one["Destination"])):
            if path.startswith(f"{mount['Destination']}/"):
                return mount["Source"] + path[len(mount["Destination"]) :]
        raise Refused(f"{path} is on no volume")

    def trust(self):
        """What with-trust made when this program was started: the same for all, and nobody's to change."""
        folder = f"{self.state}/trust"
        return [f"{self.host_path(folder)}:{self.policy['trust']}:ro"] if os.path.isdir(folder) else []

    def notice(self):
        """What `triplewide scale` tells people before the cluster ends: in a folder, because the file comes and goes."""
        folder = os.path.dirname(self.policy["notice"])
        make(folder, 0, 0, 0o755)
        return [f"{self.host_path(folder)}:/run/notice:ro"]

    def forget_notice(self):
        """One that a volume kept may be of before the last `up`; `triplewide scale` tells what holds."""
        try:
            os.unlink(self.policy["notice"])
        except FileNotFoundError:
            pass

    def work(self, user):
        return f"{self.policy['shared']}/users/{user}"

    def container_of(self, user, number, address, network, home, work, env):
        policy, machine = self.policy, self.container["MACHINE"]
        own = {
            **env,
            **policy["env"],
            "HOME": f"/home/{user}",
            "USER": user,
            "SHELL": "/bin/bash",
            "JUPYTER_WORK": self.work(user),
            "PYTHONUSERBASE": f"{self.work(user)}/.python",
            "JUPYTER_BASE_URL": env.get("JUPYTERHUB_SERVICE_PREFIX", "/"),
            "SPARK_LOCAL_IP": address,
            # Where their own server finds the pages of a driver.
            "SPARK_PUBLIC_DNS": address,
            **self.mesos_env(user, address),
        }
        memory = policy["memoryMiB"] * 2**20
        return {
            "Image": policy["image"],
            "Hostname": f"notebook-{user}",
            "User": f"{self.uid(number)}:{self.uid(number)}",
            "WorkingDir": self.work(user),
            "Cmd": policy["command"],
            "Env": [f"{key}={value}" for key, value in own.items()],
            "Healthcheck": {"Test": ["NONE"]},
            "Labels": {"triplewide.hub": machine, "triplewide.user": user, "triplewide.tasks": self.container["PROJECT"]},
            "HostConfig": {
                "NetworkMode": network,
                "Binds": [f"{home}:/home/{user}", f"{work}:{self.work(user)}", *self.trust(), *self.notice()],
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "PidsLimit": policy["processes"],
                "Memory": memory,
                "MemorySwap": memory,
                # Docker refuses more than there are.
                "NanoCpus": int(min(policy["cpus"], os.cpu_count() or 1) * 1e9),
                "ShmSize": policy["shmMiB"] * 2**20,
                "RestartPolicy": {"Name": "no"},
            },
            "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}},
        }

    def files(self, user, number, address):
        """What is in the container beyond its image: the user's name, and how drivers find the cluster."""
        uid = self.uid(number)
        with open("/etc/passwd", encoding="utf-8") as file:
            people = file.read()
        with open("/etc/group", encoding="utf-8") as file:
            groups = file.read()
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            put(tar, "/etc/passwd", f"{people}{user}:x:{uid}:{uid}::/home/{user}:/bin/bash\n", 0, 0o644)
            put(tar, "/etc/group", f"{groups}{user}:x:{uid}:\n", 0, 0o644)
            for path, text in self.identity(user, address).items():
                put(tar, path, text, uid, 0o400)
            for path in self.policy["files"]:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                if path == self.policy["properties"]:
                    own = {**self.policy["own"], "spark.driver.host": address, "spark.driver.bindAddress": address, **self.ports(number)}
                    own["spark.jars.ivy"] = f"{self.work(user)}/.ivy2"
                    own["spark.sql.warehouse.dir"] = f"file:{self.work(user)}/spark-warehouse"
                    login = self.login(user)
                    if login is not None:
                        own.update({"spark.mesos.role": login["role"], "spark.mesos.principal": login["principal"], "spark.mesos.secret.file": LOGIN})
                        put(tar, LOGIN, login["secret"], uid, 0o400)
                    places = []
                    if self.policy.get("hdfs"):
                        own["spark.sql.warehouse.dir"] = f"{self.policy['hdfs']}/user/{user}/warehouse"
                        places.append(f"hdfs:///user/{user}/results (a relative path lies in /user/{user} there)")
                    if self.policy["executorsShare"]:
                        if "TRIPLEWIDE_SHARED" in self.policy["env"]:
                            own["spark.executorEnv.PYTHONUSERBASE"] = f"{self.work(user)}/.python"
                        own["spark.triplewide.sharedFolders"] = self.work(user)
                        places.append(f"file://{self.work(user)}/results" if places else f"{self.work(user)}/results (or a relative path in a notebook)")
                    if places:
                        own["spark.triplewide.writeInstead"] = f"Write to {', or to '.join(places)}."
                    text += "".join(f"{key} {value}\n" for key, value in own.items())
                elif path == self.policy["environment"] and self.login(user) is not None and "networks" in self.policy:
                    ports = self.policy["networks"]["ports"]
                    text += f"LIBPROCESS_PORT=$({FREE_PORT} {self.first_port(number) + 2 * ports} {ports}) || exit\nexport LIBPROCESS_PORT\n"
                put(tar, path, text, uid, 0o400)
        return made.getvalue()


def mtu_of(address):
    """Bytes that a packet has at most on the interface of this machine that has the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                found = fcntl.ioctl(asking, 0x8915, request)[20:24]  # SIOCGIFADDR
            except OSError:  # one without an address
                continue
            if socket.inet_ntoa(found) == address:
                return struct.unpack("i", fcntl.ioctl(asking, 0x8921, request)[16:20])[0]  # SIOCGIFMTU
    raise Refused(f"no interface of this machine has the address {address}")


def put(tar, path, text, uid, mode):
    data = text.encode()
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size, info.mode, info.uid, info.gid = len(data), mode, uid, uid
    tar.addfile(info, io.BytesIO(data))


def make(folder, uid, gid, mode, own=()):
    """Makes a folder, and gives it to its owner, with folders in it that nobody else writes to (`own`). One that is a link was put there by
    somebody who would like another one to be given away."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for name in own:
            make_own(handle, name, uid)
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def make_own(parent, name, uid):
    """Makes a folder in one that others write to as well. What others have put in its place is set aside."""
    try:
        if os.stat(name, dir_fd=parent, follow_symlinks=False).st_uid == uid:
            return
        os.rename(name, f"{name}-of-others-{time.time_ns()}", src_dir_fd=parent, dst_dir_fd=parent)
    except FileNotFoundError:
        pass
    os.mkdir(name, 0o755, dir_fd=parent)
    os.chown(name, uid, uid, dir_fd=parent, follow_symlinks=False)


def be_healthy(port):
    """Whoever looks whether the guard lives connects there, and is told nothing."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            listening.accept()[0].close()


def serve(guard, path, uid, health):
    class Handler(socketserver.StreamRequestHandler):
        timeout = 60

        def handle(self):
            peer = struct.unpack("3i", self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
            if peer[1] not in (uid, 0):
                return
            try:
                said = guard.answer(json.loads(self.rfile.readline(65536)))
            except Refused as error:
                said = {"refused": str(error)}
            except Exception as error:  # the hub's log says it too
                print(f"guard: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                said = {"refused": f"{type(error).__name__}: {error}"}
            self.wfile.write(json.dumps(said).encode() + b"\n")

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with Server(path, Handler) as server:
        os.chmod(path, 0o666)
        threading.Thread(target=be_healthy, args=(health,), daemon=True).start()
        print("guard: ready", flush=True)
        server.serve_forever()


def read_container(path):
    with open(path, encoding="utf-8") as file:
        return dict(line.rstrip("\n").partition("=")[::2] for line in file)


def main(policy="/etc/hub/guard.json"):
    with open(policy, encoding="utf-8") as file:
        said = json.load(file)
    guard = Guard(said, Docker(DOCKER), said.get("container") or read_container(CONTAINER))
    guard.end_others()
    guard.forget_notice()
    serve(guard, said["socket"], pwd.getpwnam("hub").pw_uid, said["healthPort"])


if __name__ == "__main__":
    main(*sys.argv[1:])
