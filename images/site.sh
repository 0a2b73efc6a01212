#!/usr/bin/env bash
# What this machine adds to builds: images/site.sh puts the certificate authorities that it trusts and the mirrors that it uses
# into */certs/, which builds bind and git ignores: for `docker build`, build.sh and `pulumi up` alike. README.md names the
# variables. A file is touched only when its content changes: it is part of the build cache's key. What is not set is left as it is.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
mirrors=$(mktemp)
trap 'rm -f "$mirrors"' EXIT

replace() {
    cmp -s "$1" "$2" 2>/dev/null && return
    install -m 0644 "$1" "$2"
}

bundle=
for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
    if [[ -n ${!name:-} && -s ${!name} ]]; then
        bundle=${!name}
        break
    fi
done
for name in APT_MIRROR APT_SECURITY_MIRROR PIP_INDEX_URL UV_INDEX_URL MAVEN_MIRROR; do
    if [[ -n ${!name:-} ]]; then printf '%s=%q\n' "$name" "${!name}" >>"$mirrors"; fi
done
if [[ -n ${PIP_INDEX_URL:-} && -z ${UV_INDEX_URL:-} ]]; then printf 'UV_INDEX_URL=%q\n' "$PIP_INDEX_URL" >>"$mirrors"; fi
for certs in "$here"/*/certs; do
    [[ -z $bundle ]] || replace "$bundle" "$certs/site.crt"
    [[ ! -s $mirrors ]] || replace "$mirrors" "$certs/mirrors.env"
done
