import { describe, expect, test } from "vitest";
import { UserError } from "../../lib/errors.ts";
import { Cloud } from "../../openstack/cloud.ts";
import { ACCESS_KEY, adopt, findable, findPending, findTwins, withPending } from "../../openstack/pending.ts";
import { FakeOpenStack } from "../fakes/openstack.ts";

const port = { urn: "urn:a", type: "openstack:networking/port:Port", custom: true, inputs: { name: "demo-agent-1" } };
const server = { urn: "urn:b", type: "openstack:compute/instance:Instance", custom: true, inputs: { name: "demo-1" } };
/** Of a cloud that is not asked. */
const LOGIN = { OS_AUTH_URL: "http://127.0.0.1:1/v3", OS_USERNAME: "u", OS_PASSWORD: "p", OS_PROJECT_NAME: "p" };
const network = { urn: "urn:n", type: "openstack:networking/network:Network", id: "n" };

test("what the cloud holds becomes a resource, after what it depends on; what it does not hold is forgotten", () => {
  const checkpoint = {
    version: 3,
    deployment: {
      manifest: { version: "v3" },
      resources: [network],
      pending_operations: [
        { type: "creating", resource: port },
        { type: "creating", resource: server },
        { type: "deleting", resource: network },
      ],
    },
  };
  expect(adopt(checkpoint, [{ urn: "urn:a", id: "port-id" }, { urn: "urn:b" }])).toEqual({
    version: 3,
    deployment: {
      manifest: { version: "v3" },
      resources: [network, { ...port, id: "port-id", outputs: { name: "demo-agent-1" } }],
      pending_operations: [{ type: "deleting", resource: network }],
    },
  });
});

test("a share whose creation was cut off is found again: a second one of its name would be made without complaint", async () => {
  const fake = await FakeOpenStack.start();
  fake.state.services.push("sharev2");
  fake.state.shares.push({ id: "share-id", name: "lab-work" }, { id: "other", name: "lab-work-of-others" });
  const pending = (name: string) => ({ urn: name, type: "openstack:sharedfilesystem/share:Share", inputs: { name } });
  const found = await findPending(Cloud.fromEnvironment({ env: fake.env }), [pending("lab-work"), pending("lab-gone")]);
  expect(found).toEqual([{ urn: "lab-work", id: "share-id" }, { urn: "lab-gone" }]);
  await fake.stop();
});

test("a record of the cloud's DNS is found in its zone, and known as the provider knows it", async () => {
  const fake = await FakeOpenStack.start();
  fake.state.services.push("dns");
  const record = { name: "lab.example.org.", type: "A", description: "triplewide lab" };
  fake.state.recordSets.push(
    { id: "mx", ...record, type: "MX" },
    { id: "other", ...record, description: "of a person" },
  );
  fake.state.recordSets.push({ id: "r1", ...record });
  const inputs = { ...record, zoneId: "z1" };
  const found = await findPending(Cloud.fromEnvironment({ env: fake.env }), [
    { urn: "urn:d", type: "openstack:dns/recordSet:RecordSet", inputs },
  ]);
  expect(found).toEqual([{ urn: "urn:d", id: "z1/r1" }]);
  await fake.stop();
});

