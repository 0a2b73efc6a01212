#!/bin/sh
# Compiles the guard against Spark's jars: build.sh <folder with jars> <target.jar>. The same source gives the same bytes.
set -eu
cd "$(dirname "$0")"
jars=$1 target=$2
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT

find src -name '*.java' | LC_ALL=C sort >"$classes.sources"
javac -Xlint:all,-path,-classfile -Werror --release 17 -cp "$jars/*" -d "$classes" @"$classes.sources"
rm "$classes.sources"
cd "$classes"
find . -type f | sed 's,^\./,,' | LC_ALL=C sort >"$classes.files"
jar --create --file "$target" --no-manifest --date 2020-01-01T00:00:00Z @"$classes.files"
rm "$classes.files"
