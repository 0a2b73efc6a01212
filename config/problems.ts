import { UsageError } from "../lib/errors.ts";
import { printable } from "../lib/text.ts";
import { redacted, withoutLogins } from "./redact.ts";

/** What is wrong with a config, and how it is said. */

/** One thing that is wrong with a config. */
export interface Problem {
  key: string;
  /** The value as given; what of it is secret is hidden when it becomes part of an error. */
  value: unknown;
  rule: string;
  fix: string;
}

/** Thrown for a config that cannot be used; the message lists every problem. */
export class ConfigError extends UsageError {
  override name = "ConfigError";
  readonly problems: readonly Problem[];
  constructor(source: string, problems: readonly Problem[]) {
    const shown = problems.map((problem) => ({
      ...problem,
      value: redacted(problem.key, problem.value),
      rule: withoutLogins(problem.rule),
      fix: withoutLogins(problem.fix),
    }));
    super(formatProblems(source, shown));
    this.problems = shown;
  }
}

/** The list that people read: one problem a line, key first. */
function formatProblems(source: string, problems: readonly Problem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const lines = problems.map(
    (p) =>
      `  ${printable(p.key)}: ${p.value === undefined ? "not set" : `got ${show(p.value)}`}; must be ${p.rule}. Fix: ${p.fix}.`,
  );
  return [`${source}: ${count} in the config, nothing was changed.`, ...lines].join("\n");
}

function show(value: unknown): string {
  const text = printable(JSON.stringify(value) ?? String(value));
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
