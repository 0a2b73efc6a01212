#!/opt/venv/bin/python3
"""A stand-in for Mesos, for tests only: `mesos-master` or `mesos-agent`, by the name that it is called by.

It implements what a cluster needs of Mesos, as Mesos 1.11 does:
  - flags in MESOS_* variables, with Mesos' messages about what is wrong with them;
  - the masters' election in ZooKeeper: same nodes, same content, same access rules;
  - /health, /metrics/snapshot, /state and the operator's calls at /api/v1, with logins and access rules;
  - accepting or refusing libprocess messages by their sender's address. Their content is not read.

It starts no task, makes no offer, and knows neither frameworks nor containers. Agents register by an HTTP call of its own.
Weights, quotas and drained agents are the leading master's, in memory: there is no registry, and `quorum` is only read.

It is stricter than Mesos about unknown MESOS_* variables and unknown access rules. Mesos ignores them silently; they
end the stand-in, because a misspelt name in this project would otherwise go unnoticed.
"""

import base64
import hmac
import json
import os
import re
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "1.11.0"

# ---- Flags --------------------------------------------------------------------------------------------------------------------

# From Mesos' docs/configuration: master-and-agent.md, master.md and agent.md. SWITCHES are those written --[no-]flag there.
BOTH = """
    advertise_ip advertise_port authenticate_http_readonly authenticate_http_readwrite domain external_log_file firewall_rules
    help hooks hostname hostname_lookup http_authenticators initialize_driver_logging ip ip_discovery_command log_dir logbufsecs
    logging_level modules modules_dir port quiet version zk_session_timeout"""
FLAGS = {
    "mesos-master": BOTH + """
    acls agent_ping_timeout agent_removal_rate_limit agent_reregister_timeout allocation_interval allocator authenticate
    authenticate_agents authenticate_frameworks authenticate_http_frameworks authenticate_slaves authentication_v0_timeout
    authenticators authorizers cluster credentials fair_sharing_excluded_resource_names filter_gpu_resources framework_sorter
    http_framework_authenticators log_auto_initialize master_contender master_detector max_agent_ping_timeouts
    max_completed_frameworks max_completed_tasks_per_framework max_executors_per_agent max_executors_per_slave
    max_operator_event_stream_subscribers max_slave_ping_timeouts max_unreachable_tasks_per_framework min_allocatable_resources
    offer_constraints_re2_max_mem offer_constraints_re2_max_program_size offer_timeout publish_per_framework_metrics quorum
    rate_limits recovery_agent_removal_limit recovery_slave_removal_limit registry registry_fetch_timeout registry_gc_interval
    registry_max_agent_age registry_max_agent_count registry_store_timeout require_agent_domain role_sorter roles
    root_submissions slave_ping_timeout slave_removal_rate_limit slave_reregister_timeout webui_dir weights whitelist work_dir
    zk""",
    "mesos-agent": BOTH + """
    acls agent_features agent_subsystems allowed_devices appc_simple_discovery_uri_prefix appc_store_dir attributes
    authenticate_http_executors authenticatee authentication_backoff_factor authentication_timeout_max
    authentication_timeout_min authorizer bounding_capabilities cgroups_cpu_enable_pids_and_tids_count cgroups_destroy_timeout
    cgroups_enable_cfs cgroups_hierarchy cgroups_limit_swap cgroups_net_cls_primary_handle cgroups_net_cls_secondary_handles
    cgroups_root check_agent_port_range_only container_disk_watch_interval container_logger container_ports_isolated_range
    container_ports_watch_interval containerizers credential csi_plugin_config_dir default_container_dns default_container_info
    default_container_shm_size default_role disallow_sharing_agent_ipc_namespace disallow_sharing_agent_pid_namespace
    disk_profile_adaptor disk_watch_interval docker docker_config docker_ignore_runtime docker_kill_orphans docker_mesos_image
    docker_registry docker_remove_delay docker_socket docker_stop_timeout docker_store_dir docker_volume_checkpoint_dir
    docker_volume_chown domain_socket_location effective_capabilities egress_flow_classifier_parent
    egress_rate_limit_per_container egress_unique_flow_per_container enforce_container_disk_quota enforce_container_ports
    ephemeral_ports_per_container eth0_name executor_environment_variables executor_registration_timeout
    executor_reregistration_retry_interval executor_reregistration_timeout executor_shutdown_grace_period fetcher_cache_dir
    fetcher_cache_size fetcher_stall_timeout frameworks_home gc_delay gc_disk_headroom gc_non_executor_container_sandboxes
    hadoop_home host_path_volume_force_creation http_command_executor http_credentials http_executor_domain_sockets
    http_heartbeat_interval image_gc_config image_providers image_provisioner_backend ip6 ip6_discovery_command isolation
    jwt_secret_key launcher launcher_dir lo_name master master_detector max_completed_executors_per_framework network_cni_config_dir
    network_cni_metrics network_cni_plugins_dir network_cni_root_dir_persist network_enable_snmp_statistics
    network_enable_socket_statistics_details network_enable_socket_statistics_summary nvidia_gpu_devices
    oversubscribed_resources_interval perf_duration perf_events perf_interval qos_controller qos_correction_interval_min
    reconfiguration_policy recover recovery_timeout registration_backoff_factor resource_estimator resource_provider_config_dir
    resources revocable_cpu_low_priority runtime_dir sandbox_directory seccomp_config_dir seccomp_profile_name secret_resolver
    slave_subsystems strict switch_user systemd_enable_support systemd_runtime_directory volume_gid_range work_dir
    xfs_project_range""",
}
SWITCHES = set("""
    authenticate_http_readonly authenticate_http_readwrite help hostname_lookup initialize_driver_logging quiet version
    authenticate authenticate_agents authenticate_frameworks authenticate_http_frameworks authenticate_slaves
    filter_gpu_resources log_auto_initialize publish_per_framework_metrics require_agent_domain root_submissions
    authenticate_http_executors cgroups_cpu_enable_pids_and_tids_count cgroups_enable_cfs cgroups_limit_swap
    check_agent_port_range_only disallow_sharing_agent_ipc_namespace disallow_sharing_agent_pid_namespace docker_kill_orphans
    docker_volume_chown egress_unique_flow_per_container enforce_container_disk_quota enforce_container_ports
    gc_non_executor_container_sandboxes http_command_executor network_cni_metrics network_cni_root_dir_persist
    network_enable_snmp_statistics network_enable_socket_statistics_details network_enable_socket_statistics_summary
    revocable_cpu_low_priority strict switch_user systemd_enable_support""".split())
