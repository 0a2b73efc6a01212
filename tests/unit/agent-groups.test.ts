import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { BLOCKS, blockOf, blocks } from "../../cluster/agent-groups.ts";
import { architectureOf, hasMesos } from "../../cluster/architectures/index.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { placeholder } from "../../cluster/values.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { checkDevices } from "../../local/devices.ts";
import { serverGroups } from "../../openstack/server-groups.ts";
import { renderUserData } from "../../render/cloud-init.ts";

import { renderCompose } from "../../render/compose.ts";
import { renderApps } from "../../render/marathon-apps.ts";
import { capacity, planDocument } from "../../render/plan.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";

const SIZES = { "m1.large": { vcpus: 4, ramMiB: 8192 }, "m1.huge": { vcpus: 32, ramMiB: 131072 } };
const base = { ...CLOUD, masterCount: 3, agentCount: 3, agentFlavor: "m1.large", flavorSizes: SIZES };
const big = { count: 2, flavor: "m1.huge" };
const small = { count: 12, cpus: 1, memoryMiB: 3072 };
const inCloud = (raw: RawConfig): Cluster => describeCluster(validate({ ...base, ...raw }, "test"));
const checkout = readCheckout();

describe.each(ARCHITECTURES)("%s", (architecture) => {
  const without = inCloud({ architecture });
  const one = inCloud({ architecture, agentGroups: { big } });
  const two = inCloud({ architecture, agentGroups: { big, small } });
  const userData = (cluster: Cluster): Map<string, string> =>
    new Map(cluster.machines.map((m) => [m.name, renderUserData(cluster, m, checkout, placeholder)]));

  test("a further group, and one that goes, changes nothing of any other machine", () => {
    for (const [less, more, added] of [
      [without, one, ["agent-big-1", "agent-big-2"]],
      [one, two, Array.from({ length: 12 }, (_, i) => `agent-small-${i + 1}`)],
    ] as const) {
      const names = less.machines.map((m) => m.name);
      expect(more.machines.map((m) => m.name).filter((name) => !names.includes(name))).toEqual(added);
      expect(more.machines.filter((m) => names.includes(m.name))).toEqual(less.machines);
      const [before, after] = [userData(less), userData(more)];
      for (const name of names) expect(after.get(name), name).toBe(before.get(name));
      expect(more.firewall).toEqual(less.firewall);
      expect(more.secrets).toEqual(less.secrets);
      const kept = serverGroups(more).filter((g) => g.members.some((member) => names.includes(member)));
      expect(kept).toEqual(serverGroups(less));
    }
  });

  test("its machines have their flavor, count for the quota, and are waited for", () => {
    expect(one.machines.filter((m) => m.subgroup === "big").map((m) => m.flavor)).toEqual(["m1.huge", "m1.huge"]);
    expect(one.quota.instances).toBe(without.quota.instances + 2);
    expect(one.gates.map((gate) => gate.what).join()).toMatch(/5 (agents|Spark workers)/);
    expect(architectureOf(one.config).jobAgents(one.config)).toBe(5);
    expect(capacity(one)[1]).toMatch(/^an agent of big has 12\d{4} MiB for (5|6)\d of them/);
  });

  test("its agents offer what they have, and jobs find them by the group's name", () => {
    const envOf = (machine: string) =>
      one.services.find((s) => s.machine === machine && /mesos-agent|spark-worker/.test(s.name))?.env;
    const [other, own] = [envOf("agent-1"), envOf("agent-big-1")];
    if (hasMesos(one.config)) {
      expect(own?.MESOS_attributes).toBe("group:big");
      expect(other).not.toHaveProperty("MESOS_attributes");
      expect(String(own?.MESOS_resources)).toMatch(/mem:12\d{4}/);
    } else {
      expect(Number.parseInt(String(own?.SPARK_WORKER_MEMORY), 10)).toBeGreaterThan(50_000);
    }
    expect(own).not.toEqual(other);
  });

  test("on this machine's Docker too", () => {
    const raw = { platform: "docker", architecture, agentGroups: { big: { count: 1, cpus: 2, memoryMiB: 4096 } } };
    const cluster = describeCluster(validate(raw, "test"));
    expect(planDocument(cluster, checkout.versions).machines.map((m) => m.name)).toContain("agent-big-1");
    const containers = (of: Cluster): Record<string, unknown> =>
      parse(renderCompose({ cluster: of, imageOf: (name) => name, secretOf: (name) => name }).compose).services;
    const [before, after] = [describeCluster(validate({ platform: "docker", architecture }, "test")), cluster].map(
      containers,
    );
    for (const [name, container] of Object.entries(before ?? {})) expect(after?.[name], name).toEqual(container);
    const env = cluster.services.find((s) => s.machine === "agent-big-1")?.env;
    const offered = hasMesos(cluster.config) ? env?.MESOS_resources : env?.SPARK_WORKER_CORES;
    expect(String(offered)).toMatch(/^(cpus:2;mem:4096;ports|2$)/);
  });
});

