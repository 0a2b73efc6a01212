#!/bin/sh
# Installs libraries that Mesos is linked with and tells the loader: mesos-install.sh <folder with carried libraries> <Debian package>...
# The packages come first. Of the libraries that were taken out of a container image, only those still missing are copied, so that
# Debian's own are used where they exist.
set -eu
carried=$1
shift
[ $# -eq 0 ] || with-net apt-install "$@"
mkdir -p /opt/mesos/lib/carried
printf '%s\n' /opt/mesos/lib "$JAVA_HOME/lib/server" /opt/mesos/lib/carried >/etc/ld.so.conf.d/mesos.conf
ldconfig

missing() {
    # Not every build of Mesos has all of these files.
    { ldd /opt/mesos/lib/libmesos.so /opt/mesos/sbin/mesos-master /opt/mesos/sbin/mesos-agent 2>/dev/null || true; } \
        | sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | sort -u
}
# A carried library may need another one. The loop ends when a turn has copied nothing.
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
