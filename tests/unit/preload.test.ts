import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** Tests what components/preload.cjs changes in a program, and what it leaves unchanged. */

const PRELOAD = join(ROOT, "components", "preload.cjs");
const PULUMI = join(ROOT, "node_modules", "@pulumi", "pulumi");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-preload-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program with the preload. @returns Its output, which is JSON. */
function run(text: string, parts = "", file = "program.cjs"): unknown {
  const program = join(folder, file);
  if (text !== "") writeFileSync(program, text);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--require", PRELOAD, program],
    { cwd: ROOT, env: { ...process.env, TRIPLEWIDE_PRELOAD: parts }, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

const LOADED = `
  const require_ = require("node:module").createRequire(${JSON.stringify(`${PULUMI}/index.js`)});
  const isLoaded = (name) => Object.keys(require.cache).some((file) => file.includes("/node_modules/" + name + "/"));
  require_("@pulumi/pulumi");`;

test("TypeScript and the tracer are not loaded with the SDK, and are themselves when they are used", () => {
  const program = `${LOADED}
    const before = ["typescript", "@opentelemetry/sdk-trace-node"].map(isLoaded);
    const ts = require_("typescript");
    const { transpileModule } = ts;
    const { resourceFromAttributes } = require_("@opentelemetry/resources");
    console.log(JSON.stringify([before, String(transpileModule("let a: number = 1", {}).outputText).trim().split("\\n").at(-1),
      isLoaded("typescript"), resourceFromAttributes({ a: 1 }).attributes]));`;
  expect(run(program)).toEqual([[false, false], "let a = 1;", true, { a: 1 }]);
});

test("off changes nothing", () => {
  const program = `${LOADED}
    const log = require_(${JSON.stringify(`${PULUMI}/log/index.js`)});
    console.log(JSON.stringify([isLoaded("typescript"), log.debug.length === 0]));`;
  expect(run(program, "off")).toEqual([true, false]);
  expect(run(program)).toEqual([false, true]);
});

test("a part that there is not is named", () => {
  expect(() => run("", "stripped,nothing")).toThrow(
    /no part is called nothing; there are later,stripped,debug,traces, off/,
  );
});

test("a file whose types are stripped is read anew when it changes", () => {
  expect(run("const n: number = 1; console.log(n)", "stripped", "program.ts")).toBe(1);
  expect(run("", "stripped", "program.ts")).toBe(1);
  expect(run("const n: number = 22; console.log(n)", "stripped", "program.ts")).toBe(22);
});

test("lines and columns of errors are those of the file", () => {
  const program = `interface A { b: string }\n\nconst a = (x: A): never => { throw new Error(x.b); };\na({ b: "here" });`;
  for (const _ of ["made", "kept"]) {
    expect(() => run(program, "stripped", "program.ts")).toThrow(/program\.ts:3:36/);
  }
});

test("promises are settled as before, and errors after them have their stacks", () => {
  const program = `${LOADED}
    const { debuggablePromise } = require_(${JSON.stringify(`${PULUMI}/runtime/debuggable.js`)});
    const limit = Error.stackTraceLimit;
    Promise.all([
      debuggablePromise(Promise.resolve(1), "a"),
      debuggablePromise(Promise.reject(new Error("no")), "b").catch((error) => error.message),
    ]).then((both) => console.log(JSON.stringify([both, Error.stackTraceLimit === limit, new Error("x").stack.includes("at ")])));`;
  expect(run(program)).toEqual([[1, "no"], true, true]);
});
