#!/bin/sh
# Unpacks an installed Mesos: mesos-unpack.sh <folder with the archive, named by its digest> <sha256> <target> <folder for libraries>
# The archive is a tarball of an installed prefix (at any path) or a .deb; the prefix is found by its lib/libmesos.so.
# Libraries that were taken out of a container image go to a folder of their own: mesos-install.sh copies those that are missing.
set -eu
folder=$1 digest=$2 target=$3 carried=$4
fail() { echo "Mesos: $*" >&2; exit 1; }

archive=$(find "$folder" -maxdepth 1 -type f -name "$digest.*" | head -n 1)
[ -n "$archive" ] || fail "MESOS=archive, but images/spark-python/mesos/ holds no $digest.tar or .deb (MESOS_SHA256 is its digest)"
actual=$(sha256sum "$archive" | cut -d' ' -f1)
[ "$actual" = "$digest" ] || fail "$(basename "$archive") has the digest $actual"

mkdir /tmp/mesos
case $archive in
    *.deb) dpkg-deb --extract "$archive" /tmp/mesos ;;
    *) tar --extract --file "$archive" --directory /tmp/mesos ;;
esac
library=$(find /tmp/mesos -name 'libmesos.so' | sort | head -n 1)
[ -n "$library" ] || library=$(find /tmp/mesos -name 'libmesos-*.so' | sort | tail -n 1)
[ -n "$library" ] || fail "$(basename "$archive") holds no libmesos.so"
lib=$(dirname "$library")
prefix=$(dirname "$lib")
[ "$(basename "$prefix")" != lib ] || { lib=$prefix; prefix=$(dirname "$prefix"); } # lib/x86_64-linux-gnu

mkdir -p "$target" "$carried"
if [ -d "$prefix/carried" ]; then cp -a "$prefix/carried/." "$carried"; fi
for folder in bin sbin lib libexec share etc; do
    if [ -d "$prefix/$folder" ]; then cp -a "$prefix/$folder" "$target/$folder"; fi
done
if [ -d "$prefix/lib64" ]; then mkdir -p "$target/lib" && cp -a "$prefix/lib64/." "$target/lib"; fi
if [ ! -e "$target/lib/libmesos.so" ]; then ln -s "${library#"$lib"/}" "$target/lib/libmesos.so"; fi

# Files that only a compiler or a debugger reads are most of the size.
find "$target" \( -name '*.a' -o -name '*.la' \) -delete
rm -rf "$target/lib/pkgconfig" "$target/share/doc" "$target/share/man"
find "$target" -type f \( -name '*.so*' -o -perm -u+x \) | while read -r file; do
    if [ "$(head -c 4 "$file" | tail -c 3)" = ELF ]; then strip --strip-unneeded "$file"; fi
done

# Debian packages with the libraries that Mesos is linked with: the archive's own list, the dependencies of a .deb (without Java, which
# is here already; the first of alternatives), or what Mesos 1.11 needs on Debian 12. libsasl2-modules holds CRAM-MD5, with which
# agents and frameworks log in.
packages=
case $archive in *.deb)
    packages=$(dpkg-deb --field "$archive" Pre-Depends Depends | sed -E 's/^[A-Za-z-]+: //' | tr ',' '\n' \
        | sed -E 's/[|(:].*//; s/[[:space:]]//g' | grep -vE '^$|^(java|default-jre|openjdk)' || true)
    ;;
esac
if [ -f "$prefix/RUNTIME_PACKAGES" ]; then
    cp "$prefix/RUNTIME_PACKAGES" "$target/RUNTIME_PACKAGES"
elif [ -n "$packages" ]; then
    printf '%s\n' libsasl2-modules "$packages" >"$target/RUNTIME_PACKAGES"
else
    echo "libapr1 libaprutil1 libsvn1 libsasl2-2 libsasl2-modules libcurl4 libevent-2.1-7 libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libelf1 libnl-3-200 libnl-route-3-200 zlib1g iproute2" >"$target/RUNTIME_PACKAGES"
fi
# The archive's file modes could let any user change files that the agent runs as root.
chown -R root:root "$target" "$carried"
chmod -R go-w,u-s,g-s "$target" "$carried"
