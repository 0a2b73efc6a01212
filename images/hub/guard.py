# Starts and ends the servers of the hub's users on behalf of the hub: guard.py [POLICY]. Only this program has Docker's socket.
#
# The hub is exposed to everyone who can open its pages, so it may request little: to start, look at or end the server of a user of the
# config, and to set JupyterHub's own variables in it. Everything else (image, command, uid, folders, address, limits) comes from the
# policy, which the hub cannot change. Requests arrive at a Unix socket, each as a line of JSON; only the hub's user and
# root get an answer.
#
# Each user's server is a container with an address of its own, so no other user can use its ports, not even on its loopback interface.
# If this container is on one of Docker's networks, users' servers are on the same one. If it uses the network of its machine (the policy
# then has `networks`), each user's server is on a network of its own. The machine's firewall separates these networks
# (`render/cloud-init/guest/users`), and executors reach the drivers through ports of the machine.
#
# A user writes to two folders: HOME, which no other user can read, and the user's part of the shared folder, which executors can read and
# write too: they are in the group of Spark's user, in which no other user is.

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
# In a user's container: the file with the secret with which the user's drivers register with Mesos.
LOGIN = "/etc/mesos/login"
# OpenSSL's settings for a certificate. With OpenSSL's defaults it would be the certificate of an authority.
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
# Must be longer than any server runs: a certificate is issued when the server starts and is not renewed.
DAYS = "3650"
# Program in a user's container that finds a free port, through which Mesos' masters reach a driver.
FREE_PORT = "/opt/hub/free-port"


class Refused(Exception):
    """The request cannot be granted; the message says why."""