# MESOS_* variables that are not flags of the daemons.
NO_FLAGS = {"native_java_library", "native_library"}
# Flags that name a file. All others are replaced by the file's content when they are written file://.
PATHS = {"credentials", "credential", "http_credentials", "whitelist", "jwt_secret_key"}
DURATION = re.compile(r"\d+(\.\d+)?(ns|us|ms|secs|mins|hrs|days|weeks)")
RESOURCE = r"[a-z_][\w.-]*(\([\w*-]+\))?:(\d+(\.\d+)?|\[\d+-\d+(,\d+-\d+)*\]|\{[\w,-]+\})"
# Formats of values, for flags that this project could set wrongly.
FORMS = {
    "port": re.compile(r"\d{1,5}"),
    "quorum": re.compile(r"[1-9]\d*"),
    "ip": re.compile(r"\d{1,3}(\.\d{1,3}){3}"),
    "zk_session_timeout": DURATION,
    "executor_registration_timeout": DURATION,
    "registry": re.compile(r"in_memory|replicated_log"),
    "containerizers": re.compile(r"(docker|mesos)(,(docker|mesos))*"),
    "launcher": re.compile(r"posix|linux"),
    "isolation": re.compile(r"[a-z]+/[a-z_]+(,[a-z]+/[a-z_]+)*"),
    "reconfiguration_policy": re.compile(r"equal|additive"),
    "resources": re.compile(rf"{RESOURCE}(;{RESOURCE})*"),
    "attributes": re.compile(r"[^:;]+:[^;]+(;[^:;]+:[^;]+)*"),
}

