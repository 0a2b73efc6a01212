"""The parts of JupyterHub that are replaced here: its users and their logins, the start of their servers, and the proxy in front of them."""

import asyncio
import json
import os
import secrets
import urllib.parse
from typing import Any, Dict, List, Optional

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler, LogoutHandler
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthLoginHandler, OAuthLogoutHandler
from passwords import LONGEST, SHORTEST, Busy, Guesses, Passwords
from sqlalchemy.orm import object_session
from tornado.web import HTTPError, authenticated
from traitlets import Dict as TraitDict
from traitlets import Integer, Unicode
from traitlets import List as TraitList


class Listed(Authenticator):
    """The users of the config, however they log in."""

    names = TraitList(config=True, help="Names of the users.")
    admins = TraitList(config=True, help="Users who are admins.")

    def seen_as(self, name: str) -> Dict[str, Any]:
        """The user as JupyterHub stores them. It always includes `admin`, because JupyterHub by itself only adds admins and removes none."""
        return {"name": name, "admin": name in self.admins}

    def begin_session(self, handler: Any) -> None:
        """Gives the browser a new session id. A login must not take over one that somebody else may know: it says whose logins stay when the
        password changes."""
        handler.set_session_cookie()

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Refuses a user who is no longer in the config, even if their cookie or token is valid."""
        return self.seen_as(user.name) if user.name in self.names else False


class LogOut(LogoutHandler):
    """Ends all logins of the user. JupyterHub only deletes cookies in the browser, and a copy of them would be good for another week."""

    def clear_login_cookie(self, name: Optional[str] = None) -> None:
        user = self.get_current_user_cookie()
        super().clear_login_cookie(name)
        if user:
            log_out(user.orm_user, keep_own_tokens=True)
            self.db.commit()


class OpenLogOut(LogOut, OAuthLogoutHandler):
    """The same for users who log in through an OpenID provider."""


class OpenLogin(OAuthLoginHandler):
    """Sends people to the provider's login, after the provider has told its endpoints."""

    async def get(self) -> None:
        await self.authenticator.discover()
        super().get()