class Docker:
    """A client of Docker's API (https://docs.docker.com/reference/api/engine/). Its requests name no API version: engines drop old ones."""

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
    """The number of each user, counted from 1. It is permanent and never given to another user."""

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
        """Answers a request of the hub: {"ask": "where"}, or {"ask": "start" | "look" | "end", "user": NAME, "env": {…} for start}."""
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
        # No service has such a name, so this one cannot clash with a service's container.
        return f"{self.container['MACHINE']}-user-{user}"

    def running(self, user):
        there = self.docker.ask("GET", f"/containers/{self.name(user)}/json", fine=(404,))
        return bool(there and there["State"]["Running"])

    def end(self, user):
        self.docker.ask("POST", f"/containers/{self.name(user)}/stop?t=10", fine=(304, 404))
        self.docker.ask("DELETE", f"/containers/{self.name(user)}?force=true", fine=(404,))

    def end_others(self):
        """Ends the servers of people who are no longer users."""
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
        # In a network of its own (a /30), the addresses of the network itself and of the machine come first.
        return self.after(4 * number + 2 if "networks" in self.policy else number)

    def after(self, offset):
        first = struct.unpack("!I", socket.inet_aton(self.policy["addressesAbove"]))[0]
        return socket.inet_ntoa(struct.pack("!I", first + offset))

    def network(self, number):
        """Name of the network that the user's server is on; creates the network if it is missing."""
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
        """Spark properties for drivers that executors reach through ports of the machine; empty if they reach them directly."""
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
        """The login with which the user's drivers register with Mesos: {"role": …, "principal": …, "secret": …}; None if Mesos has no logins."""
        return self.policy["mesos"]["logins"][user] if "mesos" in self.policy else None

    def mesos_env(self, user, address):
        """Environment variables with the login and addresses of drivers, for the drivers and for programs that query the masters for them."""
        login = self.login(user)
        if login is None:
            return {}
        role = {"DRIVER_ROLE": login["role"]} if self.policy["mesos"]["teams"] else {}
        # The masters compare the advertised address with the source address of the connection. From a user's own network, that is the machine's.
        said = {"LIBPROCESS_ADVERTISE_IP": self.policy["networks"]["host"]} if "networks" in self.policy else {}
        return {"LIBPROCESS_IP": address, **said, "DRIVER_PRINCIPAL": login["principal"], "DRIVER_SECRET_FILE": LOGIN, **role}

    def identity(self, user, address):
        """Files with a new key and a certificate for the address, by which the masters know the user's drivers; none if Mesos does not use TLS."""
        paths = self.policy.get("libprocess")
        if not paths:
            return {}
        at = self.policy["networks"]["host"] if "networks" in self.policy else address
        command = ["openssl", "req", "-x509", "-CA", paths["authority"], "-CAkey", paths["authorityKey"], "-config", "/dev/stdin"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-sha256", "-days", DAYS, "-keyout", "-"]
        # Because of the space, the name cannot be mistaken for a host name.
        command += ["-subj", f"/CN=drivers of {user}"]
        made = subprocess.run(command, input=ISSUED.format(address=at), capture_output=True, text=True)
        if made.returncode != 0:
            raise Refused(f"no certificate for {user}'s drivers: {made.stderr.strip()[-300:]}")
        begin = made.stdout.index("-----BEGIN CERTIFICATE-----")
        return {paths["key"]: made.stdout[:begin], paths["certificate"]: made.stdout[begin:]}

    def uid(self, number):
        return self.policy["uidsAbove"] + number

    def folders(self, user, number):
        """Creates the user's folders if they are missing, and returns their paths as the Docker engine knows them."""
        uid = self.uid(number)
        homes, shared = f"{self.state}/homes", f"{self.policy['shared']}/users"
        for folder in (homes, shared):
            make(folder, 0, 0, 0o711)
        make(f"{homes}/{user}", uid, uid, 0o700)
        # Sticky: executors may add files, but not replace the owner's. Drivers load code from `.python` and `.ivy2`, so the user must own these.
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
        """Mount of the certificates that with-trust wrote when this program started. All users share them, and no user can change them."""
        folder = f"{self.state}/trust"
        return [f"{self.host_path(folder)}:{self.policy['trust']}:ro"] if os.path.isdir(folder) else []

    def notice(self):
        """Mount of the folder with the notice that `triplewide scale` writes before the cluster ends; the file itself comes and goes."""
        folder = os.path.dirname(self.policy["notice"])
        make(folder, 0, 0, 0o755)
        return [f"{self.host_path(folder)}:/run/notice:ro"]

    def forget_notice(self):
        """Removes a notice that the volume kept, because it may be older than the last `up`. `triplewide scale` writes the current one."""
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
            # The address at which the user's own server finds the pages of a driver.
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
                # Docker refuses more processors than the machine has.
                "NanoCpus": int(min(policy["cpus"], os.cpu_count() or 1) * 1e9),
                "ShmSize": policy["shmMiB"] * 2**20,
                "RestartPolicy": {"Name": "no"},
            },
            "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}},
        }

    def files(self, user, number, address):
        """A tar archive of what the container needs beyond its image: the user's name, and the files by which drivers find the cluster."""
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
    """The MTU of the interface of this machine that has the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                found = fcntl.ioctl(asking, 0x8915, request)[20:24]  # SIOCGIFADDR
            except OSError:  # an interface without an address
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
    """Creates a folder if it is missing, and gives it to its owner. Only the owner can write to the folders in it that `own` names. A symbolic
    link is refused: it may have been put there to make this function give away another folder."""
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
    """Creates a folder in one that others can write to as well. If others have put something in its place, that is renamed."""
    try:
        if os.stat(name, dir_fd=parent, follow_symlinks=False).st_uid == uid:
            return
        os.rename(name, f"{name}-of-others-{time.time_ns()}", src_dir_fd=parent, dst_dir_fd=parent)
    except FileNotFoundError:
        pass
    os.mkdir(name, 0o755, dir_fd=parent)
    os.chown(name, uid, uid, dir_fd=parent, follow_symlinks=False)


def be_healthy(port):
    """Listens for the health check, which only connects; no data is exchanged."""
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
            except Exception as error:  # the hub logs it too
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