# Access rules by action, with the kind of object of each rule: include/mesos/authorizer/acls.proto.
RULES = dict(pair.split(":") for pair in """
    register_frameworks:roles run_tasks:users reserve_resources:roles unreserve_resources:reserver_principals
    create_volumes:roles destroy_volumes:creator_principals teardown_frameworks:framework_principals update_weights:roles
    get_endpoints:paths get_quotas:roles update_quotas:roles view_frameworks:users view_tasks:users view_executors:users
    access_sandboxes:users access_mesos_logs:logs view_roles:roles view_flags:flags kill_nested_containers:users
    wait_nested_containers:users attach_containers_input:users attach_containers_output:users view_containers:users
    set_log_level:level remove_nested_containers:users register_agents:agents update_maintenance_schedules:machines
    get_maintenance_schedules:machines start_maintenances:machines stop_maintenances:machines
    get_maintenance_statuses:machines drain_agents:agents deactivate_agents:agents reactivate_agents:agents
    mark_agents_gone:agents launch_standalone_containers:users kill_standalone_containers:users
    wait_standalone_containers:users remove_standalone_containers:users view_standalone_containers:users
    modify_resource_provider_configs:resource_providers mark_resource_providers_gone:resource_providers
    view_resource_providers:resource_providers prune_images:images resize_volumes:roles create_block_disks:roles
    destroy_block_disks:roles create_mount_disks:roles destroy_mount_disks:roles destroy_raw_disks:roles""".split())


def log(text):
    print(text, file=sys.stderr, flush=True)


def refuse(text):
    """Ends the program from any thread, as Mesos does: with the reason on stderr and exit code 1."""
    log(text)
    os._exit(1)


