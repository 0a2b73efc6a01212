import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { removeBrokenAttributes } from "../../cli/state-file.ts";

const where = vi.hoisted(() => ({ url: "" }));
vi.mock("../../cli/pulumi.ts", () => ({ pulumi: async () => JSON.stringify({ url: where.url }) }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-state-"));
  where.url = `file://${folder}`;
  mkdirSync(join(folder, ".pulumi/stacks/triplewide"), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (name: string, content: string): string => {
  const file = join(folder, ".pulumi/stacks/triplewide", name);
  writeFileSync(file, content);
  return file;
};

test("attributes that were cut off are removed; whole ones, other stacks' and states stay", async () => {
  const broken = [write("prod.json.attrs", ""), write("prod.json.bak.attrs", '{"user.cache')];
  const kept = [write("prod.json", ""), write("other.json.attrs", ""), write("prod-two.json.attrs", "")];
  expect((await removeBrokenAttributes(folder, "prod")).sort()).toEqual(broken.sort());
  expect(broken.filter(existsSync)).toEqual([]);
  expect(kept.filter(existsSync)).toEqual(kept);
  write("prod.json.attrs", "{}");
  expect(await removeBrokenAttributes(folder, "prod")).toEqual([]);
});

test("a state that is in no folder is left alone", async () => {
  where.url = "https://api.pulumi.com/someone";
  write("prod.json.attrs", "");
  expect(await removeBrokenAttributes(folder, "prod")).toEqual([]);
});
