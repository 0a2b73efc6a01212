import * as pulumi from "@pulumi/pulumi";
import type { Operations } from "./operations.ts";

/**
 * A hook for resources of which a cloud makes a second one of the same name without a word: networks, routers, security groups, volumes.
 * Where the answer to a creation got lost, the engine knows of nothing, and the next update would make it again.
 *
 * @throws RunError, by which the creation fails, where the cloud has one already.
 */
export function refusesTwins(name: string, operations: Operations): pulumi.ResourceHook {
  return new pulumi.ResourceHook(name, async ({ type, newInputs }) => {
    const wanted = String(newInputs?.name);
    const id = await operations.known(type, wanted);
    if (id === undefined) return;
    throw new pulumi.RunError(
      `${wanted}: the cloud has one already (${id}), which this stack does not know. Either the answer to its creation got lost, ` +
        "or another cluster in this project has the same name. " +
        `Fix: triplewide recover ${pulumi.getStack()} --adopt takes it into the stack; for another cluster, set clusterName`,
    );
  });
}
