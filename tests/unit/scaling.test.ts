import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { validate } from "../../cluster/load.ts";
import { type AgentUse, agentsAmong, agentsAtUp, type Load, wantedAgents, withAgents } from "../../cluster/scaling.ts";
import type { Config } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { problems } from "../fixtures/problems.ts";

const RANGE = { platform: "docker", agentsMin: 1, agentsMax: 6, agentCount: 2, idleMinutes: 30 };
const configOf = (raw: RawConfig = {}): Config => validate({ ...RANGE, ...raw }, "test");
/** A Friday in winter, noon in UTC. */
const NOON = new Date("2026-11-27T12:00:00Z");
const WORKS: AgentUse = { stays: "executors run on it" };
const idle = (idleMinutes: number): AgentUse => ({ idleMinutes });

/** Agents in the order of their numbers; `undefined` is one that the masters do not know. */
const loadOf = (uses: readonly (AgentUse | undefined)[], lacking = 0): Load => ({
  agents: new Map(uses.flatMap((use, i) => (use ? [[`agent-${i + 1}`, use] as const] : []))),
  lacking,
  leaving: [],
});
const wanted = (uses: readonly (AgentUse | undefined)[], { lacking = 0, raw = {}, now = NOON } = {}) =>
  wantedAgents(withAgents(configOf(raw), uses.length), now, loadOf(uses, lacking));

describe("how many agents there should be", () => {
  test("those that are idle long enough go, from the highest number down", () => {
    expect(wanted([idle(60), idle(60), idle(60)])).toEqual({
      agents: 1,
      reasons: ["agentsMin is 1", "agent-2, agent-3: nothing has run there for idleMinutes (30)"],
    });
    expect(wanted([WORKS, idle(60), idle(60)]).agents).toBe(1);
    expect(wanted([idle(60), WORKS, idle(60)]).agents).toBe(2);
    const last = wanted([idle(60), idle(60), WORKS]);
    expect(last).toEqual({ agents: 3, reasons: ["agent-3 stays: executors run on it"] });
    expect(wanted([idle(60), idle(60), idle(29.9)])).toEqual({
      agents: 3,
      reasons: ["agent-3 stays: something ran on it 29 min ago, less than idleMinutes (30)"],
    });
    expect(wanted([idle(60), undefined]).reasons).toEqual([
      "agent-2 stays: the masters do not know it: it is starting, or ill",
    ]);
  });

  test("what jobs wait for comes, up to agentsMax, and nothing goes meanwhile", () => {
    expect(wanted([WORKS, WORKS], { lacking: 1 })).toEqual({
      agents: 3,
      reasons: ["jobs wait for executors that 1 agent more would take"],
    });
    expect(wanted([WORKS, WORKS], { lacking: 40 })).toEqual({
      agents: 6,
      reasons: ["jobs wait for executors that 40 agents more would take", "agentsMax is 6"],
    });
    expect(wanted([WORKS, idle(60)], { lacking: 1 }).agents).toBe(3);
  });

  test("more than agentsMax, as after a lower one, go when nothing runs on them", () => {
    expect(wanted([WORKS, WORKS, WORKS, WORKS, idle(60)], { raw: { agentsMax: 2 } }).agents).toBe(4);
    expect(wanted([WORKS, idle(60), idle(60), idle(60), idle(60)], { raw: { agentsMax: 2 }, lacking: 9 }).agents).toBe(
      2,
    );
  });

  test("names that were taken out are not counted", () => {
    const raw = { removedAgents: ["agent-2"] };
    const load = loadOf([idle(60), undefined, WORKS, idle(60)]);
    expect(wantedAgents(withAgents(configOf(raw), 3), NOON, load)).toEqual({
      agents: 2,
      reasons: ["agent-3 stays: executors run on it", "agent-4: nothing has run there for idleMinutes (30)"],
    });
  });

  test("always within the range, never below what is at work", () => {
    const use = fc.oneof(
      fc.constant(undefined),
      fc.constant(WORKS),
      fc.integer({ min: 0, max: 100 }).map((minutes) => idle(minutes)),
    );
    const hours = fc.dictionary(
      fc.constantFrom("Mon-Fri 08:00-18:00", "Sat,Sun 10:00-14:00", "Fri 22:00-06:00", "daily 00:00-24:00"),
      fc.integer({ min: 1, max: 6 }),
    );
    const moment = fc.date({ min: new Date("2026-01-01"), max: new Date("2027-01-01"), noInvalidDate: true });
    const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe");
    const lacking = fc.integer({ min: 0, max: 9 });
    fc.assert(
      fc.property(
        fc.array(use, { minLength: 1, maxLength: 6 }),
        hours,
        moment,
        zone,
        lacking,
        (uses, times, now, timeZone, more) => {
          const { agents, reasons } = wanted(uses, { lacking: more, raw: { hours: times, timeZone }, now });
          expect(agents).toBeGreaterThanOrEqual(1);
          expect(agents).toBeLessThanOrEqual(6);
          // Each agent above the new number was idle for long enough.
          for (const gone of uses.slice(agents))
            expect(gone && "idleMinutes" in gone && gone.idleMinutes >= 30).toBe(true);
          if (more > 0) expect(agents).toBeGreaterThanOrEqual(uses.length);
          if (more === 0) expect(agents).toBeLessThanOrEqual(Math.max(uses.length, 1, ...Object.values(times)));
          expect(reasons).not.toEqual([]);
        },
      ),
    );
  });
});

