import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { mesosTag } from "../../cluster/images.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { docker, findDocker } from "../../local/docker.ts";

/** Builds images from an archive with a stand-in for Mesos. Images with the real one are built in `tests/mesos`. */

const d = await findDocker();
const folder = mkdtempSync(join(tmpdir(), "triplewide-mesos-image-"));
const built: string[] = [];

const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Makes a prefix with programs that print a version, and a library that is not Mesos'. */
function makePrefix(prefix: string): void {
  mkdirSync(join(prefix, "sbin"), { recursive: true });
  mkdirSync(join(prefix, "lib"));
  for (const program of ["mesos-master", "mesos-agent"])
    writeFileSync(join(prefix, "sbin", program), "#!/bin/sh\necho stand-in\n", { mode: 0o755 });
  const libraries = "/usr/lib/x86_64-linux-gnu";
  const any = readdirSync(libraries).find((name) => name.startsWith("libz.so."));
  copyFileSync(join(libraries, any ?? ""), join(prefix, "lib", "libmesos.so"));
}

async function build(archive: string, parts: string): Promise<{ code: number; output: string; image: string }> {
  const sha256 = digestOf(archive);
  const image = `triplewide/spark-python:${pinnedVersions(ROOT).TRIPLEWIDE_VERSION}${mesosTag(`#sha256=${sha256}`)}`;
  const values = { MESOS_ARCHIVE: archive, MESOS_SHA256: sha256, MESOS_PARTS: parts };
  const words = Object.entries(values).map(([key, value]) => `${key}=${value}`);
  const result = await captured("env", [...words, join(ROOT, "images", "build.sh"), "--plain", "spark-python"]);
  if (result.code === 0) built.push(image);
  return { ...result, image };
}

describe("an image with Mesos", () => {
  afterAll(async () => {
    for (const image of built) await docker(d, ["rmi", image]);
    rmSync(folder, { recursive: true, force: true });
  });

  test("is not made where libmesos has no Java bindings, and the reason is said", async () => {
    makePrefix(join(folder, "tree"));
    const archive = join(folder, "mesos.tar.gz");
    execFileSync("tar", ["-czf", archive, "-C", join(folder, "tree"), "."]);
    const { code, output } = await build(archive, "java");
    expect(output).toContain("was built without Java bindings");
    expect(code).not.toBe(0);
  });

  test("has what a .deb depends on, but for Java, which is there, and no file that others than root may write", async () => {
    const tree = join(folder, "deb");
    makePrefix(join(tree, "usr"));
    chmodSync(join(tree, "usr", "sbin"), 0o777);
    chmodSync(join(tree, "usr", "sbin", "mesos-agent"), 0o6777);
    mkdirSync(join(tree, "DEBIAN"));
    const control = {
      Package: "mesos",
      Version: "9.9",
      Architecture: "amd64",
      Maintainer: "nobody <nobody@example.org>",
      Depends: "java-runtime-headless, libapr1 (>= 1.5), libevent-2.1-7 | libevent-2.0-5",
      Description: "stand-in",
    };
    const lines = Object.entries(control).map(([key, value]) => `${key}: ${value}\n`);
    writeFileSync(join(tree, "DEBIAN", "control"), lines.join(""));
    const archive = join(folder, "mesos.deb");
    execFileSync("dpkg-deb", ["--root-owner-group", "--build", tree, archive]);
    const { code, output, image } = await build(archive, "daemons");
    expect(code, output).toBe(0);
    const looks = [
      "cat /opt/mesos/RUNTIME_PACKAGES",
      "dpkg --status libapr1 libevent-2.1-7 | grep ^Status",
      "find /opt/mesos ! -type l -perm /6022",
    ];
    const said = await docker(d, ["run", "--rm", "--entrypoint", "bash", image, "-c", looks.join("; ")]);
    expect(said.trim().split("\n")).toEqual([
      ...["libsasl2-modules", "libapr1", "libevent-2.1-7"],
      ...["Status: install ok installed", "Status: install ok installed"],
    ]);
  });
});