describe("server groups, which the provider asks for twice where an answer gets lost", () => {
  const type = "openstack:compute/serverGroup:ServerGroup";
  const group = (urn: string, policy = "anti-affinity") => ({
    urn,
    type,
    inputs: { name: "lab-master", policies: [policy] },
  });
  const there = (id: string, members: string[] = [], policy = "anti-affinity") => ({
    id,
    name: "lab-master",
    policies: [policy],
    members,
  });

  async function asking<T>(groups: Record<string, unknown>[], ask: (cloud: Cloud) => Promise<T>): Promise<T> {
    const fake = await FakeOpenStack.start();
    fake.state.serverGroups.push(...groups);
    try {
      return await ask(Cloud.fromEnvironment({ env: fake.env }));
    } finally {
      await fake.stop();
    }
  }

  test("either will do where nothing uses them, the one that is used where there is one, and none that the stack has", async () => {
    const soft = there("soft", [], "soft-anti-affinity");
    const find = (groups: Record<string, unknown>[], ...known: string[]) =>
      asking(groups, (cloud) => findPending(cloud, [group("urn:g")], new Set(known)));
    expect(await find([soft, there("a"), there("b")])).toEqual([{ urn: "urn:g", id: "a" }]);
    expect(await find([there("a"), there("b", ["server"])])).toEqual([{ urn: "urn:g", id: "b" }]);
    expect(await find([there("a"), there("b")], "a")).toEqual([{ urn: "urn:g", id: "b" }]);
    expect(await find([soft])).toEqual([{ urn: "urn:g" }]);
    await expect(find([there("a", ["s1"]), there("b", ["s2"])])).rejects.toThrow(
      new UserError("urn:g: 2 could be meant (a, b). Fix: delete in the cloud those that are not this stack's"),
    );
  });

  test("are twins where nothing uses them, of the same policy, and the stack has them not", async () => {
    const groups = [
      there("own"),
      there("twin"),
      there("used", ["server"]),
      there("soft", [], "soft-anti-affinity"),
      { ...there("other"), name: "lab-master-2" },
      { id: "unsaid", name: "lab-master", policies: ["anti-affinity"] },
    ];
    const find = (urns: string[], known: string[]) =>
      asking(groups, (cloud) =>
        findTwins(
          cloud,
          urns.map((urn) => group(urn)),
          new Set(known),
        ),
      );
    expect(await find(["urn:g"], ["own"])).toEqual([{ urn: "urn:g", type, id: "twin" }]);
    expect(await find(["urn:g"], ["own", "twin"])).toEqual([]);
    expect(await find([], [])).toEqual([]);
  });
});

test("a key for S3 has no name to be found by, and is never taken in", async () => {
  const found = await findPending(Cloud.fromEnvironment({ env: { ...LOGIN } }), [{ urn: "urn:k", type: ACCESS_KEY }]);
  expect(found).toEqual([{ urn: "urn:k", todo: expect.stringContaining("has no name") }]);
  expect(findable([{ op: "create", urn: "urn:k", newState: { urn: "urn:k", type: ACCESS_KEY } }])).toEqual([]);
});

test("what takes the place of one that was deleted first stands there alone", () => {
  const old = { ...server, id: "old", pendingReplacement: true };
  const state = { deployment: { resources: [network, old] } };
  const begun = withPending(state, [server]);
  expect(adopt(begun, [{ urn: "urn:b", id: "new" }]).deployment.resources?.map(({ id }) => id)).toEqual(["n", "new"]);
  expect(adopt(begun, [{ urn: "urn:b" }]).deployment.resources).toEqual([network, old]);
});

describe("what an update would make and the cloud may have", () => {
  const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
  const step = (op: string, type: string, inputs: Record<string, unknown>) => ({
    op,
    urn: "urn:c",
    newState: { urn: "urn:c", type: `openstack:${type}`, inputs },
  });

  test("is what it creates, with all that is known", () => {
    const inputs = { name: "demo", networkId: UNKNOWN, fixedIps: [{ ipAddress: "10.0.0.4", subnetId: UNKNOWN }] };
    expect(findable([step("create", "networking/port:Port", inputs)]).map((found) => found.inputs)).toEqual([
      { name: "demo", fixedIps: [{ ipAddress: "10.0.0.4" }] },
    ]);
    expect(findable([step("create", "compute/keypair:Keypair", { name: "demo" })])).toHaveLength(1);
  });

  test("is nothing that is changed, that stands on what is not there, or that the cloud does not know", () => {
    expect(findable([step("update", "networking/port:Port", { name: "demo" })])).toEqual([]);
    expect(findable([step("create", "networking/floatingIp:FloatingIp", { portId: UNKNOWN })])).toEqual([]);
    expect(
      findable([
        { op: "create", urn: "urn:r", newState: { urn: "urn:r", type: "random:index/randomPassword:RandomPassword" } },
      ]),
    ).toEqual([]);
  });
});
