import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { ROOT } from "../lib/root.ts";

/** Options of commands that read an environment's config. */
export interface ConfigOptions {
  /** `key=value` texts, which take precedence over the stack file. */
  set: string[];
}

/**
 * Makes a command of the program.
 *
 * @param summary One sentence, for the list of commands.
 * @param more Further text of the command's own help.
 * @param examples Example command lines.
 */
export function commandOf(name: string, summary: string, more: string, examples: readonly string[]): Command {
  const lines = examples.map((line) => `  ${line}`).join("\n");
  return new Command(name)
    .summary(summary)
    .description(`${summary} ${more}`.trim())
    .allowExcessArguments(false)
    .addHelpText("after", `\n${examples.length === 1 ? "Example" : "Examples"}:\n${lines}`);
}

/** The option for the environment. @default local */
export const envOption = (): Option =>
  new Option("-e, --env <name>", "the environment: Pulumi.<name>.yaml").default("local");

export const setOption = (): Option =>
  new Option("--set <key=value>", "a setting of the config (docs/CONFIG.md) in place of the file's; may be repeated")
    .argParser((value: string, before: string[]) => [...before, value])
    .default([], "none");

/** Argument parser of an option in whole seconds. */
export function seconds(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("Give whole seconds, such as 60.");
  return Number(text);
}

/** Argument parser of an option that is a port. */
export function portNumber(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > 65535)
    throw new InvalidArgumentError("Give a port from 1 to 65535.");
  return Number(text);
}

/** Folder of the Pulumi project: the current folder if it is one, as for `pulumi` itself; otherwise this checkout. */
export function projectFolder(): string {
  const here = process.cwd();
  return existsSync(join(here, "Pulumi.yaml")) ? here : ROOT;
}
