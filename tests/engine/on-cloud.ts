import { test as base, expect } from "vitest";
import type { RawConfig } from "../../config/validate.ts";
import { DEMO } from "./demo.ts";
import { FakeCloud } from "./fake-cloud.ts";
import { type Outcome, Stack } from "./stack.ts";

/** Tests of stacks on an OpenStack in memory. */

const CONFIG: RawConfig = { ...DEMO, agentCount: 2 };

interface Fixtures {
  cloud: FakeCloud;
  /** Makes a stack on that cloud. @param changes Settings that differ from `CONFIG`. */
  stackOf: (changes?: RawConfig) => Promise<Stack>;
}

/** Gives each test its own cloud and stack. */
export const onCloud = base.extend<Fixtures>({
  cloud: async ({ task: _ }, use) => {
    const cloud = await FakeCloud.start();
    await use(cloud);
    await cloud.stop();
  },
  stackOf: async ({ cloud }, use) => {
    const stacks: Stack[] = [];
    await use(async (changes = {}) => {
      // Machines of this cloud run no programs, so an ACTIVE one counts as ready.
      const env = { ...cloud.env, TRIPLEWIDE_READINESS: "api" };
      const stack = new Stack({ config: { ...CONFIG, ...changes }, env });
      stacks.push(stack);
      return stack.init();
    });
    for (const stack of stacks) stack.remove();
  },
});

/** Tests run concurrently, because providers mostly wait. */
export const test = onCloud.concurrent;

export function expectSuccess(outcome: Outcome): void {
  expect(outcome.code, outcome.text).toBe(0);
}

/** The changes of a run to servers. */
export const instances = (outcome: Outcome): string[] => outcome.changes.filter((line) => line.includes(" Instance "));
