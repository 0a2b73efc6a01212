"""Passwords of the hub's users."""

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Tuple

# Limits on the length of a password that a user chooses, in characters.
SHORTEST, LONGEST = 12, 200


class Passwords:
    """The passwords that users have chosen, in a file, each as a slow hash that makes guessing expensive.

    A user who has chosen none has a first password, which the config's stack generated. If that changes, the chosen password becomes void.
    This is how an operator helps a user who has forgotten their password, or whose password others know.
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
        # Of a void password, the digest of the first password that it replaced stays, so that `renewed` can see the change.
        valid = {
            name: kept if kept["instead"] == digest(first[name]) else {"instead": kept["instead"]}
            for name, kept in self.chosen.items()
            if name in first
        }
        if valid != self.chosen:
            self.write(valid)

    def renewed(self, name: str) -> bool:
        """Whether the user's first password has changed since it was last recorded."""
        kept = self.chosen.get(name)
        return kept is not None and name in self.first and kept["instead"] != digest(self.first[name])

    def accept(self, name: str) -> None:
        """Records the user's first password as known."""
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
            # Takes as long as a check of a chosen password, so that the time does not reveal whether the user exists.
            slow(password, b"")
            first = self.first.get(name)
            return first is not None and hmac.compare_digest(first.encode(), password.encode())
        return hmac.compare_digest(slow(password, bytes.fromhex(kept["salt"])).hex(), kept["key"])

    def choose(self, name: str, password: str) -> None:
        salt = secrets.token_bytes(16)
        kept = {"salt": salt.hex(), "key": slow(password, salt).hex(), "instead": digest(self.first[name])}
        # Several users may choose a password at the same time.
        with self.lock:
            self.write({**self.chosen, name: kept})


class Busy(Exception):
    """Too many passwords are being checked or wait for it, so another one is refused."""


class Guesses:
    """Checks passwords at logins. A check takes a fraction of a second and 16 MiB, so few run at a time and only a limited number may wait.

    Wrong passwords count per name and address, so that one person cannot lock out another. They count for names that do not exist as well,
    so that a lockout does not reveal whether a name is a user's.
    """

    # How many checks run at a time, how many more may wait, and how many may be pending from one address. That limit is high because a
    # class that logs in at once behind a bastion has a single address at the gateway. The last of them waits about three seconds.
    AT_A_TIME, WAITING, WAITING_OF_ONE = 2, 64, 40

    def __init__(self, passwords: Any, allowed: int, seconds: float):
        self.passwords, self.allowed, self.seconds = passwords, allowed, seconds
        # Oldest first.
        self.failures: Dict[Tuple[str, str], Tuple[int, float]] = {}
        self.asking: Dict[str, int] = {}
        self.threads = ThreadPoolExecutor(self.AT_A_TIME)

    async def right(self, name: str, password: str, address: str) -> bool:
        """Whether the password is the user's. @throws Busy"""
        self.forget()
        count, _ = self.failures.get((name, address), (0, 0.0))
        if count >= self.allowed or len(name) > LONGEST or len(password) > LONGEST:
            return False
        asking = self.asking.get(address, 0)
        if asking >= self.WAITING_OF_ONE or sum(self.asking.values()) >= self.AT_A_TIME + self.WAITING:
            raise Busy
        # Counted before the check, so that attempts sent at the same time all count.
        self.failures.pop((name, address), None)
        self.failures[name, address] = (count + 1, time.monotonic())
        self.asking[address] = asking + 1
        looked = asyncio.get_running_loop().run_in_executor(self.threads, self.passwords.right, name, password)
        # In a callback, because the check goes on even if the client no longer waits for its result.
        looked.add_done_callback(lambda _: self.end(address))
        right = await asyncio.shield(looked)
        if right:
            self.failures.pop((name, address), None)
        return right

    def end(self, address: str) -> None:
        self.asking[address] -= 1
        if not self.asking[address]:
            del self.asking[address]

    def forget(self) -> None:
        """Drops failures that are too old to count."""
        before = time.monotonic() - self.seconds
        while self.failures:
            oldest = next(iter(self.failures))
            if self.failures[oldest][1] > before:
                break
            del self.failures[oldest]


def slow(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