test("what a group does not say is as the other agents have it, except with another flavor", () => {
  const raw = { architecture: "vanilla", agentCpus: 3, agentMemoryMiB: 4096, mesosAttributes: { rack: "r1" } };
  const cluster = inCloud({ ...raw, agentGroups: { ssd: { count: 1, attributes: { disk: "ssd" } }, big } });
  const env = (machine: string) => cluster.services.find((s) => s.machine === machine)?.env;
  expect(env("agent-ssd-1")?.MESOS_resources).toBe(env("agent-1")?.MESOS_resources);
  expect(env("agent-ssd-1")?.MESOS_attributes).toBe("rack:r1;disk:ssd;group:ssd");
  expect(String(env("agent-big-1")?.MESOS_resources)).not.toContain("4096");
});

test("a group's GPUs are devices of its workers' containers, here and in the cloud, and resources of Spark", () => {
  const gpu = { count: 1, gpus: ["/dev/nvidia0", "/dev/nvidia1"], devices: ["/dev/nvidiactl"] };
  const raw = { architecture: "standalone", agentGroups: { gpu } } as const;
  const cluster = inCloud(raw);
  const worker = (machine: string) => cluster.services.find((s) => s.machine === machine && s.name === "spark-worker");
  const content = (machine: string, name: string) =>
    worker(machine)?.files.find(({ path }) => path.endsWith(name))?.content;
  expect(content("agent-gpu-1", "gpus.json")).toEqual({
    format: "json",
    value: [{ id: { componentName: "spark.worker", resourceName: "gpu" }, addresses: ["0", "1"] }],
  });
  expect(content("agent-gpu-1", "spark-defaults.conf")).toMatchObject({
    properties: { "spark.worker.resource.gpu.amount": "2", "spark.worker.resourcesFile": "/etc/spark/gpus.json" },
  });
  expect(JSON.stringify(worker("agent-1"))).not.toMatch(/gpu|nvidia/);
  const { compose } = renderCompose({
    cluster: describeCluster(validate({ ...raw, platform: "docker" }, "test")),
    imageOf: (name) => name,
    secretOf: (name) => name,
  });
  const { services } = parse(compose);
  const all = ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"];
  expect(services["agent-gpu-1"].devices).toEqual(all.map((path) => `${path}:${path}`));
  expect(services["agent-1"].devices).toBeUndefined();
  const userData = (name: string): string => {
    const machine = cluster.machines.find((m) => m.name === name);
    return machine ? renderUserData(cluster, machine, checkout, placeholder) : "";
  };
  expect(userData("agent-gpu-1")).toContain(all.map((path) => `--device ${path}`).join(" "));
  expect(userData("agent-1")).not.toContain("--device");
});

test("a device that this machine does not have is said with its group, before anything starts", () => {
  const check = (gpus: string[], devices: string[]) => () => {
    const raw = { platform: "docker", architecture: "standalone", agentGroups: { gpu: { count: 1, gpus, devices } } };
    checkDevices(validate(raw, "test"), "test");
  };
  expect(check(["/dev/null"], ["/dev/zero"])).not.toThrow();
  // Neither a folder nor a missing file is accepted.
  expect(check(["/dev/gpu-of-no-one"], ["/dev/shm"])).toThrow(/gpu: \/dev\/gpu-of-no-one[\s\S]*gpu: \/dev\/shm/);
});

test("Marathon has workers for each group, of its size and on its agents alone", () => {
  const apps = (raw: RawConfig) => renderApps(inCloud({ architecture: "marathon-standalone", ...raw }), placeholder);
  const found = apps({ agentGroups: { big } });
  const shown = found.map(({ id, instances, constraints }) => [id, instances, (constraints as string[][]).slice(1)]);
  expect(shown).toEqual([
    ["/spark/master", 3, [["hostname", "LIKE", expect.any(String)]]],
    ["/spark/worker", 3, [["group", "UNLIKE", ".*"]]],
    ["/spark/worker-big", 2, [["group", "IS", "big"]]],
  ]);
  expect(found[2]?.cpus).toBe(31.5);
  expect(found[0]).toEqual(apps({})[0]);
});

