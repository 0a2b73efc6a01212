#!/usr/bin/env bash
# plan-diff.sh BEFORE AFTER: what a change does to every environment, as a Markdown comment on standard output. BEFORE and
# AFTER are checkouts with their packages installed. Needs no credentials: a plan never asks a cloud.
set -euo pipefail
before=$1 after=$2
# GitHub takes 65,536 characters in a comment.
MOST=60000

plan() { # CHECKOUT ENVIRONMENT
  (cd "$1" && if [[ -e Pulumi.$2.yaml ]]; then npm run --silent plan -- "$2" --files 2>&1 || echo "(this environment cannot be planned)"; fi)
}

environments() { (cd "$1" && ls Pulumi.*.yaml 2>/dev/null | sed -n 's/^Pulumi\.\(.*\)\.yaml$/\1/p'); }

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

{
  echo "### Plan"
  echo
  ((${#changed[@]} > 0)) || echo "No environment changes."
  for environment in ${changed[@]+"${changed[@]}"}; do
    file=$work/$environment.diff
    # A fence that nothing in the text can close.
    fence=$(grep -o '`*' "$file" | awk 'length > n { n = length } END { for (i = 0; i < (n < 3 ? 3 : n + 1); i++) printf "`" }')
    echo "<details><summary><b>$environment</b>: $(grep -c '^[+-][^+-]' "$file" || true) lines differ</summary>"
    printf '\n%sdiff\n%s\n%s\n\n</details>\n\n' "$fence" "$(cat "$file")" "$fence"
  done
  ((${#unchanged[@]} == 0)) || echo "Unchanged: ${unchanged[*]}"
} >"$work/comment.md"

if (($(wc -m <"$work/comment.md") > MOST)); then
  # Cut where it does no harm: the environments alone, and how to see the rest.
  echo "### Plan"
  echo
  for environment in "${changed[@]}"; do
    echo "- **$environment**: $(grep -c '^[+-][^+-]' "$work/$environment.diff" || true) lines differ"
  done
  echo
  echo "Too long for a comment. The whole difference: \`npm run plan -- ENVIRONMENT --files\` on both branches, or this run's artifact."
  for environment in "${changed[@]}"; do cat "$work/$environment.diff"; done >"${PLAN_DIFF_FILE:-/dev/null}"
else
  cat "$work/comment.md"
fi
