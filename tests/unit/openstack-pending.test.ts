import { expect, test } from "vitest";
import { adopt } from "../../openstack/pending.ts";

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
