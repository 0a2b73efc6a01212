"""Passwords of the hub's users."""

import hashlib
import hmac
import json
import os
import secrets
import threading
from typing import Dict


class Passwords:
    """The password that each user has chosen, in a file: what is kept of one is made so that it takes long to try others.

    Who has chosen none has the first one, which the config's stack made. With another first one, what was chosen before is void: so an
    operator helps somebody who has forgotten theirs, or whose password others know.
    """
    def __init__(self, path: str, first: Dict[str, str]):
        self.path = path
        self.first = first
        self.lock = threading.Lock()
        try:
            with open(path, encoding="utf-8") as file:
                self.chosen: Dict[str, Dict[str, str]] = json.load(file)
        except FileNotFoundError:
            self.chosen = {}
        # Of a password that is void it stays known which first one it was chosen instead of.
        valid = {
            name: kept if kept["instead"] == digest(first[name]) else {"instead": kept["instead"]}
            for name, kept in self.chosen.items()
            if name in first
        }
        if valid != self.chosen:
            self.write(valid)

    def renewed(self, name: str) -> bool:
        """Whether the user has another first password than the last time that this was accepted."""
        kept = self.chosen.get(name)
        return kept is not None and name in self.first and kept["instead"] != digest(self.first[name])

    def accept(self, name: str) -> None:
        """From now on the user's first password is the one that is known."""
        with self.lock:
            if name in self.first and (self.renewed(name) or name not in self.chosen):
                self.write({**self.chosen, name: {"instead": digest(self.first[name])}})

    def write(self, chosen: Dict[str, Dict[str, str]]) -> None:
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(chosen, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)
        self.chosen = chosen

    def right(self, name: str, password: str) -> bool:
        kept = self.chosen.get(name)
        if kept is None or "key" not in kept:
            # Somebody who is not there takes as long as somebody who is.
            slow(password, b"")
            first = self.first.get(name)
            return first is not None and hmac.compare_digest(first.encode(), password.encode())
        return hmac.compare_digest(slow(password, bytes.fromhex(kept["salt"])).hex(), kept["key"])

    def choose(self, name: str, password: str) -> None:
        salt = secrets.token_bytes(16)
        kept = {"salt": salt.hex(), "key": slow(password, salt).hex(), "instead": digest(self.first[name])}
        # Several users choose at the same time.
        with self.lock:
            self.write({**self.chosen, name: kept})


def slow(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
