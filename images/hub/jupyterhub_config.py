# ruff: noqa: F821
"""JupyterHub as the client runs it: what differs between clusters is in /etc/hub/hub.json."""

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
# Servers outlive the hub: a new one finds them in its database.
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = True

c.JupyterHub.bind_url = f"http://{told['address']}:{told['port']}/"
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = f"http://127.0.0.1:{told['ownPort']}"
# Servers of users reach the hub by its proxy, as browsers do.
c.Spawner.hub_connect_url = f"http://{told['address']}:{told['port']}"
# They are for who measures the cluster, on the hub's own port; its proxy shows them to nobody.
c.JupyterHub.authenticate_prometheus = False
c.JupyterHub.proxy_class = CaddyProxy
c.CaddyProxy.foreign_cookies = told["foreignCookies"]
c.CaddyProxy.listen = f":{told['port']}"
# Who asks is whom the gateway names, where that is before the proxy: wrong passwords count by where they come from.
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
# Asked with each request: who left the config is nobody from then on.
c.Authenticator.auth_refresh_age = 1
# Of those who show a token as well.
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
# After the login straight to the notebook.
c.JupyterHub.redirect_to_server = True
# A hub that gave up because others' servers failed would be an end for all.
c.Spawner.consecutive_failure_limit = 0
c.JupyterHub.concurrent_spawn_limit = 10
# Users' pages are of users' making: no other page shows them in a frame.
c.JupyterHub.tornado_settings = {"headers": {"Content-Security-Policy": "frame-ancestors 'none'"}}
c.JupyterHub.template_paths = ["/opt/hub/templates"]
c.JupyterHub.shutdown_on_logout = False
os.umask(0o077)
