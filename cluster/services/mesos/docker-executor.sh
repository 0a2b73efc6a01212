#!/bin/busybox sh
# Mesos' executor for tasks in Docker runs as root with the environment that the task asked for, such as LD_PRELOAD: this gives it what
# Mesos itself says, and nothing else. A shell that is linked with no library, for such a variable acts before a program begins.
# Whatever the task says, it talks by libprocess as its agent does.
set -- /opt/mesos/libexec/mesos/mesos-docker-executor "$@"
while IFS= read -r variable; do set -- "$variable" "$@"; done </etc/mesos/libprocess.env
for name in MESOS_FRAMEWORK_ID MESOS_EXECUTOR_ID MESOS_SLAVE_ID MESOS_SLAVE_PID MESOS_AGENT_ENDPOINT MESOS_DIRECTORY MESOS_SANDBOX \
  MESOS_CHECKPOINT MESOS_RECOVERY_TIMEOUT MESOS_SUBSCRIPTION_BACKOFF_MAX MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD \
  MESOS_EXECUTOR_AUTHENTICATION_TOKEN MESOS_HTTP_COMMAND_EXECUTOR LIBPROCESS_IP LIBPROCESS_PORT; do
  eval "value=\${$name-}"
  [ -z "$value" ] || set -- "$name=$value" "$@"
done
exec /bin/busybox env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
