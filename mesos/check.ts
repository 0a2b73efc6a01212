import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MesosPart } from "../cluster/mesos-sources.ts";
import { TASK_NAMESPACES } from "../cluster/services/mesos/mesos.ts";
import { withoutLogins } from "../config/redact.ts";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { printable } from "../lib/text.ts";
import { fetchSource, type Pinned, pinSource, type SourceOptions } from "./archive.ts";

/** What a Mesos holds, and whether it works in this project's images. */

/** Whether something works, and what it says. */
interface Works {
  works: boolean;
  says: string;
}

/** What `images/spark-python/mesos-report.py` finds out, in the worker image. What it cannot find out is null. */
export interface MesosFacts {
  /** As the agent says it. */
  version: string | null;
  /** Of the machines that libmesos is built for; null where it is no program at all. */
  architecture: string | null;
  /** Architecture of this machine's Docker. */
  here: string;
  master: boolean;
  agent: boolean;
  /** Java bindings that libmesos exports. */
  bindings: number;
  /** Whether libmesos was built with SSL, which `mesosTls` needs. */
  tls: boolean;
  /** Whether master and agent start, and what they say. */
  daemons: Works;
  /** Whether Java loads libmesos, and what it says. */
  java: Works;
  /**
   * Whether its agent logs in to its master, and so does a driver in Java, whose task then ends well; null where master or agent
   * do not start. There is no driver where Java does not load libmesos.
   */
  trial: { agent: Works; driver: Works | null } | null;
  /**
   * Whether a driver with the libmesos of another source logs in to its master, and a task of that driver's ends well; null where
   * no other was named, or master and agent do not start.
   */
  pair: Works | null;
  /** Versions of control groups that there is code for. */
  controlGroups: number[];
  containerizers: string[] | null;
  /** Those that its agent knows and starts with. */
  isolators: string[] | null;
  /** Those that it knows and crashes with, on this machine's kernel. */
  crashes: string[] | null;
  libraries: {
    /** Libraries that are not there, the file that wants them, and Debian's package with them, if there is one. */
    missing: { name: string; of: string; package: string | null }[];
    /** Versions of symbols that libraries which are there do not have. */
    symbols: { name: string; of: string }[];
    /** Libraries that came along out of the source's image. */
    carried: string[];
  };
  packages: {
    /** Packages that it names, or that Mesos 1.11 needs. */
    wanted: string[];
    /** Those that Debian 12 has not. */
    unknown: string[];
  };
  /** Bytes of what is installed. */
  bytes: number;
}

/** Why a source cannot be used, and what to do. */
export interface MesosProblem {
  what: string;
  fix: string;
}

/** What `triplewide mesos check` says. */
export interface MesosReport extends Pinned {
  /** sha256 of the file, or of the image. */
  digest: string;
  /** Bytes of the archive, as it was fetched or taken out of the image. */
  archiveBytes: number;
  facts: MesosFacts;
  /** Version of control groups that this machine's Docker has. */
  dockerControlGroups: number;
  /** Empty where it can be used. */
  problems: MesosProblem[];
}

/** What `checkMesos` works with. */
export interface CheckOptions extends SourceOptions {
  /** What of Mesos is wanted of it. */
  parts: readonly MesosPart[];
  /** Source of the libmesos that drivers are to have. @default its own */
  libmesos?: string | undefined;
  /** What it does, for people who wait. */
  say: (line: string) => void;
}

/**
 * Fetches a source and finds out what it holds.
 *
 * @throws UserError where it cannot be fetched or looked at.
 */
