import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** Every error message that ends the program has an entry in docs/TROUBLESHOOTING.md, and every entry is such a message. */

/** Folders of the programs that users run. Messages of the Python programs in `images` are in docs/NOTEBOOKS.md. */
const FOLDERS = [
  "cli",
  "cluster",
  "components",
  "config",
  "local",
  "machines",
  "marathon",
  "mesos",
  "openstack",
  "spark",
];

/** Pulumi shows this error without a stack trace, as `triplewide` does for a `UserError`. */
const SHOWN = "pulumi.RunError";

/** Errors that list problems of a config, a cloud or a source, each with key, value, rule and fix. */
const LISTS = ["ConfigError", "PreflightError", "SourceError"];

const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file)),
);
const sources = [...files, "lib/errors.ts"].map((file) =>
  ts.createSourceFile(file, readFileSync(join(ROOT, file), "utf8"), ts.ScriptTarget.Latest, true),
);

function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* nodesOf(child);
}

const nodes = sources.flatMap((source) => [...nodesOf(source)]);

/** `UserError` and all that extend it. */
function shownErrors(): Set<string> {
  const parents = new Map<string, string>();
  for (const node of nodes) {
    if (!ts.isClassDeclaration(node)) continue;
    const parent = node.heritageClauses?.flatMap((clause) => clause.types)[0]?.expression.getText();
    if (node.name && parent) parents.set(node.name.text, parent);
  }
  const known = (name: string): boolean => {
    for (let at: string | undefined = name; at !== undefined; at = parents.get(at)) if (at === "UserError") return true;
    return false;
  };
  return new Set([SHOWN, ...[...parents.keys(), "UserError"].filter(known)]);
}

/** The texts that an expression can have, with `…` for variable parts; empty if the text is made elsewhere. */
function textsOf(node: ts.Expression): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node))
    return [node.head.text + node.templateSpans.map((span) => `…${span.literal.text}`).join("")];
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression);
  if (ts.isBinaryExpression(node)) {
    const [left, right] = [textsOf(node.left), textsOf(node.right)];
    return left.flatMap((one) => right.map((other) => one + other));
  }
  return [];
}

/** Whether an entry matches a message: the same words in the same order, with any text for `…`. */
function isOf(entry: string, message: string): boolean {
  let at = 0;
  for (const piece of entry.split("…").map((text) => text.trim())) {
    const found = message.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return true;
}

/** The longest part of an entry without `…`. */
function longest(entry: string): string {
  const pieces = entry.split("…").map((piece) => piece.trim());
  return pieces.toSorted((a, b) => b.length - a.length)[0] ?? "";
}

const shown = shownErrors();
const messages = nodes.flatMap((node) => {
  if (!ts.isNewExpression(node) || !shown.has(node.expression.getText())) return [];
  if (LISTS.includes(node.expression.getText())) return [];
  const [argument] = node.arguments ?? [];
  const at = node.getSourceFile().fileName;
  return argument ? textsOf(argument).map((message) => ({ at, message })) : [];
});

const page = readFileSync(join(ROOT, "docs", "TROUBLESHOOTING.md"), "utf8");
const entries = [...page.matchAll(/^\| (`{1,2})(.+?)\1 \|/gm)].map(([, , entry = ""]) => entry);

test("messages and entries are found", () => {
  expect([...shown]).toEqual(expect.arrayContaining(["UserError", "CloudError", "SshError", "UsageError", SHOWN]));
  expect(messages.length).toBeGreaterThan(40);
  expect(entries.length).toBeGreaterThan(40);
});

test("every message has its entry", () => {
  const without = messages
    // Leaves out messages that consist only of other texts.
    .filter(({ message }) => /[a-z]{2}/.test(message))
    .filter(({ message }) => !entries.some((entry) => isOf(entry, message)));
  expect(without, "add a line for each to docs/TROUBLESHOOTING.md").toEqual([]);
});

test("every entry is a message that the product still has", () => {
  const words = sources.map((source) => source.text.replace(/\\([`"$])/g, "$1")).join("\n");
  expect(
    entries.filter((entry) => !words.includes(longest(entry))),
    "no message says this any more: remove its line",
  ).toEqual([]);
});