def read_file(what, path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        refuse(f"Failed to read {what} file '{path}': {error.strerror}")


def parse_json(what, text):
    try:
        value = json.loads(text)
    except ValueError as error:
        refuse(f"{what}: Invalid json format: {error}")
    if not isinstance(value, dict):
        refuse(f"{what}: Invalid json format: not an object")
    return value


def load_flags(program):
    """Returns the flags in the environment. Ends the program where Mesos does, and for unknown variables."""
    known = set(FLAGS[program].split())
    flags = {}
    for key, value in sorted(os.environ.items()):
        name = key.removeprefix("MESOS_").lower()
        if not key.startswith("MESOS_") or name in NO_FLAGS:
            continue
        if name not in known:
            refuse(f"Failed to load unknown flag '{name}'")
        if value.startswith("file://"):
            path = value.removeprefix("file://")
            value = path if name in PATHS else read_file(name, path).strip()
        if name in SWITCHES:
            if value not in ("true", "false", "1", "0", ""):
                refuse(f"Failed to load flag '{name}': Failed to load value '{value}': Expecting a boolean")
            value = value in ("true", "1", "")
        elif name in FORMS and not FORMS[name].fullmatch(value):
            refuse(f"Failed to load flag '{name}': Failed to load value '{value}'")
        flags[name] = value
    if "executor_environment_variables" in flags:
        what = "Failed to load flag 'executor_environment_variables'"
        parse_json(what, flags["executor_environment_variables"])
    if program == "mesos-agent" and "master" not in flags:
        refuse("Missing required option `--master` or `--master_detector`")
    if "work_dir" not in flags:
        refuse(
            "--work_dir needed for replicated log based registry"
            if program == "mesos-master"
            else "Flag 'work_dir' is required, but it was not provided"
        )
    return flags


def load_credentials(flags, name):
    """Returns the secrets by principal from the file that the flag names; None if the flag is not set."""
    if name not in flags:
        return None
    found = parse_json(f"--{name}", read_file(name, flags[name]))
    entries = [found] if name == "credential" else found.get("credentials")
    try:
        return {str(entry["principal"]): str(entry["secret"]) for entry in entries}
    except (TypeError, KeyError) as error:
        refuse(f"Failed to parse {name}: missing {error}")


class Rules:
    """Access rules. The first rule that matches a principal and an object decides."""

    def __init__(self, text):
        self.acls = parse_json("--acls", text) if text else {}
        for action, rules in self.acls.items():
            if action == "permissive":
                continue
            if action not in RULES:
                refuse(f"Failed to load flag 'acls': there is no rule '{action}'")
            for rule in rules:
                if set(rule) != {"principals", RULES[action]}:
                    refuse(f"Failed to load flag 'acls': a rule '{action}' has principals and {RULES[action]}")

    def allow(self, principal, action, what=None):
        """Tells whether the principal may do the action; without an object, whether it may for any object."""
        for rule in self.acls.get(action, []):
            who, about = rule["principals"], rule[RULES[action]]
            if who.get("type") == "NONE" or (who.get("type") != "ANY" and principal not in who.get("values", [])):
                continue
            if about.get("type") in ("ANY", "NONE"):
                return about["type"] == "ANY"
            if what is None or what in about.get("values", []):
                return True
        return self.acls.get("permissive", True)


# ---- ZooKeeper ----------------------------------------------------------------------------------------------------------------

NO_NODE, NODE_EXISTS = -101, -110
READ, ALL = 1, 31
EPHEMERAL_SEQUENTIAL = 3


class ZooKeeperError(Exception):
    def __init__(self, code):
        super().__init__(f"ZooKeeper error {code}")
        self.code = code


class SessionExpired(Exception):
    """ZooKeeper has forgotten the session, and with it its ephemeral nodes."""


def packed(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">i", len(data)) + data


def unpack(data, at=0):
    """Returns a string or buffer, and the position of its end."""
    (length,) = struct.unpack_from(">i", data, at)
    return data[at + 4 : at + 4 + max(length, 0)], at + 4 + max(length, 0)


class ZooKeeper:
    """A session with ZooKeeper that survives reconnections. A request every second keeps it alive, so it never pings."""

    def __init__(self, url, timeout):
        match = re.fullmatch(r"zk://(?:([^@/]+)@)?([^/@]+)(/.+?)/?", url)
        if not match:
            refuse("Error parsing ZooKeeper URL: Expecting 'zk://[user:password@]host:port,.../path'")
        self.login, hosts, self.path = match.groups()
        self.servers = [(host, int(port or 2181)) for host, _, port in (h.partition(":") for h in hosts.split(","))]
        self.timeout = timeout
        self.session, self.password = 0, bytes(16)
        self.connection = None
        self.seen = time.monotonic()
        self.number = 0

    def _receive(self):
        data = b""
        length = 4
        while len(data) < length:
            chunk = self.connection.recv(length - len(data))
            if not chunk:
                raise ConnectionError("ZooKeeper closed the connection")
            data += chunk
            if length == 4 and len(data) == 4:
                length += struct.unpack(">i", data)[0]
        return data[4:]

    def _send(self, data):
        self.connection.sendall(packed(data))

    def _connect(self, server):
        self.connection = socket.create_connection(server, timeout=self.timeout / 2)
        self._send(struct.pack(">iqiq", 0, 0, int(self.timeout * 1000), self.session) + packed(self.password) + b"\0")
        answer = self._receive()
        _, granted, session = struct.unpack_from(">iiq", answer)
        if granted <= 0 or session == 0:
            raise SessionExpired
        self.session, (self.password, _) = session, unpack(answer, 16)
        if self.login:
            self._call(-4, 100, struct.pack(">i", 0) + packed("digest") + packed(self.login))
        self.seen = time.monotonic()

    def _call(self, xid, kind, body=b""):
        self._send(struct.pack(">ii", xid, kind) + body)
        answer = self._receive()
        got, _, code = struct.unpack_from(">iqi", answer)
        if got != xid:
            raise ConnectionError(f"ZooKeeper answers {got} instead of {xid}")
        if code != 0:
            raise ZooKeeperError(code)
        self.seen = time.monotonic()
        return answer[16:]

    def _drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def ask(self, kind, body):
        """Returns the answer of the first server that gives one. @raises SessionExpired when the session must have timed out."""
        while True:
            try:
                if self.connection is None:
                    self._connect(self.servers[0])
                self.number += 1
                return self._call(self.number, kind, body)
            except SessionExpired:
                self.forget()
                raise
            except (OSError, struct.error):
                self._drop()
                self.servers.append(self.servers.pop(0))
                if self.session != 0 and time.monotonic() - self.seen > self.timeout:
                    self.forget()
                    raise SessionExpired from None
                time.sleep(0.2)

    def forget(self):
        self._drop()
        self.session, self.password = 0, bytes(16)

    def close(self):
        """Ends the session, so that its nodes are removed at once and not after its timeout."""
        try:
            if self.connection is not None:
                self.connection.settimeout(1)
                self._call(0, -11)
        except (OSError, struct.error, ZooKeeperError):
            pass

    def create(self, path, data, flags=0):
        """Returns the access rules that Mesos sets. With a login, the owner may do everything and others may read; without, anyone may."""
        rules = [(READ, "world", "anyone"), (ALL, "auth", "")] if self.login else [(ALL, "world", "anyone")]
        acl = struct.pack(">i", len(rules)) + b"".join(
            struct.pack(">i", may) + packed(scheme) + packed(who) for may, scheme, who in rules
        )
        answer = self.ask(1, packed(path) + packed(data) + acl + struct.pack(">i", flags))
        return unpack(answer)[0].decode()

    def exists(self, path):
        try:
            self.ask(3, packed(path) + b"\0")
        except ZooKeeperError as error:
            if error.code == NO_NODE:
                return False
            raise
        return True

    def make_path(self):
        """Makes the path's nodes. Like Mesos, looks first, because creating an existing node without permission gives a permission error."""
        parts = self.path.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            path = "/" + "/".join(parts[:count])
            try:
                if not self.exists(path):
                    self.create(path, b"")
            except ZooKeeperError as error:
                if error.code != NODE_EXISTS:
                    raise

    def children(self):
        try:
            answer = self.ask(8, packed(self.path) + b"\0")
        except ZooKeeperError as error:
            if error.code == NO_NODE:
                return []
            raise
        (count,) = struct.unpack_from(">i", answer)
        names, at = [], 4
        for _ in range(count):
            name, at = unpack(answer, at)
            names.append(name.decode())
        return names

    def leader(self):
        """Returns the record of the leading master, which has the lowest number; None if there is no leader."""
        members = sorted(name for name in self.children() if name.startswith("json.info_"))
        try:
            return json.loads(unpack(self.ask(4, packed(f"{self.path}/{members[0]}") + b"\0"))[0]) if members else None
        except ZooKeeperError as error:
            if error.code == NO_NODE:
                return None
            raise


def seconds(text):
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1, "mins": 60, "hrs": 3600, "days": 86400, "weeks": 604800}
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * units[unit]


