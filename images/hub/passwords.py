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
    operator helps somebody who has forgotten theirs.
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
        valid = {name: kept for name, kept in self.chosen.items() if name in first and kept["instead"] == digest(first[name])}
        if valid != self.chosen:
            self.write(valid)

    def write(self, chosen: Dict[str, Dict[str, str]]) -> None:
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(chosen, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)
        self.chosen = chosen

    def right(self, name: str, password: str) -> bool:
        kept = self.chosen.get(name)
        if kept is None:
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
