import { linkSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { holdersOf, machineSecrets, machinesWith, rotationNote } from "../../cluster/rotation.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import { SECRET_KEYS } from "../../config/secrets.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { renewSecrets, restoreSecrets, writeProject } from "../../local/project.ts";
import { CLOUD, HIGHLY_AVAILABLE } from "../fixtures/configs.ts";

const GIVEN: readonly string[] = Object.values(SECRET_KEYS);
const define = (raw: Record<string, unknown>) => describeCluster(validate({ platform: "docker", ...raw }, "test"));

test.each(ARCHITECTURES)("every secret of %s on a laptop can be rotated, and somebody holds it", (architecture) => {
  const cluster = define({ architecture, ...HIGHLY_AVAILABLE, historyServer: true, tls: "own" });
  const made = cluster.secrets.map((s) => s.name).filter((name) => !GIVEN.includes(name));
  expect(made.length).toBeGreaterThan(5);
  for (const name of made) {
    expect(rotationNote(name), name).toBeTruthy();
    expect(holdersOf(cluster, name), name).not.toEqual([]);
  }
});

test.each(ARCHITECTURES)("every secret of %s on OpenStack can be rotated, and machines hold it", (architecture) => {
  const raw = {
    ...CLOUD,
    architecture,
    ...HIGHLY_AVAILABLE,
    historyServer: true,
    tls: "own",
    userCidrs: ["198.51.100.0/24"],
  };
  const cluster = describeCluster(validate(raw, "test"));
  const made = cluster.secrets.map((s) => s.name).filter((name) => !GIVEN.includes(name));
  for (const name of [...made, ...machineSecrets(cluster.config)]) {
    expect(rotationNote(name), name).toBeTruthy();
    expect(machinesWith(cluster, name), name).not.toEqual([]);
  }
  expect(machinesWith(cluster, "jupyter-token")).toEqual(["client"]);
  for (const name of ["ssh-host-keys", "ssh-key-pair"])
    expect(machinesWith(cluster, name)).toEqual(cluster.machines.map(({ name }) => name));
  expect(machineSecrets({ keyPair: "mine" })).toEqual(["ssh-host-keys"]);
  // All machines that pull images, and the registry.
  expect(machinesWith(cluster, "registry").length).toBeGreaterThan(3);
});

test("so can those of a hub and of Spark Connect", () => {
  for (const raw of [
    { notebooks: "hub", users: { ada: {} }, architecture: "standalone", sparkConnect: false },
    { sparkConnect: true },
  ]) {
    const { secrets } = define(raw);
    for (const { name } of secrets) if (!GIVEN.includes(name)) expect(rotationNote(name), name).toBeTruthy();
  }
  const { secrets } = define({ notebooks: "hub", users: { ada: {} }, architecture: "vanilla" });
  expect(secrets.map(({ name }) => name)).toContain("mesos-user.ada");
  expect(rotationNote("mesos-user.ada")).toContain("end theirs in JupyterHub's admin page");
  // An unknown secret has no note, so that it cannot be rotated unnoticed.
  expect(rotationNote("new-secret")).toBeUndefined();
});

test("only the named secrets are forgotten", () => {
  const dir = mkdtempSync(join(tmpdir(), "rotate-"));
  writeFileSync(join(dir, "secrets.json"), JSON.stringify({ a: "1", b: "2", c: "3" }));
  renewSecrets({ name: "x", dir }, ["b"]);
  expect(JSON.parse(readFileSync(join(dir, "secrets.json"), "utf8"))).toEqual({ a: "1", c: "3" });
});

test("the file of secrets is replaced, never written over: what is cut off in the middle leaves the old one", () => {
  const dir = mkdtempSync(join(tmpdir(), "rotate-"));
  const [file, old] = [join(dir, "secrets.json"), join(dir, "old")];
  const before = JSON.stringify({ a: "1" });
  for (const change of [
    () => restoreSecrets({ name: "x", dir }, { a: "2" }),
    () => renewSecrets({ name: "x", dir }, ["a"]),
    () => writeProject({ name: "x", dir }, define({}), pinnedVersions(ROOT)),
  ]) {
    writeFileSync(file, before);
    rmSync(old, { force: true });
    linkSync(file, old);
    change();
    expect(readFileSync(file, "utf8")).not.toBe(before);
    expect(readFileSync(old, "utf8")).toBe(before);
  }
});
