import fc from "fast-check";
import { expect, test } from "vitest";
import { GROUP_NAMES, groupOfMachine, machineName } from "../../cluster/groups.ts";
import { machineOf, resourceName } from "../../openstack/inventory.ts";

test.each(GROUP_NAMES)("%s: a machine's name leads back to its group", (group) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), (number) => {
      const name = machineName(group, number);
      expect(groupOfMachine(name)).toBe(group);
      expect(machineOf("lab", resourceName("lab", name))).toBe(name);
      // `lab-two` is another cluster, and neither cluster takes the other's machines for its own.
      expect(machineOf("lab", resourceName("lab-two", name))).toBeUndefined();
      expect(machineOf("lab-two", resourceName("lab", name))).toBeUndefined();
    }),
  );
});

test("a cluster that is named after a group claims no other cluster's machines", () => {
  for (const group of GROUP_NAMES) {
    for (const other of GROUP_NAMES) {
      expect(machineOf("lab", resourceName(`lab-${group}`, machineName(other, 1)))).toBeUndefined();
    }
  }
});

test.each(["", "agent", "agent-", "agent-0", "agent-007", "agent-1-data", "bastion-1", "web-1"])(
  "no machine is called %j",
  (name) => expect(groupOfMachine(name)).toBeUndefined(),
);
