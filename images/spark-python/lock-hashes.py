"""Reduces a lock file to the hashes of files that our images, or an agent's machine, can install.

uv writes the hash of every file of a release, for Windows, macOS, musl and every other Python: a hundred for some packages. The
lock is part of the user data of machines (`vanilla`), whose size is limited. So only wheels for glibc Linux on amd64 and arm64
stay, and the source of packages that do not have such a wheel for both.

    lock-hashes.py <requirements.txt> <pylock.toml of the same resolution> <Python version, like 3.11>
"""

import re
import sys
import tomllib


def fits(filename: str, minor: int) -> bool:
    """Whether this wheel can be installed on CPython 3.<minor>, on glibc Linux of one of our two architectures."""
    python, abi, platform = filename.removesuffix(".whl").split("-")[-3:]
    if platform != "any" and not re.search(r"(manylinux\w*|linux)_(x86_64|aarch64)\b", platform):
        return False
    for tag in python.split("."):
        if tag == "py3" or tag == f"cp3{minor}":
            return True
        older = re.fullmatch(r"cp3(\d+)", tag)
        if older and "abi3" in abi.split(".") and int(older[1]) <= minor:
            return True
    return False


def kept(package: dict, minor: int) -> set[str]:
    wheels = {name_of(wheel): wheel["hashes"]["sha256"] for wheel in package.get("wheels", []) if fits(name_of(wheel), minor)}
    pure = any(name.endswith("-any.whl") for name in wheels)
    both = all(any(arch in name for name in wheels) for arch in ("x86_64", "aarch64"))
    # Beside compiled wheels, the pure one is for platforms that have none. Here both of ours have one.
    if both:
        wheels = {name: digest for name, digest in wheels.items() if not name.endswith("-any.whl")}
    source = {package["sdist"]["hashes"]["sha256"]} if "sdist" in package and not (pure or both) else set()
    return set(wheels.values()) | source


def name_of(file: dict) -> str:
    return file.get("name") or file["url"].rpartition("/")[2].partition("#")[0]


def main(lock: str, pylock: str, python: str) -> None:
    with open(pylock, "rb") as file:
        packages = {package["name"]: package for package in tomllib.load(file)["packages"]}
    minor = int(python.split(".")[1])
    with open(lock, encoding="utf-8") as file:
        # An entry is the requirement, its hashes on continued lines, and comments that name the packages that require it.
        entries = re.split(r"(?m)^(?=[A-Za-z0-9])", file.read())
    result = []
    for entry in entries:
        name = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==", entry)
        if not name:
            result.append(entry)
            continue
        digests = kept(packages[name[1]], minor)
        requirement, rest = entry.split(" \\\n", 1)
        there = re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)
        hashes = [digest for digest in there if digest in digests]
        if not hashes:
            raise SystemExit(f"lock-hashes.py: no file of {requirement} can be installed on CPython {python} and glibc Linux")
        comments = [line for line in rest.splitlines() if line.lstrip().startswith("#")]
        result.append(" \\\n".join([requirement, *(f"    --hash=sha256:{digest}" for digest in hashes)]) + "\n" + "".join(f"{line}\n" for line in comments))
    with open(lock, "w", encoding="utf-8") as file:
        file.write("".join(result))


main(*sys.argv[1:])
