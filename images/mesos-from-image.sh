#!/usr/bin/env bash
# Takes the installed Mesos out of a container image: images/mesos-from-image.sh DOCKER IMAGE TARGET.tar.gz
# Only Mesos' own files leave it. The Docker that is called must have the image.
set -euo pipefail
docker=$1 image=$2 target=$3
fail() { printf '%s\n' "$*" >&2; exit 2; }

work=$(mktemp -d)
container=
clean_up() {
    if [[ -n $container ]]; then "$docker" rm "$container" >/dev/null; fi
    rm -rf "$work"
}
trap clean_up EXIT

container=$("$docker" create "$image" true)
# Some of the patterns match nothing in any one image, which tar calls a failure.
"$docker" export "$container" | tar -x -C "$work" --no-same-owner --wildcards --no-wildcards-match-slash \
    'opt/mesos' '*/sbin/mesos-*' '*/bin/mesos*' '*/lib/libmesos*' '*/lib/mesos' '*/libexec/mesos' '*/share/mesos' \
    '*/local/sbin/mesos-*' '*/local/bin/mesos*' '*/local/lib/libmesos*' '*/local/lib/mesos' '*/local/libexec/mesos' \
    '*/local/share/mesos' 2>/dev/null || true
library=$(find "$work" -name 'libmesos*.so' | sort | head -n 1)
[[ -n $library ]] || fail "the image holds no libmesos.so"
prefix=$(dirname "$(dirname "$library")")
# The same bytes from the same image: the archive's digest decides whether images are built anew.
tar -c -C "$prefix" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner . | gzip -n >"$target.part"
mv "$target.part" "$target"
