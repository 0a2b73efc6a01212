/**
 * Places that have a Mesos, as their publishers name them. `triplewide mesos list` prints them, and `docs/MESOS.md` is made from
 * here by `make docs`.
 */

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

/** One run of a test on a real Mesos. */
export interface MesosRun {
  date: string;
  /** Version, and who built it. */
  mesos: string;
  /** System, Docker, version of control groups. */
  where: string;
  /** Name of the test, in the layer `mesos`, or with the folder of another. */
  test: string;
  /** What of it, in words. */
  what: string;
  /** What passed. */
  passed: string;
}

/** The Mesos that the tests here are run with. */
const OWN_BUILD = {
  mesos: "1.11.0, own build",
  where: "Debian 12 in Docker 20.10, amd64, control groups version 1",
} as const;
const LATER = "1.11.1, own build";
/** Machines that have no cloud below them. */
const ON_GUESTS =
  "containers with systemd and cloud-init in place of OpenStack's machines: Debian 12, amd64, control groups version 1";

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

/** The table as lines of text. */
export function knownText(): string {
  const lines = KNOWN_MESOS.map(({ name, source, form, holds, version, architectures, publisher, licence, ...known }) =>
    [
      `${name}: ${source ?? "file:///…/mesos.tar.gz"}`,
      `  ${form} with Mesos (${version}) for ${architectures.join(", ")}, by ${publisher}, ${licence}; holds ${heldText(holds)}`,
      `  ${known.note.replaceAll("`", "")}`,
      `  ${triedText(known.tried)}`,
    ].join("\n"),
  );
  const more = [
    "What a source really holds:  triplewide mesos check SOURCE",
    "Pin it for an environment:   triplewide mesos use SOURCE [--env NAME]",
  ];
  return `${lines.join("\n\n")}\n\n${more.join("\n")}\n`;
}

/** What of this project was run on which Mesos, and where; the oldest first. A test that changes much is to be run anew. */
const MESOS_RUNS: readonly MesosRun[] = [
  {
    date: "2026-11-26",
    ...OWN_BUILD,
    test: "teams",
    what: "`mesos-in-docker`, three masters: teams, quotas, weights, another team's role, failover",
    passed: "all, the step in which teams are taken out by hand",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "teams",
    what: "the same, and teams taken out",
    passed: "all 8 (on 2 cores with a load above 70, jobs of 60 s had not ended in 400 s)",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "teams",
    what: "the step with agents that are a team's own, beside other work",
    passed: "that one",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "vanilla",
    what: "three masters: jobs, faults, drain, HDFS, forged messages, Spark's secret",
    passed: "all 21",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "hub/mesos",
    what: "`docker-executors` and `mesos-in-docker`: users of a hub in their teams' roles, against each other",
    passed: "all 5 in each",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "docker-executors",
    what: "three masters: jobs, what tasks may not have, forged messages, faults, drain, a restart of everything",
    passed: "all 32",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "tls",
    what: "`vanilla`, three masters with `mesosTls`: jobs, drivers of two users of a hub, nothing readable on the network, a master lost, drain; `docker-executors`: the smoke job",
    passed: "all 6, and that",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "scale/mesos",
    what: "`vanilla`: agents come and go by what jobs wait for; by hand in `docker-executors` and `mesos-in-docker`",
    passed: "all 5, and that",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "vanilla",
    what: "secrets replaced on a running cluster, each by itself and all, cut off in the middle, by the function that the test calls; in `docker-executors` too",
    passed: "all; the test itself was not run with it",
  },
  {
    date: "2026-11-27",
    mesos: LATER,
    where: ON_GUESTS,
    test: "hub/mesos-machine",
    what: "`docker-executors`, booted from user data: users of a hub in their teams' roles, against each other, drain by SSH",
    passed: "all 11, in two runs",
  },
  {
    date: "2026-11-27",
    mesos: LATER,
    where: ON_GUESTS,
    test: "machine",
    what: "`vanilla` with `mesosTls`, one master and two agents, booted from user data: nothing readable on the network; drain and `triplewide scale` by SSH; every secret replaced, volumes kept",
    passed: "all 6",
  },
  {
    date: "2026-11-27",
    mesos: LATER,
    where: ON_GUESTS,
    test: "machine",
    what: "tasks of two drivers on one agent against each other, an agent restarted under tasks, drain; by hand an agent in a container that is no machine, which keeps its task over a restart",
    passed: "all of these steps, and that",
  },
];

/** What nobody has run so far. */
const NOT_RUN = [
  "Marathon (`marathon-standalone`): its image could not be pulled where the tests were run",
  "a published image or package: the same",
  "control groups version 2, and any machine but amd64",
];

/** Names of the sources that are said to have code for a version of control groups, and hold what a cluster's agents run. */
export const sourcesFor = (controlGroups: number): string[] =>
  KNOWN_MESOS.filter(
    (known) => known.holds.includes("daemons") && known.controlGroups?.some((version) => version === controlGroups),
  ).map(({ name }) => name);

const heldText = (holds: readonly MesosPart[]): string =>
  holds.map((part) => ({ daemons: "master and agent", java: "libmesos with Java bindings" })[part]).join(", ");

