#!/bin/bash
# A small OpenStack (Zed, from Debian 12 packages) on this machine, for tests. No systemd, no DevStack, no containers.
#
#   cloud.sh install                the packages (once)
#   cloud.sh start                  controller, network and first compute node; LAB_DRIVER=fake|lxc
#   cloud.sh add NODE [IP]          another compute node (strict anti-affinity needs several); LAB_ZONE names its zone
#   cloud.sh image [NAME]           build a guest image (debian-12) and upload it (lxc only; see image.sh)
#   cloud.sh status | stop | reset  reset = stop and forget everything except packages, image and empty schemas
#   cloud.sh sh [NODE] [CMD...]     a shell inside a node
#   cloud.sh openstack ARGS...      the openstack command as admin (LAB_CLOUD=demo: as the demo user)
#   cloud.sh quota NAME=N...        quotas of project demo, -1 = none; at start: LAB_QUOTA_INSTANCES=N and so on
#   cloud.sh leftovers              everything that project demo owns, as JSON
#   cloud.sh project NAME           another user and project, so that tests do not see each other; prints its credentials;
#                                   LAB_PROJECT=NAME points quota and leftovers at it
#   cloud.sh fault WHAT             compute-api-down  compute-api-up  (also identity, image, network, volume)
#                                   scheduling-off    scheduling-on   (off: new servers end in ERROR, "No valid host")
#                                   server-error NAME                 (Nova then shows ERROR)
#
# LAB_DRIVER  fake: servers turn ACTIVE with nothing inside, ports stay DOWN. lxc: real guests with systemd, cloud-init,
#             ssh on floating IPs, Docker and data volumes. Both: Keystone, Glance, Nova, Neutron, Cinder, Placement.
# LAB_BASE    where everything is kept (/var/tmp/openstack-lab). Two labs can run side by side: give the second one
#             its own LAB_BASE and its own LAB_PREFIX (172.24.4 = the /24 of the APIs and the floating IPs).
# After `start`: `. $LAB_BASE/READY` for credentials (user demo), the image's name and a DNS server for subnets.
#
# How: a node is a set of pid, mount, network, UTS and IPC namespaces over an overlay of / whose upper layer is in
# $LAB_BASE/nodes/NODE, so this machine's /etc, /var, /run and network stay as they were.
set -Eeuo pipefail
trap 'echo "cloud.sh: line $LINENO failed: $BASH_COMMAND" >&2' ERR
HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
unset PYTHONDONTWRITEBYTECODE
PASSWORD=secret       # of every account: nothing outside this machine can reach the lab
PACKAGES=(mariadb-server rabbitmq-server memcached uwsgi-plugin-python3 iptables ipset
  keystone placement-api glance-api nova-api nova-conductor nova-scheduler nova-compute nova-compute-kvm
  neutron-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-l3-agent neutron-metadata-agent
  cinder-api cinder-scheduler cinder-volume python3-openstackclient python3-openstacksdk
  qemu-utils genisoimage libvirt-daemon-driver-lxc mmdebstrap openssl)
PATIENCE=${LAB_PATIENCE:-300}   # seconds to wait for any one thing

die() { printf 'cloud.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%4ss %s\n' "$SECONDS" "$*"; }

