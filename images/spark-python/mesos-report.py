#!/usr/bin/env python3
"""Prints what an unpacked Mesos in /opt/mesos holds, and what of it works in this image, as JSON (see `MesosFacts` in mesos/check.ts).

Runs as root in a build step of which only the report is kept. A fact that it cannot find out is null. It fails, with the reason, only if
packages cannot be downloaded: that says nothing about the archive.
"""
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

HOME = "/opt/mesos"
LIBRARY = f"{HOME}/lib/libmesos.so"
TOOLS = "/usr/local/lib/triplewide"
CARRIED = "/run/carried"
# A second Mesos, whose libmesos the drivers will load. It is here only if it was asked for.
WITH = "/run/with/with"
# Machine numbers in ELF headers.
MACHINES = {62: "amd64", 183: "arm64", 3: "i386", 21: "ppc64el", 22: "s390x"}
HERE = {"x86_64": "amd64", "aarch64": "arm64"}
# Isolators that Mesos may have been built with.
ISOLATORS = """
appc/runtime cgroups/blkio cgroups/cpu cgroups/cpuset cgroups/devices cgroups/hugetlb cgroups/mem cgroups/net_cls cgroups/net_prio
cgroups/perf_event cgroups/pids disk/du disk/xfs docker/runtime docker/volume filesystem/linux gpu/nvidia linux/capabilities linux/devices
linux/nnp linux/seccomp namespaces/ipc namespaces/pid network/cni network/port_mapping network/ports posix/cpu posix/mem posix/rlimits
volume/csi volume/host_path volume/image volume/sandbox_path volume/secret
""".split()
# Packages whose names cannot be derived from the library's name.
PACKAGES = {
    "libapr-1.so.0": "libapr1",
    "libaprutil-1.so.0": "libaprutil1",
    "libsvn_delta-1.so.1": "libsvn1",
    "libsvn_diff-1.so.1": "libsvn1",
    "libsvn_subr-1.so.1": "libsvn1",
    "libsasl2.so.2": "libsasl2-2",
    "libnl-3.so.200": "libnl-3-200",
    "libnl-route-3.so.200": "libnl-route-3-200",
    "libglog.so.1": "libgoogle-glog0v6",
    "libleveldb.so.1d": "libleveldb1d",
    "libz.so.1": "zlib1g",
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
}


def run(*words, seconds=120, **more):
    """Returns a program's exit code and all its output. The code is None if there is no such program or it does not end in time."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=seconds, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return done.returncode, done.stdout + done.stderr


def last_line(text):
    return text.strip().rpartition("\n")[2].strip()


def apt_install(packages, *options):
    """Installs those of the packages that Debian has, and returns the names of the others."""
    unknown = []
    while True:
        rest = [p for p in packages if p not in unknown]
        code, said = run("with-net", "apt-install", *options, *rest, seconds=900) if rest else (0, "")
        if code == 0:
            return unknown
        new = set(re.findall(r"(?:Unable to locate package|Couldn't find any package by \w+) '?([^'\s]+?)'?(?:\s|$)", said))
        new |= set(re.findall(r"Package '?([^'\s]+?)'? has no installation candidate", said))
        new = [p for p in rest if p in new]
        if not new:
            # Where apt quotes a name as a pattern, another message has the full one. If none is found, the network or mirror failed.
            sys.exit(f"Mesos: its packages cannot be installed here: {last_line(said)}")
        unknown += new


def package_of(library):
    """Returns the Debian package of a library by Debian's naming rule: libfoo.so.3 is in libfoo3, libfoo-1.2.so.3 in libfoo-1.2-3."""
    if library in PACKAGES:
        return PACKAGES[library]
    name, _, version = library.partition(".so.")
    if not version:
        return None
    name = name.lower().replace("_", "-")
    return f"{name}-{version}" if name[-1:].isdigit() else f"{name}{version}"


def libraries():
    """Returns the missing libraries and the missing versions of symbols, each with the first file that needs it."""
    missing, symbols = {}, {}
    for path in (LIBRARY, f"{HOME}/sbin/mesos-master", f"{HOME}/sbin/mesos-agent"):
        if not os.path.exists(path):
            continue
        _, said = run("ldd", path)
        for name in re.findall(r"^\s*(\S+) => not found", said, re.M):
            missing.setdefault(name, os.path.basename(path))
        for symbol, wants in re.findall(r"version `(\S+)' not found \(required by (\S+)\)", said):
            symbols.setdefault(symbol, os.path.basename(wants))
    return missing, symbols


