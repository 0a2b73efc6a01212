# Docker for Mesos' agents, which run what a framework asks for as root: docker-guard.py [-H SOCKET] COMMAND...
#
# What a task may have is in docker-policy.json: images, folders and files of the machine, the network. Everything else that `docker run`
# knows is refused, unless it can only make a container smaller. What is refused ends with 125, as Docker's own errors do, and a line that
# says why: Mesos puts it into the task's message where it pulls the image, and otherwise into the task's `stderr`.
#
# Where the agent's machine is a container itself (/etc/triplewide/container), its tasks' containers are that one's siblings, which Mesos
# does not know of:
# - the network of the host is the network of the machine, with its address and its ports;
# - paths of the work directory are the machine's files, not the host's;
# - processes of its tasks are none that Mesos sees: told their numbers, or none, it takes each for one that has ended, and its task for a
#   failed one a minute later. It is told the number of a process that lives as long as the `docker run` which waits for the task. Not
#   of that one itself: it is a child of Mesos' executor, which aborts when what it is told of is its own child;
# - agents share one Docker, and each shall see its own tasks only: those of others would be orphans to it, and be removed.

import json
import os
import re
import subprocess
import sys

DOCKER = "/usr/bin/docker"
POLICY = "/etc/mesos/docker-policy.json"
CONTAINER = "/etc/triplewide/container"
TASK = re.compile(r"mesos-[0-9A-Za-z._-]+")
SANDBOX = "/mnt/mesos/sandbox"
LINK = r"/slaves/[^/:]+/docker/links/[0-9a-f-]+"
RUN = r"/slaves/[^/]+/frameworks/[^/]+/executors/[^/]+/runs/[0-9a-f-]+"
ROOT = re.compile(r"(|0+|root)(:.*)?")

# Options of `docker run` that Mesos writes as two words, and that no task can do harm with.
WORDS = {"--cpu-shares", "--cpu-quota", "--memory-reservation", "--memory", "--oom-score-adj", "-e", "--entrypoint"}
# Parameters of a task, which Mesos writes with an equals sign.
PARAMETERS = {
    "shm-size": r"[0-9]+[bkmgBKMG]?",
    "ulimit": r"nofile=[0-9]+(:[0-9]+)?",
    "network": r"host",
    "net": r"host",
    "cap-drop": r".+",
    "security-opt": r"no-new-privileges(:true|=true)?",
    "read-only": r"true",
    "init": r"true",
    "env": r".*",
    # Marathon writes it for each of its tasks.
    "label": r"MESOS_TASK_ID=[0-9A-Za-z._-]+",
    "workdir": r"/.*",
    "user": r"[0-9]+(:[0-9]+)?",
}


def refuse(what):
    print(f"docker-guard: refused: {what}", file=sys.stderr, flush=True)
    sys.exit(125)


