import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TASK_NAMESPACES } from "../../cluster/services/mesos/mesos.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { docker, findDocker } from "../../local/docker.ts";
import { fetchSource, pinSource } from "../../mesos/archive.ts";
import type { MesosReport } from "../../mesos/check.ts";
import { Registry } from "../fakes/registry.ts";

/** `triplewide mesos check` on the real Mesos that MESOS_SOURCE names: as it is, and in an image with another layout. */

const d = await findDocker();
const source = process.env.MESOS_SOURCE ?? "";
const folder = mkdtempSync(join(tmpdir(), "triplewide-mesos-real-"));
let registry: Registry;
let image = "";

async function checked(
  of: string,
  more: string[] = [],
): Promise<{ code: number; report: MesosReport; output: string }> {
  const out = join(folder, "report.json");
  const command = ["-c", `exec "$0" mesos check "$@" --json >${out}`, join(ROOT, "cli", "triplewide"), of, ...more];
  const { code, output } = await captured("bash", command);
  return { code, output, report: JSON.parse(readFileSync(out, "utf8")) as MesosReport };
}

async function check(of: string, more: string[] = []): Promise<MesosReport> {
  const { code, output, report } = await checked(of, more);
  expect({ code, problems: report.problems }, output).toEqual({ code: 0, problems: [] });
  return report;
}

beforeAll(async () => {
  registry = await Registry.start();
  expect((await captured(join(ROOT, "images", "build.sh"), ["--plain", "base"])).code).toBe(0);
});
afterAll(async () => {
  await registry.stop();
  if (image !== "") await captured(d.client, ["rmi", "--force", image]);
  rmSync(folder, { recursive: true, force: true });
});

test("its programs and its library say what they are", async () => {
  const { facts, dockerControlGroups } = await check(source);
  expect(facts).toMatchObject({ master: true, agent: true, daemons: { works: true }, java: { works: true } });
  expect(facts.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(facts.java.says).toContain(`libmesos ${facts.version}`);
  expect(facts.bindings).toBeGreaterThan(50);
  expect(facts.trial).toMatchObject({ agent: { works: true }, driver: { works: true } });
  expect(facts.controlGroups.length).toBeGreaterThan(0);
  expect([1, 2]).toContain(dockerControlGroups);
  expect(facts.containerizers).toEqual(["mesos", "docker"]);
  expect(facts.isolators).toEqual(expect.arrayContaining(["posix/cpu", "posix/mem", "cgroups/cpu", "docker/runtime"]));
  expect(facts.isolators).toEqual(expect.arrayContaining([...TASK_NAMESPACES]));
  // Depending on the kernel, Mesos starts with this isolator or crashes.
  expect([facts.isolators, facts.crashes].flat()).toContain("linux/capabilities");
});

test("an image of it that names no packages brings its libraries along, and works as well", async () => {
  const options = { root: ROOT, docker: d.client, signal: new AbortController().signal };
  const { path } = await fetchSource((await pinSource(source, options)).source, options);
  const context = join(folder, "context");
  mkdirSync(context);
  copyFileSync(path, join(context, "mesos.tar.gz"));
  cpSync(join(ROOT, "images", "base", "certs"), join(context, "certs"), { recursive: true });
  const unpack = [
    "mkdir /x && tar -xf /mesos.tar.gz -C /x && rm /mesos.tar.gz",
    "mv $(dirname $(dirname $(find /x -name libmesos.so))) /usr/local/mesos",
    "with-net apt-install $(cat /usr/local/mesos/RUNTIME_PACKAGES) && rm /usr/local/mesos/RUNTIME_PACKAGES",
    'printf "/usr/local/mesos/lib\\n$JAVA_HOME/lib/server\\n" >/etc/ld.so.conf.d/mesos.conf && ldconfig',
  ];
  const from = `triplewide/base:${pinnedVersions(ROOT).TRIPLEWIDE_VERSION}`;
  writeFileSync(
    join(context, "Dockerfile"),
    `FROM ${from}\nCOPY mesos.tar.gz /\nCOPY certs /run/certs\nRUN ${unpack.join(" && ")}\n`,
  );
  image = `${registry.host}/somebody/mesos:1`;
  const built = await captured(d.client, ["build", "--tag", image, context]);
  expect(built.code, built.output).toBe(0);
  await docker(d, ["push", "--quiet", image]);
  const { facts, source: pinned } = await check(`docker://${image}`);
  expect(pinned).toMatch(new RegExp(`^docker://${image}@sha256:[0-9a-f]{64}$`));
  expect(facts.libraries.carried.length, facts.libraries.carried.join(", ")).toBeGreaterThan(3);
  expect(facts.trial).toMatchObject({ agent: { works: true }, driver: { works: true } });
});

test("master and agent of one source, and libmesos of another: a driver logs in and runs a task, or it is said why not", async () => {
  const { facts } = await check(source, ["--with", `docker://${image}`]);
  expect(facts.pair).toMatchObject({ works: true, says: expect.stringContaining("TASK_FINISHED") });

  const other = join(folder, "other");
  mkdirSync(join(other, "lib"), { recursive: true });
  copyFileSync(process.execPath, join(other, "lib", "libmesos.so"));
  const archive = join(folder, "without-bindings.tar.gz");
  expect((await captured("tar", ["-czf", archive, "-C", other, "."])).code).toBe(0);
  const without = await checked(source, ["--with", `file://${archive}`]);
  expect(without.code).toBe(1);
  expect(without.report.problems.map(({ what }) => what)).toEqual([
    "a driver with the other source's libmesos does not log in to its master and run a task: its libmesos has no Java bindings",
  ]);
});
