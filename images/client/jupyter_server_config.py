# ruff: noqa: F821
"""Configures JupyterLab. A notebook server gives its users a shell on the cluster's network, so it does not start without a token."""

import ipaddress
import json
import os
import re
import shutil
import site
import sys


def read_token() -> str:
    path = os.environ.get("JUPYTER_TOKEN_FILE", "/run/secrets/jupyter-token")
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except OSError as error:
        sys.exit(f"Jupyter needs a token and {path} cannot be read ({error.strerror}). Mount a file with the token there, or name another file in JUPYTER_TOKEN_FILE.")
    if len(token) < 16:
        sys.exit(f"The Jupyter token in {path} has {len(token)} characters; at least 16 are needed.")
    return token


# The folder of the users' files.
WORK = os.environ.get("JUPYTER_WORK", "/home/spark/work")
# True for a server that JupyterHub started: the hub then decides who may use it and where it listens.
hub = "JUPYTERHUB_API_TOKEN" in os.environ
if not hub:
    c.IdentityProvider.token = read_token()
    c.PasswordIdentityProvider.hashed_password = ""
    c.PasswordIdentityProvider.allow_password_change = False
    # 0.0.0.0 is inside of the container; its network and published ports decide who can reach it.
    c.ServerApp.ip = "0.0.0.0"
    c.ServerApp.port = int(os.environ.get("JUPYTER_PORT", "8888"))
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = WORK
c.ServerApp.allow_remote_access = True
c.MultiKernelManager.default_kernel_name = "pyspark"

# The path prefix of Jupyter behind another server. At its own port it also answers without the prefix, as existing bookmarks and
# programs expect.
BASE = os.environ.get("JUPYTER_BASE_URL", "/")
if not hub:
    c.ServerApp.base_url = BASE


def answer_without_prefix(base: str) -> None:
    from tornado.web import Application

    find_handler = Application.find_handler

    def find(self, request, **kwargs):
        if not f"{request.path}/".startswith(base):
            request.uri = base + request.uri.lstrip("/")
            request.path = base + request.path.lstrip("/")
        return find_handler(self, request, **kwargs)

    Application.find_handler = find


if BASE != "/" and not hub:
    answer_without_prefix(BASE)

# Containers do not set SHELL; without this a terminal would run `sh`.
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash"]}

# A kernel that is idle for this long is ended, so that other users get its cores, memory and executors. An open browser does not
# count as use; a running cell does. 0 means never.
idle = int(os.environ.get("JUPYTER_CULL_IDLE_SECONDS") or "0")
if idle < 0:
    sys.exit(f"JUPYTER_CULL_IDLE_SECONDS must be 0 (never) or more, not {idle}")
