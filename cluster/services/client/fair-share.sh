#!/bin/bash
# Prints Spark's option for the cores that a job may take, from what the cluster has when the job starts: half of the cores that its
# role may have, and one executor on each agent at least. Prints nothing where no master answers: the job is not bounded then.
#   fair-share.sh spark|mesos CORES HOST:PORT...    CORES: of one executor; HOST:PORT: the masters' pages
# The number of agents is asked for here because it must not stand in a file of the client: one agent more would replace the client.
set -u
kind=$1 each=$2
shift 2
seconds=2 # for each master
path=/json/ login=

if [[ $kind == mesos ]]; then
    path=/metrics/snapshot
    property() { sed -n "s/^spark\.mesos\.$1 //p" "$SPARK_CONF_DIR/spark-defaults.conf"; }
    if [[ -n ${DRIVER_PRINCIPAL-} ]]; then
        login=$(printf '%s:%s' "$DRIVER_PRINCIPAL" "$(<"$DRIVER_SECRET_FILE")" | base64 -w 0)
    else
        login=$(printf '%s:%s' "$(property principal)" "$(property secret)" | base64 -w 0)
    fi
fi

get() { # HOST PORT
    # shellcheck disable=SC2016
    timeout "$seconds" bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "GET %s HTTP/1.0\r\nHost: %s\r\n%b\r\n" "$2" "$0" "${3:+Authorization: Basic $3\r\n}" >&3 && cat <&3' \
        "$1" "$2" "$path" "$login" 2>/dev/null
}

# Sets `agents` and `cores` from the answer of a leading master.
leader() {
    local answer=$1
    if [[ $kind == mesos ]]; then
        [[ $answer =~ \"master.elected\":1 ]] || return 1
        [[ $answer =~ \"master.slaves_active\":([0-9]+) ]] || return 1
        agents=${BASH_REMATCH[1]}
        [[ $answer =~ \"master.cpus_total\":([0-9]+) ]] || return 1
    else
        [[ $answer =~ \"status\"\ *:\ *\"ALIVE\" ]] || return 1
        [[ $answer =~ \"aliveworkers\"\ *:\ *([0-9]+) ]] || return 1
        agents=${BASH_REMATCH[1]}
        # The total follows the list of workers, each of which has a number of its own.
        [[ $answer =~ \"aliveworkers\"\ *:\ *[0-9]+,[[:space:]]*\"cores\"\ *:\ *([0-9]+) ]] || return 1
    fi
    cores=${BASH_REMATCH[1]}
    [[ -z ${DRIVER_ROLE-} ]] || left_by_teams "$answer"
}

# Lowers `cores` to what the driver's role may have: other roles' guarantees are not for it, and it may have a limit.
left_by_teams() {
    local quota role what value
    while IFS=: read -r quota value; do
        [[ $quota =~ /roles/([^/]+)/resources/cpus/(guarantee|limit) ]] || continue
        role=${BASH_REMATCH[1]} what=${BASH_REMATCH[2]} value=${value%%.*}
        if [[ $what == guarantee && $role != "$DRIVER_ROLE" ]]; then ((cores -= value)); fi
        if [[ $what == limit && $role == "$DRIVER_ROLE" ]]; then limit=$value; fi
    done < <(grep -o '"allocator/mesos/quota/[^,}]*' <<<"$1")
    ((limit == 0 || limit > cores)) || cores=$limit
}

agents=0 cores=0 limit=0
for master in "$@"; do
    leader "$(get "${master%:*}" "${master##*:}")" && break
done
((cores > 0)) || exit 0
share=$((cores / 2))
((share < agents * each)) && share=$((agents * each))
((share > cores)) && share=$cores
((share < each)) && share=$each
echo "-Dspark.cores.max=$share"
