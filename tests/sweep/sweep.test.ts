import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RawConfig } from "../../config/validate.ts";
import { DEMO } from "../engine/demo.ts";
import { FakeCloud } from "../engine/fake-cloud.ts";
import { expectSuccess } from "../engine/on-cloud.ts";
import { Stack } from "../engine/stack.ts";

/**
 * What goes wrong in the middle of the engine's work, at many places in turn: the next run completes, nothing is there twice,
 * and `destroy` leaves nothing behind.
 */

const CONFIG: RawConfig = { ...DEMO, agentCount: 2, sharedStorage: "manila" };
/** After how many requests that change something each run is cut off. */
const EVERY = 10;

let cloud: FakeCloud;
let stack: Stack;
beforeEach(async () => {
  cloud = await FakeCloud.start();
  stack = await new Stack({ config: CONFIG, env: { ...cloud.env, TRIPLEWIDE_READINESS: "api" } }).init();
});
afterEach(async () => {
  stack.remove();
  await cloud.stop();
});

/** Resources that share kind and name with another one. Ports of routers have no name. */
function twins(): string[] {
  const there = cloud
    .leftovers()
    .filter((line) =>
      /^(network|subnet|router|port|volume|server|server_group|security_group|keypair|share|share_network) ./.test(
        line,
      ),
    );
  return there.filter((line, at) => line !== "port " && there.indexOf(line) !== at);
}

/** Removes key pairs whose private key was lost, as recover tells users to do. */
function removeUseless(recovered: string): void {
  if (recovered.includes("openstack keypair delete demo")) cloud.removeKeyPair("demo");
}

/**
 * Runs the engine and kills it when the cloud did the n-th thing that it asked for, before it hears of it; then mends the state. Again
 * and again, until a run gets to its end. @returns How often it was killed.
 */
async function killedEvery(count: number, verb: "up" | "destroy"): Promise<number> {
  for (let killed = 0; ; killed++) {
    let left = count;
    let reached = (): void => {};
    const there = new Promise<"reached">((done) => (reached = () => done("reached")));
    cloud.reply = () => {
      if (--left === 0) reached();
      // From then on the engine gets no replies.
      return left <= 0 ? "never" : "sent";
    };
    const run: ChildProcess = stack.start(verb);
    const ended = once(run, "exit").then(([code]) => code as number);
    const first = await Promise.race([there, ended]);
    cloud.reply = () => "sent";
    if (first !== "reached") {
      expect(first, stack.log()).toBe(0);
      return killed;
    }
    removeUseless(await stack.killAndRecover(run));
    expect(twins()).toEqual([]);
  }
}

test("the engine is killed at every tenth step of an update, a change and a removal", async () => {
  expect(await killedEvery(EVERY, "up")).toBeGreaterThan(4);
  expect((await stack.up()).changes).toEqual([]);
  stack.configure({ agentCount: 4, timeZone: "Europe/Berlin" });
  expect(await killedEvery(EVERY, "up")).toBeGreaterThan(0);
  expect(twins()).toEqual([]);
  expect((await stack.up()).changes).toEqual([]);
  expect(await killedEvery(EVERY, "destroy")).toBeGreaterThan(2);
  expect(cloud.leftovers()).toEqual([]);
});

/** Loses the reply to the first request of each kind. @returns The kinds of requests. */
function loseFirstReplies(): ReadonlySet<string> {
  const lost = new Set<string>();
  cloud.reply = (line) => {
    const kind = line.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "…");
    if (!/^(POST|PUT|DELETE) /.test(kind) || lost.has(kind)) return "sent";
    lost.add(kind);
    return "lost";
  };
  return lost;
}

test("the reply to the first request of each kind gets lost", async () => {
  const lost = loseFirstReplies();
  let said = "";
  for (let up = await stack.up(); up.code !== 0; up = await stack.up()) {
    const before = lost.size;
    // After any failure the provider repeats the request for a server group with an older API version.
    expect(
      twins().filter((line) => !line.startsWith("server_group ")),
      up.text,
    ).toEqual([]);
    const recovered = await stack.recover("--adopt");
    expect(twins()).toEqual([]);
    said += up.text + recovered;
    removeUseless(recovered);
    expect(said.length, up.text).toBeLessThan(1_000_000);
    expect(lost.size).toBeGreaterThanOrEqual(before);
  }
  for (const kind of [
    "network",
    "router",
    "subnet",
    "port",
    "volume",
    "security-group",
    "server",
    "os-keypair",
    "os-server-group",
    "share",
    "share-network",
  ]) {
    expect([...lost].filter((line) => line.startsWith("POST") && line.endsWith(`/${kind}s`))).toHaveLength(1);
  }
  expect(twins()).toEqual([]);
  expect((await stack.up()).changes).toEqual([]);
  for (let destroy = await stack.destroy(); destroy.code !== 0; destroy = await stack.destroy()) {
    expect(destroy.text).toContain("connection error");
  }
  expect(cloud.leftovers()).toEqual([]);
});

test("the cloud's API is down in the middle of an update, a change and a removal", async () => {
  const downAfter = (count: number): void => {
    let left = count;
    cloud.reply = () => {
      if (--left === 0) cloud.down = true;
      return "sent";
    };
  };
  const upAgain = (): void => {
    cloud.reply = () => "sent";
    cloud.down = false;
  };
  downAfter(25);
  expect((await stack.up()).code).not.toBe(0);
  upAgain();
  // A resource that was made but not recorded is not made a second time. The error says what to do.
  const refused = await stack.up();
  expect(refused.code).not.toBe(0);
  expect(refused.text).toContain("triplewide recover test --adopt");
  await stack.recover("--adopt");
  expectSuccess(await stack.up());
  expect(twins()).toEqual([]);
  stack.configure({ agentCount: 4, timeZone: "Europe/Berlin" });
  downAfter(8);
  expect((await stack.up()).code).not.toBe(0);
  upAgain();
  await stack.recover("--adopt");
  expectSuccess(await stack.up());
  expect(twins()).toEqual([]);
  expect((await stack.up()).changes).toEqual([]);
  downAfter(20);
  expect((await stack.destroy()).code).not.toBe(0);
  upAgain();
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});
