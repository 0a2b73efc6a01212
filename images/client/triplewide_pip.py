"""`pip` for users of the client: installs packages for drivers and tells the user whether executors have them.

Packages are installed in PYTHONUSERBASE. PIP_CONSTRAINT pins the packages of the image, so that a package that driver and executors
both get from their images has the same version in both.

    python -m triplewide_pip <arguments of pip>
"""

import os
import re
import subprocess
import sys
from typing import List

OPTIONS_WITH_VALUE = {"-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t", "--target"}


def wanted(arguments: List[str]) -> List[str]:
    """Returns the arguments of `pip install` that are neither options nor values of options."""
    names: List[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in OPTIONS_WITH_VALUE:
            skip = True
        elif not argument.startswith("-"):
            names.append(argument)
    return names


def on_executors(requirement: str) -> bool:
    """Tells whether the executor image contains this package."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    normal = re.sub(r"[-_.]+", "-", name).lower()
    try:
        with open("/opt/venv/requirements.txt", encoding="utf-8") as lock:
            locked = re.findall(r"(?m)^([A-Za-z0-9._-]+)==", lock.read())
    except OSError:
        return False
    return normal in locked or normal in ("pyspark", "py4j")


def main(arguments: List[str]) -> int:
    code = subprocess.call([sys.executable, "-m", "pip", *arguments])
    if not arguments or arguments[0] != "install" or "--help" in arguments or "-h" in arguments:
        return code
    packages = wanted(arguments[1:]) or ["-r"]
    named = [name for name in packages if re.match(r"[A-Za-z0-9]", name)]
    if len(named) == len(packages):
        lines = ", ".join(f"`{name}`" for name in named)
        add = f"add {'these lines' if len(named) > 1 else 'the line'} {lines} to images/spark-python/requirements.in and run `make up` (or `pulumi up`)"
    else:
        # The arguments include local files or folders, or options such as -r.
        add = "sc.addPyFile(...) or spark-submit --py-files for your own modules, a line in images/spark-python/requirements.in for packages"
    if code == 0:
        folder = os.environ.get("PYTHONUSERBASE", "~/.local")
        shared = os.environ.get("TRIPLEWIDE_SHARED", "")
        if all(on_executors(name) for name in packages):
            print("\ntriplewide: nothing to install, drivers and executors have it already, in the same version.")
        elif shared and folder.startswith(shared):
            print(f"\ntriplewide: installed in {folder}, which executors read as well. For every cluster, and faster: {add}.")
        else:
            print(f"\ntriplewide: installed for drivers on this client ({folder}). Executors do not have it. For code that runs there: {add}.")
    else:
        print(
            f"\ntriplewide: not installed (pip says why above). Packages of the image keep their versions. If this client has no way to a package registry: {add}.",
            file=sys.stderr,
        )
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