# ---- HTTP ---------------------------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        # Not HTTPServer's method, which looks up its own name in DNS.
        socketserver.TCPServer.server_bind(self)


class Daemon:
    """The common part of master and agent: an address, logins, and answers to requests."""

    def __init__(self, program, login_flag, default_port):
        self.flags = load_flags(program)
        self.ip = self.flags.get("ip", "127.0.0.1")
        self.port = int(self.flags.get("port", default_port))
        self.hostname = self.flags.get("hostname", self.ip)
        self.logins = load_credentials(self.flags, login_flag)
        self.rules = Rules(self.flags.get("acls"))
        for realm in ("readonly", "readwrite"):
            if self.flags.get(f"authenticate_http_{realm}") and self.logins is None:
                refuse(f"No credentials provided for the default 'basic' HTTP authenticator for realm '{program}-{realm}'")
        os.makedirs(self.flags["work_dir"], exist_ok=True)
        self.started = time.time()

    def zookeeper(self, url):
        return ZooKeeper(url, seconds(self.flags.get("zk_session_timeout", "10secs")))

    def serve(self):
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                sender = self.headers.get("Libprocess-From")
                if sender is not None:
                    status, content, headers = daemon.receive(self.path, sender, self.client_address[0])
                else:
                    status, content, headers = daemon.respond(self.command, self.path, self.headers, body)
                data = content.encode() if isinstance(content, str) else json.dumps(content, separators=(",", ":")).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        try:
            server = Server((self.ip, self.port), Handler)
        except OSError as error:
            refuse(f"Failed to initialize: Failed to bind on {self.ip}:{self.port}: {error.strerror}")
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def login(self, headers):
        """Returns the principal whose secret the request has; None if it has no valid one."""
        scheme, _, text = headers.get("Authorization", "").partition(" ")
        try:
            principal, _, given = base64.b64decode(text).decode().partition(":")
        except ValueError:
            return None
        wanted = (self.logins or {}).get(principal)
        right = wanted is not None and hmac.compare_digest(wanted.encode(), given.encode())
        return principal if scheme == "Basic" and right else None

    def receive(self, target, sender, address):
        """Accepts or refuses a message as libprocess does, before its content is read."""
        named = re.fullmatch(r".*@([\d.]+):\d+", sender)
        checks = os.environ.get("LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH") in ("true", "1")
        if checks and (named is None or named[1] != address):
            return 400, f"UPID IP address validation failed: Message from {sender} was sent from IP {address}", {}
        return (202 if target.startswith(f"/{self.name}/") else 404), "", {}

    def respond(self, method, target, headers, body):
        """Status, content and headers of the answer."""
        path = re.sub(rf"^/{re.escape(self.name)}(?=/)", "", target.partition("?")[0])
        if path == "/health":
            return 200, "", {}
        realm = "readwrite" if method == "POST" else "readonly"
        principal = self.login(headers)
        # Registering agents use their own login, which another flag requires.
        if path != "/stand-in/register" and self.flags.get(f"authenticate_http_{realm}") and principal is None:
            return 401, "", {"WWW-Authenticate": f'Basic realm="mesos-{self.kind}-{realm}"'}
        if path == "/metrics/snapshot":
            allowed = self.rules.allow(principal, "get_endpoints", path)
            return (200, self.metrics(), {}) if allowed else (403, "", {})
        return self.route(method, path, principal, body) or (404, "", {})

    def run(self):
        # Without a handler, the first process of a container ignores SIGTERM.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        self.serve()
        log(f"{self.kind} {self.name}@{self.ip}:{self.port} (a stand-in for Mesos {VERSION}) has started")
        try:
            self.work()
        finally:
            self.zk.close()