def machine_of(path):
    with open(path, "rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return None
    return MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"), "another")


def agent(*flags):
    """Runs an agent with resources that it cannot parse, so that it ends once it has made its containerizers or sooner; returns its end."""
    with tempfile.TemporaryDirectory() as work:
        common = ["--ip=127.0.0.1", "--hostname=probe", "--port=0", "--master=127.0.0.1:5050", f"--work_dir={work}", "--launcher=posix"]
        return run(f"{HOME}/sbin/mesos-agent", *common, "--no-systemd_enable_support", "--resources=none", *flags, seconds=30)


def known(flag, names, *more):
    """Returns those of the names that a flag of the agent knows, and those it crashes with; None for both if it accepts a made-up name."""
    ends = {name: agent(f"--{flag}={name}", *more) for name in [*names, "none/such"]}
    refused = [name for name, (_, text) in ends.items() if "Unknown or unsupported" in text]
    if "none/such" not in refused:
        return None, None
    there = [name for name in names if name not in refused]
    # A negative exit code is the number of the signal that ended the program.
    crashes = [name for name in there if (ends[name][0] or 0) < 0]
    return [name for name in there if name not in crashes], crashes


def control_groups():
    """Returns the versions of control groups that Mesos supports, by names of files that only one version has."""
    found = {1: False, 2: False}
    for path in (LIBRARY, f"{HOME}/sbin/mesos-agent", f"{HOME}/sbin/mesos-slave"):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                data = file.read()
            found[1] = found[1] or b"cpu.cfs_quota_us" in data
            found[2] = found[2] or b"cgroup.subtree_control" in data
    return [version for version, there in found.items() if there]


def works(parts):
    """Returns whether parts of Mesos work here, and the message of the program or of the check."""
    code, said = run("sh", f"{TOOLS}/mesos-check.sh", parts, seconds=300)
    says = [line.removeprefix("Mesos: ") for line in said.splitlines() if line.startswith("Mesos: ")]
    return {"works": code == 0, "says": says[0] if says else last_line(said)}


def eventually(file, process, seconds, *words):
    """Waits for a line of a program's log with one of these words, and returns it, or the last line once the program or the time ends."""
    end = time.monotonic() + seconds
    while True:
        # Checked before the log is read, so that the last lines of a program that has just ended are not missed.
        over = process.poll() is not None or time.monotonic() > end
        with open(file, errors="replace") as text:
            lines = text.read().splitlines()
        found = [line for line in lines if any(word in line for word in words)]
        if found or over:
            return (found or lines[-1:] or [""])[0]
        time.sleep(0.2)


def message(line):
    """Removes the time and the source location from a line of Mesos' log."""
    return re.sub(r"^[IWEF]\d+ [\d:.]+ +\d+ [\w.]+:\d+\] ", "", line.strip())


def trial(with_driver, library=LIBRARY, path=""):
    """Tests whether an agent, and a driver that loads libmesos into Java, log in to a master, and whether the driver's task finishes.

    The driver loads `library`. The libraries that this is linked with are searched in the folders of `path` first.
    """
    with tempfile.TemporaryDirectory() as work:
        login = {"principal": "trial", "secret": "of-a-trial"}
        for name, content in (("all", {"credentials": [login]}), ("own", login)):
            with open(f"{work}/{name}.json", "w") as file:
                os.fchmod(file.fileno(), 0o600)
                json.dump(content, file)
        here = ["--ip=127.0.0.1", "--hostname=localhost"]
        asks = ["--authenticate_agents", "--authenticate_frameworks", f"--credentials=file://{work}/all.json"]
        # Mesos' default is the path that was set when it was built.
        own = f"--launcher_dir={HOME}/libexec/mesos"
        simple = [own, "--launcher=posix", "--isolation=posix/cpu,posix/mem", "--containerizers=mesos", "--no-systemd_enable_support"]
        offers = [f"--credential=file://{work}/own.json", "--resources=cpus:1;mem:512", "--no-switch_user"]
        commands = {
            "master": [*here, "--port=5050", f"--work_dir={work}/m", "--registry=in_memory", *asks],
            "agent": [*here, "--port=5051", "--master=127.0.0.1:5050", f"--work_dir={work}/a", *simple, *offers],
        }
        running = []
        try:
            for name, words in commands.items():
                with open(f"{work}/{name}.log", "w") as log:
                    running.append(subprocess.Popen([f"{HOME}/sbin/mesos-{name}", *words], stdout=log, stderr=log))
            # An agent that is refused logs this and ends.
            line = eventually(f"{work}/agent.log", running[-1], 60, "Registered with master", "EXIT with status")
            logged_in = "Registered with master" in line
            facts = {"agent": {"works": logged_in, "says": message(line)}, "driver": None}
            if logged_in and with_driver:
                java = ["java", "-Xmx512m", "-cp", "/opt/spark/jars/*", "scala.tools.nsc.MainGenericRunner", "-usejavacp", "-nc"]
                environment = {**os.environ, "LIBPROCESS_IP": "127.0.0.1", "MESOS_NATIVE_JAVA_LIBRARY": library}
                if path:
                    environment["LD_LIBRARY_PATH"] = path
                _, said = run(*java, f"{TOOLS}/mesos-trial.scala", seconds=300, env=environment)
                steps = re.findall(r"^trial: (.*)$", said, re.M)
                end = steps[-1] if steps else last_line(said)
                facts["driver"] = {"works": end.startswith("TASK_FINISHED"), "says": end}
            return facts
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)


