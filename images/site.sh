#!/usr/bin/env bash
# Passes this machine's certificate authorities and mirrors to builds: writes them to */certs/, which builds bind-mount and git
# ignores; for `docker build`, build.sh and `pulumi up` alike. README.md names the variables. A file is written only if its content
# changes, because it is part of the build cache's key. Without a value for a file, it stays as it is.
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
# A mirror's address may contain a login, so no other user may read it then. Builds read the file as this user or as root.
mode=0644
if grep -q '[@?]' "$mirrors"; then mode=0600; fi
for certs in "$here"/*/certs; do
    [[ -z $bundle ]] || replace "$bundle" "$certs/site.crt" 0644
    [[ ! -s $mirrors ]] || replace "$mirrors" "$certs/mirrors.env" "$mode"
done
