import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { TEST_LINK, titlesIn } from "../fixtures/titles.ts";

/** Each line on protection in docs/SECURITY.md names existing tests. */

const text = readFileSync(join(ROOT, "docs", "SECURITY.md"), "utf8");
const tables = text.split(/^## /m).filter((section) => section.includes("| Test |"));
const rows = tables.flatMap((section) =>
  section.split("\n").filter((line) => line.startsWith("| ") && !/^\| (Attack|---) \|/.test(line)),
);

test("there are tables of attacks", () => {
  expect(tables.length).toBeGreaterThan(5);
  expect(rows.length).toBeGreaterThan(25);
});

test.each(rows.map((row) => [row.split("|")[1]?.trim() ?? "", row] as const))("%s: names a test", (_, row) => {
  const cells = row.split(" | ");
  expect(cells).toHaveLength(3);
  expect(cells[2]).toMatch(TEST_LINK);
});

describe("every test that it names exists", () => {
  const named = [...text.matchAll(TEST_LINK)].map(([, title = "", file = ""]) => ({ title, file }));

  test.each(named)("$file: $title", ({ title, file }) => {
    expect(titlesIn(file)).toContain(title);
  });
});

test("what is not protected is said", () => {
  const open = text.split("## What is not protected")[1] ?? "";
  for (const word of ["simple", "encrypted", "libprocess", "ZooKeeper", "Egress", "Rotation"]) {
    expect(open).toContain(word);
  }
});