if idle > 0:
    every = max(1, min(300, idle // 4))
    c.MappingKernelManager.cull_idle_timeout = idle
    c.MappingKernelManager.cull_interval = every
    c.MappingKernelManager.cull_connected = True
    c.MappingKernelManager.cull_busy = False
    c.TerminalManager.cull_inactive_timeout = idle
    c.TerminalManager.cull_interval = every
    # The hub restarts a server when its user returns, so an idle one may stop after its last kernel and terminal.
    if hub:
        c.ServerApp.shutdown_no_activity_timeout = idle

# Drivers' pages at /proxy/<host>:<port>/, behind Jupyter's login. Such a page has Jupyter's origin, so its scripts can act as the user
# who opens it. Only the client's own addresses and those of JUPYTER_PROXY_HOSTS are therefore allowed (names, addresses or networks such
# as 10.72.0.0/16, separated by commas), except for the ports of JUPYTER_PROXY_EXCEPT (one port, or a range: 8000-8003).
proxied = {"localhost", "127.0.0.1", os.environ.get("SPARK_LOCAL_IP", "127.0.0.1")}
networks = []
for entry in filter(None, (part.strip() for part in os.environ.get("JUPYTER_PROXY_HOSTS", "").split(","))):
    try:
        networks.append(ipaddress.ip_network(entry))
    except ValueError:
        proxied.add(entry)


def may_be_proxied(handler, host):
    if host in proxied:
        return True
    try:
        address = ipaddress.ip_address(host)
        return any(address in network for network in networks)
    except ValueError:
        return False


c.ServerProxy.host_allowlist = may_be_proxied


def keep_ports_from_people(ports: str) -> None:
    """Refuses to proxy these ports of the client, because pages of other users are served there."""
    from jupyter_server_proxy.handlers import ProxyHandler
    from tornado.web import HTTPError

    first, _, last = ports.partition("-")

    def checked(shows):
        async def shows_others(self, host, port, *path):
            if int(first) <= int(port) <= int(last or first):
                raise HTTPError(403, f"Port {port} is not shown here.")
            return await shows(self, host, port, *path)

        return shows_others

    ProxyHandler.proxy = checked(ProxyHandler.proxy)
    ProxyHandler.proxy_open = checked(ProxyHandler.proxy_open)


if os.environ.get("JUPYTER_PROXY_EXCEPT"):
    keep_ports_from_people(os.environ["JUPYTER_PROXY_EXCEPT"])


def keep_logins_from_pages() -> None:
    """Sends neither the token by which the gateway logs in here nor Jupyter's own cookies to a proxied page."""
    from jupyter_server_proxy.handlers import ProxyHandler

    of_jupyter = re.compile(r"\b(username-[^=;]*|_xsrf|jupyterhub-[^=;]*)=[^;]*(;\s*)?")
    request_headers = ProxyHandler.proxy_request_headers

    def without_logins(self):
        headers = request_headers(self)
        headers.pop("Authorization", None)
        if "Cookie" in headers:
            headers["Cookie"] = of_jupyter.sub("", headers["Cookie"])
        return headers

    ProxyHandler.proxy_request_headers = without_logins


keep_logins_from_pages()


def start_kernels_in_own_folders(work: str) -> None:
    """Starts the kernel of a notebook in another user's folder in `work` instead. Python looks for modules first in the folder that a
    kernel starts in, so opening such a notebook would run its owner's modules as the user who opened it."""
    from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

    cwd_for_path = MappingKernelManager.cwd_for_path

    def is_own(folder):
        top = os.path.realpath(work)
        # All parent folders must be the user's own too: other users' jobs write files as Spark's user, so a file's owner proves nothing.
        while folder not in (top, "/"):
            if os.stat(folder).st_uid not in (os.getuid(), 0):
                return False
            folder = os.path.dirname(folder)
        return True

    def own_folder(self, path, **kwargs):
        folder = cwd_for_path(self, path, **kwargs)
        if is_own(os.path.realpath(folder)):
            return folder
        print(f"{folder} is somebody else's: the kernel of a notebook there starts in {work}", file=sys.stderr)
        return work

    MappingKernelManager.cwd_for_path = own_folder


start_kernels_in_own_folders(WORK)


def copy_tutorials(source: str, target: str, record: str) -> None:
    """Copies each tutorial only once, so that a user's changes and deletions are kept."""
    try:
        with open(record, encoding="utf-8") as file:
            known = set(json.load(file))
    except (OSError, ValueError):
        known = set()
    try:
        new = sorted(set(os.listdir(source)) - known)
        if not new:
            return
        os.makedirs(target, exist_ok=True)
        for name in new:
            if not os.path.exists(os.path.join(target, name)):
                shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
        with open(record + ".new", "w", encoding="utf-8") as file:
            json.dump(sorted(known | set(new)), file)
        os.replace(record + ".new", record)
    except OSError as error:
        print(f"The tutorials were not copied to {target}: {error}", file=sys.stderr)


copy_tutorials("/opt/tutorials", f"{WORK}/tutorials", f"{WORK}/.tutorials")
# Python finds packages of `pip install` only if this folder exists when Python starts.
try:
    os.makedirs(site.getusersitepackages(), exist_ok=True)
except OSError as error:
    print(f"`pip install` has no place for packages: {error}", file=sys.stderr)

# Clusters are often in closed networks, so JupyterLab does not look for news, updates and extensions.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
