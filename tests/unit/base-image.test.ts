import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { baseImage } from "../../components/base-image.ts";

const VERSIONS = { BASE_IMAGE: "debian:bookworm-20260824-slim", BASE_DIGEST: `sha256:${"b".repeat(64)}` };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-docker-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A stand-in for Docker that gives the same answer for every image. */
function docker(script: string): string {
  const file = join(folder, "docker");
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

test("is pulled by its digest, whatever its tag means by now", async () => {
  const byDigest = `${VERSIONS.BASE_IMAGE}@${VERSIONS.BASE_DIGEST}`;
  expect(await baseImage(VERSIONS, docker("echo no such image >&2; exit 1"))).toBe(byDigest);
  expect(await baseImage(VERSIONS, docker("echo '<no value>'"))).toBe(byDigest);
  expect(await baseImage(VERSIONS, join(folder, "nothing"))).toBe(byDigest);
});

test("is taken as it is where it was made on this machine", async () => {
  expect(await baseImage(VERSIONS, docker("echo local"))).toBe(VERSIONS.BASE_IMAGE);
});
