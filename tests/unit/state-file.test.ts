import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { removeBrokenAttributes } from "../../cli/state-file.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-state-"));
  mkdirSync(join(folder, ".pulumi/stacks/triplewide"), { recursive: true });
  mkdirSync(join(folder, "bin"));
  vi.stubEnv("PATH", `${folder}/bin:${process.env.PATH}`);
  stateIsAt(`file://${folder}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** Sets the backend's URL that Pulumi's command prints. */
const stateIsAt = (url: string): void =>
  writeFileSync(join(folder, "bin/pulumi"), `#!/bin/sh\necho '${JSON.stringify({ url })}'\n`, { mode: 0o755 });

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
  stateIsAt("https://api.pulumi.com/someone");
  write("prod.json.attrs", "");
  expect(await removeBrokenAttributes(folder, "prod")).toEqual([]);
});