class ByProvider(Listed, GenericOAuthenticator):
    """Users who log in through an OpenID provider. Of its answers, the hub keeps only who the user is."""

    login_handler = OpenLogin
    logout_handler = OpenLogOut
    issuer = Unicode(config=True, help="The provider's address, as it names itself.")
    logins = TraitDict(config=True, help="Name of each user by who they are to the provider.")

    async def discover(self) -> None:
        """Asks the provider for its endpoints, once (https://openid.net/specs/openid-connect-discovery-1_0.html)."""
        if self.userdata_url:
            return
        try:
            found = await self.httpfetch(f"{self.issuer}/.well-known/openid-configuration", "the provider's configuration")
            named = [found[key] for key in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")]
        except Exception as error:
            self.log.error("%s does not say how to log in: %s", self.issuer, error)
            raise HTTPError(503, f"{self.issuer} does not say how to log in") from error
        if found.get("issuer", "").rstrip("/") != self.issuer or not all(url.startswith("https://") for url in named):
            self.log.error("%s says that it is %s, at %s", self.issuer, found.get("issuer"), named)
            raise HTTPError(503, f"{self.issuer} says that it is another provider, or speaks no HTTPS")
        self.basic_auth = "client_secret_basic" in found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        self.authorize_url, self.token_url, self.userdata_url = named

    def user_info_to_username(self, user_info: Dict[str, Any]) -> str:
        login = user_info.get(self.username_claim)
        # Some providers let people enter any address.
        if self.username_claim == "email" and user_info.get("email_verified") is not True:
            raise HTTPError(403, "your address of e-mail is not verified there")
        name = self.logins.get(login) if isinstance(login, str) else None
        if name is None:
            self.log.warning("%s is nobody here (%s)", login, self.username_claim)
            raise HTTPError(403, "you are no user of this hub")
        return name

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> Optional[Dict[str, Any]]:
        await self.discover()
        model = await super().authenticate(handler, data, **kwargs)
        if not model:
            return None
        self.begin_session(handler)
        return self.seen_as(model["name"])


class People(Listed):
    """Users who have passwords."""

    first = TraitDict(config=True, help="First password of each user.")
    path = Unicode(config=True, help="File of the passwords that users have chosen.")
    failures_allowed = Integer(5, config=True, help="Wrong passwords in a row after which a user waits.")
    wait_seconds = Integer(60, config=True, help="Seconds that they wait.")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.passwords = Passwords(self.path, self.first)
        self.guesses = Guesses(self.passwords, self.failures_allowed, self.wait_seconds)

    async def authenticate(self, handler: Any, data: Any) -> Optional[Dict[str, Any]]:
        name, password = data.get("username", ""), data.get("password", "")
        if not await self.knows(name, password, handler.request.remote_ip):
            return None
        self.begin_session(handler)
        return self.seen_as(name)

    async def knows(self, name: str, password: str, address: str) -> bool:
        """Whether the password is the user's."""
        try:
            return await self.guesses.right(name, password, address)
        except Busy as error:
            raise HTTPError(503, "many log in at this moment; try again in a few seconds") from error

    def add_user(self, user: Any) -> None:
        """Called for each user whenever the hub starts, and when a user logs in for the first time. Logs out a user everywhere whose first
        password has changed."""
        super().add_user(user)
        if self.passwords.renewed(user.name):
            orm_user = getattr(user, "orm_user", user)
            log_out(orm_user)
            object_session(orm_user).commit()
        self.passwords.accept(user.name)

    def get_handlers(self, app: Any) -> List[Any]:
        return [*super().get_handlers(app), ("/logout", LogOut), ("/change-password", ChangePassword)]


def log_out(user: orm.User, session: Optional[str] = None, keep_own_tokens: bool = False) -> None:
    """Ends all logins of a user and deletes their tokens, except for the token of their running server, those of the given browser session, and
    with `keep_own_tokens` those that the user made for programs."""
    user.cookie_id = secrets.token_hex(32)
    own = {(spawner.state or {}).get("token") for spawner in user.orm_spawners.values()}
    for token in list(user.api_tokens):
        kept = (session and token.session_id == session) or (keep_own_tokens and token.client_id == "jupyterhub")
        if token.id not in own and not kept:
            object_session(user).delete(token)


class ChangePassword(BaseHandler):
    """The page on which users choose a password."""

    async def show(self, said: str = "", changed: bool = False) -> None:
        self.finish(await self.render_template("change-password.html", said=said, changed=changed, least=SHORTEST))

    @authenticated
    async def get(self) -> None:
        await self.show()

    @authenticated
    async def post(self) -> None:
        people, user = self.authenticator, self.current_user
        old, new, again = (self.get_body_argument(name, "", strip=False) for name in ("old", "new", "again"))
        if new != again:
            return await self.show("The new password is not the same twice.")
        if not SHORTEST <= len(new) <= LONGEST:
            return await self.show(f"The new password has {len(new)} characters; {SHORTEST} to {LONGEST} are needed.")
        if not await people.knows(user.name, old, self.request.remote_ip):
            return await self.show("This is not your password.")
        await asyncio.get_running_loop().run_in_executor(None, people.passwords.choose, user.name, new)
        # Logins with the old password end; only this browser's session stays.
        log_out(user.orm_user, session=self.get_session_cookie())
        self.db.commit()
        self.set_login_cookie(user)
        await self.show("Your password is changed.", changed=True)


async def ask(guard: str, question: Dict[str, Any]) -> Any:
    """Sends a request to the guard and returns its answer. @throws RuntimeError if the guard refuses"""
    reader, writer = await asyncio.open_unix_connection(guard)
    try:
        writer.write(json.dumps(question).encode() + b"\n")
        said = json.loads(await reader.readline())
    finally:
        writer.close()
    if "refused" in said:
        raise RuntimeError(said["refused"])
    return said


class GuardedSpawner(Spawner):
    """Starts and ends servers through the guard."""

    guard = Unicode(config=True, help="Path of the guard's socket.")

    def get_state(self) -> Dict[str, Any]:
        """What a restarted hub needs to know of a running server: in addition, the id of the server's own token."""
        own = orm.APIToken.find(self.db, self.api_token) if self.api_token else None
        token = own.id if own else (self.orm_spawner.state or {}).get("token")
        return {**super().get_state(), **({"token": token} if token is not None else {})}

    async def start(self) -> Any:
        self.ip, self.port = "0.0.0.0", 8888
        env = {key: str(value) for key, value in self.get_env().items() if key.startswith("JUPYTERHUB_")}
        said = await ask(self.guard, {"ask": "start", "user": self.user.name, "env": env})
        return said["address"], said["port"]

    async def poll(self) -> Optional[int]:
        return None if (await ask(self.guard, {"ask": "look", "user": self.user.name}))["running"] else 0

    async def stop(self, now: bool = False) -> None:
        await ask(self.guard, {"ask": "end", "user": self.user.name})


class CaddyProxy(Proxy):
    """Caddy in front of the hub and its servers, as a child process of the hub.

    Its settings (https://caddyserver.com/docs/json/) never change while it runs, because new ones would disconnect every browser from its
    kernels. The address of each user's server is known in advance, and a file in `folder` shows that the server is running.
    """

    listen = Unicode(config=True, help="Address and port for people.")
    behind = TraitList(config=True, help="Addresses of the proxy before this one, whose word on who asks is taken.")
    foreign_cookies = Unicode(config=True, help="Expression for cookies that no server of a user's is to see.")
    folder = Unicode("/tmp/routes", config=True, help="Folder with a file for each route that there is.")
    guard = Unicode(config=True, help="Path of the guard's socket.")
    users = TraitList(config=True, help="Names of the users.")
    process = None

    async def start(self) -> None:
        os.makedirs(self.folder, exist_ok=True)
        targets = await self.targets()
        listening = {"hub": {"listen": [self.listen], "automatic_https": {"disable": True}, **self.routes(targets)}}
        settings = {"admin": {"disabled": True, "config": {"persist": False}}, "apps": {"http": {"servers": listening}}}
        # Ends Caddy together with the hub: otherwise it would keep the port.
        command = ["setpriv", "--pdeathsig", "TERM", "caddy", "run", "--config", "-"]
        self.process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, env={**os.environ, "HOME": "/tmp"})
        self.process.stdin.write(json.dumps(settings).encode())
        self.process.stdin.close()

    async def targets(self) -> Dict[str, str]:
        """The address of each user's server, from the guard. Waits for a guard with the same users: when they change, both restart, in any order."""
        for _ in range(120):
            try:
                targets = (await ask(self.guard, {"ask": "where"}))["targets"]
                if sorted(targets) == sorted(self.users):
                    return targets
            except (OSError, ValueError):
                pass
            await asyncio.sleep(0.5)
        raise RuntimeError("the guard does not answer, or knows other users than the hub")

    def routes(self, targets: Dict[str, str]) -> Dict[str, Any]:
        def to(dial: str) -> Dict[str, Any]:
            return {"handler": "reverse_proxy", "upstreams": [{"dial": dial}], **({"trusted_proxies": self.behind} if self.behind else {})}

        hub = to(urllib.parse.urlsplit(self.hub.url).netloc)
        cookie = {"search_regexp": self.foreign_cookies, "replace": ""}
        first = {
            "handler": "headers",
            # The hub would trust these headers about the client, and Caddy does not set them itself.
            "request": {"replace": {"Cookie": [cookie]}, "delete": ["X-Real-Ip", "X-Scheme", "Forwarded"]},
            "response": {"set": {"Referrer-Policy": ["same-origin"]}, "delete": ["Server"], "deferred": True},
        }
        metrics = {"match": [{"path": ["/hub/metrics*", "/hub/api/metrics*"]}], "handle": [{"handler": "static_response", "status_code": 404}], "terminal": True}
        users = [
            {
                "match": [{"path": [f"/user/{name}/*"], "file": {"root": self.folder, "try_files": [f"/{file_of(f'/user/{name}/')}"]}}],
                "handle": [to(target)],
                "terminal": True,
            }
            for name, target in targets.items()
        ]
        # For a server that has just ended, the hub's error page is shown.
        failed = [{"handle": [{"handler": "rewrite", "uri": "/hub/error/503"}, hub]}]
        return {"routes": [{"handle": [first]}, metrics, *users, {"handle": [hub]}], "errors": {"routes": failed}}

    def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()

    async def add_route(self, routespec: str, target: str, data: Any) -> None:
        path = os.path.join(self.folder, file_of(self.validate_routespec(routespec)))
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"routespec": routespec, "target": target, "data": data}, file)
        os.replace(path + ".new", path)

    async def delete_route(self, routespec: str) -> None:
        try:
            os.unlink(os.path.join(self.folder, file_of(self.validate_routespec(routespec))))
        except FileNotFoundError:
            pass

    async def get_all_routes(self) -> Dict[str, Any]:
        routes = {}
        for name in os.listdir(self.folder):
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                route = json.load(file)
            routes[route["routespec"]] = route
        return routes


def file_of(routespec: str) -> str:
    return routespec.encode().hex()
