#!/usr/bin/env bash
# Builds the container images: images/build.sh [--list] [--lock] [--mesos-report FILE] [--plain] [image...]   (see --help)
set -euo pipefail

# macOS has bash 3.2: no associative arrays, no `mapfile`, no `${name,,}`, and "${list[@]}" of an empty list is an unset variable.
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'END'
usage: images/build.sh [options] [image...]

Builds base, spark-python and client, or the images named (with what they stand on); `all` builds zookeeper and hdfs as well.
A run in which nothing has changed takes a second or two.

  --list     say which images there are, what they hold and which are built, and do nothing
  --lock     only bring requirements.txt up to date with requirements.in (for spark-python, client and hub)
  --mesos-report FILE   only find out what MESOS_ARCHIVE holds and what of it works in spark-python, and write that to FILE as JSON
  --plain    BuildKit's output as lines instead of a moving display (what it is without a terminal)
  --help     this text

Taken from the environment, if set:
  SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS   certificate authorities this machine trusts besides the public ones
  http_proxy, https_proxy, no_proxy                        proxies (upper case as well)
  PIP_INDEX_URL, UV_INDEX_URL, MAVEN_MIRROR, APT_MIRROR, APT_SECURITY_MIRROR   mirrors of the package registries
  MESOS_ARCHIVE, MESOS_SHA256   a Mesos for spark-python and client: a tarball of its installed prefix or a .deb, and its digest
  MESOS_WITH_ARCHIVE, MESOS_WITH_SHA256   with --mesos-report: another archive, with whose libmesos a driver is tried
  MESOS_PARTS                   what it must hold: java (default; libmesos with Java bindings), daemons (master and agent), or both; tls: built with SSL
  MESOS_ID                      digest that the images' tags name (default MESOS_SHA256)
  S3=jars                       spark-python and client with the jars for s3a:// paths, tagged with -s3 at the end
  CONNECT=jars                  client with the server of Spark Connect, tagged with -connect at the end

With a Mesos, spark-python and client are tagged <version>-mesos-<12 digits of the digest>: those without it stay as they are.

Exit status: 0 built, 1 failed, 2 something for you to correct (the message says what).
END
}

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s\n' "images/build.sh: $*" >&2; exit 1; }
refuse() { printf '%s\n' "images/build.sh: $*" >&2; exit 2; }
sha256() { if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }
# Turns the name of an image or build argument into part of a variable's name.
in_variable() { printf '%s' "${1//[^A-Za-z0-9]/_}"; }
# value_of PREFIX NAME: prints what the variable `PREFIX_NAME` holds, or nothing.
value_of() {
    local name; name=$1_$(in_variable "$2")
    printf '%s' "${!name:-}"
}

# ---- What to do -----------------------------------------------------------------------------------------------------------------

# The images that are built here, each after those it is based on; graph.tsv is made from cluster/image-catalogue.ts.
# For each image: stands_on_<image> lists all images below it, directly or not; argument_<image>_<build argument> is the image that
# this argument names; may_hold_<image> lists which of `mesos`, `s3` and `connect` it may contain, with a comma around each.
ORDER=()
while IFS=$'\t' read -r -a fields; do
    [[ ${fields[0]:-} && ${fields[0]} != \#* ]] || continue
    image=${fields[0]}
    ORDER+=("$image")
    printf -v "may_hold_$(in_variable "$image")" %s ",${fields[1]:-},"
    below_all=
    for field in "${fields[@]:2}"; do
        below=${field#*=}
        printf -v "argument_$(in_variable "$image ${field%%=*}")" %s "$below"
        below_all="$below_all $below $(value_of stands_on "$below")"
    done
    printf -v "stands_on_$(in_variable "$image")" %s "$below_all"
done <"$here/graph.tsv"

action=build
progress=auto
wanted=()
while (($#)); do
    case $1 in
        --list) action=list ;;
        --lock) action=lock ;;
        --mesos-report)
            action=report
            report=${2:-}
            [[ -n $report ]] || refuse "--mesos-report: name the file to write"
            shift
            ;;
        --plain) progress=plain ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; refuse "unknown option $1" ;;
        all) wanted+=("${ORDER[@]}") ;;
        *)
            [[ " ${ORDER[*]} " == *" $1 "* ]] || refuse "no image is called $1; there are: ${ORDER[*]}"
            wanted+=("$1")
            ;;
    esac
    shift
