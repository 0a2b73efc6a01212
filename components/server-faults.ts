import * as pulumi from "@pulumi/pulumi";
import { printableLines } from "../lib/text.ts";
import { machineOf } from "../openstack/inventory.ts";
import type { ServerGroup } from "../openstack/server-groups.ts";
import type { Operations } from "./operations.ts";

export interface ServerFaultsArgs {
  clusterName: string;
  serverGroups: readonly ServerGroup[];
  operations: Operations;
}

/**
 * A hook that logs why the cloud could not create a machine, and what helps. The provider's own error says only that the
 * server is in ERROR.
 *
 * @param resource Resource that the message is shown at. It cannot be the instance, which has no URN before the hook ends.
 */
export function serverFaults(name: string, args: ServerFaultsArgs, resource: pulumi.Resource): pulumi.ErrorHook {
  const { clusterName, serverGroups, operations } = args;
  return new pulumi.ErrorHook(name, async ({ newInputs, failedOperation }) => {
    const machine = machineOf(clusterName, String(newInputs?.name));
    if (machine && failedOperation === "create") {
      const fault = printableLines(await operations.fault(machine));
      if (fault !== "") {
        await pulumi.log.error(`${machine}: the cloud says: ${fault}${advice(machine, fault, serverGroups)}`, resource);
      }
    }
    // No retry: the next update replaces a server that is in ERROR.
    return false;
  });
}

/** Advice for a cloud that has fewer hypervisors than there are machines that must not share one. */
function advice(machine: string, fault: string, groups: readonly ServerGroup[]): string {
  const apart = groups.find((group) => group.policy === "anti-affinity" && group.members.includes(machine));
  if (!apart || !/no valid host/i.test(fault)) return "";
  return (
    ` (${apart.members.join(", ")} must be on as many different hypervisors, each with room, because antiAffinity is hard.` +
    " Fix: ask your cloud's people for more of them, have fewer masters or ZooKeepers, or set antiAffinity: soft, which" +
    " can lose the majority with one hypervisor)"
  );
}
