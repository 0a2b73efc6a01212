import { KNOWN_MESOS, type KnownMesos, type MesosPart } from "../cluster/mesos-sources.ts";
import { MESOS_RUNS, NOT_RUN } from "./runs.ts";

/** The known sources of a Mesos, for people: on a terminal, and as `docs/MESOS.md`. */

/** What `triplewide mesos list` prints. */
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

const heldText = (holds: readonly MesosPart[]): string =>
  holds.map((part) => ({ daemons: "master and agent", java: "libmesos with Java bindings" })[part]).join(", ");

const triedText = (tried: KnownMesos["tried"]): string =>
  tried ? `tried ${tried.date}: ${tried.how}` : "published, not tried here";

/** `docs/MESOS.md`, which `make docs` writes. */
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
    "<!-- Made from mesos/reference.ts by `make docs`. Do not edit. -->",
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
