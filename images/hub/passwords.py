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

# Characters of a password that a user chooses.
SHORTEST, LONGEST = 12, 200


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


class Busy(Exception):
    """So many passwords are being looked at that no other one is."""


class Guesses:
    """Passwords as people try them. Each costs a part of a second and 16 MiB, so few are looked at at a time, and few wait for that.

    Wrong ones count by where they come from: nobody keeps another one out. They count for names of nobody as well: who waits, and who is
    told at once that they have to, says of no name whether it is a user's.
    """

    # Looked at at a time; those besides that wait for it, and of one address: a class that logs in at once has a single one at the gateway
    # of a bastion. The last of them waits some three seconds.
    AT_A_TIME, WAITING, WAITING_OF_ONE = 2, 64, 40

    def __init__(self, passwords: Any, allowed: int, seconds: float):
        self.passwords, self.allowed, self.seconds = passwords, allowed, seconds
        # Oldest first.
        self.failures: Dict[Tuple[str, str], Tuple[int, float]] = {}
        self.asking: Dict[str, int] = {}
        self.threads = ThreadPoolExecutor(self.AT_A_TIME)

    async def right(self, name: str, password: str, address: str) -> bool:
        """Whether it is the user's password. @throws Busy"""
        self.forget()
        count, _ = self.failures.get((name, address), (0, 0.0))
        if count >= self.allowed or len(name) > LONGEST or len(password) > LONGEST:
            return False
        asking = self.asking.get(address, 0)
        if asking >= self.WAITING_OF_ONE or sum(self.asking.values()) >= self.AT_A_TIME + self.WAITING:
            raise Busy
        # Counted before it is known to be wrong: many at the same time are many.
        self.failures.pop((name, address), None)
        self.failures[name, address] = (count + 1, time.monotonic())
        self.asking[address] = asking + 1
        looked = asyncio.get_running_loop().run_in_executor(self.threads, self.passwords.right, name, password)
        # Not where it is waited for: who does not wait for the answer any more has it looked at all the same.
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
        """What is so old that it does not count any more."""
        before = time.monotonic() - self.seconds
        for key, (_, last) in list(self.failures.items()):
            if last > before:
                break
            del self.failures[key]


def slow(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
