import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { ROOT } from "../lib/root.ts";
import { type Layer, layers } from "./layers.ts";

/**
 * Runs the test layers one after the other and prints a summary. A layer that cannot run here is reported as
 * skipped with the reason; the exit code is 0 only when nothing failed.
 *
 *   node tests/run.ts unit | all | <layer>...
 */

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages?: string[] }[];
  }[];
}

interface Outcome {
  layer: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  note: string;
  /** Failed tests, by file and name, which are printed again as the last lines of the log. */
  failures: string[];
}

/** The reasons of skipped tests, from "(skipped: reason)" in their names. */
function whySkipped(report: VitestReport): string[] {
  const skipped = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter((result) => !["passed", "failed"].includes(result.status))
    .map((result) => /\(skipped: .*?\)(?= |$)/.exec(result.fullName)?.[0].slice(1, -1) ?? "");
  return [...new Set(skipped)].filter(Boolean);
}

/** Tests that failed, and files that did not load. */
function failuresOf(report: VitestReport): string[] {
  return report.testResults.flatMap((file) => {
    const name = relative(ROOT, file.name);
    const failed = file.assertionResults.filter((result) => result.status === "failed");
    if (failed.length > 0) {
      return failed.map(({ fullName, failureMessages }) => `${name}: ${fullName}\n${firstLines(failureMessages?.[0])}`);
    }
    return file.status === "failed" ? [`${name}\n${firstLines(file.message)}`] : [];
  });
}

/** The beginning of a message, without colours and stack frames in libraries. */
function firstLines(message = ""): string {
  return stripVTControlCharacters(message)
    .split("\n")
    .filter((line) => !/^\s+at .*(node_modules|node:)/.test(line))
    .slice(0, 12)
    .map((line) => `    ${line.slice(0, 300)}`)
    .join("\n");
}

/** The environment of tests, in which `python3` is Python itself. A version manager's is a script that takes longer than most tests. */
function environment(): NodeJS.ProcessEnv {
  const { stdout } = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" });
  return stdout ? { ...process.env, PATH: `${dirname(stdout.trim())}:${process.env.PATH}` } : process.env;
}

async function vitest({ dir: files, timeoutSeconds, together }: Layer, report: string): Promise<number> {
  const timeoutMs = timeoutSeconds * 1000;
  const args = [
    join(ROOT, "node_modules/vitest/vitest.mjs"),
    "run",
    "--dir",
    join(ROOT, files),
    "--testTimeout",
    String(timeoutMs),
    "--hookTimeout",
    String(timeoutMs),
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    // Most layers share this machine's Docker, so their files run one after the other. The others use all cores; Vitest would leave one
    // free. Concurrent tests wait for a provider most of the time.
    ...((await together?.()) ? ["--maxWorkers=100%", "--maxConcurrency=10"] : ["--no-file-parallelism"]),
    // Unit tests share a process on each core, so modules are loaded once. The tests restore what they change in the process.
    ...(files === "tests/unit" ? ["--no-isolate"] : []),
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

const asked = process.argv.slice(2);
const known = layers.map((l) => l.name);
const unknown = asked.filter((name) => name !== "all" && !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no such layer: ${unknown.join(", ")}; there are ${known.join(", ")}, all\n`);
  process.exit(2);
}

const env = environment();
const dir = mkdtempSync(join(tmpdir(), "triplewide-tests-"));
const outcomes: Outcome[] = [];
for (const layer of layers) {
  if (asked.length > 0 && !asked.includes("all") && !asked.includes(layer.name)) continue;
  const notAsked = layer.byName && !asked.includes(layer.name);
  const reason = notAsked ? `too long for every run: node tests/run.ts ${layer.name}` : await layer.missing();
  if (reason) {
    outcomes.push({
      layer: layer.name,
      passed: 0,
      failed: 0,
      skipped: 1,
      seconds: 0,
      note: `skipped: ${reason}`,
      failures: [],
    });
    continue;
  }
  process.stdout.write(`\n== ${layer.name}: ${layer.what}\n`);
  const start = Date.now();
  const report = join(dir, `${layer.name}.json`);
  const code = await vitest(layer, report);
  const seconds = (Date.now() - start) / 1000;
  try {
    const json: VitestReport = JSON.parse(readFileSync(report, "utf8"));
    // A file that does not load has no tests that could fail, so it counts as one failure.
    const broken = json.testResults.filter((r) => r.status === "failed" && r.assertionResults.length === 0).length;
    const failed = json.numFailedTests + broken;
    const skipped = json.numPendingTests + json.numTodoTests;
    const broke =
      failed === 0 && code !== 0
        ? "the test runner itself failed"
        : json.numPassedTests + failed === 0
          ? "ran no test"
          : "";
    outcomes.push({
      layer: layer.name,
      passed: json.numPassedTests,
      failed: failed + (broke ? 1 : 0),
      skipped,
      seconds,
      note: [broke, ...whySkipped(json)].filter(Boolean).join("; "),
      failures: failuresOf(json),
    });
  } catch (error) {
    outcomes.push({
      layer: layer.name,
      passed: 0,
      failed: 1,
      skipped: 0,
      seconds,
      note: `no report: ${String(error)}`,
      failures: [],
    });
  }
}
rmSync(dir, { recursive: true, force: true });

const failures = outcomes.flatMap((outcome) => outcome.failures);
if (failures.length > 0) process.stdout.write(`\n== Failed\n${failures.join("\n")}\n`);
process.stdout.write("\n== Summary\n");
for (const o of outcomes) {
  const counts = `${o.passed} passed, ${o.failed} failed, ${o.skipped} skipped`;
  process.stdout.write(`${o.layer.padEnd(12)} ${counts.padEnd(34)} ${o.seconds.toFixed(0).padStart(4)} s  ${o.note}\n`);
}
const sum = (key: "passed" | "failed" | "skipped"): number => outcomes.reduce((n, o) => n + o[key], 0);
process.stdout.write(`${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped\n`);
process.exitCode = sum("failed") > 0 || sum("passed") === 0 ? 1 : 0;