describe("addresses", () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,11}$/), { minLength: 1, maxLength: 6 });

  test("a group's follow from its own name, and no two machines share one", () => {
    fc.assert(
      fc.property(names, fc.integer({ min: 0, max: 500 }), (groups, datanodeCount) => {
        const agentGroups = Object.fromEntries(groups.map((name) => [name, { count: 3 }]));
        const raw = { ...base, agentCount: 2000, datanodeCount, agentGroups };
        if (problems(raw).length > 0) return;
        const { machines } = describeCluster(validate(raw, "test"));
        expect(new Set(machines.map((m) => m.address)).size).toBe(machines.length);
        for (const name of groups) {
          const alone = inCloud({ agentGroups: { [name]: { count: 3 } } }).machines;
          const own = (all: typeof machines) => all.filter((m) => m.subgroup === name).map((m) => m.address);
          expect(own(machines)).toEqual(own(alone));
        }
      }),
      { numRuns: 15 },
    );
  });

  test("blocks lie apart from agents and datanodes, as many as there are", () => {
    expect(blocks("10.72.0.0/16")).toEqual({ size: 1024, first: 32768 });
    fc.assert(
      fc.property(names, ([name = ""]) => {
        const block = blockOf({ agentGroups: {} }, name);
        expect(block >= 1 && block <= BLOCKS).toBe(true);
      }),
    );
  });
});

describe("groups of a config", () => {
  const found = (raw: object) => problems({ ...base, ...raw }).map(({ key, value, rule }) => [key, value, rule]);

  test("are refused with every reason at once", () => {
    const twins = ["big", "small"].map((name) => [name, { count: 1, addressBlock: 3 }] as const);
    const agentGroups = {
      ...Object.fromEntries(twins),
      master: { count: 1, addressBlock: 4 },
      many: { count: 1025, addressBlock: 5 },
      tight: { count: 1, addressBlock: 6, memoryMiB: 1024 },
      own: { count: 1, addressBlock: 7, attributes: { group: "x" } },
    };
    const rules = [
      ["agentGroups", "master", expect.stringContaining("named other than")],
      ["agentGroups", "many: 1025", expect.stringContaining("no more than 1024 agents")],
      ["agentGroups", "own", expect.stringContaining("without an attribute group")],
      ["agentGroups", "small", "with an addressBlock of its own: big has 3 as well"],
      ["agentGroups", "tight: 1024", expect.stringContaining("so that one executor")],
    ];
    expect(found({ architecture: "vanilla", agentGroups })).toEqual(rules);
  });

  test("have no attributes where no Mesos asks for them", () => {
    const agentGroups = { ssd: { count: 1, attributes: { disk: "ssd" } } };
    expect(found({ architecture: "standalone", agentGroups }).map(([, value]) => value)).toEqual(["ssd"]);
  });

  test("have GPUs where Spark's own workers start executors, each named once", () => {
    const gpu = { count: 1, gpus: ["/dev/nvidia0"], devices: ["/dev/nvidiactl"] };
    const rulesOf = (architecture: string, group: object) =>
      found({ architecture, agentGroups: { gpu: { ...gpu, ...group } } }).map(([, value, rule]) => `${value} ${rule}`);
    expect(rulesOf("standalone", {})).toEqual([]);
    expect(rulesOf("standalone", { gpus: ["/dev/nvidiactl"] })).toEqual([
      "gpu with each of its gpus and devices named once",
    ]);
    for (const architecture of ARCHITECTURES.filter((name) => name !== "standalone")) {
      expect(rulesOf(architecture, {}), architecture).toEqual([
        `gpu without gpus and devices in architecture ${architecture}: Mesos' agents would not hand them to executors`,
      ]);
    }
    for (const path of ["nvidia0", "/etc/passwd", "/dev/../etc", "/dev/a:b", "/dev/"]) {
      expect(rulesOf("standalone", { gpus: [path] }), path).toHaveLength(1);
    }
  });

  test("need a network with room in both halves", () => {
    const groups = { agentGroups: { big: { count: 1 } } };
    expect(found({ ...groups, networkCidr: "10.72.0.0/24", agentCount: 64 })).toEqual([]);
    expect(found({ ...groups, networkCidr: "10.72.0.0/24", agentCount: 65 }).map(([key]) => key)).toEqual([
      "networkCidr",
    ]);
    expect(found({ ...groups, networkCidr: "10.72.0.0/24", datanodeCount: 64 }).map(([key]) => key)).toEqual([
      "networkCidr",
    ]);
  });

  test.each([
    { "big-1": { count: 1 } },
    { Big: { count: 1 } },
    { big: {} },
    { big: { count: -1 } },
    { big: { count: 1, flavour: "x" } },
    { big: { count: 1, attributes: { disk: "a;b" } } },
  ])("%j has another form", (agentGroups) => {
    expect(found({ agentGroups }).map(([key]) => String(key).split(".")[0])).toEqual(["agentGroups"]);
  });

  test("agents of a group are taken out by name, and their names are not used again", () => {
    const cluster = inCloud({ agentGroups: { big }, removedAgents: ["agent-big-1"] });
    expect(cluster.machines.filter((m) => m.subgroup === "big").map((m) => m.name)).toEqual([
      "agent-big-2",
      "agent-big-3",
    ]);
    expect(cluster.machines.filter((m) => m.group === "agent" && !m.subgroup)).toHaveLength(3);
  });
});
