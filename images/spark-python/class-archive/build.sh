#!/bin/sh
# Makes archives of Java classes (class data sharing), with which Spark's start takes about half of the CPU time:
#   build.sh executor <folder>   <folder>/spark.jar, which stands for all of Spark's jars, and executor.jsa
#   build.sh driver <folder>     beside them driver.jsa: what a driver needs beyond an executor
#
# Java uses an archive only if its class path begins with the same jars in the same order as when the archive was made. `jars/*` has
# no fixed order, so spark.jar names each of them.
set -eu
what=$1 folder=$2
# How many of an executor's classes go into the archive, in the order of use: with more, the image would be larger than 1.0 GB.
most=7400
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/conf"
# Authentication and encryption as on a cluster, because each process loads their classes first.
cat >"$work/conf/spark-defaults.conf" <<END
spark.authenticate true
spark.authenticate.secret training
spark.driver.bindAddress 127.0.0.1
spark.driver.host 127.0.0.1
spark.driver.extraClassPath $folder/spark.jar
spark.executor.extraClassPath $folder/spark.jar
spark.executor.memory 512m
spark.io.encryption.enabled true
spark.network.crypto.cipher AES/GCM/NoPadding
spark.network.crypto.authEngineVersion 2
spark.network.crypto.enabled true
spark.sql.extensions triplewide.guard.PlanCheck
spark.ui.showConsoleProgress false
END

# train OPTION...: runs train.py with these options of spark-submit.
train() {
    (
        cd "$work"
        export SPARK_HOME=/opt/spark SPARK_CONF_DIR="$work/conf" SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON=/usr/bin/python3
        export PYTHONPATH="$(echo /opt/spark/python /opt/spark/python/lib/py4j-*-src.zip | tr ' ' :)"
        export PYSPARK_SUBMIT_ARGS="$* pyspark-shell"
        /usr/bin/python3 "$here/train.py" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    )
}

case $what in
    executor)
        mkdir -p "$folder"
        python3 "$here/jar-of-jars.py" /opt/spark/jars "$folder/spark.jar"
        train "--master local-cluster[1,2,1024] --conf spark.executor.extraJavaOptions=-XX:DumpLoadedClassList=$work/classes-%p"
        rm -rf /opt/spark/work
        # An executor that starts as the job ends loads few classes: the longest list is that of the one that ran the tasks.
        list=$(ls -S "$work"/classes-* | head -n 1)
        head -n "$most" "$list" >"$work/classes"
        java -Xshare:dump -Xmx256m -Xlog:disable -Xlog:all=error:stderr -cp "$folder/spark.jar" \
            -XX:SharedClassListFile="$work/classes" -XX:SharedArchiveFile="$folder/executor.jsa"
        ;;
    driver)
        train "--master local[2] --driver-java-options '-Xlog:cds=off -Xlog:cds+dynamic=off -XX:SharedArchiveFile=$folder/executor.jsa -XX:ArchiveClassesAtExit=$folder/driver.jsa'"
        ;;
esac
chmod 644 "$folder"/*
ls -l "$folder"
