#!/usr/bin/env bash
# comment.sh PULL_REQUEST MARK FILE: writes one comment of a pull request, and writes over it the next time. MARK tells one such
# comment from another. Needs GH_TOKEN with pull-requests: write, and GITHUB_REPOSITORY.
set -euo pipefail
pull_request=$1 mark="<!-- triplewide $2 -->" file=$3
[[ $pull_request =~ ^[0-9]+$ && $2 =~ ^[A-Za-z0-9_.\ -]+$ ]] || {
  echo "comment.sh: not a pull request and a mark: $1 $2" >&2
  exit 2
}
body=$(mktemp)
trap 'rm -f "$body"' EXIT
{ echo "$mark"; cat "$file"; } >"$body"

comments=repos/$GITHUB_REPOSITORY/issues/$pull_request/comments
# Only a comment of our own may be written over: anyone, and any other bot, can put the mark into theirs.
id=$(gh api --paginate "$comments" \
  --jq ".[] | select(.user.login == \"github-actions[bot]\" and (.body | startswith(\"$mark\"))) | .id" | head -n 1)
if [[ -n $id ]]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F body=@"$body" --silent
else
  gh api --method POST "$comments" -F body=@"$body" --silent
fi
