#!/bin/sh
# Makes the libraries known that Mesos is linked with: mesos-install.sh <folder with carried libraries> <Debian package>...
# The packages first. Of what came along out of a container image, only that which is still missing: Debian's own libraries stay.
set -eu
carried=$1
shift
[ $# -eq 0 ] || with-net apt-install "$@"
mkdir -p /opt/mesos/lib/carried
printf '%s\n' /opt/mesos/lib "$JAVA_HOME/lib/server" /opt/mesos/lib/carried >/etc/ld.so.conf.d/mesos.conf
ldconfig

missing() {
    # Not every source has every one of these files.
    { ldd /opt/mesos/lib/libmesos.so /opt/mesos/sbin/mesos-master /opt/mesos/sbin/mesos-agent 2>/dev/null || true; } \
        | sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | sort -u
}
# What is carried may miss something itself. Each turn brings one library at least, or is the last.
while :; do
    brought=
    for library in $(missing); do
        if [ -e "$carried/$library" ] && [ ! -e "/opt/mesos/lib/carried/$library" ]; then
            cp "$carried/$library" /opt/mesos/lib/carried/
            brought=yes
        fi
    done
    [ -n "$brought" ] || break
    ldconfig
done
rmdir /opt/mesos/lib/carried 2>/dev/null || true