# ---- Master -------------------------------------------------------------------------------------------------------------------

# Seconds between an agent's messages, and the silence after which it counts as disconnected.
HEARTBEAT_SECONDS, LOST_SECONDS = 1, 15


class Master(Daemon):
    kind = name = "master"

    def __init__(self):
        super().__init__("mesos-master", "credentials", 5050)
        if self.flags.get("authenticate_http_frameworks") and "http_framework_authenticators" not in self.flags:
            refuse(
                "Missing `--http_framework_authenticators` flag. This must be used in conjunction with"
                " `--authenticate_http_frameworks`"
            )
        if "zk" not in self.flags:
            refuse("The stand-in knows masters that are elected by --zk only")
        if self.flags.get("registry", "replicated_log") == "replicated_log" and "quorum" not in self.flags:
            refuse("Need to specify --quorum for replicated log based registry when using ZooKeeper")
        self.zk = self.zookeeper(self.flags["zk"])
        self.info = {
            "id": str(uuid.uuid4()),
            "ip": struct.unpack("<I", socket.inet_aton(self.ip))[0],
            "port": self.port,
            "pid": f"master@{self.ip}:{self.port}",
            "hostname": self.hostname,
            "version": VERSION,
            "address": {"hostname": self.hostname, "ip": self.ip, "port": self.port},
        }
        self.leader = None
        self.elected_at = None
        self.lock = threading.Lock()
        self.agents = {}
        self.drains = {}
        self.weights = {}
        self.quotas = {}

    @property
    def elected(self):
        return self.leader is not None and self.leader["id"] == self.info["id"]

    def work(self):
        node = None
        while True:
            try:
                if node is None:
                    self.zk.make_path()
                    node = self.zk.create(f"{self.zk.path}/json.info_", json.dumps(self.info), EPHEMERAL_SEQUENTIAL)
                # As in Mesos, a master whose node is gone is no longer a candidate, whatever became of its session.
                elif not self.zk.exists(node):
                    raise SessionExpired
                self.lead(self.zk.leader())
            except SessionExpired:
                if self.elected:
                    refuse("Lost candidacy as a leader... committing suicide!")
                node = None
            except ZooKeeperError as error:
                refuse(f"Failed to contend: Failed to create ephemeral node at '{self.zk.path}' in ZooKeeper: {error}")
            time.sleep(0.5)

    def lead(self, leader):
        was, self.leader = self.elected, leader
        if was and not self.elected:
            refuse("Conceded leadership to another master... committing suicide!")
        if self.elected and not was:
            self.elected_at = time.time()
            log("Elected as the leading master!")

    def active(self, agent):
        return self.connected(agent) and agent["id"] not in self.drains

    def connected(self, agent):
        return time.monotonic() - agent["heard"] < LOST_SECONDS

    def metrics(self):
        with self.lock:
            agents = list(self.agents.values())
            active = sum(self.active(agent) for agent in agents)
            connected = sum(self.connected(agent) for agent in agents)
        return {
            "master/elected": float(self.elected),
            "master/slaves_active": float(active),
            "master/slaves_connected": float(connected),
            "master/slaves_disconnected": float(len(agents) - connected),
            "master/slaves_inactive": float(len(agents) - active),
            "master/uptime_secs": time.time() - self.started,
        }

    def route(self, method, path, principal, body):
        call = method, path
        known = {("GET", "/state"), ("GET", "/slaves"), ("GET", "/redirect"), ("POST", "/api/v1"), ("POST", "/stand-in/register")}
        if call not in known:
            return None
        if self.leader is None:
            return 503, "No leader elected", {}
        base = f"//{self.leader['hostname']}:{self.leader['port']}"
        if path == "/redirect":
            return 307, "", {"Location": base}
        if not self.elected:
            return 307, "", {"Location": base + path}
        with self.lock:
            if path == "/stand-in/register":
                return self.register(principal, json.loads(body))
            if method == "GET":
                return 200, self.state(), {}
            return self.operate(principal, body)

    def state(self):
        return {
            "version": VERSION,
            "id": self.info["id"],
            "pid": self.info["pid"],
            "hostname": self.hostname,
            "leader": self.leader["pid"],
            "cluster": self.flags.get("cluster", ""),
            "start_time": self.started,
            "elected_time": self.elected_at,
            "slaves": [
                {"id": a["id"], "hostname": a["hostname"], "port": a["port"], "active": self.active(a)}
                for a in self.agents.values()
            ],
            "frameworks": [],
        }

    def register(self, principal, agent):
        if self.flags.get("authenticate_agents") and principal is None:
            return 401, "", {}
        if not self.rules.allow(principal, "register_agents"):
            return 403, f"Not authorized to register agent with principal '{principal}'", {}
        if not agent["id"]:
            agent["id"] = f"{self.info['id']}-S{len(self.agents)}"
        if agent["id"] not in self.agents:
            log(f"Registered agent {agent['id']} at {agent['pid']} ({agent['hostname']})")
        elif self.drains.get(agent["id"]) == "DRAINING":
            # The agent runs no tasks, so it is drained at once.
            self.drains[agent["id"]] = "DRAINED"
        self.agents[agent["id"]] = {**agent, "heard": time.monotonic()}
        return 200, {"id": agent["id"]}, {}

    def operate(self, principal, body):
        """Returns the answer to an operator's call."""
        try:
            call = json.loads(body)
            return self.call(principal, call["type"], call)
        except (ValueError, TypeError) as error:
            return 400, f"Failed to parse body into JSON: {error}", {}
        except KeyError as error:
            return 400, f"Failed to validate master::Call: Expecting {error} to be present", {}

    def call(self, principal, kind, call):
        if kind == "GET_AGENTS":
            return 200, {"type": kind, "get_agents": {"agents": [self.describe(a) for a in self.agents.values()]}}, {}
        if kind == "GET_TASKS":
            return 200, {"type": kind, "get_tasks": {}}, {}
        if kind == "GET_WEIGHTS":
            infos = [{"role": role, "weight": weight} for role, weight in self.weights.items()]
            return 200, {"type": kind, "get_weights": {"weight_infos": infos}}, {}
        if kind == "UPDATE_WEIGHTS":
            infos = call["update_weights"]["weight_infos"]
            if not all(self.rules.allow(principal, "update_weights", info["role"]) for info in infos):
                return 403, "", {}
            self.weights.update({info["role"]: info["weight"] for info in infos})
            return 200, "", {}
        if kind == "GET_QUOTA":
            return 200, {"type": kind, "get_quota": {"status": {"configs": list(self.quotas.values())}}}, {}
        if kind == "UPDATE_QUOTA":
            configs = call["update_quota"]["quota_configs"]
            if not all(self.rules.allow(principal, "update_quotas", config["role"]) for config in configs):
                return 403, "", {}
            self.quotas.update({config["role"]: config for config in configs})
            self.quotas = {role: config for role, config in self.quotas.items() if config.get("guarantees") or config.get("limits")}
            return 200, "", {}
        if kind == "DRAIN_AGENT":
            if not self.rules.allow(principal, "drain_agents"):
                return 403, "", {}
            agent = call["drain_agent"]["agent_id"]["value"]
            if agent not in self.agents:
                return 400, "Unknown agent", {}
            self.drains[agent] = "DRAINING"
            return 200, "", {}
        if kind == "REACTIVATE_AGENT":
            if not self.rules.allow(principal, "reactivate_agents"):
                return 403, "", {}
            agent = call["reactivate_agent"]["agent_id"]["value"]
            if agent not in self.drains:
                return 400, "Agent is not deactivated", {}
            if self.drains[agent] == "DRAINING":
                return 400, "Agent is still in the DRAINING state", {}
            del self.drains[agent]
            return 200, "", {}
        return 501, f"The stand-in does not know {kind}", {}

    def describe(self, agent):
        state = self.drains.get(agent["id"])
        return {
            "agent_info": {"hostname": agent["hostname"], "port": agent["port"], "id": {"value": agent["id"]}},
            "pid": agent["pid"],
            "version": VERSION,
            "active": self.active(agent),
            "deactivated": state is not None,
            **({"drain_info": {"state": state}} if state else {}),
        }


