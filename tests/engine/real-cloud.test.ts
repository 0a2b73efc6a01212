import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RawConfig } from "../../config/validate.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { PREBUILT_IMAGES } from "./demo.ts";
import { holdings, realCloud, servers } from "./real-cloud.ts";
import { type Outcome, Stack } from "./stack.ts";

/**
 * The program on the real engine and a real OpenStack. Machines count as ready when Nova says ACTIVE. Programs inside of
 * them have their own tests (tests/machine), so a cloud whose servers run nothing is sufficient here.
 */

const { cloud, missing } = await realCloud();
const NAME = "tw-engine";
const CONFIG: RawConfig = {
  clusterName: NAME,
  architecture: "standalone",
  adminCidrs: CLOUD.adminCidrs,
  networkCidr: "10.203.0.0/16",
  agentCount: 2,
  // A lab may have one hypervisor only.
  antiAffinity: "soft",
  masterVolumeGb: 1,
  registryVolumeGb: 1,
  clientVolumeGb: 1,
  prebuiltImages: PREBUILT_IMAGES,
};

describe.skipIf(!cloud)(`a real OpenStack${missing && ` (skipped: ${missing})`}`, () => {
  // A test whose name tells the summary why the tests were skipped.
  if (!cloud) return test("all", () => {});
  let stack: Stack;
  let before: string[];

  beforeEach(async () => {
    before = await holdings(cloud.env);
    const env = { ...cloud.env, TRIPLEWIDE_READINESS: "api" };
    stack = await new Stack({ config: { ...CONFIG, ...cloud.config }, env }).init();
  });
  afterEach(async () => {
    // Runs after a failed test too, so that the next one begins with a clean project.
    await stack.destroy();
    stack.remove();
    expect(await holdings(cloud.env)).toEqual(before);
  });

  const say = (what: string, { seconds }: Outcome): void => void process.stdout.write(`${what}: ${seconds} s\n`);

  async function up(what: string, ...args: string[]): Promise<Outcome> {
    const outcome = await stack.up(...args);
    expect(outcome.code, outcome.text).toBe(0);
    say(what, outcome);
    return outcome;
  }

  async function destroyed(): Promise<void> {
    const outcome = await stack.destroy();
    expect(outcome.code, outcome.text).toBe(0);
    say("destroy", outcome);
    expect(await holdings(cloud?.env ?? {})).toEqual(before);
  }

  test("a cluster comes, grows, shrinks and goes, and leaves nothing behind", async () => {
    const preview = await stack.preview();
    expect(preview.code, preview.text).toBe(0);
    say("preview", preview);
    expect(await holdings(cloud.env)).toEqual(before);

    const first = await up("up");
    expect(first.changes.toSorted()).toEqual(preview.changes.toSorted());
    expect((await up("second up")).changes).toEqual([]);
    const refreshed = await stack.preview("--refresh");
    expect(refreshed.code, refreshed.text).toBe(0);
    expect(refreshed.changes.filter((line) => !line.startsWith("refresh"))).toEqual([]);

    stack.configure({ agentCount: 4 });
    expect((await up("2 to 4 agents")).changes.toSorted()).toEqual([
      `create Instance ${NAME}-agent-3`,
      `create Instance ${NAME}-agent-4`,
      `create Port ${NAME}-agent-3`,
      `create Port ${NAME}-agent-4`,
    ]);
    stack.configure({ agentCount: 3, removedAgents: ["agent-2"] });
    expect((await up("4 to 3 agents")).changes).toEqual([
      `delete Instance ${NAME}-agent-2`,
      `delete Port ${NAME}-agent-2`,
    ]);
    expect([...(await servers(cloud.env, NAME)).keys()].toSorted()).toEqual(
      ["agent-1", "agent-3", "agent-4", "bastion", "client", "master-1", "registry"].toSorted(),
    );
    await destroyed();
  });

  test("masters whose user data changes are replaced one at a time; ports and volumes stay", async () => {
    stack.configure({ masterCount: 3, agentCount: 1 });
    await up("up with 3 masters");
    const kept = (await holdings(cloud.env)).filter((line) => /^(ports|volumes|floatingips) /.test(line));
    stack.configure({ aptMirror: "http://mirror.example.org/debian" });
    const changed = await up("all machines replaced", "--parallel", "2");
    const masters = changed.changes.filter((line) => / Instance .*-master-/.test(line) && !line.startsWith("replace"));
    expect(masters).toEqual(
      [1, 2, 3].flatMap((n) => [
        `delete-replaced Instance ${NAME}-master-${n}`,
        `create-replacement Instance ${NAME}-master-${n}`,
      ]),
    );
    expect((await holdings(cloud.env)).filter((line) => /^(ports|volumes|floatingips) /.test(line))).toEqual(kept);

    if (cloud.lab) {
      // The first one fails. The others stay as they are, and the next update continues.
      const seen = async (...members: number[]): Promise<(string | undefined)[]> => {
        const found = await servers(cloud.env, NAME);
        return members.map((n) => found.get(`master-${n}`)).map((s) => (s ? `${s.id} ${s.status}` : undefined));
      };
      const untouched = await seen(2, 3);
      stack.configure({ aptMirror: "http://other.example.org/debian" });
      await cloud.lab("fault", "scheduling-off");
      try {
        expect((await stack.up("--parallel", "2")).code).not.toBe(0);
        expect(await seen(2, 3)).toEqual(untouched);
      } finally {
        await cloud.lab("fault", "scheduling-on");
      }
      await up("up after the first master failed", "--parallel", "2");
      for (const master of await seen(1, 2, 3)) {
        expect(master).toMatch(/ ACTIVE$/);
        expect(untouched).not.toContain(master);
      }
      expect((await up("second up")).changes).toEqual([]);
    }
    await destroyed();
  });

  test("an engine that is killed in the middle: recover, and the next update completes", async () => {
    const update = stack.start();
    // Waits until servers are being made. This takes longest, and a killed engine knows least about it.
    for (let i = 0; i < 600 && (await servers(cloud.env, NAME)).size === 0; i++) await sleep(500);
    process.stdout.write(await stack.killAndRecover(update));
    await up("up after the kill");
    expect((await up("second up")).changes).toEqual([]);
    expect((await stack.state()).deployment.pending_operations ?? []).toEqual([]);
    await destroyed();
  });

  describe.skipIf(!cloud.lab)("a fault in the middle", () => {
    const lab = cloud.lab ?? (async () => "");

    test("Nova's API is down for a while: the second run completes", async () => {
      const broken = stack.up();
      for (let i = 0; i < 600 && (await holdings(cloud.env)).length < before.length + 3; i++) await sleep(500);
      await lab("fault", "compute-api-down");
      try {
        expect((await broken).code).not.toBe(0);
      } finally {
        await lab("fault", "compute-api-up");
      }
      await up("up after the fault");
      expect((await up("second up")).changes).toEqual([]);
      await destroyed();
    });

    test("the quota is hit: refused before anything is made, and destroy has nothing left to do", async () => {
      await lab("quota", "instances=3");
      try {
        const refused = await stack.up();
        expect(refused.code).not.toBe(0);
        expect(refused.text).toContain("instances");
        expect(await holdings(cloud.env)).toEqual(before);
      } finally {
        await lab("quota", "instances=-1");
      }
    });

    test("servers end in ERROR: the first run fails, the second replaces them and completes", async () => {
      await lab("fault", "scheduling-off");
      try {
        const failed = await stack.up();
        expect(failed.code).not.toBe(0);
        expect(failed.text).toMatch(/agent-1: the cloud says: No valid host was found/);
      } finally {
        await lab("fault", "scheduling-on");
      }
      await up("up after the fault");
      const states = [...(await servers(cloud.env, NAME)).values()].map((server) => server.status);
      expect(new Set(states)).toEqual(new Set(["ACTIVE"]));
      expect((await up("second up")).changes).toEqual([]);
      await destroyed();
    });

    test("more masters than hypervisors: the first run says so, and with a softer rule the second completes", async () => {
      // The lab has one hypervisor.
      stack.configure({ masterCount: 3, antiAffinity: "hard" });
      const failed = await stack.up();
      expect(failed.code).not.toBe(0);
      expect(failed.text).toMatch(
        /master-\d: the cloud says: No valid host was found.*master-1, master-2, master-3 must/,
      );
      stack.configure({ antiAffinity: "soft" });
      await up("up with a softer rule");
      expect((await up("second up")).changes).toEqual([]);
      await destroyed();
    });

    test("a server falls into ERROR later: the next update replaces it alone", async () => {
      await up("up");
      await lab("fault", "server-error", `${NAME}-agent-2`);
      const repaired = await up("repair");
      expect(repaired.changes.filter((line) => / Instance /.test(line) && !line.startsWith("replace"))).toEqual([
        `delete-replaced Instance ${NAME}-agent-2`,
        `create-replacement Instance ${NAME}-agent-2`,
      ]);
      expect((await up("second up")).changes).toEqual([]);
      await destroyed();
    });
  });
});
