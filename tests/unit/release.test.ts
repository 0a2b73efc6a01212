import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";

/** Every place that names the release has the same number. */

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const { version } = JSON.parse(read("package.json")) as { version: string };

test("the program, its images and its changes have the same number", () => {
  expect(pinnedVersions(ROOT).TRIPLEWIDE_VERSION).toBe(version);
  expect((JSON.parse(read("package-lock.json")) as { version: string }).version).toBe(version);
  expect(/^## (\d[\w.]*)/m.exec(read("CHANGELOG.md"))?.[1]).toBe(version);
});