export async function checkMesos(source: string, options: CheckOptions): Promise<MesosReport> {
  const { root, docker, signal, parts, say } = options;
  say(`Fetching ${withoutLogins(source)}`);
  const pinned = await pinSource(source, options);
  const archive = await fetchSource(pinned.source, options);
  const other = await libmesosOf(options);
  say("Looking at it in the worker image; the first time that takes a few minutes.");
  const folder = mkdtempSync(join(tmpdir(), "triplewide-mesos-"));
  try {
    const file = join(folder, "report.json");
    const env = { MESOS_ARCHIVE: archive.path, MESOS_SHA256: archive.sha256, ...other };
    const build = join(root, "images", "build.sh");
    const { code, output } = await captured(build, ["--mesos-report", file], signal, env);
    signal.throwIfAborted();
    if (code !== 0) throw new UserError(`${withoutLogins(pinned.source)}: ${reasonOf(output)}`);
    const facts = JSON.parse(readFileSync(file, "utf8")) as MesosFacts;
    const info = await captured(docker, ["info", "--format", "{{.CgroupVersion}}"], signal);
    return {
      ...pinned,
      digest: archive.id,
      archiveBytes: statSync(archive.path).size,
      facts,
      dockerControlGroups: Number(info.output.trim()),
      problems: problemsOf(facts, parts),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The archive of the libmesos that drivers are to have, for the build. */
async function libmesosOf(options: CheckOptions): Promise<Record<string, string>> {
  const { libmesos, say } = options;
  if (libmesos === undefined) return {};
  say(`Fetching ${withoutLogins(libmesos)}`);
  const { path, sha256 } = await fetchSource((await pinSource(libmesos, options)).source, options);
  return { MESOS_WITH_ARCHIVE: path, MESOS_WITH_SHA256: sha256 };
}

/** Why a build failed: what our scripts say of the Mesos, else its last lines. */
function reasonOf(output: string): string {
  const ours = [...output.matchAll(/^(?:#\d+ [\d.]+ )?Mesos: (.*)$/gm)].at(-1)?.[1];
  return ours ?? `it could not be looked at:\n${output.trim().split("\n").slice(-8).join("\n")}`;
}

const list = (names: readonly string[]): string => names.join(", ");

/** What keeps a Mesos from being used for these parts. What follows from another problem is not said as well. */
export function problemsOf(facts: MesosFacts, parts: readonly MesosPart[]): MesosProblem[] {
  const { architecture, here, libraries, packages } = facts;
  const problems: MesosProblem[] = [];
  if (architecture !== here) {
    const what = architecture === null ? "its libmesos.so is no library" : `it is built for ${architecture}`;
    return [{ what: `${what}, and this machine's Docker runs ${here}`, fix: `name a build for ${here}` }];
  }
  if (packages.unknown.length > 0)
    problems.push({
      what: `it depends on packages that Debian 12 has not: ${list(packages.unknown)}`,
      fix: "name a package that was built for Debian 12, or an image, which brings its libraries along",
    });
  const installable = libraries.missing.filter((l) => l.package !== null);
  const gone = libraries.missing.filter((l) => l.package === null);
  if (gone.length > 0)
    problems.push({
      what: `it is linked with libraries that neither Debian 12 has nor it brings along: ${list(gone.map((l) => l.name))}`,
      fix: "name a build for Debian 12, or an image that holds this Mesos, which brings its libraries along",
    });
  if (installable.length > 0)
    problems.push({
      what: `it is linked with libraries whose packages it does not name: ${list(installable.map((l) => l.name))}`,
      fix: `add to the file RUNTIME_PACKAGES at the top of the archive: ${[...new Set(installable.map((l) => l.package))].join(" ")}`,
    });
  if (libraries.symbols.length > 0)
    problems.push({
      what: `it was built on a newer system than Debian 12, which has no ${list(libraries.symbols.map((s) => s.name))}`,
      fix: "name a build for Debian 12 or something older",
    });
  const linked = problems.length === 0;
  if (parts.includes("daemons")) {
    const absent = [facts.master ? "" : "sbin/mesos-master", facts.agent ? "" : "sbin/mesos-agent"].filter(Boolean);
    if (absent.length > 0)
      problems.push({
        what: `it holds no ${absent.join(" and no ")}`,
        fix: "name a source that has them as mesosSource; this one may do as libmesosSource (--as libmesosSource)",
      });
    else if (linked && !facts.daemons.works)
      problems.push({ what: `master or agent does not start: ${facts.daemons.says}`, fix: "name another build" });
    const apart = TASK_NAMESPACES.filter((name) => facts.isolators && !facts.isolators.includes(name));
    if (apart.length > 0)
      problems.push({
        what: `its agent does not start with what keeps tasks of a machine apart: ${list(apart)}`,
        fix: "name a build of Mesos 1.2 or newer, for Linux",
      });
  }
  if (parts.includes("java")) {
    if (facts.bindings === 0)
      problems.push({
        what: "its libmesos has no Java bindings, which Spark's drivers need",
        fix: "name a build that has them as libmesosSource (triplewide mesos use SOURCE --as libmesosSource), then this one with --as mesosSource",
      });
    else if (linked && !facts.java.works)
      problems.push({ what: `Java does not load its libmesos: ${facts.java.says}`, fix: "name another build" });
  }
  if (facts.pair && !facts.pair.works)
    problems.push({
      what: `a driver with the other source's libmesos does not log in to its master and run a task: ${facts.pair.says}`,
      fix: "name another libmesosSource, or another mesosSource",
    });
  const { agent, driver } = facts.trial ?? {};
  const another = "name another build (it needs SASL's CRAM-MD5, which is in libsasl2-modules)";
  if (parts.includes("daemons") && agent && !agent.works)
    problems.push({ what: `its agent does not log in to its master: ${agent.says}`, fix: another });
  if (parts.includes("daemons") && parts.includes("java") && driver && !driver.works)
    problems.push({ what: `a driver does not log in to its master and run a task: ${driver.says}`, fix: another });
  return problems;
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

/** What is said of a tag that names another image by now; empty where it names the same. */
function movedText({ source, moved }: Pinned): string {
  if (moved === undefined) return "";
  if (moved === null) return "its registry does not say whether the tag still names this digest";
  const image = source.replace(/@.*$/, "");
  return `the tag has moved: ${image} is sha256:${moved} by now. To take that one: triplewide mesos use ${image}`;
}

/** What came of starting master, agent and a driver. */
function trialText({ trial }: MesosFacts): string {
  if (!trial) return "";
  const agent = trial.agent.works
    ? "its agent logs in to its master"
    : `its agent does not log in: ${trial.agent.says}`;
  if (!trial.driver) return agent;
  return `${agent}; ${trial.driver.works ? "so does a driver in Java, whose task ends well" : `a driver in Java does not: ${trial.driver.says}`}`;
}

/** What came of a driver with another source's libmesos. */
function pairText({ pair }: MesosFacts): string {
  if (!pair) return "";
  const who = "a driver with the other source's libmesos";
  return pair.works ? `${who} logs in, and its task ends well` : `${who} does not run a task: ${pair.says}`;
}

/** A report for people. */
export function reportText(report: MesosReport): string {
  const { facts, dockerControlGroups: docker } = report;
  const { libraries } = facts;
  const works = (there: boolean): string =>
    there ? (facts.daemons.works ? "starts" : `does not start: ${facts.daemons.says}`) : "none";
  const groups = facts.controlGroups.join(" and ") || "none";
  const unfit = facts.controlGroups.includes(docker)
    ? ""
    : `: agents of docker-executors and marathon-standalone cannot start containers here; vanilla and mesos-in-docker can`;
  const carried = libraries.carried.length > 0 ? `; brought along: ${list(libraries.carried)}` : "";
  const missing = libraries.missing.map((l) => l.name);
  const rows: [string, string][] = [
    ["digest", `sha256:${report.digest}`],
    ["tag", movedText(report)],
    ["version", facts.version ?? "not known"],
    ["architecture", facts.architecture ?? "not known"],
    ["master", works(facts.master)],
    ["agent", works(facts.agent)],
    ["libmesos", facts.bindings > 0 ? `${facts.bindings} Java bindings; ${facts.java.says}` : "no Java bindings"],
    ["TLS", facts.tls ? "yes (mesosTls)" : "no: built without SSL"],
    ["trial", trialText(facts)],
    ["with", pairText(facts)],
    ["control groups", `version ${groups} (this machine's Docker has ${docker}${unfit})`],
    ["containerizers", facts.containerizers?.join(", ") ?? "not known"],
    ["isolators", facts.isolators ? list(facts.isolators) : "not known"],
    ["crashes with", list(facts.crashes ?? [])],
    ["libraries", `${missing.length > 0 ? `missing: ${list(missing)}` : "all there"}${carried}`],
    ["packages", list(facts.packages.wanted)],
    ["size", `${megabytes(report.archiveBytes)} packed, ${megabytes(facts.bytes)} installed`],
  ];
  const lines = rows.filter(([, text]) => text !== "").map(([name, text]) => `  ${name.padEnd(15)} ${text}`);
  const verdict =
    report.problems.length === 0
      ? ["Usable."]
      : ["Not usable:", ...report.problems.map(({ what, fix }) => `  ${what}. Fix: ${fix}.`)];
  // Programs of others said some of it.
  return `${[report.source, ...lines, ...verdict].map(printable).join("\n")}\n`;
}
