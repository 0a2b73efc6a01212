import { expect, test } from "vitest";
import { Cloud } from "../../openstack/cloud.ts";
import { adopt, findPending } from "../../openstack/pending.ts";
import { FakeOpenStack } from "../fakes/openstack.ts";

const port = { urn: "urn:a", type: "openstack:networking/port:Port", custom: true, inputs: { name: "demo-agent-1" } };
const server = { urn: "urn:b", type: "openstack:compute/instance:Instance", custom: true, inputs: { name: "demo-1" } };
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
