import * as pulumi from "@pulumi/pulumi";
import { machineOf } from "../openstack/inventory.ts";
import type { ServerGroup } from "../openstack/server-groups.ts";
import type { Operations } from "./operations.ts";

export interface ServerFaultsArgs {
  clusterName: string;
  serverGroups: readonly ServerGroup[];
  operations: Operations;
}

/**
 * Says why the cloud could not make a machine, and what helps: the provider's own error is that the server is in ERROR.
 *
 * @param resource Where it is said. Not the instance: the engine gives it no identity before the hook is through.
 */
export function serverFaults(name: string, args: ServerFaultsArgs, resource: pulumi.Resource): pulumi.ErrorHook {
  const { clusterName, serverGroups, operations } = args;
  return new pulumi.ErrorHook(name, async ({ newInputs, failedOperation }) => {
    const machine = machineOf(clusterName, String(newInputs?.name));
    if (machine && failedOperation === "create") {
      const fault = await operations.fault(machine);
      if (fault !== "") {
        await pulumi.log.error(`${machine}: the cloud says: ${fault}${advice(machine, fault, serverGroups)}`, resource);
      }
    }
    // Nothing is tried again: the next update replaces what is in ERROR.
    return false;
  });
}

/** What helps where a cloud has fewer hypervisors than machines that must not share one. */
function advice(machine: string, fault: string, groups: readonly ServerGroup[]): string {
  const apart = groups.find((group) => group.policy === "anti-affinity" && group.members.includes(machine));
  if (!apart || !/no valid host/i.test(fault)) return "";
  return (
    ` (${apart.members.join(", ")} must be on as many different hypervisors, each with room, because antiAffinity is hard.` +
    " Fix: ask your cloud's people for more of them, have fewer masters or ZooKeepers, or set antiAffinity: soft, which" +
    " can lose the majority with one hypervisor)"
  );
}
