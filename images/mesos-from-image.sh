#!/usr/bin/env bash
# Takes the installed Mesos out of a container image: images/mesos-from-image.sh DOCKER IMAGE TARGET.tar.gz
# Only Mesos' own files leave it, and the libraries that they are linked with: those are in `carried` at the top of the archive. The
# Docker that is called must have the image.
set -euo pipefail
docker=$1 image=$2 target=$3
fail() { printf '%s\n' "$*" >&2; exit 2; }
# GNU tar chooses by patterns and writes the same bytes again; macOS has another.
tar=tar
if command -v gtar >/dev/null; then tar=gtar; fi
"$tar" --version | grep -q 'GNU tar' || fail "a Mesos is taken out of an image by GNU tar: install it (on macOS: brew install gnu-tar)"

work=$(mktemp -d)
container=
clean_up() {
    if [[ -n $container ]]; then "$docker" rm "$container" >/dev/null; fi
    rm -rf "$work"
}
trap clean_up EXIT

container=$("$docker" create "$image" true)
# Some of the patterns match nothing in any one image, which tar calls a failure.
"$docker" export "$container" | "$tar" -x -C "$work" --no-same-owner --wildcards --no-wildcards-match-slash \
    'opt/mesos' '*/sbin/mesos-*' '*/bin/mesos*' '*/lib/libmesos*' '*/lib/mesos' '*/libexec/mesos' '*/share/mesos' \
    '*/local/sbin/mesos-*' '*/local/bin/mesos*' '*/local/lib/libmesos*' '*/local/lib/mesos' '*/local/libexec/mesos' \
    '*/local/share/mesos' '*/local/mesos' '*/lib64/libmesos*' '*/lib64/mesos' 'opt/mesosphere/libmesos-bundle' 2>/dev/null || true
library=$(find "$work" -name 'libmesos*.so' | sort | head -n 1)
[[ -n $library ]] || fail "the image holds no libmesos.so"
prefix=$(dirname "$(dirname "$library")")
[[ $(basename "$prefix") != lib ]] || prefix=$(dirname "$prefix") # lib/x86_64-linux-gnu

# What Mesos is linked with, as the image's own loader finds it. glibc is that of the machine that a program runs on, always.
linked=()
while read -r path; do linked+=("${path#"$work"}"); done < <(find "$work" -type f \( -name 'libmesos*.so' -o -path '*/sbin/mesos-*' \))
# What the image holds by that name may be a link to a folder of this machine, and its loader may name anything: what is copied has the
# name of a library, and takes no place that is taken.
rm -rf "$prefix/carried"
mkdir "$prefix/carried"
confined=(--network none --cap-drop ALL --security-opt no-new-privileges --pids-limit 100)
{ "$docker" run --rm "${confined[@]}" --entrypoint ldd "$image" "${linked[@]}" 2>/dev/null || true; } \
    | sed -n 's/.* => \(\/[^ ]*\) (.*/\1/p' | sort -u \
    | { grep -E '/[A-Za-z0-9_+.-]+\.so(\.[A-Za-z0-9_.]+)?$' || true; } \
    | { grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|nsl|anl|mvec)|libnss_[a-z]+|libjvm|libmesos[^/]*)[.-][^/]*$' || true; } \
    | while read -r path; do
        copy=$prefix/carried/$(basename "$path")
        if [[ ! -e $copy && ! -L $copy ]]; then "$docker" cp --follow-link "$container:$path" "$copy" >/dev/null; fi
    done
# The same bytes from the same image: the archive's digest decides whether images are built anew.
"$tar" -c -C "$prefix" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner . | gzip -n >"$target.part"
mv "$target.part" "$target"
