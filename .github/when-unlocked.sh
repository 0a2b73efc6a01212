#!/usr/bin/env bash
# when-unlocked.sh PROGRAM [ARGUMENT...]: runs a program, and runs it again while it fails because another update of its stack is under way:
# LOCK_TRIES times (60), with LOCK_SECONDS (30) between. Exits with the program's exit code.
set -uo pipefail
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for ((try = 1; ; try++)); do
  "$@" 2>&1 | tee "$said"
  code=${PIPESTATUS[0]}
  ((code != 0)) && grep -Eq 'the stack is currently locked by|Another update is currently in progress' "$said" || exit "$code"
  ((try < ${LOCK_TRIES:-60})) || exit "$code"
  echo "when-unlocked.sh: another update is under way; once more in ${LOCK_SECONDS:-30} s"
  sleep "${LOCK_SECONDS:-30}"
done
