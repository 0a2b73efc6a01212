#!/usr/bin/env bash
# keep-issue.sh WHAT STACK SAID FILE: keeps one open issue that says what FILE holds of a stack; closes it where FILE is empty. WHAT
# begins its title, SAID says whose text it is. Needs GH_TOKEN with issues: write, and GITHUB_REPOSITORY.
set -euo pipefail
what=$1 stack=$2 said=$3 file=$4
[[ $what =~ ^[A-Za-z\ ]+$ && $stack =~ ^[A-Za-z0-9_.-]+$ ]] || {
  echo "keep-issue.sh: not a stack: $stack" >&2
  exit 2
}
issues=repos/$GITHUB_REPOSITORY/issues
title="$what $stack"
# Only an issue of our own may be written over or closed: anyone can open one with that title.
number=$(gh api --paginate "$issues?state=open" \
  --jq ".[] | select(.user.login == \"github-actions[bot]\" and .pull_request == null and .title == \"$title\") | .number" | head -n 1)
if [[ ! -s $file ]]; then
  [[ -z $number ]] || gh api --method PATCH "$issues/$number" -f state=closed --silent
  exit 0
fi
body=$(mktemp)
trap 'rm -f "$body"' EXIT
"$(dirname "$0")/quote.sh" "$title" "$said" "$file" >"$body"
if [[ -n $number ]]; then
  gh api --method PATCH "$issues/$number" -F body=@"$body" --silent
else
  gh api --method POST "$issues" -f title="$title" -F body=@"$body" --silent
fi
