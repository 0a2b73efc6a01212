import { expect, test } from "vitest";
import { DEMO } from "./demo.ts";
import { EXTERNAL, FakeCloud, IMAGE } from "./fake-cloud.ts";
import { Stack } from "./stack.ts";

/** Differences between clouds, on the real engine with the real provider. */

const NEWER = "77777777-7777-4777-8777-777777777777";

test("an update that meets a rate limit fails, and the next goes on; machines keep the image that its name meant first, also on volumes, and move to another by its id", async () => {
  const cloud = await FakeCloud.start();
  const disks = { dataVolumes: false, bootVolumeGb: 30, configDrive: true };
  const settings = { ...disks, agentCount: 1, externalNetwork: EXTERNAL };
  const env = { ...cloud.env, TRIPLEWIDE_READINESS: "api" };
  const stack = new Stack({ config: { ...DEMO, ...settings }, env });
  try {
    await stack.init();
    cloud.faults.push({ method: "POST", path: /\/servers$/, status: 429, times: 1 });
    const limited = await stack.up();
    expect(limited.code).not.toBe(0);
    expect(limited.text).toContain("Too many requests");
    const up = await stack.up();
    expect(up.code, up.text).toBe(0);
    const made = cloud.leftovers().filter((line) => line.startsWith("server demo-"));
    expect(made).toEqual(["agent-1", "bastion", "client", "master-1", "registry"].map((name) => `server demo-${name}`));
    expect(cloud.server("demo-agent-1")).toMatchObject({ image: "", config_drive: true });

    // Clouds publish a new image under the old name, and rename the old one.
    cloud.images.set(IMAGE, "debian-12-until-may").set(NEWER, "debian-12");
    const again = await stack.up("--refresh");
    expect(again.code, again.text).toBe(0);
    expect(again.changes.filter((line) => !line.startsWith("refresh"))).toEqual([]);
    expect(again.text).toContain(`debian-12 now also means ${NEWER}; machines keep ${IMAGE}`);

    stack.configure({ image: NEWER });
    const { changes } = await stack.preview();
    const machines = ["agent-1", "bastion", "client", "master-1"].map((name) => `replace Instance demo-${name}`);
    expect(changes).toEqual(expect.arrayContaining(machines));
    expect(changes.filter((line) => line.includes(" Port "))).toEqual([]);
  } finally {
    stack.remove();
    await cloud.stop();
  }
});
