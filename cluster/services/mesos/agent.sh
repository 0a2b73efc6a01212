#!/bin/bash
# agent.sh SHUFFLE LAUNCHER PROCESSES PROGRAM FOLDER USER...: makes the users that tasks run as where the machine lacks them, and becomes
# the agent PROGRAM. SHUFFLE is where the machine's shuffle service listens, host/port, or empty: a job that waits takes what an agent
# offers at once, and its driver ends when the executor has started and nobody listens there. Where agents start containers, LAUNCHER is
# the folder with our own mesos-docker-executor: what else of FOLDER Mesos starts is linked there. Otherwise it is empty. PROCESSES is how
# many processes and threads all tasks that Mesos starts itself may have together, for it sets no limit; empty where it cannot.
set -euo pipefail
shuffle=$1 launcher=$2 processes=$3 program=$4 folder=$5
shift 5
if [[ -n $shuffle ]]; then
  until (exec 3<>"/dev/tcp/$shuffle") 2>/dev/null; do sleep 0.5; done
fi
for user in "$@"; do
  id -u "$user" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
done
if [[ -n $launcher ]]; then
  mkdir -p "$launcher"
  for file in "$folder"/*; do
    if [[ -e $file && ! -e $launcher/${file##*/} ]]; then ln -s "$file" "$launcher/"; fi
  done
fi
# An agent in a container is the parent of its executors, so they ended with the last one. The containers of their tasks run on beside it,
# and Mesos stops none whose executor ended by itself: it calls the task lost and starts another one.
if [[ -n $launcher && -e ${CONTAINER:-/etc/triplewide/container} ]]; then
  machine=$(sed -n 's/^MACHINE=//p' "${CONTAINER:-/etc/triplewide/container}")
  mapfile -t left < <(docker ps --all --quiet --filter "label=triplewide.machine=$machine" --filter label=triplewide.tasks)
  if ((${#left[@]} > 0)); then docker rm --force --volumes "${left[@]}" >/dev/null; fi
fi
# Its isolator is for control groups version 1.
groups=${CGROUPS:-/sys/fs/cgroup}/pids
if [[ -n $processes && -w $groups ]]; then
  mkdir -p "$groups/mesos"
  echo "$processes" >"$groups/mesos/pids.max"
  export MESOS_isolation=$MESOS_isolation,cgroups/pids
fi
exec "$program"
