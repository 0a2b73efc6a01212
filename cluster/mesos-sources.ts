/** Places that have a Mesos, as their publishers name them. `mesos/reference.ts` lists them for people. */

/** What of Mesos a source holds: its master and agent (`daemons`), libmesos with its Java bindings (`java`). */
export type MesosPart = "daemons" | "java";

/** A Mesos that somebody publishes, or the way to make one. */
export interface KnownMesos {
  name: string;
  /** What `mesos check` and `mesos use` take, without a digest. Unset where everyone has an own address. */
  source?: string;
  form: "image" | ".deb" | "tarball";
  /** What it is said to hold. */
  holds: readonly MesosPart[];
  /** The version that it is published as; its control groups and the rest are for `mesos check` to find out. */
  version: string;
  architectures: readonly ("amd64" | "arm64")[];
  /** Versions of control groups that it is said to have code for. @default not said */
  controlGroups?: readonly (1 | 2)[];
  publisher: string;
  licence: string;
  /** When it was brought up here, and how. @default nobody has tried it here: all of the above is what its publisher says */
  tried?: { date: string; how: string };
  /** What else one should know. */
  note: string;
}

const APACHE = "Apache-2.0";

/** Every known source. Those that hold all that a cluster needs come first: `MESOS=auto` tries them in this order. */
export const KNOWN_MESOS: readonly KnownMesos[] = [
  {
    name: "marathon",
    source: "docker://mesosphere/marathon:v1.11.24",
    form: "image",
    holds: ["daemons", "java"],
    version: "1.9.0-2.0.1, as its build names it",
    architectures: ["amd64"],
    controlGroups: [1],
    publisher: "Mesosphere (D2iQ)",
    licence: APACHE,
    note: "Marathon's image is built on Debian 9 with a whole Mesos package in it. `marathon-standalone` pulls it anyway.",
  },
  {
    name: "clusterd-image",
    source: "docker://avhost/mesos-mini:v1.11.0-0.8.0",
    form: "image",
    holds: ["daemons"],
    version: "1.11.0",
    architectures: ["amd64", "arm64"],
    controlGroups: [2],
    publisher: "AVENTER (Clusterd)",
    licence: APACHE,
    note: "No Java bindings since 2023: `libmesosSource` has to name another. Said to need control groups version 2 since 0.6.0.",
  },
  {
    name: "clusterd-deb",
    source:
      "deb+http://rpm.aventer.biz/Ubuntu/noble/pool/main/a/aventer-mesos/aventer-mesos_1.11.0-0.7.1.ubuntu2404_amd64.deb",
    form: ".deb",
    holds: ["daemons"],
    version: "1.11.0",
    architectures: ["amd64", "arm64"],
    controlGroups: [2],
    publisher: "AVENTER (Clusterd)",
    licence: APACHE,
    note: "For Ubuntu 24.04, whose glibc is newer than Debian 12's. For arm64 write `_arm64` at its end. No Java bindings.",
  },
  {
    name: "openeuler",
    source: "docker://openeuler/mesos:1.11.0-oe2403sp1",
    form: "image",
    holds: ["daemons"],
    version: "1.11.0",
    architectures: ["amd64", "arm64"],
    publisher: "openEuler",
    licence: APACHE,
    note: "Built on openEuler 24.03, whose glibc is newer than Debian 12's. Whether it has Java bindings is not said.",
  },
  {
    name: "spark-libmesos",
    source: "docker://mesosphere/spark:2.12.0-3.0.1-scala-2.12-hadoop-3.2",
    form: "image",
    holds: ["java"],
    version: "version not said",
    architectures: ["amd64"],
    publisher: "Mesosphere (D2iQ)",
    licence: APACHE,
    note: "libmesos with its bindings alone, below `/opt/mesosphere/libmesos-bundle/lib`: for `libmesosSource`.",
  },
  {
    name: "mesosphere-master",
    source: "docker://mesosphere/mesos-master:1.7.1",
    form: "image",
    holds: ["daemons", "java"],
    version: "1.7.1",
    architectures: ["amd64"],
    controlGroups: [1],
    publisher: "Mesosphere (D2iQ)",
    licence: APACHE,
    note: "The last of its kind; `mesosphere/mesos-slave` holds the same package.",
  },
  {
    name: "mesos-centos",
    source: "docker://mesos/mesos-centos",
    form: "image",
    holds: ["daemons"],
    version: "1.x of 2018 to 2021, by tag",
    architectures: ["amd64"],
    controlGroups: [1],
    publisher: "Apache Mesos",
    licence: APACHE,
    note: "Built on CentOS 7. Choose a tag.",
  },
  {
    name: "own build",
    form: "tarball",
    holds: ["daemons", "java"],
    version: "1.11.0",
    architectures: ["amd64", "arm64"],
    controlGroups: [1],
    publisher: "you",
    licence: APACHE,
    tried: {
      date: "2026-11-26",
      how: "1.11.0 with its later fixes, built on Debian 12 (amd64) with SSL, libevent and Java bindings; this project's tests of Mesos run with it",
    },
    note: "`file:///…/mesos.tar.gz`: how to build one stands below.",
  },
];

/** Sources that hold everything a cluster needs, in the order in which to try them. */
export const COMPLETE_MESOS: readonly string[] = KNOWN_MESOS.filter(
  (known) => known.holds.includes("daemons") && known.holds.includes("java"),
).flatMap(({ source }) => (source === undefined ? [] : [source]));

/** Names of the sources that are said to have code for a version of control groups, and hold what a cluster's agents run. */
export const sourcesFor = (controlGroups: number): string[] =>
  KNOWN_MESOS.filter(
    (known) => known.holds.includes("daemons") && known.controlGroups?.some((version) => version === controlGroups),
  ).map(({ name }) => name);
