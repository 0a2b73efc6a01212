/** The result of a check before an `up`. */
export interface Check {
  /** The checked thing, in a word or two: `Docker`, `masterFlavor`. */
  what: string;
  state: "ok" | "warning" | "problem";
  /** What was found. */
  found: string;
  /** The config key, command or policy that fixes the problem; empty if there is none. */
  fix: string;
}

export const ok = (what: string, found: string): Check => ({ what, state: "ok", found, fix: "" });
export const warning = (what: string, found: string, fix = ""): Check => ({ what, state: "warning", found, fix });
export const problem = (what: string, found: string, fix = ""): Check => ({ what, state: "problem", found, fix });

/** The results for users, one line each, and a last line that says whether something prevents an `up`. */
export function checksText(checks: readonly Check[]): string {
  const width = Math.max(0, ...checks.map((c) => c.what.length));
  const lines = checks.map(({ what, state, found, fix }) =>
    `  ${state.padEnd(7)}  ${what.padEnd(width)}  ${found}${fix && `. Fix: ${fix}`}`.trimEnd(),
  );
  const problems = checks.filter((c) => c.state === "problem").length;
  const warnings = checks.filter((c) => c.state === "warning").length;
  const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;
  const end =
    problems > 0
      ? `${count(problems, "problem")}: an up would fail here.`
      : `Nothing was found that stops an up here${warnings > 0 ? ` (${count(warnings, "warning")})` : ""}.`;
  return `${[...lines, end].join("\n")}\n`;
}
