#!/bin/sh
# Compiles a folder of Java sources: build-jar.sh <sources> <class path> <target.jar>. The same source gives the same bytes.
set -eu
classes=$(mktemp -d)
trap 'rm -rf "$classes" "$classes.list"' EXIT

find "$1" -name '*.java' | LC_ALL=C sort >"$classes.list"
javac -Xlint:all,-path,-classfile -Werror --release 17 -cp "$2" -d "$classes" @"$classes.list"
cd "$classes"
find . -type f | sed 's,^\./,,' | LC_ALL=C sort >"$classes.list"
jar --create --file "$3" --no-manifest --date 2020-01-01T00:00:00Z @"$classes.list"