class Guard:
    def __init__(self, policy, docker, container):
        self.policy = policy
        self.docker = docker
        # MACHINE: container whose network the machine has; SELF: container of the agent; PROJECT: what removes its tasks in the end.
        self.container = container

    def command(self, words):
        """The command line to become, or None where all is done."""
        if words[:1] == ["-H"]:
            self.docker, words = [*self.docker, "-H", words[1]], words[2:]
        name, *rest = words or ["--version"]
        if name == "--version" and not rest:
            return [*self.docker, name]
        if name == "ps" and rest in ([], ["-a"]):
            mine = ["--filter", f"label=triplewide.machine={self.container['MACHINE']}"] if self.container else []
            return [*self.docker, name, *mine, *rest]
        if name == "inspect" and (len(rest) == 1 or len(rest) == 2 and rest[0] in ("--type=container", "--type=image")):
            # With a type where an agent looks for the tasks of before its restart.
            if not TASK.fullmatch(rest[-1]):
                self.check_image(rest[-1])
            elif self.container:
                return self.inspect(rest)
            return [*self.docker, name, *rest]
        if name == "pull" and len(rest) == 1:
            self.check_image(rest[0])
            return [*self.docker, name, *rest]
        if name == "exec" and rest and TASK.fullmatch(rest[0]):
            return [*self.docker, name, *rest]
        if name in ("stop", "kill", "rm", "logs") and rest and TASK.fullmatch(rest[-1]):
            return [*self.docker, name, *rest]
        if name == "run":
            return self.run(rest)
        refuse(f"the command {' '.join([name, *rest])}")

    def check_image(self, image):
        if image not in self.policy["images"]:
            refuse(f"the image {image}; agents run {', '.join(self.policy['images'])} (config key taskImages names others)")

    def inspect(self, words):
        task = f"^mesos-task {re.escape(words[-1])} "
        waiting = subprocess.run(["pgrep", "-o", "-f", task], capture_output=True, text=True).stdout.strip()
        found = subprocess.run([*self.docker, "inspect", *words], stdout=subprocess.PIPE, text=True)
        sys.stdout.write(re.sub(r'(?m)^( *"Pid": )[0-9]+', rf"\g<1>{waiting or 0}", found.stdout))
        sys.stdout.flush()
        sys.exit(found.returncode)

    def run(self, words):
        name, role, user, volumes = "", "", None, []
        options = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", str(self.policy["processes"])]
        if self.container:
            labels = {"triplewide.machine": self.container["MACHINE"], "triplewide.tasks": self.container["PROJECT"]}
            options += [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        network = f"container:{self.container['MACHINE']}" if self.container else "host"
        options += ["--network", network]
        while words and words[0].startswith("-"):
            option, *words = words
            if option in ("--net", "--network"):
                if words[:1] != ["host"]:
                    refuse(f"the network {' '.join(words[:1])}; tasks have the network of their machine (host)")
                words = words[1:]
            elif option == "--name":
                name, *words = words
                if not TASK.fullmatch(name):
                    refuse(f"the name {name}")
                options += [option, name]
            elif option == "-v":
                volume, *words = words
                volumes.append(volume)
            elif option in WORDS:
                # The one that Mesos itself says: it takes no such variable from a task.
                if option == "-e" and words[0].startswith("MESOS_ALLOCATION_ROLE="):
                    role = words[0].partition("=")[2]
                options += [option, words[0]]
                words = words[1:]
            else:
                key, given, value = option[2:].partition("=")
                pattern = PARAMETERS.get(key) if option.startswith("--") and given else None
                if pattern is None:
                    refuse(f"the option {option}; tasks may set {', '.join(sorted(PARAMETERS))}")
                if not re.fullmatch(pattern, value):
                    refuse(f"the option {option}; {key} must match {pattern}")
                if key == "user":
                    user = value
                if key not in ("network", "net"):
                    options.append(option)
        if not words:
            refuse("a container without an image")
        self.check_image(words[0])
        self.check_user(words[0], user)
        for volume in volumes:
            options += ["-v", self.volume(volume, role)]
        if self.container:
            self.stand_for(name)
        return [*self.docker, "run", *options, *words]

    def check_user(self, image, user):
        if user is None:
            asked = [*self.docker, "image", "inspect", "--format", "{{.Config.User}}", image]
            found = subprocess.run(asked, capture_output=True, text=True)
            if found.returncode != 0:
                refuse(f"the image {image}: {found.stderr.strip()}")
            user = found.stdout.strip()
        if ROOT.fullmatch(user):
            refuse(f"root as the user of a task; name another one: the image's own is {user or 'root'} (parameter user=<number>)")

    def volume(self, volume, role):
        source, target, *mode = volume.split(":")
        if mode not in ([], ["rw"], ["ro"]):
            refuse(f"the volume {volume}")
        # The sandbox alone, and no path in it: what is in there, the task may have made a link.
        work = re.escape(self.policy["workDir"])
        if target == SANDBOX and re.fullmatch(work + f"({LINK}|{RUN})", source):
            if not re.fullmatch(re.escape(os.path.realpath(self.policy["workDir"])) + RUN, os.path.realpath(source)):
                refuse(f"the volume {volume}, which is no sandbox")
        else:
            allowed = {path: has["mode"] for path, has in self.policy["volumes"].items() if self.may(role, has)}
            if source not in allowed or (allowed[source] == "ro" and mode != ["ro"]):
                names = ", ".join(f"{path} ({how})" for path, how in allowed.items()) or "none"
                refuse(f"the volume {volume}; tasks may have {names} (config key taskVolumes names others)")
        return ":".join([self.host_path(source), target, *mode])

    def may(self, role, has):
        # Before 1.9 Mesos says no role: frameworks cannot be told from each other there.
        return has.get("role", role) == role and role not in has.get("notRoles", [])

    def host_path(self, path):
        """The path by which the Docker engine knows a path of this container."""
        if not self.container:
            return self.policy["volumes"].get(path, {}).get("at", path)
        shape = '{{range .Mounts}}{{.Destination}} {{.Source}}{{"\\n"}}{{end}}'
        asked = [*self.docker, "inspect", "--format", shape, self.container["SELF"]]
        mounts = [line.partition(" ") for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()]
        # A mount may lie in another one.
        for inside, _, outside in sorted(mounts, key=lambda mount: -len(mount[0])):
            if inside and f"{path}/".startswith(f"{inside}/"):
                return outside + path[len(inside) :]
        return path

    def stand_for(self, name):
        """Starts the process that Mesos is told of: it ends with this one, and is nobody's child."""
        pid = os.getpid()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                null = os.open("/dev/null", os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(null, stream)
                os.execv("/usr/bin/tail", [f"mesos-task {name}", "-f", f"--pid={pid}", "/dev/null"])
            os._exit(0)
        os.wait()


def read_container(path):
    try:
        with open(path, encoding="utf-8") as file:
            return dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except FileNotFoundError:
        return None


def main(words):
    # Tests name other files; nothing that a task says reaches this environment (agent-docker.sh).
    with open(os.environ.get("GUARD_POLICY", POLICY), encoding="utf-8") as file:
        policy = json.load(file)
    docker = os.environ.get("GUARD_DOCKER", DOCKER)
    become = Guard(policy, [docker], read_container(os.environ.get("GUARD_CONTAINER", CONTAINER))).command(words)
    os.execv(become[0], become)


if __name__ == "__main__":
    main(sys.argv[1:])