describe("hours", () => {
  /** The minimum number of agents at a time. */
  const at = (now: string, hours: Record<string, number>, timeZone = "Europe/Berlin"): number =>
    wanted([idle(60)], { raw: { hours, timeZone }, now: new Date(now) }).agents;

  test("are told by the clocks of the zone, on the days that are named", () => {
    const week = { "Mon-Fri 08:00-18:00": 4 };
    expect(at("2026-11-27T06:59:00Z", week)).toBe(1);
    expect(at("2026-11-27T07:00:00Z", week)).toBe(4);
    expect(at("2026-11-27T16:59:00Z", week)).toBe(4);
    expect(at("2026-11-27T17:00:00Z", week)).toBe(1);
    expect(at("2026-11-28T09:00:00Z", week)).toBe(1);
    expect(at("2026-11-29T09:00:00Z", { "Sat-Mon 08:00-18:00": 3 })).toBe(3);
    expect(at("2026-11-25T09:00:00Z", { "Mon,Wed 08:00-18:00": 3 })).toBe(3);
    expect(at("2026-11-24T09:00:00Z", { "Mon,Wed 08:00-18:00": 3 })).toBe(1);
    expect(at("2026-11-24T23:59:00Z", { "daily 00:00-24:00": 2 }, "UTC")).toBe(2);
  });

  test("in summer they begin an hour earlier for who counts in UTC", () => {
    expect(at("2026-07-27T06:00:00Z", { "Mon-Fri 08:00-18:00": 4 })).toBe(4);
    expect(at("2026-07-27T16:00:00Z", { "Mon-Fri 08:00-18:00": 4 })).toBe(1);
  });

  test("over midnight belong to the day on which they begin", () => {
    const night = { "Fri 22:00-06:00": 5 };
    expect(at("2026-11-27T21:30:00Z", night)).toBe(5);
    expect(at("2026-11-28T04:30:00Z", night)).toBe(5);
    expect(at("2026-11-28T05:00:00Z", night)).toBe(1);
    expect(at("2026-11-27T04:30:00Z", night)).toBe(1);
    expect(at("2026-11-28T21:30:00Z", night)).toBe(1);
    // The range goes from Sunday into Monday.
    expect(at("2026-11-30T02:00:00Z", { "Sun 22:00-06:00": 5 })).toBe(5);
  });

  test("where clocks change: an hour that is skipped is left out, one that comes twice counts twice", () => {
    const early = { "Sun 02:00-03:00": 5 };
    // On 29 March 2026 clocks in Berlin skip 02:00 to 03:00.
    for (const minute of ["00:30", "01:00", "01:30"]) expect(at(`2026-03-29T${minute}:00Z`, early)).toBe(1);
    // On 25 October 2026 clocks show it twice.
    for (const minute of ["00:30", "01:30"]) expect(at(`2026-10-25T${minute}:00Z`, early)).toBe(5);
    expect(at("2026-10-25T02:00:00Z", early)).toBe(1);
  });

  test("of several that hold the greatest number counts, and it is said", () => {
    const { agents, reasons } = wanted([idle(60)], {
      raw: { hours: { "daily 00:00-24:00": 2, "Fri 10:00-14:00": 3 }, timeZone: "Europe/Berlin" },
    });
    expect({ agents, reasons }).toEqual({
      agents: 3,
      reasons: ['hours: 3 at "Fri 10:00-14:00" (it is Fri 13:00 in Europe/Berlin)'],
    });
  });
});

