#!/usr/bin/env bash
# drift.sh STACK FILE: writes what differs between a stack's state and its cloud to FILE, which is empty where nothing does.
# Changes nothing. Exit code 1 where that cannot be told.
set -uo pipefail
stack=$1 file=$2
pulumi preview --refresh --diff --expect-no-changes --non-interactive --color never --suppress-progress --stack "$stack" >"$file" 2>&1
code=$?
if ((code == 0)); then
  : >"$file"
elif ! grep -q 'no changes were expected' "$file"; then
  cat "$file"
  exit 1
fi
