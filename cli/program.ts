import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { describeError, EXIT_USAGE } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { printableLines } from "../lib/text.ts";

/** Every command, in the order of the help. Loaded on demand: `plan`, for example, needs neither OpenStack's client nor Docker's. */
const COMMANDS = {
  up: async () => (await import("./up.ts")).up(),
  down: async () => (await import("./down.ts")).down(),
  status: async () => (await import("./status.ts")).status(),
  logs: async () => (await import("./logs.ts")).logs(),
  smoke: async () => (await import("./smoke.ts")).smoke(),
  shell: async () => (await import("./shell.ts")).shell(),
  notebook: async () => (await import("./notebook.ts")).notebook(),
  users: async () => (await import("./users.ts")).users(),
  connect: async () => (await import("./connect.ts")).connect(),
  certificate: async () => (await import("./certificate.ts")).certificate(),
  plan: async () => (await import("./plan.ts")).plan(),
  rotate: async () => (await import("./rotate.ts")).rotate(),
  timeline: async () => (await import("./timeline.ts")).timeline(),
  drain: async () => (await import("./drain.ts")).drain(),
  scale: async () => (await import("./scale.ts")).scale(),
  doctor: async () => (await import("./doctor.ts")).doctor(),
  backup: async () => (await import("./backup.ts")).backup(),
  restore: async () => (await import("./backup.ts")).restore(),
  recover: async () => (await import("./recover.ts")).recover(),
  image: async () => (await import("./image.ts")).image(),
  images: async () => (await import("./images.ts")).images(),
  mesos: async () => (await import("./mesos.ts")).mesos(),
} as const satisfies Readonly<Record<string, () => Promise<Command>>>;

/** The streams for the program's output. */
export interface Output {
  out: (text: string) => void;
  err: (text: string) => void;
}

const TERMINAL: Output = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

/**
 * Runs a command line.
 *
 * @param words The arguments after `triplewide`.
 * @returns The exit code if the command was refused or failed; undefined if it ran, and set `process.exitCode` itself.
 */
export async function runProgram(words: readonly string[], output: Output = TERMINAL): Promise<number | undefined> {
  try {
    await (await buildProgram(words[0], output)).parseAsync(words, { from: "user" });
    return undefined;
  } catch (error) {
    // Commander has written its message by now. It ends with 0 after --help and --version, and with 1 for bad usage.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    const { text, exitCode } = describeError(error);
    output.err(`${printableLines(text)}\n`);
    return exitCode;
  }
}

/**
 * The command line as data.
 *
 * @param only Load only that command, if it exists. @default every command, as the help and the completion need them
 */
export async function buildProgram(only?: string, output: Output = TERMINAL): Promise<Command> {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  const program = new Command("triplewide")
    .description("Spark for Python people, on this machine's Docker or on OpenStack.")
    .version(version)
    .usage("<command> [options]")
    .helpCommand("help [command]", "help for a command")
    .configureOutput({
      writeOut: output.out,
      writeErr: output.err,
      outputError: (text, write) => write(text.replace(/^error: /, "triplewide: ")),
    })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 failed, 2 the input cannot be used and nothing was changed.\n`triplewide <command> --help` says what a command does, its options and their defaults.",
    )
    .exitOverride();
  const one = Object.entries(COMMANDS).find(([name]) => name === only)?.[1];
  for (const load of one ? [one] : Object.values(COMMANDS)) {
    const command = await load();
    inherit(command, program, "triplewide");
    program.addCommand(command);
  }
  if (!one) {
    program.showHelpAfterError("See: triplewide --help");
    const { addCompletion } = await import("./completion.ts");
    addCompletion(program);
  }
  return program;
}

/** Gives a command and its subcommands the settings of its parent. @param above The words before its name. */
function inherit(command: Command, parent: Command, above: string): void {
  const words = `${above} ${command.name()}`;
  command.copyInheritedSettings(parent).showHelpAfterError(`See: ${words} --help`);
  for (const below of command.commands) inherit(below, command, words);
}
