import { expect } from "vitest";
import type { FakeCloud } from "./fake-cloud.ts";
import { expectSuccess, onCloud } from "./on-cloud.ts";
import type { Stack } from "./stack.ts";
import { StandInMachines } from "./stand-in-machines.ts";

/** `triplewide scale` on the real engine, with a cloud in memory and stand-ins for its machines. */

interface Fixtures {
  machines: StandInMachines;
}

const test = onCloud.extend<Fixtures>({
  machines: async ({ cloud }, use) => {
    const machines = await StandInMachines.start(cloud, "demo");
    await use(machines);
    await machines.stop();
  },
}).concurrent;

/** All resources of the cloud, with their ids. */
const all = (cloud: FakeCloud): string[] =>
  cloud.identities(
    ...["network", "subnet", "router", "port", "floatingip", "security_group", "security_group_rule", "server"],
    ...["keypair", "server_group", "volume", "share", "access"],
  );

/** Resources that were added (`+`) and removed (`-`), without ids. */
function difference(before: readonly string[], after: readonly string[]): string[] {
  const named = (sign: string, lines: readonly string[], others: readonly string[]): string[] =>
    lines.filter((line) => !others.includes(line)).map((line) => `${sign} ${line.split(" ").slice(0, -1).join(" ")}`);
  return [...named("+", after, before), ...named("-", before, after)].sort();
}

/** Runs `triplewide scale` on a stack whose machines are stand-ins. */
function scaleOf(stack: Stack, cloud: FakeCloud, machines: StandInMachines) {
  Object.assign(stack.environment, machines.environment(stack.environment.PATH));
  return async (...flags: string[]): Promise<{ code: number; text: string; changed: string[] }> => {
    const before = all(cloud);
    const outcome = await stack.program("scale", "test", ...flags);
    return { ...outcome, changed: difference(before, all(cloud)) };
  };
}

