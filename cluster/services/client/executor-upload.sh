#!/bin/bash
# executor-upload.sh FILE TARGET READER: puts Spark's tarball FILE at TARGET in HDFS, unless one of the same size is there, and
# then stays, because the service is the file. TARGET gets its name only after READER, by which agents read it, could read it.
set -u
file=$1 target=$2 reader=$3
until hdfs dfs -mkdir -p "$(dirname "$target")"; do sleep 5; done
if [[ $(hdfs dfs -stat %b "$target" 2>/dev/null) == $(stat -c %s "$file") ]]; then
  "$reader" fs -copyToLocal "$target" /dev/null || exit 1
else
  hdfs dfs -put -f "$file" "$target.new" &&
    "$reader" fs -copyToLocal "$target.new" /dev/null &&
    hdfs dfs -rm -f -skipTrash "$target" &&
    hdfs dfs -mv "$target.new" "$target" || exit 1
fi
exec sleep infinity
