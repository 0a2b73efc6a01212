import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shape } from "../../config/schema.ts";
import { ROOT } from "../../lib/root.ts";
import { TEST_LINK, titlesIn } from "../fixtures/titles.ts";

/** docs/CLOUDS.md: each row names existing tests, or says that no test covers it. */

const text = readFileSync(join(ROOT, "docs", "CLOUDS.md"), "utf8");
const rows = text
  .split("\n")
  .filter((line) => line.startsWith("| ") && !/^\| (Difference|---) \|/.test(line))
  .map((line) => line.split("|").map((cell) => cell.trim()));

/** The words of rows that no test covers. */
const UNHELD = /not supported|not found|not mended|made once by hand|left as they are/;

test("there are rows, each of a difference, what happens and a test", () => {
  expect(rows.length).toBeGreaterThan(30);
  for (const row of rows) expect(row, row[1]).toHaveLength(5);
});

test.each(rows)("%s%s", (_, __, happens = "", tests = "") => {
  if (tests === "") return expect(happens).toMatch(UNHELD);
  const named = [...tests.matchAll(TEST_LINK)];
  expect(named.length).toBeGreaterThan(0);
  for (const [, title, file = ""] of named) expect(titlesIn(file)).toContain(title);
});

test("keys that it names are keys", () => {
  const words = [...text.matchAll(/`([a-z][A-Za-z]+)`/g)].map(([, word = ""]) => word);
  const others = ["hw_", "cacert", "mtu", "openstack", "reader"];
  const unknown = words.filter((word) => !(word in shape) && !others.includes(word));
  expect(unknown).toEqual([]);
});
