# shellcheck shell=bash
# Sourced by hdfs and hdfs-health: reads the mounted configuration without starting Java.
conf=${HADOOP_CONF_DIR:-/etc/hadoop}

# setting NAME [DEFAULT]: the last value of a property in core-site.xml and hdfs-site.xml.
setting() {
    local file files=()
    for file in "$conf/core-site.xml" "$conf/hdfs-site.xml"; do [[ -r $file ]] && files+=("$file"); done
    [[ ${#files[@]} -gt 0 ]] || { echo "${2:-}"; return; }
    awk -v wanted="$1" -v value="${2:-}" '
        function between(text, tag,   start, end) {
            start = index(text, "<" tag ">"); end = index(text, "</" tag ">")
            if (!start || end < start) return ""
            text = substr(text, start + length(tag) + 2, end - start - length(tag) - 2)
            gsub(/^[ \t\r\n]+|[ \t\r\n]+$/, "", text)
            return text
        }
        { all = all $0 "\n" }
        END {
            while ((open = index(all, "<!--")) && (close_ = index(substr(all, open), "-->"))) all = substr(all, 1, open - 1) substr(all, open + close_ + 2)
            count = split(all, properties, "</property>")
            for (i = 1; i <= count; i++) if (between(properties[i], "name") == wanted) value = between(properties[i], "value")
            print value
        }' "${files[@]}"
}

# is_mine HOST: whether the host has an address of this machine.
is_mine() {
    local mine address
    mine=" $(hostname -I 2>/dev/null) 127.0.0.1 "
    for address in $(getent ahosts "$1" 2>/dev/null | awk '{ print $1 }' | sort -u); do [[ $mine == *" $address "* ]] && return 0; done
    return 1
}

# With two namenodes or more: the name of the pair, the ids in order, and the id of the one on this machine ("" if none is).
nameservice=$(setting dfs.nameservices)
read -r -a namenodes <<<"$(setting "dfs.ha.namenodes.$nameservice" | tr ',' ' ')" || true
rpc_address() { setting "dfs.namenode.rpc-address${1:+.$nameservice.$1}"; }
http_address() { local rpc; rpc=$(rpc_address "$1"); setting "dfs.namenode.http-address${1:+.$nameservice.$1}" "${rpc%:*}:9870"; }
own_namenode() {
    local id address
    if [[ ${#namenodes[@]} -lt 2 ]]; then return; fi
    if [[ -n ${HDFS_NAMENODE_ID:-} ]]; then echo "$HDFS_NAMENODE_ID"; return; fi
    for id in "${namenodes[@]}"; do address=$(rpc_address "$id"); if is_mine "${address%:*}"; then echo "$id"; return; fi; done
}

# open_port HOST:PORT: whether the port accepts connections. 0.0.0.0 is tried on the loopback interface.
open_port() { local host=${1%:*}; [[ $host == 0.0.0.0 ]] && host=127.0.0.1; timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "${1##*:}" 2>/dev/null; }

# jmx HOST:PORT BEAN: prints a bean of a daemon, with the HTTP headers.
jmx() {
    local host=${1%:*}
    [[ $host == 0.0.0.0 ]] && host=127.0.0.1
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "GET /jmx?qry=Hadoop:%s HTTP/1.0\r\nHost: %s\r\n\r\n" "$2" "$0" >&3 && cat <&3' "$host" "${1##*:}" "$2" 2>/dev/null
}
