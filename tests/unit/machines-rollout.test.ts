import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planRollout, Rollout, RolloutError } from "../../machines/rollout.ts";
import type { ExistingMachine } from "../../openstack/inventory.ts";

/** Lets everything run that does not wait for a timer. */
const settle = (): Promise<void> => new Promise((done) => setImmediate(done));
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `m-${n + 1}`);

/** A program that requests permits and makes machines ready, in the order that the test chooses. */
class Program {
  readonly granted: string[] = [];
  readonly refused = new Map<string, unknown>();
  readonly asked = new Set<string>();
  readonly inFlight = new Set<string>();
  readonly rollout: Rollout;
  constructor(rollout: Rollout) {
    this.rollout = rollout;
  }
  async ask(name: string): Promise<void> {
    this.asked.add(name);
    this.rollout.acquire(name).then(
      () => {
        this.granted.push(name);
        this.inFlight.add(name);
      },
      (error: unknown) => this.refused.set(name, error),
    );
    await settle();
  }
  async done(name: string): Promise<void> {
    this.inFlight.delete(name);
    this.rollout.release(name);
    await settle();
  }
  async fail(name: string): Promise<void> {
    this.inFlight.delete(name);
    this.rollout.failed(name, new Error("unit dead"));
    await settle();
  }
}

