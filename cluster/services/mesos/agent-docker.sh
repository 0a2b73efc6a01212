#!/bin/busybox sh
# Docker as Mesos' agents call it (flag --docker): what tasks may ask for is decided by docker-guard.py. Health checks call it with an
# environment of the task's own, as root: see docker-executor.sh.
exec /bin/busybox env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root /usr/bin/python3 -I /usr/local/lib/triplewide/docker-guard.py "$@"
