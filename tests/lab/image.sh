#!/bin/bash
# The guest image of the lab's lxc driver: Debian 12 as a raw ext4 file system, close to Debian's own cloud image.
#   image.sh [FILE]
# LAB_PACKAGES  more packages to put in, separated by commas, such as docker.io,openjdk-17-jre-headless
# LAB_CA        a PEM file of certificate authorities that guests shall trust (a site's own, or a proxy's)
# Packages come from where this machine gets its own Debian packages. A guest needs no kernel: it runs on this machine's.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
FILE=${1:-${LAB_BASE:-/var/tmp/openstack-lab}/img/debian-12.ext4}
die() { printf 'image.sh: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run me as root"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing (cloud.sh install brings it)"
[ -z "${LAB_CA:-}" ] || [ -r "$LAB_CA" ] || die "LAB_CA=$LAB_CA: no such file"

# What Debian's cloud image holds, without kernel and boot loader.
STOCK=systemd-sysv,dbus,udev,libpam-systemd,cloud-init,openssh-server,sudo,python3,iproute2,ifupdown,isc-dhcp-client,netbase,nftables,\
iputils-ping,procps,curl,ca-certificates,openssl,gnupg,xz-utils,less,vim-tiny,e2fsprogs,fdisk,util-linux

settings() { # run by mmdebstrap with the new root as $1
  cat >"$1/etc/cloud/cloud.cfg.d/90_lab.cfg" <<'E'
datasource_list: [ ConfigDrive, OpenStack, None ]
datasource: { OpenStack: { max_wait: 120, timeout: 10 } }
locale: C.UTF-8
manage_etc_hosts: true
apt: { preserve_sources_list: true }
E
  printf '127.0.0.1 localhost\n' >"$1/etc/hosts"
  # The guest's first process, its runc, and names for its volumes: see the files themselves.
  install -m 755 "$HERE/guest/init" "$1/usr/local/sbin/lab-init"
  ln -sf /usr/local/sbin/lab-init "$1/sbin/init"
  install -m 755 "$HERE/guest/runc" "$1/usr/local/sbin/runc"
  install -m 755 "$HERE/guest/volumes" "$1/usr/local/sbin/lab-volumes"
  install -m 644 "$HERE/guest/lab-volumes.service" "$HERE/guest/lab-volumes.path" "$1/etc/systemd/system/"
  mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
  ln -s ../lab-volumes.path ../lab-volumes.service "$1/etc/systemd/system/multi-user.target.wants/"
  local u
  for u in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer getty-static.service; do ln -sf /dev/null "$1/etc/systemd/system/$u"; done
  rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id" "$1/var/lib/dbus/machine-id"; : >"$1/etc/machine-id"
  if [ -n "${LAB_CA:-}" ]; then
    awk -v d="$1/usr/local/share/ca-certificates" '/-----BEGIN CERT/ {n++} n {print > (d "/lab-" n ".crt")}' "$LAB_CA"
    chroot "$1" update-ca-certificates >/dev/null
  fi
}

if [ "${1:-}" = --settings ]; then settings "$2"; exit; fi

mkdir -p "$(dirname "$FILE")"
ROOT=$(mktemp -d "$(dirname "$FILE")/.image.XXXX"); trap 'rm -rf "$ROOT" "$FILE.new"' EXIT
SOURCES=$(for f in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do if [ -s "$f" ]; then cat "$f"; echo; fi; done)
[ -n "$SOURCES" ] || die "no Debian package source in /etc/apt"
mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' --include="$STOCK${LAB_PACKAGES:+,$LAB_PACKAGES}" \
  --customize-hook="'$HERE/image.sh' --settings \"\$1\"" bookworm "$ROOT" - <<<"$SOURCES"
size=$(($(du -sm --apparent-size "$ROOT" | cut -f1) * 5 / 4 + 100))
rm -f "$FILE.new"; mkfs.ext4 -q -L root -O ^has_journal -d "$ROOT" "$FILE.new" "${size}M"
mv "$FILE.new" "$FILE"
echo "$FILE: $size MiB"
