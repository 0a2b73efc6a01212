import { afterEach, beforeEach, expect, test } from "vitest";
import { Cloud } from "../../openstack/cloud.ts";
import { existingMachines, faultOf, machineOf, resourceName } from "../../openstack/inventory.ts";
import { FakeOpenStack, IDS } from "../fakes/openstack.ts";

let fake: FakeOpenStack;
let cloud: Cloud;
beforeEach(async () => {
  fake = await FakeOpenStack.start();
  cloud = Cloud.fromEnvironment({ env: fake.env }, { retryDelayMs: 1 });
});
afterEach(() => fake.stop());

const addPort = (name: string, over: Record<string, unknown> = {}) =>
  fake.state.ports.push({ id: `port-${name}`, name, project_id: IDS.project, ...over });

test("a machine is its server, with what it was made from; a port alone is a machine that is missing", async () => {
  fake.addServer("lab", "master-1");
  addPort("lab-master-1");
  addPort("lab-master-2");
  fake.addServer("lab", "agent-1", {
    status: "ERROR",
    fault: { message: "No valid host" },
    metadata: { "triplewide-cluster": "lab", "triplewide-replaces": "old-id" },
  });
  expect(Object.fromEntries(await existingMachines(cloud, "lab"))).toEqual({
    "master-1": {
      serverId: "server-lab-master-1",
      status: "ACTIVE",
      configHash: "hash-1",
      flavorId: "2",
      created: "2026-01-01T00:00:00Z",
      portId: "port-lab-master-1",
    },
    "master-2": { status: "MISSING", portId: "port-lab-master-2" },
    "agent-1": {
      serverId: "server-lab-agent-1",
      status: "ERROR",
      replaces: "old-id",
      flavorId: "2",
      created: "2026-01-01T00:00:00Z",
      fault: "No valid host",
    },
  });
});

test("nobody else's machines are ours: not by a name alone, not by a name that begins like ours", async () => {
  fake.addServer("lab", "agent-1", { metadata: {} });
  fake.addServer("lab", "agent-2", { metadata: { "triplewide-cluster": "other" } });
  fake.addServer("lab-two", "agent-3");
  fake.addServer("lab", "web-1");
  addPort("lab-two-agent-3");
  addPort("lab-agent-007");
  addPort("lab-agent-4", { project_id: "someone-else" });
  expect((await existingMachines(cloud, "lab")).size).toBe(0);
  expect([...(await existingMachines(cloud, "lab-two")).keys()]).toEqual(["agent-3"]);
});

test("of two servers of one name the newer is the machine", async () => {
  fake.addServer("lab", "master-1", { id: "new", created: "2026-02-01T00:00:00Z" });
  fake.addServer("lab", "master-1", { id: "old", created: "2026-01-01T00:00:00Z", status: "DELETED" });
  expect((await existingMachines(cloud, "lab")).get("master-1")?.serverId).toBe("new");
});

test("why a machine could not be made is what Nova says of its newest server in ERROR", async () => {
  const broken = (message: string) => ({ status: "ERROR", fault: { message } });
  fake.addServer("lab", "master-2", { id: "first", created: "2026-01-01T00:00:00Z", ...broken("out of disk") });
  fake.addServer("lab", "master-2", { id: "second", created: "2026-02-01T00:00:00Z", ...broken("No valid host") });
  fake.addServer("lab", "master-20", broken("another machine's"));
  fake.addServer("lab", "master-1");
  expect(await faultOf(cloud, "lab", "master-2")).toBe("No valid host");
  expect(await faultOf(cloud, "lab", "master-1")).toBe("");
});

test("1,000 machines are read in few requests", async () => {
  for (let n = 1; n <= 1000; n++) {
    fake.addServer("lab", `agent-${n}`);
    addPort(`lab-agent-${n}`);
  }
  fake.state.pageSize = 500;
  expect((await existingMachines(cloud, "lab")).size).toBe(1000);
  expect(fake.requests).toHaveLength(5);
});

test("a name and its machine belong together", () => {
  for (const machine of ["bastion", "client", "registry", "master-1", "zookeeper-3", "agent-1000", "datanode-12"]) {
    expect(machineOf("lab", resourceName("lab", machine))).toBe(machine);
  }
});
