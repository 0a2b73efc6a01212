import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pinnedVersions } from "../../lib/checkout.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { docker, dockerLines, findDocker } from "../../local/docker.ts";
import type { MesosReport } from "../../mesos/check.ts";
import { Registry } from "../fakes/registry.ts";

/**
 * Runs `triplewide mesos check` and `use`, as a user does, on sources with each kind of fault. Stand-ins replace Mesos: one of
 * Debian's libraries with libmesos' name, and programs that print a version. `tests/mesos` checks the real one.
 */

const d = await findDocker();
const folder = mkdtempSync(join(tmpdir(), "triplewide-mesos-source-"));
const base = `triplewide/base:${pinnedVersions(ROOT).TRIPLEWIDE_VERSION}`;
let registry: Registry;

/** Runs the command in a project folder of its own, so that it changes no file of this checkout. */
async function mesos(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err] = [join(folder, "out"), join(folder, "err")];
  const script = `cd ${folder} && exec "$0" mesos "$@" >${out} 2>${err}`;
  const { code } = await captured("bash", ["-c", script, join(ROOT, "cli", "triplewide"), ...args]);
  return { code, out: readFileSync(out, "utf8"), err: readFileSync(err, "utf8") };
}

/** A library of the base image in which some names are replaced by others of the same length. */
function changed(library: string, names: Readonly<Record<string, string>>): Buffer {
  const file = join(folder, "taken.so");
  const container = execFileSync(d.client, ["create", base, "true"], { encoding: "utf8" }).trim();
  try {
    const path = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/${library}`;
    execFileSync(d.client, ["cp", "--follow-link", `${container}:${path}`, file]);
  } finally {
    execFileSync(d.client, ["rm", container]);
  }
  let text = readFileSync(file, "latin1");
  for (const [from, to] of Object.entries(names)) {
    expect(text.includes(from), from).toBe(true);
    expect(to).toHaveLength(from.length);
    text = text.replaceAll(from, to);
  }
  return Buffer.from(text, "latin1");
}

/** A prefix with a libmesos, and with programs that print a version. */
function prefix(name: string, library: Buffer, programs = ["mesos-master", "mesos-agent"]): string {
  const path = join(folder, name);
  mkdirSync(join(path, "sbin"), { recursive: true });
  mkdirSync(join(path, "lib"));
  for (const program of programs)
    writeFileSync(join(path, "sbin", program), "#!/bin/sh\necho mesos 9.9.0\necho Registered with master\n", {
      mode: 0o755,
    });
  writeFileSync(join(path, "lib", "libmesos.so"), library, { mode: 0o755 });
  return path;
}

function tarball(tree: string): string {
  const archive = `${tree}.tar.gz`;
  execFileSync("tar", ["-czf", archive, "-C", tree, "."]);
  return `file://${archive}`;
}

/** Pushes an image with a tree below /usr/local and further files to the test's registry. */
async function pushed(tree: string, tag: string, more: Readonly<Record<string, Buffer>> = {}): Promise<string> {
  const context = mkdtempSync(join(folder, "image-"));
  execFileSync("cp", ["-a", tree, join(context, "local")]);
  mkdirSync(join(context, "more"));
  for (const [name, bytes] of Object.entries(more)) writeFileSync(join(context, "more", name), bytes);
  writeFileSync(
    join(context, "Dockerfile"),
    `FROM ${base}\nCOPY local /usr/local\nCOPY more /usr/lib/elsewhere\nRUN echo /usr/lib/elsewhere >/etc/ld.so.conf.d/a.conf && ldconfig\n`,
  );
  const image = `${registry.host}/${tag}`;
  await docker(d, ["build", "--quiet", "--tag", image, context]);
  await docker(d, ["push", "--quiet", image]);
  return image;
}

const SOUND = () => changed("libncursesw.so.6", {});
/** As on a distribution with another version of libtinfo. */
const FOREIGN = { "libtinfo.so.6": "libtinfo.so.9" };

beforeAll(async () => {
  registry = await Registry.start();
  copyFileSync(join(ROOT, "Pulumi.yaml"), join(folder, "Pulumi.yaml"));
  expect((await captured(join(ROOT, "images", "build.sh"), ["--plain", "base"])).code).toBe(0);
});
afterAll(async () => {
  const { host } = registry;
  await registry.stop();
  // Includes images whose tag was moved to another image.
  const format = ["--format", "{{.ID}}", "--filter", `reference=${host}/*/*`];
  const images = new Set(await dockerLines(d, ["images", ...format]));
  if (images.size > 0) await docker(d, ["rmi", "--force", ...images]);
  rmSync(folder, { recursive: true, force: true });
});

describe("a tarball", () => {
  test("without Java bindings does for master and agent, and not for drivers", async () => {
    const source = tarball(prefix("plain", SOUND()));
    const daemons = await mesos("check", source, "--as", "mesosSource", "--json");
    const report = JSON.parse(daemons.out) as MesosReport;
    expect(report).toMatchObject({ problems: [], facts: { version: "9.9.0", bindings: 0, master: true, agent: true } });
    expect(report.source).toMatch(/^file:\/\/\S+#sha256=[0-9a-f]{64}$/);
    expect(daemons.code).toBe(0);
    const both = await mesos("check", source);
    expect(both.out).toContain("Not usable:\n  its libmesos has no Java bindings");
    expect(both.out).toContain("Fix: name a build that has them as libmesosSource");
    expect(both.code).toBe(1);
  });

  test("with libraries of another distribution: they are named", async () => {
    const { code, out } = await mesos("check", tarball(prefix("foreign", changed("libncursesw.so.6", FOREIGN))));
    expect(out).toMatch(
      /linked with libraries that neither Debian 12 has nor it brings along: libtinfo\.so\.9\. Fix: /,
    );
    expect(code).toBe(1);
  });

  test("whose library is in a package that it does not name: the package is named", async () => {
    const library = changed("libncursesw.so.6", { "libtinfo.so.6": "libldns.so.3\0" });
    const { out } = await mesos("check", tarball(prefix("unnamed", library)));
    expect(out).toContain("libldns.so.3. Fix: add to the file RUNTIME_PACKAGES at the top of the archive: libldns3");
  });

  test("from a newer system: the version that Debian 12 has not is named", async () => {
    const { code, out } = await mesos(
      "check",
      tarball(prefix("newer", changed("libncursesw.so.6", { "GLIBC_2.34": "GLIBC_2.99" }))),
    );
    expect(out).toMatch(/built on a newer system than Debian 12, which has no GLIBC_2\.99\. Fix: /);
    expect(code).toBe(1);
  });

  test("without master and agent does for drivers alone, and says so", async () => {
    const { code, out } = await mesos("check", tarball(prefix("library", SOUND(), [])), "--as", "mesosSource");
    expect(out).toMatch(/it holds no sbin\/mesos-master and no sbin\/mesos-agent\. Fix: .*--as libmesosSource/);
    expect(code).toBe(1);
  });

  test("with no Mesos in it at all", async () => {
    const tree = join(folder, "empty");
    mkdirSync(tree);
    const { code, err } = await mesos("check", tarball(tree));
    expect(err).toContain("holds no libmesos.so");
    expect(code).toBe(1);
  });

  test("with another digest than the one that is given", async () => {
    const source = tarball(prefix("digest", SOUND()));
    const { code, out, err } = await mesos("use", `${source}#sha256=${"0".repeat(64)}`);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    writeFileSync(join(folder, "Pulumi.local.yaml"), "config: {}\n");
    const wrong = await mesos("use", `${source}#sha256=${"0".repeat(64)}`);
    expect(wrong.err).toMatch(/must be a file with that digest \(its own is [0-9a-f]{64}\)\. Fix: find out why/);
    expect(wrong.code).toBe(1);
    expect(readFileSync(join(folder, "Pulumi.local.yaml"), "utf8")).toBe("config: {}\n");
    expect(err).toContain("no Pulumi.local.yaml");
  });
});

test("a .deb that depends on packages which Debian 12 has not", async () => {
  const tree = join(folder, "deb");
  prefix("deb/usr", SOUND());
  mkdirSync(join(tree, "DEBIAN"));
  const depends = "java-runtime-headless, libapr1, libssl1.0.0, libsvn1 (>= 1.6)";
  const control = `Package: mesos\nVersion: 9.9\nArchitecture: all\nMaintainer: n <n@example.org>\nDepends: ${depends}\nDescription: s\n`;
  writeFileSync(join(tree, "DEBIAN", "control"), control);
  execFileSync("dpkg-deb", ["--root-owner-group", "--build", tree, join(folder, "mesos.deb")]);
  const { code, out } = await mesos("check", `file://${folder}/mesos.deb`, "--as", "mesosSource");
  expect(out).toMatch(/it depends on packages that Debian 12 has not: libssl1\.0\.0\. Fix: /);
  expect(code).toBe(1);
});

describe("an image", () => {
  test("brings along what Debian 12 has not; its tag is resolved, written down, and missed when it moves", async () => {
    const tree = prefix("from-afar", changed("libncursesw.so.6", FOREIGN));
    const image = await pushed(tree, "team/mesos:1", { "libtinfo.so.9": changed("libtinfo.so.6", FOREIGN) });
    const before =
      "# ours\nconfig:\n  triplewide:platform: docker # here\n  triplewide:adminCidrs: [198.51.100.0/24]\n";
    writeFileSync(join(folder, "Pulumi.local.yaml"), before);
    registry.tokens = false;
    const used = await mesos("use", `docker://${image}`, "--as", "mesosSource", "--json");
    expect(used.code, used.err).toBe(0);
    const report = JSON.parse(used.out) as MesosReport;
    expect(report.facts.libraries).toEqual({ missing: [], symbols: [], carried: ["libtinfo.so.9"] });
    expect(report.source).toMatch(new RegExp(`^docker://${image}@sha256:[0-9a-f]{64}$`));
    const day = new Date().toISOString().slice(0, 10);
    expect(readFileSync(join(folder, "Pulumi.local.yaml"), "utf8")).toBe(
      `${before}  triplewide:mesosSource: ${report.source} # pinned ${day}\n`,
    );

    const same = await mesos("check", report.source, "--as", "mesosSource");
    expect(same.out).not.toContain("the tag has moved");
    await pushed(prefix("moved", SOUND()), "team/mesos:1");
    const moved = await mesos("check", report.source, "--as", "mesosSource");
    expect(moved.out).toContain(`the tag has moved: docker://${image} is sha256:`);
    expect(moved.out).toContain(`To take that one: triplewide mesos use docker://${image}`);
    // A pinned source keeps its digest.
    expect(moved.out).toContain(`sha256:${report.digest}\n`);
    expect(moved.out).toContain("brought along: libtinfo.so.9");
    expect(moved.code).toBe(0);
  });

  test.each([
    [
      "under a digest that the registry has not",
      `x@sha256:${"0".repeat(64)}`,
      /under that digest .*Fix: see which one it has now: triplewide mesos check docker:\/\/\S+\/x\./,
    ],
    [
      "of which there is none",
      "team/none:1",
      /an image that the registry has \(manifest unknown\)\. Fix: correct its name or its tag/,
    ],
  ])("%s", async (_, name, words) => {
    const { code, err } = await mesos("check", `docker://${registry.host}/${name}`);
    expect(err).toMatch(words);
    expect(code).toBe(1);
  });

  test("of a registry that limits how often it is asked, and of one that is down", async () => {
    registry.limited = true;
    const limited = await mesos("check", `docker://${registry.host}/team/mesos:2`);
    registry.limited = false;
    expect(limited.err).toMatch(/it limits how often it is asked \(.*\)\. Fix: log in \(docker login\), wait/);
    expect(limited.code).toBe(1);
    const down = await mesos("check", "docker://127.0.0.1:1/team/mesos:1");
    expect(down.err).toMatch(
      /whose registry answers this machine's Docker \(.*connection refused\)\. Fix: try again later/,
    );
    expect(down.code).toBe(1);
  });

  test("without a Mesos", async () => {
    const tree = join(folder, "nothing");
    mkdirSync(tree);
    const { code, err } = await mesos("check", `docker://${await pushed(tree, "team/nothing:1")}`);
    expect(err).toMatch(/an image with an installed Mesos \(the image holds no libmesos\.so\)\. Fix: /);
    expect(code).toBe(1);
  });
});
