"""Takes native libraries of other platforms out of the jars.

Spark's jars carry RocksDB, zstd, snappy and others for Windows, macOS, musl, s390x and so on: over 80 MB that a glibc Linux of
one architecture can never load. Signatures go as well: what Spark's source package holds is known by its digest, and Java keeps no
class of a signed jar in its archives. Everything else in a jar stays as it is, and a jar that had natives must keep one for this
platform, unless it never had any.

    slim-jars.py <folder with jars> <amd64|arm64>
"""

import os
import re
import sys
import zipfile

NATIVE = re.compile(r"\.(so|dll|dylib|jnilib|sl|a)$", re.IGNORECASE)
SIGNATURE = re.compile(r"META-INF/[^/]*\.(SF|RSA|DSA|EC)$", re.IGNORECASE)
OURS = {
    "amd64": re.compile(r"linux64\.so$|linux64/[^/]*$|linux[-/_](amd64|x86_64)/[^/]*$|_x86_64\.so$", re.IGNORECASE),
    "arm64": re.compile(r"linux-aarch64\.so$|linux[-/_](aarch64|arm64)/[^/]*$|_aarch_64\.so$", re.IGNORECASE),
}
# Never published for this architecture: their users fall back to Java by themselves.
NEVER = {"amd64": set(), "arm64": {"leveldbjni-all", "jline", "scala-compiler"}}


def slim(path: str, arch: str) -> int:
    name = os.path.basename(path)
    with zipfile.ZipFile(path) as jar:
        natives = [entry.filename for entry in jar.infolist() if NATIVE.search(entry.filename)]
        foreign = {entry for entry in natives if not OURS[arch].search(entry)}
        signatures = {entry for entry in jar.namelist() if SIGNATURE.match(entry)}
        if not foreign and not signatures:
            return 0
        if natives and len(foreign) == len(natives):
            # netty's jars are one per platform: a foreign one goes as a whole.
            if re.search(r"-(linux|osx|windows)-[^-]+\.jar$", name):
                size = os.path.getsize(path)
                os.unlink(path)
                print(f"{name}: of another platform, removed")
                return size
            if not any(name.startswith(prefix) for prefix in NEVER[arch]):
                raise SystemExit(f"{name} has native libraries but none for linux {arch}: {sorted(natives)}")
        before = os.path.getsize(path)
        with zipfile.ZipFile(path + ".new", "w") as new:
            for entry in jar.infolist():
                if entry.filename in foreign or entry.filename in signatures:
                    continue
                # Same entry, same date and order: the result is the same bytes in every build.
                new.writestr(entry, jar.read(entry), compress_type=entry.compress_type, compresslevel=9)
    os.replace(path + ".new", path)
    after = os.path.getsize(path)
    kept = [entry for entry in natives if entry not in foreign]
    print(f"{name}: {before:,} -> {after:,} bytes, kept {', '.join(kept) or 'none'}")
    return before - after


def main() -> None:
    folder, arch = sys.argv[1:]
    if arch not in OURS:
        raise SystemExit(f"no rule for architecture {arch}: {', '.join(OURS)} are known")
    saved = sum(slim(os.path.join(folder, name), arch) for name in sorted(os.listdir(folder)) if name.endswith(".jar"))
    print(f"saved {saved:,} bytes")


main()
