#!/bin/bash
# bring-spark URI FOLDER READER COMMAND...: unpacks the tarball at URI below FOLDER, unless it is there, and becomes COMMAND of
# Spark with SPARK_HOME set. READER reads hdfs:// addresses the way that Mesos' fetcher does.
set -euo pipefail
uri=$1 folder=$2 reader=$3
shift 3
cd "$folder"
export SPARK_HOME=$PWD/spark
if [[ ! -x spark/bin/spark-class ]]; then
  case $uri in
    hdfs://*) "$reader" fs -copyToLocal "$uri" spark.tgz ;;
    *) curl -fsS --retry 5 --retry-connrefused -o spark.tgz "$uri" ;;
  esac
  rm -rf unpacked
  mkdir unpacked
  tar xzf spark.tgz --strip-components=1 -C unpacked
  mv unpacked spark
  rm spark.tgz
fi
exec "$SPARK_HOME/bin/spark-class" "$@"