done
if [[ $action == report ]]; then wanted=(spark-python); fi
if ((${#wanted[@]} == 0)); then
    wanted=(spark-python client)
    # The hub image is based on the client: its lock must fit the client's versions.
    if [[ $action == lock ]]; then wanted+=(hub); fi
fi

images=()
for image in "${ORDER[@]}"; do
    for one in "${wanted[@]}"; do
        if [[ " $one $(value_of stands_on "$one") " == *" $image "* ]]; then
            images+=("$image")
            break
        fi
    done
done

# version_<key of versions.env>
while IFS='=' read -r key value; do
    if [[ $key =~ ^[A-Z][A-Z0-9_]*$ ]]; then printf -v "version_$key" %s "$value"; fi
done <"$here/versions.env"

layers=(S3 CONNECT)
for layer in "${layers[@]}"; do
    [[ ${!layer:-none} =~ ^(none|jars)$ ]] || refuse "$layer is none or jars, not ${!layer}"
done
mesos=${MESOS_ARCHIVE:-}
mesos_tag=
if [[ -n $mesos ]]; then
    [[ -f $mesos && -r $mesos ]] || refuse "MESOS_ARCHIVE: there is no file $mesos that you may read"
    [[ ${MESOS_SHA256:-} =~ ^[0-9a-f]{64}$ ]] || refuse "MESOS_SHA256 must be the digest of $mesos: 64 digits"
    mesos_tag=${MESOS_ID:-$MESOS_SHA256}
    mesos_tag=-mesos-${mesos_tag:0:12}
fi
with=
if [[ $action == report && -n ${MESOS_WITH_ARCHIVE:-} ]]; then
    with=$MESOS_WITH_ARCHIVE
    [[ -f $with && -r $with ]] || refuse "MESOS_WITH_ARCHIVE: there is no file $with that you may read"
    [[ ${MESOS_WITH_SHA256:-} =~ ^[0-9a-f]{64}$ ]] || refuse "MESOS_WITH_SHA256 must be the digest of $with: 64 digits"
fi
[[ $action != report || -n $mesos ]] || refuse "--mesos-report: MESOS_ARCHIVE says which Mesos"

tag_of() {
    local suffix= layer low may_hold
    may_hold=$(value_of may_hold "$1")
    [[ $may_hold != *,mesos,* ]] || suffix=$mesos_tag
    for layer in "${layers[@]}"; do
        low=$(printf '%s' "$layer" | tr '[:upper:]' '[:lower:]')
        [[ $may_hold != *,$low,* || ${!layer:-none} == none ]] || suffix=$suffix-$low
    done
    echo "triplewide/$1:$version_TRIPLEWIDE_VERSION$suffix"
}

# ---- Docker -------------------------------------------------------------------------------------------------------------------------

# The first `docker` on PATH that can build with BuildKit: clients up to 22 have it built in, later ones need the buildx plugin.
docker=
seen=()
while read -r candidate; do
    release=$("$candidate" --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\)\..*/\1/p') || true
    [[ -n $release ]] || continue
    if "$candidate" buildx version >/dev/null 2>&1; then
        # The daemon's own builder sees the images built before, so the next one can be based on them without a registry.
        export BUILDX_BUILDER=default
        docker=$candidate
        break
    fi
    if ((release >= 19 && release < 23)); then
        docker=$candidate
        break
    fi
    seen+=("$candidate (version $release, without buildx)")
done < <(type -aP docker | awk '!known[$0]++')
if [[ -z $docker ]]; then
    ((${#seen[@]})) || refuse "there is no docker command on PATH; install Docker."
    refuse "no docker command here can build with BuildKit: ${seen[*]}. Install the buildx plugin."
fi
export DOCKER_BUILDKIT=1

if ! daemon=$("$docker" info --format '{{.DockerRootDir}}' 2>&1) || [[ -z $daemon ]]; then
    refuse "Docker does not answer: ${daemon##*$'\n'} (is it running, and may you use it?)"
fi
data_root=${daemon##*$'\n'}

there() { "$docker" image inspect --format '{{.Id}}' "$1" >/dev/null 2>&1; }

free_mb() {
    # Docker may run on another machine or in a VM. Then its folder is not here, and the free space is unknown.
    [[ -d $data_root ]] || { echo 1000000; return; }
    df -Pm -- "$data_root" | awk 'NR == 2 { print $4 }'
}

if [[ $action == list ]]; then
    for image in "${ORDER[@]}"; do
        what=$(sed -n 's/^ *org.opencontainers.image.description="\(.*\)".*/\1/p' "$here/$image/Dockerfile" 2>/dev/null | sed "s/\${SPARK_VERSION}/$version_SPARK_VERSION/; s/\${ZOOKEEPER_VERSION}/$version_ZOOKEEPER_VERSION/; s/\${HADOOP_VERSION}/$version_HADOOP_VERSION/")
        size=$("$docker" image inspect --format '{{.Size}}' "$(tag_of "$image")" 2>/dev/null) && size="$((size / 1000000)) MB" || size="not built"
        printf '%-32s %-10s %s\n' "$(tag_of "$image")" "$size" "$what"
    done
    exit 0
fi

# One build at a time: two at once would overwrite each other's locked requirements or base image.
if command -v flock >/dev/null 2>&1; then
    exec 9<"$here/versions.env"
    if ! flock -n 9; then
        say "Another images/build.sh is running; waiting for it."
        flock -w 3600 9 || die "the other images/build.sh did not end within an hour"
    fi
fi

work=$(mktemp -d)
# Archives put into spark-python/mesos/, where its Dockerfile looks for a Mesos; they are removed at the end. An archive that was
# there before stays: `pulumi up` keeps its own there.
given=()
clean_up() { rm -rf "$work" ${given[@]+"${given[@]}"}; }
trap clean_up EXIT
give() { # ARCHIVE SHA256
    local place=$here/spark-python/mesos/$2.tar
    if [[ $1 == *.deb ]]; then place=${place%.tar}.deb; fi
    mkdir -p "${place%/*}"
    if [[ ! -e $place ]]; then
        given+=("$place")
        ln "$1" "$place" 2>/dev/null || cp "$1" "$place"
    fi
}
if [[ -n $mesos ]]; then give "$mesos" "$MESOS_SHA256"; fi
if [[ -n $with ]]; then give "$with" "$MESOS_WITH_SHA256"; fi

# ---- What this machine adds ---------------------------------------------------------------------------------------------------------

"$here/site.sh"

# Docker's predefined arguments for proxies: they are part of no layer, no history and no cache key.
proxies=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [[ -n ${!name:-} ]]; then proxies+=(--build-arg "$name"); fi
done

# ---- Disk ---------------------------------------------------------------------------------------------------------------------------

need=1500
if ! there "$(tag_of base)" || ! there "$(tag_of spark-python)"; then need=6000; fi
free=$(free_mb)
if ((free < need)); then
    refuse "Docker keeps its images in $data_root, where $free MB are free; this build needs about $need MB. \`docker system prune\` may help."
fi

# ---- Base ---------------------------------------------------------------------------------------------------------------------------

make_base() {
    "$here/../scripts/bootstrap.sh" mmdebstrap || die "$version_BASE_IMAGE can be neither pulled (${1:-no registry answers}) nor made here without mmdebstrap. Load it with \`docker load\`, or install mmdebstrap."
    say "$version_BASE_IMAGE cannot be pulled (${1:-no registry answers}); making it from Debian's packages (about a minute)."
    local sources=()
    if [[ -n ${APT_MIRROR:-} ]]; then
        sources=("deb $APT_MIRROR $version_DEBIAN_SUITE main" "deb $APT_MIRROR $version_DEBIAN_SUITE-updates main"
            "deb ${APT_SECURITY_MIRROR:-$APT_MIRROR-security} $version_DEBIAN_SUITE-security main")
    fi
    # Merged /usr and no documentation, as in Debian's own slim image. Without usr-is-merged, usrmerge would bring all of Perl.
    # No device files: containers get a /dev of their own, and a Docker that may not create device files (rootless, in a container)
    # could not unpack the image.
    mmdebstrap --variant=minbase --skip=output/dev --include=usr-is-merged --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
        "$version_DEBIAN_SUITE" "$work/base.tar" ${sources[@]+"${sources[@]}"} >&2 || die "mmdebstrap could not make the base (see above)"
    "$docker" import --change 'CMD ["bash"]' --change 'LABEL triplewide.base=local' "$work/base.tar" "$version_BASE_IMAGE" >/dev/null
    rm -f "$work/base.tar"
}

base=$version_BASE_IMAGE
if ! there "$base"; then
    reference=$base
    if [[ -n ${version_BASE_DIGEST:-} ]]; then reference=$base@$version_BASE_DIGEST; fi
    say "Pulling $reference"
    limit=()
    if command -v timeout >/dev/null 2>&1; then limit=(timeout 120); fi
    if ${limit[@]+"${limit[@]}"} "$docker" pull --quiet "$reference" >"$work/pull" 2>&1; then
        # An image that is pulled by digest gets no tag.
        [[ $reference == "$base" ]] || "$docker" tag "$reference" "$base"
    else
        make_base "$(tail -n 1 "$work/pull" | cut -c1-160)"
    fi
fi

# ---- Building -----------------------------------------------------------------------------------------------------------------------

# Only the arguments that a Dockerfile declares: another image's new version must not rebuild this one.
declare -a arguments
arguments_of() {
    local image=$1 name below
    arguments=(${proxies[@]+"${proxies[@]}"})
    while read -r name; do
        below=$(value_of argument "$image $name")
        if [[ -n $below ]]; then
            arguments+=(--build-arg "$name=$(tag_of "$below")")
            continue
        fi
        case $name in
            S3 | CONNECT) if [[ ${!name:-none} != none ]]; then arguments+=(--build-arg "$name=${!name}"); fi ;;
            MESOS) if [[ -n $mesos ]]; then arguments+=(--build-arg MESOS=archive); fi ;;
            MESOS_SHA256) if [[ -n $mesos ]]; then arguments+=(--build-arg "$name=$MESOS_SHA256"); fi ;;
            MESOS_WITH) if [[ -n $with ]]; then arguments+=(--build-arg MESOS_WITH=archive); fi ;;
            MESOS_WITH_SHA256) if [[ -n $with ]]; then arguments+=(--build-arg "$name=$MESOS_WITH_SHA256"); fi ;;
            MESOS_PARTS) if [[ -n $mesos ]]; then arguments+=(--build-arg "$name=${MESOS_PARTS:-java}"); fi ;;
            *) if [[ -n $(value_of version "$name") ]]; then arguments+=(--build-arg "$name=$(value_of version "$name")"); fi ;;
        esac
    done < <(sed -n 's/^ARG \([A-Z0-9_]*\).*/\1/p' "$here/$image/Dockerfile" | sort -u)
}

