#!/bin/sh
# Checks that parts of Mesos work in this image: mesos-check.sh <parts>: daemons (master and agent), java (libmesos, loaded into this
# image's Java), or both, and tls (built with SSL). Stops with the reason if one does not: otherwise the first job of a user would fail
# with the same message.
set -eu
parts=${1:-java}
fail() { echo "Mesos: $*" >&2; exit 1; }

case $parts in *daemons*)
    for program in mesos-master mesos-agent; do
        [ -x "/opt/mesos/sbin/$program" ] || fail "it holds no sbin/$program"
    done
    ;;
esac
case $parts in *java*)
    # Some builds of Mesos have left the Java bindings out.
    grep -q Java_org_apache_mesos_ "$MESOS_NATIVE_JAVA_LIBRARY" || fail "libmesos.so was built without Java bindings (no Java_org_apache_mesos_* in it): Spark cannot use it. Name a build that has them in libmesosSource"
    ;;
esac
said=$(ldd "$MESOS_NATIVE_JAVA_LIBRARY" 2>&1 || true)
case $parts in *tls*)
    echo "$said" | grep -q libssl || fail "libmesos.so was built without SSL (it is linked with no libssl), and mesosTls is on. Name a build that has it, or set mesosTls to false"
    ;;
esac
missing=$(echo "$said" | sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | sort -u | paste -sd' ')
[ -z "$missing" ] || fail "libmesos.so is linked with libraries that are not in this image: $missing. Name their Debian packages in a file RUNTIME_PACKAGES at the top of the archive."
newer=$(echo "$said" | sed -n "s/.*version .\([A-Za-z_0-9.]*\)' not found.*/\1/p" | sort -u | paste -sd' ')
[ -z "$newer" ] || fail "libmesos.so was built on a newer system than Debian 12, which has no $newer. Name a build for Debian 12 or older."
case $parts in *daemons*)
    for program in mesos-master mesos-agent; do
        "/opt/mesos/sbin/$program" --version || fail "$program does not run in this image"
    done
    ;;
esac
case $parts in
    *java*) ;;
    *) exit 0 ;;
esac
# Uses Spark's own Mesos jar and Scala interpreter, so that the image needs no compiler for this.
cat >/tmp/check.scala <<'END'
try {
  org.apache.mesos.MesosNativeLibrary.load(System.getenv("MESOS_NATIVE_JAVA_LIBRARY"))
  val version = org.apache.mesos.MesosNativeLibrary.version()
  println(s"libmesos ${version.major}.${version.minor}.${version.patch} loads into Java ${System.getProperty("java.version")}")
} catch {
  case error: Throwable =>
    System.err.println(s"Mesos: libmesos does not load into Java: ${error.getClass.getName}: ${error.getMessage}")
    System.exit(1)
}
END
java -Xmx512m -cp '/opt/spark/jars/*' scala.tools.nsc.MainGenericRunner -usejavacp -nc /tmp/check.scala
rm -f /tmp/check.scala
