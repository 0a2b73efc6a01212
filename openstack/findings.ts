import { closest } from "fastest-levenshtein";
import { redacted, withoutLogins } from "../config/redact.ts";
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/text.ts";

/** One thing that would make an update fail. */
export interface PreflightProblem {
  /** Setting to change: a config key, `credentials`, or `quota`. */
  key: string;
  /** The value as people may see it. `undefined` where the problem is not about one value. */
  value: unknown;
  wrong: string;
  /** Empty where `wrong` says it all. */
  fix: string;
}

/** Thrown before anything is created; the message lists every problem. */
export class PreflightError extends UserError {
  override name = "PreflightError";
  readonly problems: readonly PreflightProblem[];
  readonly warnings: readonly string[];
  /** @param what What it is that cannot be done. */
  constructor(
    clusterName: string,
    problems: readonly PreflightProblem[],
    warnings: readonly string[] = [],
    what = "the cloud cannot hold this cluster",
  ) {
    // The checks run side by side; what they find shall read the same every time.
    const sorted = problems.toSorted((a, b) => a.key.localeCompare(b.key) || a.wrong.localeCompare(b.wrong));
    super(formatProblems(`${clusterName}: ${what}`, sorted, warnings));
    this.problems = sorted;
    this.warnings = warnings;
  }
}

/** Where the checks put what they find: one failed check must not hide another. */
export class Findings {
  readonly problems: PreflightProblem[] = [];
  readonly warnings: string[] = [];

  refuse(key: string, value: unknown, wrong: string, fix: string): void {
    // A service that is down is found by every check that needs it.
    if (this.problems.some((p) => p.key === key && p.wrong === wrong)) return;
    const shown = [wrong, fix].map((text) => withoutLogins(printable(text))) as [string, string];
    this.problems.push({ key, value: redacted(key, value), wrong: shown[0], fix: shown[1] });
  }

  warn(text: string): void {
    const shown = withoutLogins(printable(text));
    if (!this.warnings.includes(shown)) this.warnings.push(shown);
  }
}

function formatProblems(what: string, problems: readonly PreflightProblem[], warnings: readonly string[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const lines = problems.map(({ key, value, wrong, fix }) => {
    const got = value === undefined ? "" : `got ${JSON.stringify(value)}; `;
    return `  ${key}: ${got}${wrong}.${fix && ` Fix: ${fix}.`}`;
  });
  return [`${what}: ${count}, nothing was changed.`, ...lines, ...warnings.map((text) => `  (warning) ${text}`)].join(
    "\n",
  );
}

/** Names offered in place of one that does not exist, the most alike first. */
export function instead(wanted: string, names: readonly string[]): string {
  if (names.length === 0) return "there is none that this project may use";
  const best = closest(wanted, names);
  const others = names.filter((name) => name !== best).slice(0, 7);
  const more = names.length > others.length + 1 ? ", …" : "";
  return `use ${best}${others.length > 0 ? ` (there are also ${others.join(", ")}${more})` : ""}`;
}