describe("an ordinary up", () => {
  test("keeps the agents that there are, whatever of them is missing", () => {
    const c = configOf({ agentsMin: 2, agentsMax: 4 });
    expect(agentsAtUp(c, ["master-1", "agent-1", "agent-2", "agent-3", "agent-big-7"])).toBe(3);
    expect(agentsAtUp(c, ["agent-1", "agent-4"])).toBe(4);
    // Only `scale` removes agents above the range, because it checks for executors on them.
    expect(agentsAtUp(c, ["agent-1", "agent-6"])).toBe(6);
    expect(agentsAtUp(c, ["agent-1"])).toBe(2);
  });

  test("makes agentCount of them where there is none, and where the config gives no range", () => {
    expect(agentsAtUp(configOf(), ["master-1", "agent-big-1"])).toBe(2);
    expect(agentsAtUp(validate({ platform: "docker", agentCount: 2 }, "test"), ["agent-1", "agent-9"])).toBe(2);
  });

  test("does not count names that were taken out", () => {
    expect(agentsAmong({ removedAgents: ["agent-2", "agent-9"] }, ["agent-1", "agent-2", "agent-4", "agent-9"])).toBe(
      3,
    );
  });
});

describe("a range that cannot be", () => {
  const refused = (raw: RawConfig) =>
    problems({ platform: "docker", ...raw }).map(({ key, rule }) => `${key}: ${rule}`);

  test("is refused with every problem at once", () => {
    expect(refused({ agentsMin: 4, agentsMax: 2 })).toEqual(["agentsMin: at most agentsMax (2)"]);
    expect(refused({ agentsMax: 2 })).toEqual(["agentsMin: set together with its twin"]);
    expect(refused({ hours: { "daily 08:00-18:00": 2 } })).toEqual(["hours: empty without agentsMin and agentsMax"]);
    const hours = { "Mon-Fri 08:00-18:00": 9, "Sat 08:00-18:00": 3 };
    expect(refused({ agentsMin: 3, agentsMax: 5, hours })).toEqual([
      "agentCount: from agentsMin (3) to agentsMax (5): it is what a first up makes",
      "hours: from agentsMin (3) to agentsMax (5)",
    ]);
    expect(refused({ ...RANGE, architecture: "marathon-standalone" }).join()).toContain(
      "agentsMax: unset in architecture marathon-standalone",
    );
    expect(refused({ ...RANGE, agentsMax: 400, networkCidr: "10.72.0.0/24" }).join()).toContain("400 agents");
  });

  test.each([
    "Mon-Fri",
    "8:00-18:00",
    "Mon-Fri 8:00-18:00",
    "Mo-Fr 08:00-18:00",
    "Mon-Fri 08:00-24:30",
    "Mon-Fri 24:00-06:00",
    "Mon-Fri 08:00-08:00",
    "Mon-Fri 08:60-18:00",
    "Mon-Fri, Sat 08:00-18:00",
    "daily 08:00-18:00 ",
  ])("%j is no time of the week", (text) => {
    const [problem, ...others] = problems({ ...RANGE, hours: { [text]: 2 } });
    expect(others).toEqual([]);
    expect(problem).toMatchObject({ value: text, rule: expect.stringContaining("Mon-Fri 08:00-18:00") });
  });

  test("is read from the command line as well", () => {
    expect(configOf({ hours: '{"Mon-Fri 08:00-18:00": 3}' }).hours).toEqual({ "Mon-Fri 08:00-18:00": 3 });
  });
});
