# ruff: noqa: F821
"""JupyterHub's settings. Those that differ between clusters come from /etc/hub/hub.json."""

import json
import os
import sys

sys.path.insert(0, "/opt/hub")
from triplewide_hub import ByProvider, CaddyProxy, GuardedSpawner, People  # noqa: E402

with open("/etc/hub/hub.json", encoding="utf-8") as file:
    told = json.load(file)

STATE = "/var/lib/hub"
c.JupyterHub.db_url = f"sqlite:///{STATE}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{STATE}/cookie-secret"
# Servers keep running when the hub ends; the next hub finds them in its database.
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = True

c.JupyterHub.bind_url = f"http://{told['address']}:{told['port']}/"
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = f"http://127.0.0.1:{told['ownPort']}"
# Users' servers reach the hub through its proxy, as browsers do.
c.Spawner.hub_connect_url = f"http://{told['address']}:{told['port']}"
# Prometheus reads the metrics without a login at the hub's own port, which is on the loopback interface; the proxy does not serve them.
c.JupyterHub.authenticate_prometheus = False
c.JupyterHub.proxy_class = CaddyProxy
c.CaddyProxy.foreign_cookies = told["foreignCookies"]
c.CaddyProxy.listen = f":{told['port']}"
# If the gateway is in front of the proxy, the client's address is the one that it reports: wrong passwords count per address.
c.CaddyProxy.behind = told["behind"]
c.JupyterHub.trusted_downstream_ips = told["behind"]
c.CaddyProxy.users = sorted(told["names"])

c.Listed.names = told["names"]
c.Listed.admins = told["admins"]
if "oidc" in told:
    c.JupyterHub.authenticator_class = ByProvider
    c.ByProvider.issuer = told["oidc"]["issuer"]
    c.ByProvider.login_service = told["oidc"]["issuer"].split("/")[2]
    c.ByProvider.client_id = told["oidc"]["clientId"]
    c.ByProvider.client_secret = told["oidc"]["clientSecret"]
    c.ByProvider.username_claim = told["oidc"]["claim"]
    c.ByProvider.logins = told["oidc"]["logins"]
    c.ByProvider.scope = ["openid", "profile", "email"]
else:
    c.JupyterHub.authenticator_class = People
    c.People.first = told["passwords"]
    c.People.path = f"{STATE}/passwords.json"
c.Authenticator.allowed_users = set(told["names"])
c.Authenticator.admin_users = set(told["admins"])
c.Authenticator.allow_all = False
# One second, so that users who left the config lose access at once.
c.Authenticator.auth_refresh_age = 1
# Requests with a token are checked too.
c.Authenticator.auth_refresh_strict = True
c.JupyterHub.cookie_max_age_days = 7

c.JupyterHub.spawner_class = GuardedSpawner
c.GuardedSpawner.guard = c.CaddyProxy.guard = told["guard"]
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120
c.Spawner.poll_interval = 10
c.JupyterHub.allow_named_servers = False
# After login, users go straight to their notebook.
c.JupyterHub.redirect_to_server = True
# No limit: otherwise the hub would exit, for all users, after some servers failed to start.
c.Spawner.consecutive_failure_limit = 0
c.JupyterHub.concurrent_spawn_limit = 10
# Users control what their servers' pages contain, so no page may show the hub's pages in a frame.
c.JupyterHub.tornado_settings = {"headers": {"Content-Security-Policy": "frame-ancestors 'none'"}}
c.JupyterHub.template_paths = ["/opt/hub/templates"]
c.JupyterHub.shutdown_on_logout = False
os.umask(0o077)
