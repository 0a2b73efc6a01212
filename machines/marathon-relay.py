"""Sends one HTTP request to the Marathon of this machine.

Arguments: Marathon's address, and the file that holds `user:password`. Standard input: {"method", "path", "body"?} as JSON.
Standard output: {"status", "body"} as JSON; status 0 means that Marathon did not answer, and body says why.
"""

import base64
import json
import sys
import urllib.error
import urllib.request

address, login_file = sys.argv[1:3]
with open(login_file) as file:
    login = file.read()
request = json.load(sys.stdin)
body = request.get("body")
call = urllib.request.Request(
    "http://" + address + request["path"], method=request["method"], data=body and body.encode()
)
call.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
call.add_header("Content-Type", "application/json")


class Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: whoever it leads to would be sent the login."""

    def redirect_request(self, *_):
        return None


# Without the proxies of the environment: Marathon is on this machine.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
try:
    with opener.open(call, timeout=30) as answer:
        status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode(errors="replace")
except OSError as error:
    status, text = 0, str(error)
print(json.dumps({"status": status, "body": text}))
