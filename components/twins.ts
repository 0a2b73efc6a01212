import * as pulumi from "@pulumi/pulumi";
import type { Operations } from "./operations.ts";

/**
 * A hook for resources of which a cloud makes a second one of the same name without an error: networks, routers, security groups, volumes.
 * Where the answer to a creation got lost, the engine does not know the resource, and the next update would make another one.
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

/**
 * A hook for resources that the provider itself asks for again where an answer got lost, in an older way: server groups. It
 * says where there are two now, and changes nothing.
 *
 * @param resource Resource that the message is shown at. It cannot be the one that was made, which has no URN before the hook ends.
 */
export function tellsOfTwins(name: string, operations: Operations, resource: pulumi.Resource): pulumi.ResourceHook {
  return new pulumi.ResourceHook(name, async ({ urn, type, id, newInputs = {} }) => {
    const twins = await operations.twins({ urn, type, id, inputs: newInputs }).catch(() => []);
    if (twins.length === 0) return;
    await pulumi.log.warn(
      `${newInputs.name}: the answer to its creation got lost and it was made again; nothing uses ${twins.join(", ")}. ` +
        `Fix: triplewide recover ${pulumi.getStack()} --adopt removes it`,
      resource,
    );
  });
}

/**
 * Hooks for a key for S3, which has no name: where its creation fails and the user has one more afterwards, they say which. It may be
 * somebody else's who asked at the same time, and is left to a person.
 *
 * @param resource Resource that the message is shown at.
 */
export function tellsOfLostKey(
  name: string,
  operations: Operations,
  resource: pulumi.Resource,
): pulumi.ResourceHookBinding {
  let before: readonly string[] | undefined;
  const ask = new pulumi.ResourceHook(`${name}-before`, async () => {
    before = await operations.accessKeys();
  });
  const tell = new pulumi.ErrorHook(`${name}-lost`, async ({ failedOperation }) => {
    if (failedOperation !== "create" || before === undefined) return false;
    const added = ((await operations.accessKeys()) ?? []).filter((key) => !before?.includes(key));
    if (added.length > 0) {
      await pulumi.log.warn(
        `the creation of a key for S3 failed, but the user has one more now: ${added.join(", ")}. It has no name, so nothing takes it in or ` +
          `removes it. Fix: unless somebody else made it meanwhile, openstack ec2 credentials delete ${added.join(" ")}; the next update makes another`,
        resource,
      );
    }
    return false;
  });
  return { beforeCreate: [ask], onError: [tell] };
}
