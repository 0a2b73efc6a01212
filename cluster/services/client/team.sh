#!/bin/bash
# Prints the options by which a driver registers with Mesos for its team, followed by what PROGRAM prints.
#   team.sh ROLE [PROGRAM ARGUMENT...]    ROLE: of drivers without a team
# TRIPLEWIDE_TEAM names the team. Ends with 1 where there is no such team. A user of the hub has one login, in the properties already.
set -u
logins=/etc/mesos/teams
role=$1 principal=spark team=${TRIPLEWIDE_TEAM-}
shift
if [[ -n ${DRIVER_PRINCIPAL-} ]]; then
  if [[ -n $team && $team != "$DRIVER_ROLE" ]]; then
    echo "TRIPLEWIDE_TEAM=$team: your jobs are in the role $DRIVER_ROLE, and in no other; the config says who is in which team (teams)" >&2
    exit 1
  fi
  (($# == 0)) || exec "$@"
  exit 0
fi
if [[ -n $team ]]; then
  if [[ ! $team =~ ^[a-z][a-z0-9-]*$ || ! -e $logins/$team ]]; then
    echo "TRIPLEWIDE_TEAM=$team: there is no such team. There are: $(cd "$logins" && ls | grep -vx spark | paste -sd ' '); without it, a job has no team" >&2
    exit 1
  fi
  [[ $team == spark ]] || role=$team principal=$team
fi
printf '%s ' "-Dspark.mesos.role=$role" "-Dspark.mesos.principal=$principal" "-Dspark.mesos.secret.file=$logins/$principal"
if (($# > 0)); then
  export DRIVER_ROLE=$role DRIVER_PRINCIPAL=$principal DRIVER_SECRET_FILE=$logins/$principal
  exec "$@"
fi
