import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { DEMO } from "./demo.ts";
import { FakeCloud } from "./fake-cloud.ts";
import { holdState } from "./held.ts";
import { Stack } from "./stack.ts";

/**
 * Previews with this version a cluster that an earlier version made: an upgrade of this program must not remove anything. A machine
 * is replaced only if the programs that it runs have changed, and in the usual order. No other resource is replaced. New resources
 * are only firewall rules and secrets that the machines' new programs need.
 *
 * `TRIPLEWIDE_RECORD=1` records the state again, on an OpenStack in memory with made-up secrets. This is done for each release; its
 * notes say which resources of the old one would have been replaced.
 */

const STATE = join(ROOT, "tests", "golden", "state", "standalone.json");

/** Firewall rules that this version removes: these pages are reached through the gateway or by SSH to the client, and images are pushed by SSH. */
const CLOSED = [
  "agent-tcp-8081",
  "client-tcp-4040-4071",
  "client-tcp-8888",
  "master-tcp-8080",
  "registry-tcp-5000",
].map((what) => `delete SecGroupRule demo-firewall-${what}-from-bastion`);

let cloud: FakeCloud;
let stack: Stack;
beforeEach(async () => {
  cloud = await FakeCloud.start();
  stack = await new Stack({
    config: { ...DEMO, agentCount: 1 },
    env: { ...cloud.env, TRIPLEWIDE_READINESS: "api" },
  }).init();
});
afterEach(async () => {
  await cloud.stop();
  stack.remove();
});

/** Leaves out where and when the state was recorded, which would differ in every recording. */
function withoutCircumstances(key: string, value: unknown): unknown {
  return ["sourcePosition", "stackTrace", "created", "modified"].includes(key) ? undefined : value;
}

test.runIf(process.env.TRIPLEWIDE_RECORD)("record", async () => {
  const up = await stack.up();
  expect(up.code, up.text).toBe(0);
  mkdirSync(dirname(STATE), { recursive: true });
  const state = JSON.stringify(await stack.state(), withoutCircumstances, 1);
  writeFileSync(STATE, `${state.replaceAll(cloud.url, "http://cloud.example.org")}\n`);
});

/** The stack and the cloud as they were when the state was recorded. */
async function restore(): Promise<void> {
  const state = JSON.parse(readFileSync(STATE, "utf8"));
  holdState(cloud, state.deployment.resources);
  const imported = await stack.pulumi("stack", "import", "--file", STATE);
  expect(imported.code, imported.text).toBe(0);
}

test("a recorded cluster is changed by this version only in what its machines run", async () => {
  await restore();
  const preview = await stack.preview();
  expect(preview.code, preview.text).toBe(0);
  expect(preview.same).toBeGreaterThan(30);
  const made = preview.changes.filter((line) => /^(create|delete) /.test(line));
  // Nothing but the rules in CLOSED may be deleted: the replacement of a rule would show as a further deletion.
  expect(made.filter((line) => !/^create (SecGroupRule|RandomPassword) /.test(line)).sort()).toEqual(CLOSED);
  for (const [resource, keys] of preview.replaced) {
    expect(resource).toMatch(/^Instance /);
    expect(["metadata", "userData"], resource).toEqual(expect.arrayContaining([...keys]));
  }
});

test("a recorded cluster is updated by this version: in order, and data, addresses and passwords stay", async () => {
  await restore();
  const kept = () => cloud.identities("network", "subnet", "port", "floatingip", "volume", "keypair");
  const before = kept();
  const { jupyterToken, privateKey } = await stack.outputs();
  const up = await stack.up();
  expect(up.code, up.text).toBe(0);
  expect(kept()).toEqual(before);
  expect(await stack.outputs()).toMatchObject({ jupyterToken, privateKey });
  const replaced = up.changes.flatMap((line) => /^create-replacement Instance demo-(\w+)/.exec(line)?.[1] ?? []);
  expect(replaced).toEqual(["bastion", "registry", "master", "agent", "client"]);
  expect((await stack.up()).changes).toEqual([]);
});