explain_failure() {
    if (($(free_mb) < 500)); then
        die "$1 was not built: the disk of Docker ($data_root) is full. \`docker system prune\` frees what nothing uses."
    fi
    die "$1 was not built (see above)."
}

# Prints what a lock is made from: the image's requirements.in and the locks of the images below it. The lock's first line holds the
# digest of this; the build checks it again.
lock_inputs() {
    local below
    cat "$here/$1/requirements.in"
    for below in $(value_of stands_on "$1"); do
        if [[ -f $here/$below/requirements.txt ]]; then cat "$here/$below/requirements.txt"; fi
    done
}

lock() {
    local image=$1 lockfile="$here/$1/requirements.txt" sum
    sum=$(lock_inputs "$image" | sha256)
    if [[ -f $lockfile ]] && head -n 1 "$lockfile" | grep -q "sha256:$sum\$"; then return 0; fi
    say "images/$image/requirements.in has changed: choosing exact versions anew (uv, in a container of the same Python)."
    [[ -f $lockfile ]] || : >"$lockfile"
    arguments_of "$image"
    if ! "$docker" build --progress plain --target lock --output "type=local,dest=$work/lock" ${arguments[@]+"${arguments[@]}"} "$here/$image" >"$work/log" 2>&1; then
        # Only uv's messages, without BuildKit's step numbers and times.
        local reason
        reason=$(sed -n 's/^#[0-9]* [0-9.]* \{0,1\}//p' "$work/log" | awk '/^ *(×|error:|Error:|ERROR:)/ { found = 1 } /^ERROR: executor failed/ { next } found { print }' | awk '!seen[$0]++' | sed 's/^/    /')
        [[ -s $lockfile ]] || rm -f "$lockfile"
        if [[ -n $reason ]]; then
            printf '%s\n' "images/build.sh: there is no set of versions that fits images/$image/requirements.in. uv says:" "$reason" "Nothing was changed or built. Correct the file and run this again." >&2
            exit 2
        fi
        tail -n 20 "$work/log" >&2
        explain_failure "the lock of $image"
    fi
    sed "1s/.*/# made from sha256:$sum/" "$work/lock/requirements.txt" >"$lockfile.new"
    mv "$lockfile.new" "$lockfile"
    rm -rf "$work/lock"
}