test("agents come for what waits and go when nothing runs, and nothing else is changed", async ({
  cloud,
  stackOf,
  machines,
}) => {
  const stack = await stackOf({ agentsMin: 1, agentsMax: 3, agentCount: 2 });
  const scale = scaleOf(stack, cloud, machines);
  expectSuccess(await stack.up());

  machines.job = { granted: 8, wanted: 10 };
  machines.busy.set("agent-1", 4).set("agent-2", 4);
  const more = await scale();
  expect(more.code, more.text).toBe(0);
  expect(more.text).toContain("demo: 2 agents, should be 3");
  expect(more.changed).toEqual(["+ port demo-agent-3", "+ server demo-agent-3"]);
  expect((await stack.outputs()).agents).toBe(3);
  expect((await stack.preview()).changes).toEqual([]);

  // `scale` does not apply changes of the config that no `up` has applied, and restarts no agent.
  machines.job = undefined;
  machines.busy.clear();
  stack.configure({ clientFlavor: "m1.large" });
  const refused = await scale();
  expect(refused).toMatchObject({ code: 1, changed: [] });
  expect(refused.text).toMatch(/would change more than agents \(.*demo-client\); nothing was changed/);
  expect(machines.leaving).toEqual([]);
  expect(machines.restarted).toEqual([]);
  stack.configure({ clientFlavor: "" });

  // Nova refuses to delete servers for a while. Agents whose servers remain get tasks again.
  const fault = { method: "DELETE", path: /\/servers\/[^/]+$/, status: 403, times: 1000 };
  cloud.faults.push(fault);
  const failed = await scale();
  expect(failed).toMatchObject({ code: 1, changed: [] });
  expect(failed.text).toContain("made to fail");
  expect(machines.leaving).toEqual([]);
  expect(machines.restarted.toSorted()).toEqual(["agent-2 spark-worker", "agent-3 spark-worker"]);
  fault.times = 0;

  const fewer = await scale();
  expect(fewer.code, fewer.text).toBe(0);
  expect(fewer.text).toContain("agent-2, agent-3: nothing has run there for idleMinutes (30)");
  expect(fewer.changed).toEqual([
    "- port demo-agent-2",
    "- port demo-agent-3",
    "- server demo-agent-2",
    "- server demo-agent-3",
  ]);
  expect((await scale()).text).toContain("demo: 1 agent, and that is right");
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("an agent that the cloud could not make, or lost, is made anew where it is wanted, and goes where it is not", async ({
  cloud,
  stackOf,
  machines,
}) => {
  const stack = await stackOf({ agentsMin: 1, agentsMax: 3, agentCount: 1 });
  const scale = scaleOf(stack, cloud, machines);
  expectSuccess(await stack.up());

  cloud.doomed.add("demo-agent-2");
  machines.job = { granted: 4, wanted: 6 };
  machines.busy.set("agent-1", 4);
  const failed = await scale();
  expect(failed.code).toBe(1);
  expect(failed.text).toContain("No valid host was found");
  expect(cloud.server("demo-agent-2")?.status).toBe("ERROR");
  const mended = await scale();
  expect(mended.code, mended.text).toBe(0);
  expect(mended.text).toContain("agent-2 is broken: No valid host was found.");
  expect(mended.changed).toEqual(["+ server demo-agent-2", "- server demo-agent-2"]);
  expect(cloud.server("demo-agent-2")?.status).toBe("ACTIVE");

  // A person deletes the server of an agent that is still needed.
  cloud.removeServer("demo-agent-2");
  machines.busy.delete("agent-2");
  const again = await scale();
  expect(again.code, again.text).toBe(0);
  expect(again.text).toContain("agent-2 is not there: the cloud has no server of that name");
  expect(again.changed).toEqual(["+ server demo-agent-2"]);

  // Neutron refuses to remove the agent's port for a while.
  machines.job = undefined;
  machines.busy.clear();
  const fault = { method: "DELETE", path: /\/ports\/[^/]+$/, status: 403, times: 1000 };
  cloud.faults.push(fault);
  const half = await scale();
  expect(half).toMatchObject({ code: 1, changed: ["- server demo-agent-2"] });
  fault.times = 0;
  const rest = await scale();
  expect(rest.code, rest.text).toBe(0);
  expect(rest.text).toContain("agent-2 is not there: the cloud has no server of that name");
  expect(rest.changed).toEqual(["- port demo-agent-2"]);
  expect((await stack.preview()).changes).toEqual([]);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("a forgotten cluster is ended after a warning, once, also where its end was cut off, and comes back by an up", async ({
  cloud,
  stackOf,
  machines,
}) => {
  const stack = await stackOf({ ttlHours: 72 });
  const scale = scaleOf(stack, cloud, machines);
  const after = (hours: number): unknown => Object.assign(stack.environment, { NODE_OPTIONS: later(hours) });
  expectSuccess(await stack.up());
  const servers = all(cloud).filter((line) => line.startsWith("server "));
  const kept = all(cloud).filter((line) => !servers.includes(line));

  expect(await scale()).toMatchObject({ code: 0, changed: [], text: expect.stringContaining("unless there is an up") });
  expect(machines.files.size).toBe(0);
  after(60);
  const warned = await scale();
  expect(warned.text).toMatch(/demo ends .* To keep it: pulumi up --stack test\n$/);
  expect(warned.changed).toEqual([]);
  expect([...machines.files.keys()].sort()).toEqual([
    "client gateway /tmp/notice.json",
    "client jupyter /run/notice/notice.json",
  ]);

  after(80);
  const master = cloud.server("demo-master-1")?.id;
  const fault = { method: "DELETE", path: new RegExp(`/servers/${master}$`), status: 403, times: 1000 };
  cloud.faults.push(fault);
  const cut = await scale();
  expect(cut.code, cut.text).toBe(1);
  expect(cut.text).toContain("demo: ends now");
  expect(cloud.server("demo-client")).toBeUndefined();
  fault.times = 0;
  const ended = await scale();
  expect(ended.code, ended.text).toBe(0);
  expect(ended.text).toContain("demo was ended");
  expect(all(cloud)).toEqual(kept);
  // Further runs of `scale` change nothing until the next `up`.
  expect(await scale()).toMatchObject({ code: 0, changed: [], text: expect.stringContaining("nothing of it runs") });

  after(0);
  expectSuccess(await stack.up());
  expect(all(cloud).filter((line) => !line.startsWith("server "))).toEqual(kept);
  expect(all(cloud)).toHaveLength(servers.length + kept.length);
  expect((await scale()).text).toContain("unless there is an up");
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

/** Moves the clock of Node programs forward by some hours. @returns The option for Node. */
function later(hours: number): string {
  const program = `const D = Date, by = ${3_600_000 * hours}; globalThis.Date = class extends D { constructor(...a) { super(...(a.length ? a : [D.now() + by])); } static now() { return D.now() + by; } };`;
  return `--import=data:text/javascript,${encodeURIComponent(program)}`;
}
