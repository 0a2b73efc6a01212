# ruff: noqa: F821
"""JupyterLab as this client runs it. A notebook server is a shell on the cluster's network: it does not start without a token."""

import os
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


c.IdentityProvider.token = read_token()
c.PasswordIdentityProvider.hashed_password = ""
c.PasswordIdentityProvider.allow_password_change = False

# 0.0.0.0 inside of the container; what can reach it is decided outside.
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = int(os.environ.get("JUPYTER_PORT", "8888"))
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "/home/spark/work"
c.ServerApp.allow_remote_access = True
c.MultiKernelManager.default_kernel_name = "pyspark"

# A cluster is often in a closed network: no looking for news, updates and extensions.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