describe("any rollout", () => {
  const shape = fc.record({
    count: fc.integer({ min: 1, max: 12 }),
    batchSize: fc.integer({ min: 1, max: 5 }),
    /** Which of the possible next things happens, step by step. */
    choices: fc.infiniteStream(fc.nat()),
    checked: fc.boolean(),
  });

  test("gives every member a permit, in order, never more than a batch at once, however askers and machines interleave", async () => {
    await fc.assert(
      fc.asyncProperty(shape, async ({ count, batchSize, choices, checked }) => {
        const order = names(count);
        const sure = async (others: readonly string[]) => {
          for (const name of program.inFlight) expect(others).not.toContain(name);
          await settle();
          return new Map<string, string>();
        };
        const options = checked ? { unhealthy: sure } : {};
        const program: Program = new Program(new Rollout({ group: "agents", order, batchSize, ...options }));
        const finished = new Set<string>();
        for (let steps = 0; finished.size < count; steps++) {
          expect(steps).toBeLessThan(20 * count);
          const possible = [
            ...order.filter((name) => !program.asked.has(name)).map((name) => () => program.ask(name)),
            ...[...program.inFlight].map((name) => () => {
              finished.add(name);
              return program.done(name);
            }),
          ];
          const pick = choices.next().value as number;
          await (possible[pick % Math.max(1, possible.length)] ?? settle)();
          expect(program.inFlight.size).toBeLessThanOrEqual(batchSize);
          expect(program.granted).toEqual(order.slice(0, program.granted.length));
        }
        expect(program.granted).toEqual(order);
        expect(program.refused.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test("lets nobody proceed after a failure, and refuses everyone else", async () => {
    await fc.assert(
      fc.asyncProperty(shape, fc.nat(), async ({ count, batchSize, choices }, when) => {
        const order = names(count);
        const program = new Program(new Rollout({ group: "agents", order, batchSize }));
        const late = order.filter((_, i) => i > 0 && (choices.next().value as number) % 4 === 0);
        for (const name of order) if (!late.includes(name)) await program.ask(name);
        for (let n = when % count; n > 0 && program.inFlight.size > 0; n--) {
          await program.done([...program.inFlight][0] as string);
        }
        const culprit = [...program.inFlight][0];
        if (culprit === undefined) return;
        await program.fail(culprit);
        const before = [...program.granted];
        for (const name of [...program.inFlight]) await program.done(name);
        for (const name of late) await program.ask(name);
        expect(program.granted).toEqual(before);
        expect([...program.refused.keys()].sort()).toEqual(order.filter((n) => !before.includes(n)).sort());
        for (const error of program.refused.values()) {
          expect(error).toBeInstanceOf(RolloutError);
          expect(String(error)).toContain(`${culprit} did not become ready: unit dead`);
        }
      }),
      { numRuns: 100 },
    );
  });
});

test("1,000 agents go through in batches", async () => {
  const order = names(1000);
  const rollout = new Rollout({ group: "agents", order, batchSize: 10 });
  let [now, most, total] = [0, 0, 0];
  await Promise.all(
    order.toReversed().map(async (name) => {
      await rollout.acquire(name);
      most = Math.max(most, ++now);
      await settle();
      now--;
      total++;
      rollout.release(name);
    }),
  );
  expect([total, most]).toEqual([1000, 10]);
});

test("machines outside of the order never wait, not even after a failure", async () => {
  const rollout = new Rollout({ group: "masters", order: ["master-1", "master-2"], batchSize: 1 });
  await rollout.acquire("master-9");
  rollout.failed("master-9", new Error("no disk"));
  await rollout.acquire("master-8");
  await expect(rollout.acquire("master-1")).rejects.toThrow(
    "masters: master-9 did not become ready: no disk. Left untouched: master-1, master-2.",
  );
});

test("a failure names those still being replaced and, of many untouched ones, the first", async () => {
  const rollout = new Rollout({ group: "agents", order: names(20), batchSize: 2 });
  await Promise.all([rollout.acquire("m-1"), rollout.acquire("m-2")]);
  rollout.failed("m-1", "gone");
  await expect(rollout.acquire("m-3")).rejects.toThrow(
    "agents: m-1 did not become ready: gone. Left untouched: m-3, m-4, m-5, m-6, m-7, m-8, m-9, m-10 and 10 more. Still being replaced: m-2.",
  );
});

test("releasing a machine without a permit lets no other one begin", async () => {
  const program = new Program(new Rollout({ group: "masters", order: names(3), batchSize: 1 }));
  for (const name of names(3)) await program.ask(name);
  await program.done("m-3");
  await program.done("other");
  expect(program.granted).toEqual(["m-1"]);
});

test("what cannot be a rollout is refused", () => {
  const options = { group: "g", order: ["a"], batchSize: 1 };
  expect(() => new Rollout({ ...options, batchSize: 0 })).toThrow(RangeError);
  expect(() => new Rollout({ ...options, order: ["a", "a"] })).toThrow("repeats");
});

describe("a quorum", () => {
  const members = ["master-1", "master-2", "master-3"];
  const start = async (sick: Map<string, string>, over: { order?: string[] } = {}) => {
    const asked: string[][] = [];
    const unhealthy = async (others: readonly string[]) => {
      asked.push([...others]);
      return new Map([...sick].filter(([name]) => others.includes(name)));
    };
    const order = over.order ?? members;
    const program = new Program(new Rollout({ group: "masters", batchSize: 1, members, order, unhealthy, ...over }));
    for (const name of order) await program.ask(name);
    return { program, asked };
  };

  test("is asked for its other members before each replacement", async () => {
    const { program, asked } = await start(new Map());
    await program.done("master-1");
    await program.done("master-2");
    expect(program.granted).toEqual(members);
    expect(asked).toEqual([
      ["master-2", "master-3"],
      ["master-1", "master-3"],
      ["master-1", "master-2"],
    ]);
  });

  test("that is short already is not touched", async () => {
    const { program } = await start(new Map([["master-3", "no leader"]]), { order: ["master-1", "master-2"] });
    expect(program.granted).toEqual([]);
    expect(String(program.refused.get("master-2"))).toBe(
      "RolloutError: masters: master-3 is not healthy (no leader). Replacing master-1 now could break the masters' quorum. Left untouched: master-1, master-2.",
    );
  });

  test("has its one sick member replaced first where that was to be replaced anyway", async () => {
    const sick = new Map([["master-3", "no leader"]]);
    const { program } = await start(sick);
    expect(program.granted).toEqual(["master-3"]);
    sick.clear();
    await program.done("master-3");
    await program.done("master-1");
    expect(program.granted).toEqual(["master-3", "master-1", "master-2"]);
  });

  test("with two sick members is not touched: it may be we who do not reach them", async () => {
    const sick = new Map(members.slice(1).map((name) => [name, "silent"] as const));
    const { program } = await start(sick);
    expect(program.granted).toEqual([]);
    expect(String(program.refused.get("master-1"))).toContain(
      "master-2 is not healthy (silent); master-3 is not healthy (silent).",
    );
    expect((await start(new Map(members.map((n) => [n, "silent"])))).program.refused.size).toBe(3);
  });

  test("whose head turns out to be sick as well is not replaced in circles", async () => {
    const unhealthy = async (others: readonly string[]) => new Map(others.slice(0, 1).map((n) => [n, "silent"]));
    const program = new Program(new Rollout({ group: "masters", batchSize: 1, order: members, unhealthy }));
    for (const name of members) await program.ask(name);
    expect(program.granted).toEqual([]);
    expect(program.refused.size).toBe(3);
  });

  test("falling short in the middle stops there", async () => {
    const sick = new Map<string, string>();
    const { program } = await start(sick);
    sick.set("master-1", "silent");
    await program.done("master-1");
    expect(program.granted).toEqual(["master-1"]);
    expect([...program.refused.keys()]).toEqual(["master-2", "master-3"]);
  });

  test("that cannot be asked is not touched", async () => {
    const unhealthy = () => Promise.reject(new Error("no ssh"));
    const rollout = new Rollout({ group: "masters", batchSize: 1, order: members, unhealthy });
    await expect(rollout.acquire("master-1")).rejects.toThrow(
      "whether master-1 may be replaced could not be told: no ssh",
    );
  });
});

test("a plan holds those that exist and differ, broken ones first", () => {
  const existing = new Map<string, ExistingMachine>([
    ["a", { status: "ACTIVE", serverId: "1", configHash: "old" }],
    ["b", { status: "ACTIVE", serverId: "2", configHash: "new" }],
    ["c", { status: "ERROR", serverId: "3", configHash: "new" }],
    ["d", { status: "MISSING" }],
    ["e", { status: "SHUTOFF", serverId: "4" }],
    ["of-another-group", { status: "ERROR" }],
  ]);
  const machines = ["a", "b", "c", "d", "e", "f"].map((name) => ({ name, configHash: "new" }));
  expect(planRollout(machines, existing)).toEqual({
    order: ["c", "d", "a", "e"],
    broken: ["c", "d"],
    members: ["a", "b", "c", "d", "e"],
  });
});
