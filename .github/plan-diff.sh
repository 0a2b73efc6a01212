#!/usr/bin/env bash
# plan-diff.sh BEFORE AFTER: what a change does to every environment, as plain text on standard output. BEFORE and AFTER are
# checkouts with their packages installed. Needs no credentials: a plan never asks a cloud, and shows no secret.
set -euo pipefail
before=$1 after=$2

plan() { # CHECKOUT ENVIRONMENT
  (cd "$1" && if [[ -e Pulumi.$2.yaml ]]; then npm run --silent plan -- "$2" --files 2>&1 || echo "(this environment cannot be planned)"; fi)
}

environments() { (cd "$1" && ls Pulumi.*.yaml 2>/dev/null | sed -n 's/^Pulumi\.\([A-Za-z0-9_.-]*\)\.yaml$/\1/p'); }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
changed=() unchanged=()
while read -r environment; do
  plan "$before" "$environment" >"$work/before"
  plan "$after" "$environment" >"$work/after"
  if diff -u --label "$environment before" --label "$environment after" "$work/before" "$work/after" >"$work/$environment.diff"; then
    unchanged+=("$environment")
  else
    changed+=("$environment")
  fi
done < <({ environments "$before"; environments "$after"; } | sort -u)

# The summary comes first, because long output is cut off in a comment.
((${#changed[@]} > 0)) || echo "No environment changes."
for environment in ${changed[@]+"${changed[@]}"}; do
  echo "$environment: $(grep -c '^[+-][^+-]' "$work/$environment.diff" || true) lines differ"
done
((${#unchanged[@]} == 0)) || echo "Unchanged: ${unchanged[*]}"
for environment in ${changed[@]+"${changed[@]}"}; do
  echo
  cat "$work/$environment.diff"
done