def pair():
    """Tests a driver with the second Mesos' libmesos against the master and agent of the first. Returns None if there is no second one."""
    if not os.path.isdir(f"{WITH}/mesos"):
        return None
    with open(f"{WITH}/mesos/RUNTIME_PACKAGES") as file:
        apt_install(" ".join(line for line in file if not line.startswith("#")).split())
    library, java = f"{WITH}/mesos/lib/libmesos.so", f"{os.environ['JAVA_HOME']}/lib/server"
    with open(library, "rb") as file:
        if b"Java_org_apache_mesos_" not in file.read():
            return {"works": False, "says": "its libmesos has no Java bindings"}
    with tempfile.TemporaryDirectory() as carried:
        path = f"{WITH}/mesos/lib:{java}:{carried}"
        # Links only those carried libraries that are missing: Debian's own are used where they exist. One may need another.
        while True:
            _, said = run("ldd", library, env={**os.environ, "LD_LIBRARY_PATH": path})
            missing = re.findall(r"^\s*(\S+) => not found", said, re.M)
            brought = [name for name in missing if os.path.exists(f"{WITH}/carried/{name}") and not os.path.exists(f"{carried}/{name}")]
            if not brought:
                break
            for name in brought:
                os.symlink(f"{WITH}/carried/{name}", f"{carried}/{name}")
        if missing:
            return {"works": False, "says": f"its libmesos is linked with libraries that are not there: {' '.join(missing)}"}
        found = trial(True, library, path)
    return found["driver"] or {"works": False, "says": f"no driver was tried, for its agent does not log in: {found['agent']['says']}"}


def main():
    with open(f"{HOME}/RUNTIME_PACKAGES") as file:
        packages = " ".join(line for line in file if not line.startswith("#")).split()
    unknown = apt_install(packages)
    code, said = run("sh", f"{TOOLS}/mesos-install.sh", CARRIED)
    if code != 0:
        sys.exit(f"Mesos: {last_line(said)}")
    missing, symbols = libraries()
    candidates = {library: package_of(library) for library in missing}
    names = sorted({name for name in candidates.values() if name and name not in unknown})
    gone = apt_install(names, "--simulate") if names else []
    daemons, java = works("daemons"), works("java")
    version = re.search(r"^mesos (\S+)", run(f"{HOME}/sbin/mesos-agent", "--version")[1], re.M)
    with open(LIBRARY, "rb") as file:
        bindings = len(set(re.findall(rb"Java_org_apache_mesos_\w+", file.read())))
    containerizers, _ = known("containerizers", ["mesos", "docker"]) if daemons["works"] else (None, None)
    isolators, crashes = known("isolation", ISOLATORS, "--containerizers=mesos") if daemons["works"] else (None, None)
    carried = f"{HOME}/lib/carried"
    facts = {
        "version": version[1] if version else None,
        "architecture": machine_of(LIBRARY),
        "here": HERE.get(platform.machine(), platform.machine()),
        "master": os.access(f"{HOME}/sbin/mesos-master", os.X_OK),
        "agent": os.access(f"{HOME}/sbin/mesos-agent", os.X_OK),
        "bindings": bindings,
        "tls": "libssl" in run("ldd", LIBRARY)[1],
        "daemons": daemons,
        "java": java,
        "trial": trial(java["works"]) if daemons["works"] else None,
        "pair": pair() if daemons["works"] else None,
        "controlGroups": control_groups(),
        "containerizers": containerizers,
        "isolators": isolators,
        "crashes": crashes,
        "libraries": {
            "missing": [
                {"name": n, "of": of, "package": candidates[n] if candidates[n] in names and candidates[n] not in gone else None}
                for n, of in missing.items()
            ],
            "symbols": [{"name": n, "of": of} for n, of in symbols.items()],
            "carried": sorted(os.listdir(carried)) if os.path.isdir(carried) else [],
        },
        "packages": {"wanted": packages, "unknown": unknown},
        "bytes": sum(
            os.lstat(os.path.join(folder, name)).st_size for folder, _, files in os.walk(HOME) for name in files
        ),
    }
    json.dump(facts, sys.stdout)


main()
