#!/bin/bash
# bring-spark URI FOLDER READER: as root, makes FOLDER hold Spark from the tarball at URI, and nothing that changed since then: the
# digest of every file was written down when it was unpacked. Only root may write there. READER reads hdfs:// addresses the way that
# Mesos' fetcher does.
set -euo pipefail
uri=$1 folder=$2 reader=$3 digests=$2.sha256

files() { find . -type f -print0 | LC_ALL=C sort -z; }

intact() {
  [[ -s $digests && -d $folder ]] || return
  cd "$folder"
  # No file more, none less, none other, and none that another user may write.
  cmp -s <(files | xargs -0 sha256sum) "$digests" && [[ -z $(find . ! -user root -o ! -type l -perm /022) ]]
}

if (intact); then exit; fi
if [[ -e $folder ]]; then echo "bring-spark: $folder is not as it was unpacked; it is brought anew" >&2; fi
work=$(mktemp -d -p "${folder%/*}")
trap 'rm -rf "$work"' EXIT
case $uri in
  hdfs://*) "$reader" fs -copyToLocal "$uri" "$work/spark.tgz" ;;
  *) curl -fsS --retry 5 --retry-connrefused -o "$work/spark.tgz" "$uri" ;;
esac
mkdir "$work/spark"
tar xzf "$work/spark.tgz" --strip-components=1 --no-same-owner -C "$work/spark"
chmod -R u=rwX,go=rX "$work/spark"
# Whoever may write to HDFS may have put another tarball there, and root's tar makes devices as well: all could read a disk by one.
find "$work/spark" ! -type f ! -type d ! -type l -delete
rm -rf "$folder" "$digests"
(cd "$work/spark" && files | xargs -0 sha256sum) >"$work/digests"
mv "$work/spark" "$folder"
mv "$work/digests" "$digests"
