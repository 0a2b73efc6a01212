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

const GROUPS = "/compute/v2.1/os-server-groups";

test("of a server group that was made twice recover removes the one that nothing uses, and no other; of a lost key for S3 it says the name", async ({
  cloud,
  stackOf,
}) => {
  // Server groups of others: with another policy, another name, or a member.
  const foreign = { policies: ["soft-anti-affinity"] };
  cloud.hold(GROUPS, "strict", { name: "demo-agent-1", policies: ["anti-affinity"] });
  cloud.hold(GROUPS, "near", { ...foreign, name: "demo-agent-10" });
  cloud.hold(GROUPS, "used", { ...foreign, name: "demo-agent-big-1", members: ["of others"] });
  cloud.hold("/identity/v3/users/u/credentials/OS-EC2", "KEY-OF-OTHERS", { tenant_id: "theirs" });
  const others = cloud.identities("server_group");
  /** Names of the server groups that exist because of this stack. */
  const own = (): string[] =>
    cloud
      .identities("server_group")
      .filter((line) => !others.includes(line))
      .map((line) => line.split(" ")[1] ?? "");
  const loses = (path: RegExp, count: number): void => {
    let left = count;
    const before = cloud.reply;
    cloud.reply = (line) => (line.startsWith("POST") && path.test(line) && left-- > 0 ? "lost" : before(line));
  };

  const stack = await stackOf();
  // The provider repeats the request by itself, and that reply is lost too.
  loses(/os-server-groups$/, 2);
  expect((await stack.up()).code).not.toBe(0);
  expect(own()).toEqual(["demo-agent-1", "demo-agent-1"]);
  const recovered = await stack.recover("--adopt");
  expect(recovered).toMatch(/ServerGroup demo-agent-1: there \(/);
  expect(recovered).toMatch(/ServerGroup demo-agent-1: was made twice, \S+ is removed/);
  expect(own()).toEqual(["demo-agent-1"]);
  expectSuccess(await stack.up());

  stack.configure({ agentGroups: { big: { count: 1 } } });
  loses(/os-server-groups$/, 1);
  const up = await stack.up();
  expectSuccess(up);
  const [first = "", second = ""] = cloud
    .identities("server_group")
    .flatMap((line) => (others.includes(line) ? [] : (/ demo-agent-big-1 (.*)/.exec(line)?.[1] ?? [])));
  const [unused] = [first, second].filter((id) => up.text.includes(`nothing uses ${id}.`));
  expect([first, second]).toContain(unused);
  expect(up.text.replace(/\s+/g, " ")).toContain("triplewide recover test --adopt removes it");
  expect(await stack.recover("--adopt")).toContain(`demo-agent-big-1: was made twice, ${unused} is removed`);
  expect((await stack.up()).changes).toEqual([]);
  expect(own()).toEqual(["demo-agent-1", "demo-agent-big-1"]);

  stack.configure({ objectStore: "swift" });
  loses(/OS-EC2$/, 1);
  const keyless = await stack.up();
  expect(keyless.code).not.toBe(0);
  const [lostKey = ""] = cloud.leftovers().flatMap((line) => /^credential (?!KEY)(.*)/.exec(line)?.[1] ?? []);
  expect(keyless.text.replace(/\s+/g, " ")).toContain(`the user has one more now: ${lostKey}.`);
  expectSuccess(await stack.up());
  expect(await stack.recover("--adopt")).toContain(`this stack does not have: ${lostKey}. `);

  expectSuccess(await stack.destroy());
  expect(cloud.identities("server_group")).toEqual(others);
  expect(cloud.leftovers().filter((line) => !line.startsWith("server_group "))).toEqual(
    ["KEY-OF-OTHERS", lostKey].map((key) => `credential ${key}`).sort(),
  );
});