for image in "${images[@]}"; do
    [[ -f $here/$image/Dockerfile ]] || die "images/$image/Dockerfile is missing"
    if [[ -f $here/$image/requirements.in ]]; then lock "$image"; fi
    if [[ $action == lock && $image == "${images[${#images[@]} - 1]}" ]]; then continue; fi
    arguments_of "$image"
    if [[ $action == report && $image == spark-python ]]; then
        "$docker" build --progress plain --target mesos-report --output "type=local,dest=$work/report" ${arguments[@]+"${arguments[@]}"} "$here/$image" >&2
        cp "$work/report/report.json" "$report"
        exit 0
    fi
    say "== $(tag_of "$image")"
    "$docker" build --progress "$progress" --tag "$(tag_of "$image")" ${arguments[@]+"${arguments[@]}"} "$here/$image" >&2 || explain_failure "$image"
done
if [[ $action == lock ]]; then exit 0; fi

# ---- What came of it ----------------------------------------------------------------------------------------------------------------

origin=$("$docker" image inspect --format '{{if .Config.Labels}}{{index .Config.Labels "triplewide.base"}}{{end}} {{if .RepoDigests}}{{index .RepoDigests 0}}{{end}}' "$base")
case $origin in
    local*) echo "base: $base, made on this machine from Debian's packages" ;;
    *@*) echo "base: ${origin# }" ;;
    *) echo "base: $base, loaded on this machine (no digest)" ;;
esac
if [[ -n $mesos ]]; then echo "Mesos: $(basename "$mesos")"; fi
for image in "${images[@]}"; do
    "$docker" image inspect --format "{{.Id}} {{.Size}}" "$(tag_of "$image")" | while read -r id size; do
        printf '%-32s %s %5d MB\n' "$(tag_of "$image")" "${id:7:12}" "$((size / 1000000))"
    done
done
