#!/bin/bash
# executor-upload.sh FOLDER TARGET READER: puts Spark's tarball of its image, which lies in FOLDER, into the folder TARGET of HDFS, and
# then stays, because the service is the file. Executors get it by the name that ends with its digest, agents' own services by the plain
# one, which is there only when the other one is. Both appear only after READER, by which agents read, has read them as they are here.
set -u
folder=$1 there=$2 reader=$3
plain=$(basename "$(ls "$folder"/spark-*.tgz | grep -v -- '-[0-9a-f]\{12\}\.tgz$')")
named=$(basename "$(ls "$folder"/spark-*-????????????.tgz)")

# Both names are of one file.
digest=$(sha256sum <"$folder/$plain")

# same NAME: does HDFS have that file under NAME? Whoever writes as Spark's user may have put another one there.
same() { [[ $("$reader" fs -copyToLocal "$there/$1" /dev/stdout | sha256sum) == "$digest" ]]; }

is_there() { [[ $(hdfs dfs -stat %b "$there/$1" 2>/dev/null) == $(stat -Lc %s "$folder/$1") ]] && same "$1"; }

put() {
  hdfs dfs -put -f "$folder/$1" "$there/$1.new" &&
    same "$1.new" &&
    hdfs dfs -rm -f -skipTrash "$there/$1" &&
    hdfs dfs -mv "$there/$1.new" "$there/$1"
}

until hdfs dfs -mkdir -p "$there"; do sleep 5; done
if ! { is_there "$named" && is_there "$plain"; }; then
  # Of another image, until this one's is there: whoever waits for the file shall wait.
  hdfs dfs -rm -f -skipTrash "$there/$plain" && put "$named" && put "$plain" || exit 1
  # Drivers of older images are gone.
  hdfs dfs -ls -C "$there" | grep "/${plain%.tgz}-[0-9a-f]\{12\}\.tgz$" | grep -vxF -- "$there/$named" |
    xargs -r hdfs dfs -rm -f -skipTrash
fi
exec sleep infinity
