#!/usr/bin/env bash
# Installs what is missing on this machine: `packages` (Node packages), `docker` (Docker engine and Compose) or `mmdebstrap`
# (which makes the base image where none can be pulled).
# As root on Debian and Ubuntu it installs; elsewhere it says what to install. Does nothing where nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

can_install() { [[ $(id -u) = 0 ]] && command -v apt-get >/dev/null; }

# apt_install WHAT-FOR PACKAGE...
apt_install() {
    local what=$1; shift
    can_install || fail "$what is missing. As root on Debian or Ubuntu it is installed for you; here, install: $*"
    say "Installing $what: $*"
    local log; log=$(mktemp)
    if ! { apt-get -o DPkg::Lock::Timeout=900 update -q &&
           DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 install -y -q --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2; rm -f "$log"
        fail "$what could not be installed (see above)."
    fi
    rm -f "$log"
}

packages() {
    command -v npm >/dev/null || apt_install "Node.js with npm" nodejs npm
    local mark=node_modules/.ready wanted
    wanted=$(cat package-lock.json package.json | cksum)
    if [[ -f $mark && $(cat "$mark") = "$wanted" ]]; then touch "$mark"; return; fi
    say "Installing Node packages"
    # The package `node` brings Node 22 whatever npm runs on; npm's warnings about its own Node are not ours to fix.
    npm ci --no-fund --no-audit --loglevel=error >&2
    [[ -x node_modules/.bin/node ]] && node_modules/.bin/node --version >/dev/null 2>&1 ||
        fail "the package \"node\" brought no Node 22 for this machine ($(uname -sm)). Put Node 22.18 or later on PATH."
    printf '%s\n' "$wanted" >"$mark"
}

compose_found() {
    local client
    for client in $(type -ap docker); do "$client" compose version >/dev/null 2>&1 && return; done
    command -v docker-compose >/dev/null
}

# An engine by hand where there is no service manager to ask: containers, chroots, rescue systems.
start_engine() {
    if [[ -d /run/systemd/system ]]; then systemctl enable --now docker >/dev/null 2>&1 && return; fi
    [[ $(id -u) = 0 ]] || return 1
    say "Starting the Docker engine (log: /var/log/dockerd.log)"
    setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &
}

docker_() {
    command -v docker >/dev/null && command -v dockerd >/dev/null || docker info >/dev/null 2>&1 ||
        apt_install "Docker engine" docker.io
    if ! compose_found; then
        if can_install && apt-cache show docker-compose-v2 >/dev/null 2>&1; then apt_install "Docker Compose" docker-compose-v2
        else apt_install "Docker Compose" docker-compose; fi
    fi
    if ! docker info >/dev/null 2>&1; then
        local answer; answer=$(docker info 2>&1 || true)
        [[ $answer = *[Pp]"ermission denied"* ]] && fail "Docker refuses this user. Join the group docker (and log in again), or run as root."
        [[ ! ${DOCKER_HOST:-} ]] || fail "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST. Start it there, or unset DOCKER_HOST to use this machine's."
        start_engine || fail "the Docker engine does not run. Start it: sudo systemctl start docker"
        for _ in $(seq 60); do docker info >/dev/null 2>&1 && return; sleep 0.5; done
        tail -n 10 /var/log/dockerd.log >&2 2>/dev/null || true
        fail "the Docker engine did not start within 30 s (see above)."
    fi
}

case ${1:-} in
    packages) packages ;;
    docker) docker_ ;;
    mmdebstrap) command -v mmdebstrap >/dev/null || apt_install "mmdebstrap" mmdebstrap ;;
    *) fail "usage: scripts/bootstrap.sh packages|docker|mmdebstrap" ;;
esac
