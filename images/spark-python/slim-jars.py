"""Removes native libraries of other platforms from the jars.

Spark's jars contain RocksDB, zstd, snappy and others for Windows, macOS, musl, s390x and so on: over 80 MB that a glibc Linux of
one architecture can never load. Signatures are removed as well: the digest of Spark's source package covers the jars already, and
Java puts no class of a signed jar into its class archives. Everything else in a jar stays as it is. A jar that had native libraries
must keep one for this platform, unless none was ever published for it.

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
# No natives were ever published for this architecture; the programs that use these jars fall back to Java by themselves.
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
            # netty has one jar for each platform: a jar for another platform is removed as a whole.
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
