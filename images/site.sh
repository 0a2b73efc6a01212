#!/usr/bin/env bash
# What this machine adds to builds: images/site.sh puts the certificate authorities that it trusts and the mirrors that it uses
# into */certs/, which builds bind and git ignores: for `docker build`, build.sh and `pulumi up` alike. README.md names the
# variables. A file is touched only when its content changes: it is part of the build cache's key. What is not set is left as it is.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
mirrors=$(mktemp)
trap 'rm -f "$mirrors"' EXIT

# replace FROM TO MODE
replace() {
    if cmp -s "$1" "$2" 2>/dev/null; then
        [[ $3 == 0644 ]] || chmod "$3" "$2"
        return
    fi
    install -m "$3" "$1" "$2"
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
# An address may hold a login, which is nobody else's to read. Builds read as this user, or as root.
mode=0644
if grep -q '[@?]' "$mirrors"; then mode=0600; fi
for certs in "$here"/*/certs; do
    [[ -z $bundle ]] || replace "$bundle" "$certs/site.crt" 0644
    [[ ! -s $mirrors ]] || replace "$mirrors" "$certs/mirrors.env" "$mode"
done
