#!/bin/sh
# Compiles the interceptor that guards Spark Connect: build.sh <folder of Spark's jars> <server.jar> <target.jar>.
# The same source gives the same bytes.
set -eu
cd "$(dirname "$0")"
jars=$1 server=$2 target=$3
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT

javac -Xlint:all,-path,-classfile -Werror --release 17 -cp "$server:$jars/*" -d "$classes" $(find src -name '*.java' | LC_ALL=C sort)
cd "$classes"
jar --create --file "$target" --no-manifest --date 2020-01-01T00:00:00Z $(find . -type f | sed 's,^\./,,' | LC_ALL=C sort)