# ---------------------------------------------------------------------------------------------------- settings
# A lab remembers what it was started with, so that later commands need LAB_BASE only.
load_settings() { # VERB
  BASE=${LAB_BASE:-/var/tmp/openstack-lab}
  local saved_driver='' saved_prefix=''
  if [ -e "$BASE/settings" ]; then read -r saved_driver saved_prefix <"$BASE/settings"; fi
  DRIVER=${LAB_DRIVER:-${saved_driver:-fake}}
  PREFIX=${LAB_PREFIX:-${saved_prefix:-172.24.4}}
  if [ "$1" != start ] && [ -n "$saved_driver" ]; then DRIVER=$saved_driver PREFIX=$saved_prefix; fi
  [[ $DRIVER = fake || $DRIVER = lxc ]] || die "LAB_DRIVER=$DRIVER: must be fake or lxc"
  [[ $PREFIX =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "LAB_PREFIX=$PREFIX: must be the first three numbers of a /24, such as 172.24.4"
  [[ $BASE = /* ]] || die "LAB_BASE=$BASE: must be an absolute path"
  HOST_IP=$PREFIX.1 C=$PREFIX.2 NET=$PREFIX.0/24 LINK=lab-$PREFIX
  IMAGES=$BASE/img VOLUMES=$BASE/volumes INSTANCES=$BASE/instances
}

upstream_dns() { # the first name server that a guest can reach (a loopback stub is none)
  local f ip
  for f in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    ip=$(awk '/^nameserver/ && $2 !~ /^127\.|:/ {print $2; exit}' "$f" 2>/dev/null || true)
    if [ -n "$ip" ]; then echo "$ip"; return; fi
  done
  echo 9.9.9.9
}

# ---------------------------------------------------------------------------------------------------- checks
need_root() { [ "$(id -u)" = 0 ] || die "run me as root"; }

need_debian() {
  [ "$(sed -n 's/^ID=//p; s/^VERSION_ID=//p' /etc/os-release | sort | tr -d '\n"')" = 12debian ] ||
    die "needs Debian 12, whose packages are OpenStack Zed; this is $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release)"
}

need_packages() {
  local missing
  missing=$(for p in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -Wf '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf ' %s' "$p"; done)
  [ -z "$missing" ] || die "packages missing:$missing (run: cloud.sh install)"
}

need_kernel() {
  local missing=() free c
  if command -v modprobe >/dev/null; then for m in overlay bridge br_netfilter vxlan veth ip_set loop fuse; do modprobe -q "$m" || true; done; fi
  grep -qw overlay /proc/filesystems || missing+=("overlay file system")
  unshare --net ip link add lab0 type bridge 2>/dev/null || missing+=("bridges")
  unshare --net ip link add lab0 type veth peer name lab1 2>/dev/null || missing+=("veth pairs")
  unshare --net sh -c 'ip link set lo up; ip link add lab0 type vxlan id 1 dev lo dstport 4789' 2>/dev/null || missing+=("VXLAN")
  unshare --net ipset create s hash:net 2>/dev/null || missing+=("ipset")
  for c in nat raw mangle filter; do unshare --net iptables -w -t $c -S >/dev/null 2>&1 || missing+=("iptables table $c"); done
  [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || missing+=("br_netfilter (security groups)")
  [ -e /dev/net/tun ] || missing+=("/dev/net/tun")
  if [ "$DRIVER" = lxc ]; then
    [ -e /dev/loop-control ] || missing+=("loop devices")
    [ -e /dev/fuse ] || missing+=("FUSE")
    for c in memory devices freezer cpu cpuacct blkio cpuset; do
      grep -qE " /sys/fs/cgroup/[^ ]* cgroup [^ ]*\b$c\b" /proc/mounts || missing+=("cgroup v1 controller $c (boot with systemd.unified_cgroup_hierarchy=0)")
    done
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    printf 'cloud.sh: this kernel lacks, or this container may not use: %s\n' "${missing[@]}" >&2
    exit 1
  fi
  free=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
  [ "$free" -ge 4500 ] || die "$free MiB of memory available: the control plane alone takes about 4 GiB"
  ! ip -4 -o addr show | grep -qF " $HOST_IP/" || die "$HOST_IP is already an address of this machine (another lab? set LAB_PREFIX)"
}

need_running() { pid_of ctl >/dev/null || die "no lab is running in $BASE (run: cloud.sh start)"; }

# ---------------------------------------------------------------------------------------------------- nodes
# The controller's node is called ctl; it is a compute node as well.
pid_of() {
  local p
  p=$(cat "$BASE/nodes/$1/pid" 2>/dev/null) || return 1
  [ "$({ tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null)" = "bash -e $BASE/nodes/$1/init " ] || return 1
  echo "$p"
}
node_root() { echo "/proc/$(pid_of "$1")/root"; }
inside() { local n=$1; shift; nsenter -t "$(pid_of "$n")" -a -- "$@"; }
daemon() { # NODE NAME COMMAND...: in the background, its output in the log directory
  local n=$1 name=$2; shift 2
  # shellcheck disable=SC2016
  inside "$n" setsid -f bash -c 'echo $$ >/run/lab/$0.pid; exec "$@"' "$name" "$@" </dev/null >>"$BASE/log/$n-$name.log" 2>&1 9>&-
}
wait_for() { # WHAT LOG COMMAND...
  local what=$1 log=$2 end=$((SECONDS + PATIENCE)); shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      { echo "cloud.sh: $what did not come up in ${PATIENCE}s. $BASE/log/$log.log ends with:"; tail -n 15 "$BASE/log/$log.log"; } >&2
      exit 1
    fi
    sleep .2
  done
}
listens() { (exec 3<>"/dev/tcp/$C/$1") 2>/dev/null; }
gone() { ! listens "$1"; }

node_up() { # NODE IP: namespaces, an overlay for root, one network card
  local n=$1 ip=$2 d=$BASE/nodes/$1 p
  mkdir -p "$d"/{upper,work,root} "$IMAGES" "$VOLUMES" "$INSTANCES"
  echo "$ip" >"$d/ip"; rm -f "$d/pid"
  cat >"$d/init" <<E
read -r p _ </proc/self/stat; echo \$p >$d/pid   # as seen from outside
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=/,upperdir=$d/upper,workdir=$d/work $d/root; cd $d/root
mount -t proc proc proc; mount -t sysfs sysfs sys
if [ -e /sys/fs/cgroup ]; then mount --rbind /sys/fs/cgroup sys/fs/cgroup; umount sys/fs/cgroup/unified 2>/dev/null || :; fi   # libvirt's LXC fails on a hybrid layout
mount --rbind /dev dev
for t in dev/shm run tmp; do mount -t tmpfs tmpfs \$t; done; chmod 1777 dev/shm tmp
for s in $IMAGES $VOLUMES $INSTANCES; do mkdir -p .\$s; mount --bind \$s .\$s; done
pivot_root . mnt; cd /; umount -l /mnt; hostname $n; mkdir -p /run/lock /run/lab
printf '127.0.0.1 localhost\n$C ctl\n$ip $n\n' >/etc/hosts; touch /run/lab/up
trap 'kill -KILL -1' TERM; while :; do sleep 1d & wait \$!; done
E
  setsid -f unshare --fork --pid --mount --net --uts --ipc --kill-child bash -e "$d/init" </dev/null >"$BASE/log/$n-init.log" 2>&1 9>&-
  wait_for "node $n" "$n-init" test -s "$d/pid"; p=$(cat "$d/pid")
  wait_for "node $n" "$n-init" test -e "/proc/$p/root/run/lab/up"
  inside "$n" ip link set lo up
  if [ "$n" = ctl ]; then
    ip link add "$LINK" type veth peer name host netns "$p"
    ip addr add "$HOST_IP/24" dev "$LINK"; ip link set "$LINK" up; nat on
    inside ctl sh -c "ip link add br0 type bridge forward_delay 0; ip link set host master br0; ip link set host up; ip link set br0 up; ip addr add $C/24 dev br0; ip route add default via $HOST_IP"
  else
    ip link add "v-$n" netns "$(pid_of ctl)" type veth peer name br0 netns "$p"   # its card is called br0 too
    inside ctl sh -c "ip link set v-$n master br0; ip link set v-$n up"
    inside "$n" sh -c "ip link set br0 up; ip addr add $ip/24 dev br0; ip route add default via $HOST_IP"
  fi
}

nat() { # on|off: guests reach out through this machine, whatever its FORWARD policy is
  local rule=(-m comment --comment "$LINK" -j) op=-I
  if [ "$1" = on ]; then cat /proc/sys/net/ipv4/ip_forward >"$BASE/ip_forward"; echo 1 >/proc/sys/net/ipv4/ip_forward; else op=-D; fi
  iptables -w -t nat $op POSTROUTING -s "$NET" ! -d "$NET" "${rule[@]}" MASQUERADE || return 0
  iptables -w $op FORWARD -i "$LINK" "${rule[@]}" ACCEPT; iptables -w $op FORWARD -o "$LINK" "${rule[@]}" ACCEPT
  if [ "$1" = off ] && [ "$(cat "$BASE/ip_forward" 2>/dev/null)" = 0 ] && ! compgen -G '/sys/class/net/docker0' >/dev/null && ! compgen -G '/sys/class/net/lab-*' >/dev/null; then echo 0 >/proc/sys/net/ipv4/ip_forward; fi
}

configure() { # NODE IP: every configuration file of a node
  local n=$1 ip=$2 e db=mysql+pymysql://os:$PASSWORD@$C mq="transport_url = rabbit://os:$PASSWORD@$C:5672/"
  local cache=memcached_servers=$C:11211 lock=$'[oslo_concurrency]\nlock_path=/var/lock'
  e=$(node_root "$n")/etc
  auth() {
    printf '[%s]\n' "$1"
    printf '%s\n' auth_type=password "auth_url=http://$C:5000/v3" "www_authenticate_uri=http://$C:5000/v3" username=service \
      "password=$PASSWORD" project_name=service user_domain_id=default project_domain_id=default region_name=RegionOne
  }
  cat >"$e/keystone/keystone.conf" <<E
[database]
connection=$db/keystone
[token]
provider=fernet
[cache]
enabled=true
backend=dogpile.cache.pymemcache
memcache_servers=$C:11211
E
  cat >"$e/placement/placement.conf" <<E
[placement_database]
connection=$db/placement
[api]
auth_strategy=keystone
$(auth keystone_authtoken)
$cache
E
  cat >"$e/glance/glance-api.conf" <<E
[DEFAULT]
bind_host=$C
workers=1
enabled_backends=fs:file
[database]
connection=$db/glance
[glance_store]
default_backend=fs
[fs]
filesystem_store_datadir=/var/lib/glance/images
[paste_deploy]
flavor=keystone
$(auth keystone_authtoken)
$cache
E
  # Compute nodes share one directory of instances, as over NFS: an image is copied out of Glance once, not once a node.
  cat >"$e/nova/nova.conf" <<E
[DEFAULT]
$mq
my_ip=$ip
state_path=/var/lib/nova
instances_path=$INSTANCES
osapi_compute_listen=$C
osapi_compute_workers=2
metadata_listen=$C
metadata_workers=1
allow_resize_to_same_host=true
cpu_allocation_ratio=200
ram_allocation_ratio=${LAB_RAM_RATIO:-1}
disk_allocation_ratio=100
reserved_host_memory_mb=0
force_raw_images=false
compute_driver=$(if [ "$DRIVER" = fake ]; then echo fake.FakeDriver; else echo libvirt.LibvirtDriver; fi)
$(if [ "$n" = ctl ]; then printf '[api_database]\nconnection=%s\n[database]\nconnection=%s' "$db/nova_api" "$db/nova"; fi)
[libvirt]
virt_type=$(if [ "$DRIVER" = fake ]; then echo qemu; else echo lxc; fi)
cpu_mode=none
images_type=raw
device_detach_timeout=2
[image_cache]
manager_interval=-1
[conductor]
workers=1
[scheduler]
workers=1
discover_hosts_in_cells_interval=5
[quota]
instances=-1
cores=-1
ram=-1
server_groups=-1
server_group_members=-1
key_pairs=-1
[vnc]
enabled=false
[glance]
api_servers=http://$C:9292
$(auth keystone_authtoken)
$cache
$(auth service_user)
send_service_user_token=true
$(auth placement)
$(auth cinder)
catalog_info=volumev3::publicURL
$(auth neutron)
service_metadata_proxy=true
metadata_proxy_shared_secret=$PASSWORD
[workarounds]
disable_rootwrap=true
$lock
E
  : >"$e/nova/nova-compute.conf"
  cat >"$e/neutron/neutron.conf" <<E
[DEFAULT]
$mq
bind_host=$C
core_plugin=ml2
service_plugins=router
api_workers=1
rpc_workers=1
rpc_state_report_workers=0
metadata_workers=1
interface_driver=linuxbridge
nova_metadata_host=$C
metadata_proxy_shared_secret=$PASSWORD
enable_isolated_metadata=true
dhcp_driver=neutron.agent.linux.dhcp.Dnsmasq
dnsmasq_dns_servers=$(upstream_dns)
agent_down_time=75
notify_nova_on_port_status_changes=true
notify_nova_on_port_data_changes=true
state_path=/var/lib/neutron
[experimental]
linuxbridge=true
[agent]
report_interval=20
root_helper=
[database]
connection=$db/neutron
[quotas]
$(for q in network subnet port router floatingip security_group security_group_rule; do echo "quota_$q=-1"; done)
$(auth keystone_authtoken)
$cache
$(auth nova)
$lock
E
  cat >"$e/neutron/ml2.ini" <<E
[ml2]
type_drivers=flat,vxlan
tenant_network_types=vxlan
mechanism_drivers=linuxbridge,l2population
extension_drivers=port_security
[ml2_type_flat]
flat_networks=public
[ml2_type_vxlan]
vni_ranges=1:10000
[linux_bridge]
$(if [ "$n" = ctl ]; then echo bridge_mappings=public:br0; fi)
[vxlan]
enable_vxlan=true
l2_population=true
local_ip=$ip
[securitygroup]
firewall_driver=iptables
enable_ipset=true
E
  # lab_cinder.py keeps volumes as sparse files and hands them out as loop devices: no LVM, no iSCSI, so no kernel modules.
  cat >"$e/cinder/cinder.conf" <<E
[DEFAULT]
$mq
my_ip=$ip
osapi_volume_listen=$C
osapi_volume_workers=1
auth_strategy=keystone
api_paste_config=/etc/cinder/api-paste.ini
state_path=/var/lib/cinder
storage_availability_zone=nova
glance_api_servers=http://$C:9292
enabled_backends=lab
quota_volumes=-1
quota_gigabytes=-1
quota_snapshots=-1
[lab]
volume_driver=lab_cinder.LoopDriver
volume_backend_name=lab
lab_directory=$VOLUMES
lab_attach=$(if [ "$DRIVER" = lxc ]; then echo true; else echo false; fi)
[database]
connection=$db/cinder
$(auth keystone_authtoken)
$cache
service_token_roles_required=true
$lock
E
  printf 'unix_sock_group="root"\nauth_unix_rw="none"\n' >"$e/libvirt/libvirtd.conf"
  install -D -m 644 "$HERE/lab_cinder.py" "$e/../usr/local/lib/python3.11/dist-packages/lab_cinder.py"
  install -D -m 755 "$HERE/nova_compute.py" "$e/../usr/local/bin/lab-nova-compute"
}

# ---------------------------------------------------------------------------------------------------- services
SERVICES=(identity:5000:keystone placement:8778:placement image:9292:glance compute:8774:nova-api network:9696:neutron volume:8776:cinder-api)

# A guest's console holds a few KB. Where nobody reads it, systemd in the guest waits for that, and all else waits for systemd.
# shellcheck disable=SC2016
CONSOLES='declare -A readers
  while sleep 2; do
    for guest in $(virsh -q -c lxc:/// list --name 2>/dev/null); do
      kill -0 "${readers[$guest]:-none}" 2>/dev/null && continue
      cat "$(virsh -q -c lxc:/// ttyconsole "$guest")" >>"/var/log/console-$guest.log" & readers[$guest]=$!
    done
  done'

launch() { # NODE NAME
  local n=$1 s=$2 neutron=(--config-file /etc/neutron/neutron.conf --config-file /etc/neutron/ml2.ini)
  case $s in
    keystone) wsgi keystone 5000 keystone-wsgi-public 2 ;;
    placement) wsgi placement 8778 placement-api 1 ;;
    glance) daemon "$n" glance glance-api ;;
    neutron) daemon "$n" neutron neutron-server "${neutron[@]}" ;;
    nova-api) daemon "$n" nova-api bash -c 'sed "0,/^\[DEFAULT\]/s//&\nenabled_apis=osapi_compute/" /etc/nova/nova.conf >/run/lab/nova-api.conf; exec nova-api --config-file /run/lab/nova-api.conf' ;;
    nova-metadata) daemon "$n" nova-metadata bash -c 'sed "0,/^\[DEFAULT\]/s//&\nenabled_apis=metadata/" /etc/nova/nova.conf >/run/lab/nova-metadata.conf; exec nova-api --config-file /run/lab/nova-metadata.conf' ;;
    consoles) daemon "$n" consoles bash -c "$CONSOLES" ;;
    nova-compute) daemon "$n" nova-compute /usr/local/bin/lab-nova-compute ;;
    l3 | dhcp | metadata | linuxbridge) daemon "$n" "neutron-$s" "neutron-$s-agent" "${neutron[@]}" ;;
    *) daemon "$n" "$s" "$s" ;;
  esac
}

wsgi() { # NAME PORT SCRIPT PROCESSES
  daemon ctl "$1" uwsgi_python3 --http-socket "$C:$2" --wsgi-file "/usr/bin/$3" --master --processes "$4" --lazy-apps --die-on-term \
    --buffer-size 65535 --need-app --add-header "Connection: close" --rem-header Content-Length --disable-logging --procname-prefix "$1 " --enable-threads
}

SQL=(mariadb --no-defaults -S /run/mysqld/mysqld.sock)
mariadb_start() {
  local m=(--no-defaults --user=mysql --datadir=/srv/mysql --socket=/run/mysqld/mysqld.sock)
  inside ctl mkdir -p /run/mysqld /srv/mysql; inside ctl chown mysql: /run/mysqld /srv/mysql
  if [ ! -d "$(node_root ctl)/srv/mysql/mysql" ]; then inside ctl mariadb-install-db "${m[@]}" --skip-test-db >>"$BASE/log/ctl-mariadb.log" 2>&1; fi
  daemon ctl mariadb mariadbd "${m[@]}" --bind-address="$C" --max-connections=1000 --innodb-flush-log-at-trx-commit=0 \
    --innodb-flush-method=nosync --innodb-buffer-pool-size=256M --skip-name-resolve
  wait_for MariaDB ctl-mariadb inside ctl "${SQL[@]}" -e 'select 1'
}
mariadb_stop() { inside ctl timeout 30 mariadb-admin --no-defaults -S /run/mysqld/mysqld.sock shutdown >/dev/null 2>&1 || true; }

infrastructure() { # database, message queue, cache
  daemon ctl memcached memcached -u nobody -l "$C" -m 64
  # shellcheck disable=SC2016
  inside ctl sh -c 'mkdir -p /srv/rabbit; chown rabbitmq: /srv/rabbit; printf "loopback_users=none\ndefault_user=os\ndefault_pass=%s\nlisteners.tcp.1=%s:5672\n" "$1" "$2" >/srv/rabbit/r.conf' - "$PASSWORD" "$C"
  daemon ctl rabbitmq env RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_MNESIA_BASE=/srv/rabbit RABBITMQ_LOG_BASE=/srv/rabbit RABBITMQ_CONFIG_FILE=/srv/rabbit/r.conf \
    RABBITMQ_ENABLED_PLUGINS_FILE=/dev/null RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none" ERL_EPMD_ADDRESS=127.0.0.1 rabbitmq-server
  # Empty schemas depend on package versions only: made once, copied afterwards.
  local template upper=$BASE/nodes/ctl/upper
  template=$BASE/template/$(dpkg-query -Wf '${Package}=${Version}\n' mariadb-server keystone placement-api glance-api nova-api neutron-server cinder-api | cat - <(echo "$C") | sha256sum | cut -c1-16)
  if [ ! -d "$upper/srv/mysql/mysql" ] && [ -d "$template" ]; then tar -C "$template" -cf - . | inside ctl tar -C / -xf -; fi
  mariadb_start
  if [ ! -e "$(node_root ctl)/srv/schemas.done" ]; then
    say "schemas (a few minutes, this once)"
    schemas || { tail -n 20 "$BASE/log/schemas.log" >&2; die "schemas failed, see $BASE/log/schemas.log"; }
    mariadb_stop
    rm -rf "$BASE/template"; mkdir -p "$template.new"
    inside ctl tar -C / -cf - srv/mysql srv/schemas.done etc/keystone/fernet-keys etc/keystone/credential-keys | tar -C "$template.new" -xf -
    mv "$template.new" "$template"
    mariadb_start
  fi
  wait_for RabbitMQ ctl-rabbitmq listens 5672
}

schemas() {
  { for d in keystone placement glance nova_api nova nova_cell0 neutron cinder; do echo "create or replace database $d character set utf8;"; done
    echo "create or replace user os@'%' identified by '$PASSWORD'; grant all on *.* to os@'%';"; } | inside ctl "${SQL[@]}"
  # shellcheck disable=SC2016
  inside ctl bash -euc '
    ( keystone-manage db_sync; keystone-manage fernet_setup --keystone-user root --keystone-group root
      keystone-manage credential_setup --keystone-user root --keystone-group root
      keystone-manage bootstrap --bootstrap-password "$1" --bootstrap-region-id RegionOne --bootstrap-{admin,internal,public}-url="http://$2:5000/v3"
      placement-manage db sync ) & a=$!
    ( neutron-db-manage --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/ml2.ini upgrade head ) & b=$!
    ( cinder-manage db sync; glance-manage db_sync ) & c=$!
    ( nova-manage api_db sync; nova-manage cell_v2 map_cell0; nova-manage db sync; nova-manage cell_v2 create_cell --name=cell1 ) & d=$!
    wait $a; wait $b; wait $c; wait $d; touch /srv/schemas.done' - "$PASSWORD" "$C" >>"$BASE/log/schemas.log" 2>&1
}

compute_up() { # NODE
  if [ "$DRIVER" = lxc ]; then launch "$1" virtlogd; launch "$1" libvirtd; launch "$1" consoles; fi
  launch "$1" linuxbridge; launch "$1" nova-compute
}

admin() { /usr/bin/python3 "$HERE/cloud.py" "$C" "$PASSWORD" "$@"; }
exec_admin() { exec /usr/bin/python3 "$HERE/cloud.py" "$C" "$PASSWORD" "$@"; }

# ---------------------------------------------------------------------------------------------------- verbs
install_packages() {
  need_debian
  local rc=0 policy=/usr/sbin/policy-rc.d   # keeps the packages from starting their services here
  mkdir -p "$BASE"
  if [ -e $policy ]; then cp -a $policy "$BASE/policy-rc.d.saved"; fi
  printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
  apt-get -q -o DPkg::Lock::Timeout=900 update </dev/null || rc=$?
  [ $rc != 0 ] || apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=900 -o Dpkg::Options::=--force-confold \
    -o Dpkg::Options::=--force-unsafe-io install "${PACKAGES[@]}" </dev/null || rc=$?
  if [ -e "$BASE/policy-rc.d.saved" ]; then mv "$BASE/policy-rc.d.saved" $policy; else rm -f $policy; fi
  [ $rc = 0 ] || die "apt-get failed ($rc)"
}

start() {
  need_debian
  if pid_of ctl >/dev/null; then
    [ -e "$BASE/READY" ] || die "a start failed in $BASE: run stop first"
    say "already running in $BASE"; return
  fi
  need_packages; need_kernel
  if [ -e "$BASE/settings" ] && [ "$(cat "$BASE/settings")" != "$DRIVER $PREFIX" ]; then
    die "$BASE holds a lab made with '$(cat "$BASE/settings")', not '$DRIVER $PREFIX': run reset first, or set LAB_BASE"
  fi
  [ ! -d "$BASE/nodes/aio" ] || die "$BASE/nodes holds another script's lab: stop it there, then run reset here"
  mkdir -p "$BASE"/{log,nodes}; echo "$DRIVER $PREFIX" >"$BASE/settings"; rm -f "$BASE/READY"
  node_up ctl "$C"; configure ctl "$C"; say "namespaces and configuration"
  infrastructure; say "database, message queue, cache"
  launch ctl keystone; launch ctl placement
  launch ctl glance; launch ctl neutron
  wait_for Keystone ctl-keystone listens 5000
  admin identity     # users, services, endpoints: Nova and Cinder want them when they start
  local s
  for s in nova-conductor nova-api nova-metadata nova-scheduler l3 dhcp metadata cinder-api cinder-scheduler cinder-volume; do launch ctl $s; done
  compute_up ctl; say "services started"
  for s in "${SERVICES[@]}"; do IFS=: read -r what port log <<<"$s"; wait_for "the $what API" "ctl-$log" listens "$port"; done; say "APIs listen"
  admin cloud "$PREFIX" "$DRIVER"
  local q quotas=()
  for q in $(compgen -e LAB_QUOTA_ || true); do quotas+=("$(tr '[:upper:]' '[:lower:]' <<<"${q#LAB_QUOTA_}")=${!q}"); done
  if [ ${#quotas[@]} -gt 0 ]; then admin quota "${quotas[@]}"; fi
  local d
  for d in "$BASE"/nodes/*/; do d=$(basename "$d"); if [ "$d" != ctl ]; then add "$d" "$(cat "$BASE/nodes/$d/ip")"; fi; done
  write_ready; say "ready: . $BASE/READY"
}

write_ready() {
  cat >"$BASE/clouds.yaml" <<E
clouds:
  demo:
    region_name: RegionOne
    auth: {auth_url: "http://$C:5000/v3", username: demo, password: $PASSWORD, project_name: demo, user_domain_name: Default, project_domain_name: Default}
  admin:
    region_name: RegionOne
    auth: {auth_url: "http://$C:5000/v3", username: admin, password: $PASSWORD, project_name: admin, user_domain_name: Default, project_domain_name: Default}
E
  cat >"$BASE/READY.new" <<E
export OS_AUTH_URL=http://$C:5000/v3 OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne
export OS_USERNAME=demo OS_PASSWORD=$PASSWORD OS_PROJECT_NAME=demo OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default
export LAB_DRIVER=$DRIVER
export LAB_IMAGE=debian-12               # user debian; with the fake driver an empty image of that name
export LAB_EXTERNAL_NETWORK=public       # floating IPs $PREFIX.100-250
export LAB_DNS=$(upstream_dns)           # dns_nameservers for subnets; a subnet without any gets a working one by DHCP
# Flavors: m1.nano (1 vCPU, 128 MiB, 1 GB) m1.tiny (1, 512, 3) m1.small (1, 1024, 5) m1.medium (2, 2048, 10) m1.large (2, 4096, 20)
# Zones: nova (compute, volume and network). Tenant networks have an MTU of 1450. As admin: OS_CLIENT_CONFIG_FILE=$BASE/clouds.yaml, cloud admin
E
  mv "$BASE/READY.new" "$BASE/READY"
}

add() { # NODE [IP]
  local n=$1 ip=${2:-} used i
  [[ $n =~ ^[a-z][a-z0-9]{0,8}$ ]] || die "add: '$n' is no node name (a letter, then up to 8 letters and digits)"
  if pid_of "$n" >/dev/null; then say "$n already running"; return; fi
  if [ -z "$ip" ]; then
    used=" $(cat "$BASE"/nodes/*/ip | tr '\n' ' ')"
    if [ -e "$BASE/nodes/$n/ip" ]; then ip=$(cat "$BASE/nodes/$n/ip"); else
      for i in {11..99}; do if [[ $used != *" $PREFIX.$i "* ]]; then ip=$PREFIX.$i; break; fi; done; fi
  fi
  [[ $ip = "$PREFIX".* ]] || die "add: $ip is not in $NET"
  node_up "$n" "$ip"; configure "$n" "$ip"; compute_up "$n"
  admin wait-host "$n" "$PATIENCE" "${LAB_ZONE:-}" || { tail -n 15 "$BASE/log/$n-nova-compute.log" >&2; die "compute node $n did not come up"; }
  say "$n ($ip) takes servers"
}

stop() { # kill the namespaces, then take away what lived outside of them
  local d n p f
  if pid_of ctl >/dev/null; then mariadb_stop; fi
  for d in "$BASE"/nodes/*/; do
    n=$(basename "$d"); p=$(pid_of "$n") || continue
    kill -KILL "$p"; while [ -d "/proc/$p" ]; do sleep .1; done
    rm -f "$d/pid"
  done
  losetup -ln -O NAME,BACK-FILE | while read -r d f; do if [[ $f = "$INSTANCES"/* || $f = "$VOLUMES"/* ]]; then losetup -d "$d"; fi; done
  rm -f "$VOLUMES"/*.device
  ip link del "$LINK" 2>/dev/null || true   # usually gone with its namespace
  if iptables -w -t nat -C POSTROUTING -s "$NET" ! -d "$NET" -m comment --comment "$LINK" -j MASQUERADE 2>/dev/null; then nat off; fi
  # cgroups of guests that are no more (libvirt removes only those that it made; see guest/init for the others)
  for n in $({ cd /sys/fs/cgroup 2>/dev/null && compgen -G '*/machine/*lxc-*.libvirt-lxc' || true; } | sed 's#.*/\(guest-\)\?##' | sort -u); do
    find /sys/fs/cgroup/*/machine/{,guest-}"$n" -name cgroup.procs -exec cat {} + 2>/dev/null | grep -q . ||
      find /sys/fs/cgroup/*/machine/{,guest-}"$n" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  rmdir /sys/fs/cgroup/*/machine 2>/dev/null || true
  rm -f "$BASE/READY" "$BASE/ip_forward"
}

reset() { stop; rm -rf "${BASE:?}"/{nodes,log,volumes,instances,settings,clouds.yaml,seed.py}; }

status() {
  local d n p s what port log
  [ -e "$BASE/READY" ] && echo "ready, driver $DRIVER: . $BASE/READY"
  for d in "$BASE"/nodes/*/; do if [ -d "$d" ]; then n=$(basename "$d"); echo "node $n $(cat "$d/ip" 2>/dev/null || true): $(pid_of "$n" || echo stopped)"; fi; done
  pid_of ctl >/dev/null || { echo "not running"; return 0; }
  for s in "${SERVICES[@]}"; do IFS=: read -r what port log <<<"$s"; echo "$what API :$port $(if listens "$port"; then echo up; else echo DOWN; fi)"; done
  for d in "$BASE"/nodes/*/; do n=$(basename "$d"); if p=$(pid_of "$n"); then inside "$n" ps -eo rss= | awk -v n="$n" '{s += $1} END {printf "memory of %s, shared pages counted often: %d MiB\n", n, s / 1024}'; fi; done
}

fault() {
  local what=${1:-} s api port name; shift || true
  case $what in
    *-api-down | *-api-up)
      for s in "${SERVICES[@]}"; do
        IFS=: read -r api port name <<<"$s"; [ "$what" != "$api-api-down" ] || { api_stop "$name" "$port"; return; }
        [ "$what" != "$api-api-up" ] || { if ! listens "$port"; then launch ctl "$name"; fi; wait_for "the $api API" "ctl-$name" listens "$port"; admin answers "$api" "$PATIENCE"; return; }
      done
      die "fault $what: no such API" ;;
    scheduling-off | scheduling-on) exec_admin "$what" ;;
    server-error) [ $# = 1 ] || die "fault server-error NAME"; exec_admin server-error "$1" ;;
    *) die "fault: compute-api-down|compute-api-up (also identity, image, network, volume), scheduling-off|scheduling-on, server-error NAME" ;;
  esac
}

api_stop() { # NAME PORT: the process and its workers
  # shellcheck disable=SC2016
  inside ctl bash -c 'p=$(cat "/run/lab/$1.pid") && [ -d "/proc/$p" ] || exit 0; k="$p $(pgrep -P "$p" | tr "\n" " ")"; kill -KILL $k' - "$1"
  wait_for "the end of $1" "ctl-$1" gone "$2"
}

main() {
  local verb=${1:-}; shift || true
  load_settings "$verb"
  case $verb in
    install | start | stop | reset | add | image | fault | quota)
      need_root; mkdir -p "$BASE"; exec 9>"$BASE/lock"
      flock -n 9 || { echo "cloud.sh: waiting for another cloud.sh on $BASE" >&2; flock 9; } ;;
    status | sh) need_root ;;
  esac
  case $verb in add | image | fault | quota | sh) need_running ;; esac
  case $verb in
    install) install_packages ;;
    start | stop | status | reset) $verb ;;
    add) [ $# -ge 1 ] || die "add NODE [IP]"; add "$@" ;;
    image) [ "$DRIVER" = lxc ] || die "image: the fake driver needs none"
      local name=${1:-debian-12}
      [ -e "$IMAGES/$name.ext4" ] || "$HERE/image.sh" "$IMAGES/$name.ext4" 9>&-
      /usr/bin/python3 "$HERE/upload.py" "$BASE/clouds.yaml" "$name" "$IMAGES/$name.ext4" ;;
    sh) local n=${1:-ctl}; shift || true; if [ $# = 0 ]; then set -- bash; fi; inside "$n" "$@" ;;
    openstack) exec env -i PATH="$PATH" HOME="${HOME:-/root}" TERM="${TERM:-dumb}" OS_CLIENT_CONFIG_FILE="$BASE/clouds.yaml" OS_CLOUD="${LAB_CLOUD:-admin}" openstack "$@" ;;
    quota) exec_admin quota "$@" ;;
    leftovers) exec_admin leftovers ;;
    project) [ $# = 1 ] || die "project NAME"; exec_admin project "$1" ;;
    fault) fault "$@" ;;
    *) sed -n '2,/^[^#]/{/^#/s/^# \?//p}' "$0"; [ -z "$verb" ] || [ "$verb" = help ] || exit 2 ;;
  esac
}
main "$@"
