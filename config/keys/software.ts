import { z } from "zod";
import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const software = section("Software and where it comes from");

/** Keys of the section "Software and where it comes from". */
export const softwareKeys = {
  registry: software.optionalText(
    {
      doc: "Registry that machines pull images from, such as registry.example.org/team.",
      derived: "a registry on the cluster with generated credentials",
    },
    text.registry.pattern,
    text.registry.rule,
  ),
  registryUser: software.optionalText(
    {
      doc: "User of `registry`. Its password is the secret key `registryPassword`.",
    },
    text.loginName.pattern,
    text.loginName.rule,
  ),
  registryPassword: software.optionalSecret({
    doc: "Password of `registry`; set it with `pulumi config set --secret registryPassword`.",
  }),
  prebuiltImages: software.table(
    z.string().regex(text.imageByDigest.pattern, text.imageByDigest.rule),
    "a table of image names and references with digests, such as {spark-python: registry.example.org/team/spark-python@sha256:…}",
    {
      names: text.imageName,
      doc: "Images that machines pull as they are, instead of those that `pulumi up` builds from `images/` and pushes to the registry: `spark-python`, `client`, `hub`, `gateway`, `prometheus`, `zookeeper`, `hdfs`, `marathon`. With all that the architecture needs, `pulumi up` needs no Docker.",
      fix: "name each image by its digest: name@sha256:… (docker buildx imagetools inspect shows it)",
    },
  ),
  mesosSource: software.optionalText(
    {
      doc: "Where Mesos' master and agent come from: `docker://image@sha256:…` (a container image that holds them), `https://host/mesos.tar.gz#sha256=…` or `file:///path/mesos.tar.gz#sha256=…` (an installed prefix), or `deb+https://host/mesos.deb#sha256=…`. Machines that run Mesos themselves (on OpenStack all but those of `mesos-in-docker`) fetch it too; a `file:///` must then be in their guest image as well. Needed before `up` by every architecture but `standalone`; Mesos has had no binary releases of its own since 2020, so nothing is assumed.",
      fix: "give docker://image@sha256:…, https://…tar.gz#sha256=…, file:///…tar.gz#sha256=… or deb+https://….deb#sha256=…",
    },
    text.source.pattern,
    text.source.rule,
  ),
  libmesosSource: software.optionalText(
    {
      doc: "Where Spark's libmesos with its Java bindings comes from, in the same forms, where it is not `mesosSource`.",
      derived: "`mesosSource`",
      fix: "give https://…tar.gz#sha256=…, file:///…tar.gz#sha256=… or docker://image@sha256:…",
    },
    text.source.pattern,
    text.source.rule,
  ),
  marathonSource: software.text(
    "docker://mesosphere/marathon:v1.11.24",
    {
      doc: "Container image of Marathon (`marathon-standalone`). `pulumi up` copies it into the registry that machines pull from.",
    },
    text.dockerImage.pattern,
    text.dockerImage.rule,
  ),
  aptMirror: software.optionalText(
    { doc: "Debian mirror that machines install packages from.", derived: "the guest image's own" },
    text.mirror.pattern,
    text.mirror.rule,
  ),
  mavenMirror: software.optionalText(
    {
      doc: "Maven repository, asked instead of Maven Central, that drivers get the jars of `spark.jars.packages` from. It must ask for no login.",
      derived: "Maven Central",
      fix: "give the address of the repository's folder, such as https://maven.example.org/repository/central",
    },
    text.mavenRepository.pattern,
    text.mavenRepository.rule,
  ),
  trustedCertificates: software.list(text.certificate.pattern, text.certificate.rule, {
    doc: "Certificate authorities that the machines and the client trust besides the public ones: machines for packages, Python packages and registries, the client for `mavenMirror`, `s3Endpoint` and whatever else drivers reach by HTTPS, in Java and Python, `pip` included. Executors trust them in Java where there is `sharedStorage`. Each is what stands in a PEM file between the first and the last line, after `>-` on as many lines. Empty on platform `docker`: those that this machine trusts (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` or `NODE_EXTRA_CA_CERTS`).",
    fix: "give each as one text, without the lines that begin with dashes: sed '/^-/d' ca.pem | tr -d '\\n'",
  }),
  pythonIndex: software.optionalText(
    { doc: "Python package index for agents that install packages themselves (`vanilla`).", derived: "pip's own" },
    text.mirror.pattern,
    text.mirror.rule,
  ),
} as const;
