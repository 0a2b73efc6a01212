import { existsSync, globSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/**
 * Rules for imports: no folder imports a later one, there are no import cycles, and the pure folders import nothing that reads
 * the machine. Imports of types count as well, because they are dependencies too.
 */

/** Folders in order: a file imports only from its own folder and from earlier ones. Folders in one line do not import each other. */
const LAYERS: readonly (readonly string[])[] = [
  ["lib"],
  ["config"],
  ["cluster"],
  ["render"],
  ["mesos", "marathon", "spark"],
  ["machines"],
  ["openstack"],
  ["local"],
  ["components"],
  ["cli", "index.ts"],
];

/** Folders of pure functions, and the one file that reads for them. */
const PURE: readonly string[] = ["cluster", "render"];
const READS = "cluster/load.ts";
const READING: readonly string[] = ["fs", "child_process", "http", "https", "net", "dgram", "worker_threads"];

interface Import {
  from: string;
  to: string;
}

const rooms = LAYERS.flat();
const roomOf = (file: string): string => file.split("/")[0] ?? file;
const layerOf = (file: string): number => LAYERS.findIndex((layer) => layer.includes(roomOf(file)));

/** Every import of a file as written, including imports of types. */
const importsIn = (text: string): string[] => ts.preProcessFile(text, true, true).importedFiles.map((f) => f.fileName);

const files = rooms.flatMap((room) =>
  room.endsWith(".ts") ? [room] : globSync(`${room}/**/*.{ts,cts,mts,cjs,mjs,js}`, { cwd: ROOT }),
);
const imports: Import[] = files.flatMap((from) =>
  importsIn(readFileSync(join(ROOT, from), "utf8")).map((to) => ({
    from,
    to: to.startsWith(".") ? normalize(join(dirname(from), to)) : to,
  })),
);
/** Imports of this repository's files. */
const own = imports.filter(({ to }) => /\.[cm]?[jt]s$/.test(to) && existsSync(join(ROOT, to)));
const show = ({ from, to }: Import): string => `${from} -> ${to}`;

/** Import cycles, one line for each. */
function circles(arrows: readonly Import[]): string[] {
  const next = Map.groupBy(arrows, ({ from }) => from);
  const reached = (start: string): Set<string> => {
    const seen = new Set<string>();
    const open = [start];
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      for (const { to } of next.get(file) ?? []) {
        if (seen.has(to)) continue;
        seen.add(to);
        open.push(to);
      }
    }
    return seen;
  };
  const reach = new Map([...next.keys()].map((file) => [file, reached(file)]));
  const sets = [...reach].flatMap(([file, seen]) =>
    seen.has(file)
      ? [
          [...seen]
            .filter((other) => reach.get(other)?.has(file))
            .sort()
            .join(" <-> "),
        ]
      : [],
  );
  return [...new Set(sets)].sort();
}

/** Imports from a later folder, from another folder of the same layer, or from a folder that is in no layer, such as tests. */
const against = (arrows: readonly Import[]): string[] =>
  arrows
    .filter(({ from, to }) => roomOf(from) !== roomOf(to) && !(layerOf(to) >= 0 && layerOf(to) < layerOf(from)))
    .map(show)
    .sort();

/** Imports by which a pure file reads the machine. */
const impure = (arrows: readonly Import[]): string[] =>
  arrows
    .filter(({ from, to }) => PURE.includes(roomOf(from)) && from !== READS && READING.includes(builtin(to)))
    .map(show)
    .sort();

/** The name of a Node module, such as `fs` for `node:fs/promises`; empty for other modules. */
function builtin(name: string): string {
  const bare = name.replace(/^node:/, "").split("/")[0] ?? "";
  return builtinModules.includes(bare) ? bare : "";
}

test("every import in whatever form is seen", () => {
  const text = `
    import type { A } from "./a.ts"; import { type B } from "./b.ts"; export type { C } from "./c.ts";
    export * from "./d.ts"; let e: import("./e.ts").E; await import("./f.ts"); import "./g.ts";
    const h = require("./h.cjs"); import i, * as j from "./i.ts";`;
  expect(importsIn(text).sort()).toEqual([..."abcdefg"].map((c) => `./${c}.ts`).concat("./h.cjs", "./i.ts"));
});

test("circles, arrows against the layers and readers are told apart", () => {
  const arrow = (from: string, to: string): Import => ({ from, to });
  const loop = [arrow("config/a.ts", "config/b.ts"), arrow("config/b.ts", "config/c.ts")];
  expect(circles(loop)).toEqual([]);
  expect(circles([...loop, arrow("config/c.ts", "config/a.ts"), arrow("lib/x.ts", "config/a.ts")])).toEqual([
    "config/a.ts <-> config/b.ts <-> config/c.ts",
  ]);
  expect(against([arrow("cluster/a.ts", "config/a.ts"), arrow("config/a.ts", "cluster/a.ts")])).toEqual([
    "config/a.ts -> cluster/a.ts",
  ]);
  expect(against([arrow("mesos/a.ts", "marathon/a.ts")])).toEqual(["mesos/a.ts -> marathon/a.ts"]);
  expect(against([arrow("cli/a.ts", "tests/a.ts")])).toEqual(["cli/a.ts -> tests/a.ts"]);
  expect(impure([arrow("cluster/a.ts", "node:fs/promises"), arrow(READS, "node:fs")])).toEqual([
    "cluster/a.ts -> node:fs/promises",
  ]);
});

test("the files and imports of every room are found", () => {
  const importing = new Set(own.map(({ from }) => roomOf(from)));
  for (const room of ["config", "cluster", "render", "mesos", "marathon", "openstack", "local", "components", "cli"]) {
    expect(importing).toContain(room);
  }
  expect(importing).toContain("index.ts");
  const missing = imports.filter(
    ({ from, to }) => to.includes("/") && roomOf(to) === roomOf(from) && !own.some((i) => i.to === to),
  );
  expect(missing.map(show)).toEqual([]);
});

test("no import goes against the layers, no circle, and nothing pure reads", () => {
  expect([...against(own), ...circles(own), ...impure(imports)]).toEqual([]);
});
