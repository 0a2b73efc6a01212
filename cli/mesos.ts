import { type Command, Option } from "commander";
import { KNOWN_MESOS, type MesosPart } from "../cluster/mesos-sources.ts";
import { unpinnedSource } from "../config/grammar.ts";
import { loadRaw } from "../config/load.ts";
import { withoutLogins } from "../config/redact.ts";
import { EXIT_FAILED, UsageError, UserError } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { abortOnInterrupt, print, printJson, remark } from "../lib/terminal.ts";
import { printable } from "../lib/text.ts";
import { findDocker } from "../local/docker.ts";
import type { SourceKey } from "../mesos/archive.ts";
import { checkMesos, type MesosReport, reportText } from "../mesos/check.ts";
import { writeSource } from "../mesos/pin.ts";
import { knownText } from "../mesos/reference.ts";
import { commandOf, envOption, projectFolder } from "./common.ts";

interface CheckOptions {
  as: SourceKey | "both";
  json: boolean;
}

interface PairOptions extends CheckOptions {
  with?: string;
}

interface UseOptions extends CheckOptions {
  env: string;
}

const say = (line: string): void => remark(`${line}\n`);

/** `triplewide mesos`. */
export function mesos(): Command {
  const command = commandOf(
    "mesos",
    "Finds, checks and pins a Mesos.",
    "Four of the five architectures need one, and nobody publishes one for all of them: docs/MESOS.md.",
    [
      "triplewide mesos list",
      "triplewide mesos check docker://mesosphere/marathon:v1.11.24",
      "triplewide mesos use file:///srv/mesos.tar.gz --env local",
    ],
  );
  command.addCommand(
    commandOf("list", "Lists the places that are known to have a Mesos.", "", ["triplewide mesos list"])
      .option("--json", "print it for programs", false)
      .action(({ json }: { json: boolean }) => {
        if (json) printJson(KNOWN_MESOS);
        else print(knownText());
      }),
  );
  const source = (name: string, summary: string, more: string, examples: readonly string[]): Command =>
    commandOf(name, summary, more, examples)
      .argument(
        "<source>",
        "docker://image[:tag], https://….tar.gz, https://….deb or file:///…; with a digest or without",
      )
      .addOption(
        new Option("--as <key>", "what it is to be: mesosSource needs master and agent, libmesosSource Java bindings")
          .choices(["mesosSource", "libmesosSource", "both"])
          .default("both"),
      )
      .option("--json", "print it for programs", false);
  command.addCommand(
    source(
      "check",
      "Fetches a Mesos and says what is in it.",
      "Exit codes: 0 usable, 1 not usable, 2 not understood.",
      [
        "triplewide mesos check docker://mesosphere/marathon:v1.11.24",
        "triplewide mesos check file:///srv/libmesos.tar.gz --as libmesosSource --json",
        "triplewide mesos check docker://avhost/mesos-mini:v1.11.0-0.8.0 --with file:///srv/libmesos.tar.gz",
      ],
    )
      .option(
        "--with <source>",
        "another source, for libmesosSource: has a driver with its libmesos log in and run a task (default: its own)",
      )
      .action(async (value: string, { as, json, with: libmesos }: PairOptions) => {
        // With `--with`, the first source is for master and agent.
        const parts = partsOf(libmesos !== undefined && as === "both" ? "mesosSource" : as);
        show(await checked(value, parts, libmesos), json);
      }),
  );
  command.addCommand(
    source(
      "use",
      "Checks a Mesos, and pins it in an environment by its digest.",
      "Nothing is written where it cannot be used.",
      ["triplewide mesos use docker://mesosphere/marathon:v1.11.24 --env docker-executors"],
    )
      .addOption(envOption())
      .action(async (value: string, { as, json, env }: UseOptions) => {
        const report = await use(value, as, env, projectFolder());
        show(report, json);
      }),
  );
  return command;
}

const partsOf = (as: SourceKey | "both"): readonly MesosPart[] =>
  (({ mesosSource: ["daemons"], libmesosSource: ["java"], both: ["daemons", "java"] }) as const)[as];

async function checked(source: string, parts: readonly MesosPart[], libmesos?: string): Promise<MesosReport> {
  const wrong = [source, libmesos].find((value) => value !== undefined && !unpinnedSource.pattern.test(value));
  if (wrong !== undefined)
    throw new UsageError(
      `${printable(withoutLogins(wrong))}: must be ${unpinnedSource.rule}. Fix: write it like that; triplewide mesos list has examples.`,
    );
  const { client } = await findDocker();
  const { signal, stop } = abortOnInterrupt({ reason: new UserError("Interrupted; nothing was changed.") });
  try {
    return await checkMesos(source, { root: ROOT, docker: client, signal, parts, say, libmesos });
  } finally {
    stop();
  }
}

/** Checks a source and, if it can be used, writes it to the stack file. */
async function use(value: string, as: SourceKey | "both", environment: string, root: string): Promise<MesosReport> {
  // Checked first, so that a wrong name does not cost a download.
  loadRaw(root, environment);
  const key = as === "both" ? "mesosSource" : as;
  if (withoutLogins(value) !== value)
    throw new UsageError(
      `${withoutLogins(value)}: its password would stand in Pulumi.${environment}.yaml for everyone to read. Fix: triplewide mesos check it, then pulumi config set --secret triplewide:${key} with the digest that it shows.`,
    );
  const report = await checked(value, partsOf(as));
  if (report.problems.length === 0) {
    writeSource(root, environment, key, report.source, new Date().toISOString().slice(0, 10));
    say(`Pulumi.${environment}.yaml: ${key} is ${report.source} from now on.`);
  }
  return report;
}

/**
 * Pins the first usable one of some sources.
 *
 * @throws UserError with the problems of each source if none is usable.
 */
export async function useFirst(sources: readonly string[], environment: string): Promise<void> {
  const wrong: string[] = [];
  for (const source of sources) {
    try {
      const { problems } = await use(source, "both", environment, ROOT);
      if (problems.length === 0) return;
      wrong.push(...problems.map(({ what, fix }) => `${source}: ${what}. Fix: ${fix}.`));
    } catch (error) {
      // Another source may still be usable. A wrong command line is wrong for all of them.
      if (!(error instanceof UserError) || error instanceof UsageError) throw error;
      wrong.push(error.message);
    }
  }
  throw new UserError(
    `no Mesos could be had, nothing was started:\n${wrong.map((line) => `  ${line}`).join("\n")}\nName one of yours: make mesos USE=file:///…/mesos.tar.gz (docs/MESOS.md)`,
  );
}

function show(report: MesosReport, json: boolean): void {
  const source = withoutLogins(report.source);
  const shown = { ...report, source };
  if (json) printJson(shown);
  else print(reportText(shown));
  if (report.problems.length > 0) process.exitCode = EXIT_FAILED;
}
