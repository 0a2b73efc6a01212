#!/bin/sh
# Lays out SPARK_HOME from pyspark's source package: spark-home.sh <unpacked sdist> <target> <architecture>
#
# The package is Spark's own binary distribution without the R and Kubernetes folders, in another layout. Only `bin sbin jars python`
# and small things are copied: if the package folder itself were on PYTHONPATH, its `pyspark/pandas` would hide the real pandas.
set -eu
source=$1 target=$2 arch=$3

mkdir -p "$target/python/lib" "$target/examples/src/main"
cp -a "$source/deps/bin" "$source/deps/sbin" "$source/deps/jars" "$source/deps/licenses" "$target/"
cp -a "$source/pyspark" "$target/python/pyspark"
cp -a "$source"/lib/*.zip "$target/python/lib/"
cp -a "$source/deps/examples" "$target/examples/src/main/python"
mkdir "$target/data"
cp -a "$source/deps/data/graphx" "$source/deps/data/mllib" "$source/deps/data/streaming" "$target/data/"
# run-example starts Scala classes of a jar that the package does not have. The Python examples run with spark-submit.
rm -f "$target"/bin/*.cmd "$target"/bin/docker-image-tool.sh "$target"/bin/sparkR "$target"/bin/run-example
find "$target" -name '__pycache__' -prune -exec rm -rf {} +

# These images never run on Kubernetes, whose client alone is 15 MB. Everything else that Spark can do stays, Hive's jars in
# particular: without hive-exec, Parquet files cannot be read.
rm "$target"/jars/kubernetes-*.jar "$target"/jars/spark-kubernetes_*.jar "$target"/jars/zjsonpatch-*.jar \
    "$target"/jars/logging-interceptor-*.jar "$target"/jars/snakeyaml-engine-*.jar

python3 "$(dirname "$0")/slim-jars.py" "$target/jars" "$arch"
python3 "$(dirname "$0")/patch-pyspark.py" "$target/python"

# Compiles to byte code now, because only root could write it later: otherwise every driver and executor would compile pyspark anew,
# over a second each. Executors read pyspark from the zip, so it gets byte code as well. Rarely imported modules are left out.
python3 -m compileall -q --invalidation-mode unchecked-hash -x 'pyspark/(pandas|testing|sql/connect)/' "$target/python/pyspark"
python3 "$(dirname "$0")/zip-bytecode.py" "$target"/python/lib/*.zip

chown -R root:root "$target"
chmod -R u=rwX,go=rX "$target"
chmod 755 "$target"/bin/* "$target"/sbin/*
