import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { ROOT } from "../cli/common.ts";
import { configReference, pulumiConfigBlock } from "../config/reference.ts";

/** Writes what is made from the config schema: `docs/CONFIG.md` and the `config:` block of `Pulumi.yaml`. `--check`: compares only. */
const check = process.argv.includes("--check");

const project = parseDocument(readFileSync(join(ROOT, "Pulumi.yaml"), "utf8"));
project.set("config", pulumiConfigBlock());
const wanted: [string, string][] = [
  ["docs/CONFIG.md", configReference()],
  ["Pulumi.yaml", project.toString({ lineWidth: 120 })],
];

const stale = wanted.filter(([file, text]) => {
  try {
    return readFileSync(join(ROOT, file), "utf8") !== text;
  } catch {
    return true;
  }
});
for (const [file, text] of stale) {
  if (check) process.stderr.write(`${file} does not fit the config schema. Run: make docs\n`);
  else writeFileSync(join(ROOT, file), text);
}
if (check && stale.length > 0) process.exitCode = 1;
