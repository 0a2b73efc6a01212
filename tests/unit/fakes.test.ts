import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** Folders that are part of the product. `bench` is not: it uses stand-ins from the tests. */
const PRODUCT = ["cli", "cluster", "components", "config", "images", "index.ts", "local", "marathon", "mesos"]
  .concat(["openstack", "render", "scripts"])
  .map((name) => join(ROOT, name));

function filesIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .map((name) => join(path, name))
    .filter((file) => statSync(file).isFile());
}

test("nothing of the product reaches what only stands in for something in tests", () => {
  const standIns = readdirSync(join(ROOT, "tests", "fakes")).filter((name) => name.includes("stand-in"));
  expect(standIns).toContain("mesos-stand-in.py");
  // Skips large files: `images` may hold archives of Mesos, which are not text.
  const files = PRODUCT.flatMap(filesIn).filter((file) => statSync(file).size < 1_000_000);
  expect(files.length).toBeGreaterThan(100);
  const reaching = files.filter((file) => {
    const text = readFileSync(file, "utf8");
    return /["'/]tests\//.test(text) || standIns.some((name) => text.includes(name));
  });
  expect(reaching).toEqual([]);
});
