#!/usr/bin/env bash
# quote.sh TITLE SAID FILE: a comment of a pull request on standard output, in which FILE is text and nothing else. FILE may come
# from code that nobody has reviewed. SAID says whose text it is.
set -euo pipefail
title=$1 said=$2 file=$3
# GitHub takes 65,536 characters in a comment.
MOST=60000

# A link could lead to any file of this machine.
if [[ ! -f $file || -L $file ]]; then
  echo "quote.sh: $file is not a plain file" >&2
  exit 1
fi
text=$(mktemp)
trap 'rm -f "$text"' EXIT
# Whole characters; no control characters but line ends and tabs; no marks that are invisible or turn text around.
head -c "$MOST" "$file" | perl -MEncode -0777 -ne \
  '$_ = decode("UTF-8", $_); s/(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\x{FFFD}]/?/g; print encode("UTF-8", $_)' >"$text"

echo "### $title"
echo
echo "$said"
(($(wc -c <"$file") <= MOST)) || echo "It is cut off here; the rest is in the artifact of its run."
echo
# A fence that nothing in the text can close. Inside of it nothing is a link, an image or a mention.
fence=$({ grep -o '`*' "$text" || true; } | awk 'length > n { n = length } END { for (i = 0; i < (n < 3 ? 3 : n + 1); i++) printf "`" }')
echo "<details><summary>Show</summary>"
printf '\n%sdiff\n%s\n%s\n\n</details>\n' "$fence" "$(cat "$text")" "$fence"
