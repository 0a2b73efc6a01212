#!/usr/bin/env bash
# Takes the installed Mesos out of a container image: images/mesos-from-image.sh DOCKER IMAGE TARGET.tar.gz
# The archive holds only Mesos' own files and, in `carried` at its top, the libraries that they are linked with. DOCKER must have the
# image already.
set -euo pipefail
docker=$1 image=$2 target=$3
fail() { printf '%s\n' "$*" >&2; exit 2; }
# GNU tar can select files by patterns and write reproducible archives; the tar of macOS cannot.
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
# No image has files for all of these patterns, and tar fails if one matches nothing.
"$docker" export "$container" | "$tar" -x -C "$work" --no-same-owner --wildcards --no-wildcards-match-slash \
    'opt/mesos' '*/sbin/mesos-*' '*/bin/mesos*' '*/lib/libmesos*' '*/lib/mesos' '*/libexec/mesos' '*/share/mesos' \
    '*/local/sbin/mesos-*' '*/local/bin/mesos*' '*/local/lib/libmesos*' '*/local/lib/mesos' '*/local/libexec/mesos' \
    '*/local/share/mesos' '*/local/mesos' '*/lib64/libmesos*' '*/lib64/mesos' 'opt/mesosphere/libmesos-bundle' 2>/dev/null || true
library=$(find "$work" -name 'libmesos*.so' | sort | head -n 1)
[[ -n $library ]] || fail "the image holds no libmesos.so"
prefix=$(dirname "$(dirname "$library")")
[[ $(basename "$prefix") != lib ]] || prefix=$(dirname "$prefix") # lib/x86_64-linux-gnu

# The libraries that Mesos is linked with, as the image's own loader finds them. glibc is left out: it must be that of the machine on
# which Mesos runs.
linked=()
while read -r path; do linked+=("${path#"$work"}"); done < <(find "$work" -type f \( -name 'libmesos*.so' -o -path '*/sbin/mesos-*' \))
# The image is not trusted: its `carried` may be a link to a folder of this machine, and its loader may print any path. So only files
# with the name of a library are copied, and none replaces an existing file.
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
# The same image must give the same bytes: the archive's digest decides whether images are rebuilt.
"$tar" -c -C "$prefix" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner . | gzip -n >"$target.part"
mv "$target.part" "$target"
