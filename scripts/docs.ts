import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { imageGraph } from "../cluster/image-catalogue.ts";
import { MODELINE, SCHEMA_FILE, stackFileSchema } from "../config/json-schema.ts";
import { environments, PROJECT } from "../config/load.ts";
import { configReference, pulumiConfigBlock } from "../config/reference.ts";
import { ROOT } from "../lib/root.ts";
import { mesosReference } from "../mesos/reference.ts";

/**
 * Writes what is made from the config schema (`docs/CONFIG.md`, the JSON Schema of stack files, its name in each of them, and
 * the `config:` block of `Pulumi.yaml`), from the catalogue of images (`images/graph.tsv`) and from the table of sources of Mesos
 * (`docs/MESOS.md`). `--check`: compares only.
 */
const check = process.argv.includes("--check");

const project = parseDocument(readFileSync(join(ROOT, "Pulumi.yaml"), "utf8"));
project.set("config", pulumiConfigBlock());

/** A stack file whose first line names its schema. */
function withModeline(file: string): [string, string] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [file, `${MODELINE}\n${text.replace(/^# yaml-language-server:.*\n/gm, "")}`];
}

const wanted: [string, string][] = [
  ["docs/CONFIG.md", configReference()],
  [SCHEMA_FILE, `${JSON.stringify(stackFileSchema(PROJECT), null, 2)}\n`],
  ...environments(ROOT).map((name) => withModeline(`Pulumi.${name}.yaml`)),
  ["images/graph.tsv", imageGraph()],
  ["docs/MESOS.md", mesosReference()],
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
  if (check) process.stderr.write(`${file} is not what the config schema and the records make. Run: make docs\n`);
  else writeFileSync(join(ROOT, file), text);
}
if (check && stale.length > 0) process.exitCode = 1;