# ---- Agent --------------------------------------------------------------------------------------------------------------------


class Agent(Daemon):
    kind, name = "agent", "slave(1)"

    def __init__(self):
        super().__init__("mesos-agent", "http_credentials", 5051)
        if not self.flags["master"].startswith("zk://"):
            refuse("The stand-in knows --master=zk://... only")
        self.zk = self.zookeeper(self.flags["master"])
        credential = load_credentials(self.flags, "credential")
        self.credential = ":".join(*credential.items()) if credential else ""
        self.id = ""
        self.master = None

    def metrics(self):
        return {"slave/registered": float(self.master is not None), "slave/uptime_secs": time.time() - self.started}

    def route(self, method, path, principal, body):
        if (method, path) == ("GET", "/state"):
            pid = f"{self.name}@{self.ip}:{self.port}"
            return 200, {"version": VERSION, "id": self.id, "pid": pid, "hostname": self.hostname, "frameworks": []}, {}
        return None

    def work(self):
        while True:
            try:
                leader = self.zk.leader()
            except SessionExpired:
                leader = None
            except ZooKeeperError as error:
                refuse(f"Failed to detect a master: {error}")
            self.master = self.register(leader) if leader else None
            time.sleep(HEARTBEAT_SECONDS)

    def register(self, leader):
        """Registers this agent with the leading master. @returns The master, if it has accepted."""
        address = leader["address"]
        request = urllib.request.Request(
            f"http://{address['ip']}:{address['port']}/stand-in/register",
            json.dumps(
                {"id": self.id, "hostname": self.hostname, "port": self.port, "pid": f"{self.name}@{self.ip}:{self.port}"}
            ).encode(),
            {"Authorization": "Basic " + base64.b64encode(self.credential.encode()).decode()},
        )
        try:
            # Ignores proxies in the environment, because masters are on the cluster's own network.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=5) as answer:
                self.id = json.load(answer)["id"]
        except urllib.error.HTTPError as error:
            if error.code == 401:
                refuse(f"Master {leader['pid']} refused authentication")
            if error.code == 403:
                refuse(f"Agent asked to shut down by {leader['pid']} because '{error.read().decode()}'")
            return None
        except (OSError, ValueError):
            return None
        if self.master is None or self.master["id"] != leader["id"]:
            log(f"Registered with master {leader['pid']}; given agent ID {self.id}")
        return leader


def main():
    program = os.path.basename(sys.argv[0])
    if program not in FLAGS:
        refuse(f"called as {program}; this is a stand-in for {' and '.join(FLAGS)}")
    if len(sys.argv) > 1:
        refuse("The stand-in takes flags by MESOS_* variables only: none may be on a command line")
    (Master if program == "mesos-master" else Agent)().run()


if __name__ == "__main__":
    main()