const triedText = (tried: KnownMesos["tried"]): string =>
  tried ? `tried ${tried.date}: ${tried.how}` : "published, not tried here";

/** `docs/MESOS.md`. */
export function mesosReference(): string {
  const rows = KNOWN_MESOS.map((known) =>
    [
      known.name,
      known.source === undefined ? "`file:///…`" : `\`${known.source}\``,
      known.form,
      known.version,
      known.architectures.join(", "),
      known.controlGroups?.join(", ") ?? "not said",
      heldText(known.holds),
      known.publisher,
      known.licence,
      triedText(known.tried),
      known.note,
    ]
      .join(" | ")
      .replace(/^.*$/, (row) => `| ${row} |`),
  );
  return `${[
    "# Where a Mesos comes from",
    "",
    "<!-- Made from cluster/mesos-sources.ts by `make docs`. Do not edit. -->",
    "",
    "Four of the five architectures run on Apache Mesos, which has published no binaries of its own since 2020. This project builds",
    "none; it knows places that have one, finds out what they hold, and pins one by its digest:",
    "",
    "```sh",
    "make mesos                                                    # the places below",
    "make mesos CHECK=docker://mesosphere/marathon:v1.11.24        # fetches one and says what is in it",
    "make mesos USE=docker://mesosphere/marathon:v1.11.24          # checks it, and pins it in Pulumi.local.yaml (ENV=…)",
    "make up SET=architecture=docker-executors MESOS=auto          # the first of them that works here, pinned as well",
    "```",
    "",
    "`make mesos` is `triplewide mesos list`, `check SOURCE` and `use SOURCE`; `--json` prints the same for programs. A source is",
    "`docker://image:tag`, `https://…tar.gz`, `https://….deb` or `file:///…`. Where it has no digest, the one of what came is taken:",
    "`use` writes it down with the date, and from then on nothing else is accepted. Where an image has both a tag and a digest, and",
    "the tag names another digest by now, `check` and `use` say so.",
    "",
    "`check` unpacks the source beside this project's worker image (Debian 12, Java 17), installs the Debian packages that it names,",
    "and asks the programs themselves: which version they are, whether an agent logs in to its master by a password, whether Java",
    "loads libmesos and a driver gets a task done, which containerizers and isolators the agent knows, with which of those it crashes",
    "here, for which control groups it has code, and what it is linked with that is neither in Debian nor, for an image, came along",
    "with it. It needs Docker and a mirror of Debian, and takes a few minutes; asked again, it remembers. A source is refused whose agent",
    "has not the isolators `namespaces/pid` and `namespaces/ipc`, by which tasks on machines are kept apart: Mesos has them from 1.2 on.",
    "",
    "| Name | Source | Form | Mesos | For | Control groups | Holds | Publisher | Licence | Tried | Note |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
    "What is said of a source that was not tried here comes from its publisher. `check` finds out whether it is so.",
    "",
    "`check A --with B` has a driver with the libmesos of B log in to the master of A and run a task: for `mesosSource` A and",
    "`libmesosSource` B.",
    "",
    "## What was run",
    "",
    "| Date | Mesos | Where | Test of the layer `mesos` | What | Passed |",
    "| --- | --- | --- | --- | --- | --- |",
    ...MESOS_RUNS.map(({ date, mesos, where, test, what, passed }) =>
      [date, mesos, where, `\`${test}\``, what, passed].join(" | ").replace(/^.*$/, (row) => `| ${row} |`),
    ),
    "",
    `Not run so far: ${NOT_RUN.join("; ")}.`,
    "",
    "## Control groups",
    "",
    "Agents of `docker-executors` and `marathon-standalone` start containers, and look for control groups of the version that their",
    "Mesos has code for. A laptop of today has version 2. With a Mesos that knows version 1 alone, `vanilla` and `mesos-in-docker`",
    "work there; the others need a Docker on control groups version 1 (`systemd.unified_cgroup_hierarchy=0` for the kernel; from",
    "systemd 256 on `SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1` as well). Machines on OpenStack reboot into version 1 where the source has",
    "code for that alone; `mesosCgroups: 1` has them do so in any case, and `2` never.",
    "",
    "## An own build",
    "",
    "`configure` needs the Java bindings (a JDK and Maven; no `--disable-java`), SASL's CRAM-MD5 (`libsasl2-dev`,",
    "`libsasl2-modules`) by which agents and frameworks log in, and may have `--enable-ssl --enable-libevent`, which `mesosTls` needs.",
    "Build it on Debian 12 or something older: a newer glibc does not run on it. Then pack the installed prefix, with a file `RUNTIME_PACKAGES` at its top that names",
    "the Debian packages which it is linked with:",
    "",
    "```sh",
    "tar -czf mesos.tar.gz -C /usr/local/mesos .           # where Mesos was installed: --prefix=/usr/local/mesos",
    "triplewide mesos use file://$PWD/mesos.tar.gz",
    "```",
    "",
    "A file below `file:///` has to be in the guest image of OpenStack's machines as well; an address does not.",
  ].join("\n")}\n`;
}
