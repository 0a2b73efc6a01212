#!/bin/sh
# Does libmesos really load into this image's Java, and answer? Stops the build with the reason otherwise: a driver would fail with
# the same words, but on somebody's first job.
set -eu
missing=$(ldd "$MESOS_NATIVE_JAVA_LIBRARY" | sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | sort -u | paste -sd' ')
if [ -n "$missing" ]; then
    echo "Mesos: libmesos.so is linked with libraries that are not in this image: $missing. Name their Debian packages in a file RUNTIME_PACKAGES at the top of the archive." >&2
    exit 1
fi
case ${1:-java} in
    *daemons*) /opt/mesos/sbin/mesos-agent --version || { echo "Mesos: mesos-agent does not run in this image" >&2; exit 1; } ;;
esac
case ${1:-java} in
    *java*) ;;
    *) exit 0 ;;
esac
# Through Spark's own protocol jar and the Scala that is there anyway: no compiler has to come into the image for this.
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
