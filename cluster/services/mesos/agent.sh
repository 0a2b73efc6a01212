#!/bin/bash
# agent.sh LAUNCHER PROGRAM FOLDER USER...: makes the users that tasks run as where the machine lacks them, and becomes the agent PROGRAM.
# Where agents start containers, LAUNCHER is the folder with our own mesos-docker-executor: what else of FOLDER Mesos starts is linked
# there. Otherwise it is empty.
set -euo pipefail
launcher=$1 program=$2 folder=$3
shift 3
for user in "$@"; do
  id -u "$user" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
done
if [[ -n $launcher ]]; then
  mkdir -p "$launcher"
  for file in "$folder"/*; do
    if [[ -e $file && ! -e $launcher/${file##*/} ]]; then ln -s "$file" "$launcher/"; fi
  done
fi
exec "$program"
