import { describe, expect } from "vitest";
import type { Fault } from "../engine/fake-cloud.ts";
import { expectSuccess, instances, test } from "../engine/on-cloud.ts";

/** Single faults of a cloud in the middle of an update; the layer `engine` has two of them in every run. */

describe("a fault in the middle", () => {
  test.for<[string, Fault]>([
    [
      "the quota is hit",
      {
        method: "POST",
        path: /\/servers$/,
        status: 403,
        body: { forbidden: { code: 403, message: "Quota exceeded for instances" } },
        times: 3,
      },
    ],
    ["Neutron refuses ports", { method: "POST", path: /\/ports$/, status: 500, times: 2 }],
  ])("%s: the second run completes", async ([, fault], { cloud, stackOf }) => {
    const stack = await stackOf();
    cloud.faults.push({ ...fault });
    const failed = await stack.up();
    expect(failed.code).not.toBe(0);
    cloud.faults.length = 0;
    expectSuccess(await stack.up());
    expect((await stack.up()).changes).toEqual([]);
    expectSuccess(await stack.destroy());
    expect(cloud.leftovers()).toEqual([]);
  });

  test("a server in ERROR fails the first run and is replaced by the second, alone", async ({ cloud, stackOf }) => {
    const stack = await stackOf();
    cloud.doomed.add("demo-agent-2");
    const failed = await stack.up();
    expect(failed.code).not.toBe(0);
    expect(failed.text).toContain("demo-agent-2");
    expect(failed.text).toMatch(/agent-2: the cloud says: No valid host was found\.\n/);
    const second = await stack.up();
    expectSuccess(second);
    expect(cloud.server("demo-agent-2")?.status).toBe("ACTIVE");
    expect(instances(second).filter((line) => line.startsWith("delete") && !line.includes("agent-2"))).toEqual([]);
    expect((await stack.up()).changes).toEqual([]);
    expectSuccess(await stack.destroy());
    expect(cloud.leftovers()).toEqual([]);
  });

  test("more masters than hypervisors: the error says so, and what helps", async ({ cloud, stackOf }) => {
    const stack = await stackOf({ masterCount: 3, agentCount: 1 });
    cloud.doomed.add("demo-master-3");
    const failed = await stack.up();
    expect(failed.code).not.toBe(0);
    expect(failed.text).toMatch(
      /master-3: the cloud says: No valid host was found\. \(master-1, master-2, master-3 must be on .*antiAffinity is hard/,
    );
    expectSuccess(await stack.destroy());
    expect(cloud.leftovers()).toEqual([]);
  });

  test("after a failed run destroy cleans up what there is", async ({ cloud, stackOf }) => {
    const stack = await stackOf();
    cloud.faults.push({ method: "POST", path: /\/servers$/, status: 500, times: 100 });
    expect((await stack.up()).code).not.toBe(0);
    cloud.faults.length = 0;
    expectSuccess(await stack.destroy());
    expect(cloud.leftovers()).toEqual([]);
  });
});
