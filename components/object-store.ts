import { Ec2CredentialV3 } from "@pulumi/openstack/identity/ec2CredentialV3.js";
import { Container } from "@pulumi/openstack/objectstorage/container.js";
import * as pulumi from "@pulumi/pulumi";
import { CLUSTER_METADATA } from "../openstack/object-store.ts";
import type { Operations } from "./operations.ts";
import { tellsOfLostKey } from "./twins.ts";

export interface ObjectStoreArgs {
  /** Prefix of the cluster's names in OpenStack. */
  clusterName: string;
  /** Name of the container that `s3a://` paths name. */
  container: string;
  /** Name of the container in which Swift keeps the parts of large objects. It makes it by itself, and would leave it behind. */
  segments: string;
  /** Whether the containers refuse to be deleted. Where not, they go with all objects in them, as data volumes do. */
  protectData: boolean;
  /** What keys there are. */
  operations: Operations;
}

/**
 * A container in the cloud's object store, and a key for its S3 interface.
 *
 * @example
 * ```ts
 * const store = new ObjectStore("lab-objects", { clusterName: "lab", container: "lab-data", segments: "lab-data+segments", protectData, operations });
 * export const accessKey = store.accessKey;
 * ```
 */
export class ObjectStore extends pulumi.ComponentResource {
  /** The key's name, once the containers are there too. */
  readonly accessKey: pulumi.Output<string>;
  /** Secret. */
  readonly secretKey: pulumi.Output<string>;

  constructor(name: string, args: ObjectStoreArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:ObjectStore", name, {}, opts);

    const made = (child: string, container: string): Container =>
      new Container(
        child,
        { name: container, forceDestroy: true, metadata: { [CLUSTER_METADATA]: args.clusterName } },
        { parent: this, protect: args.protectData },
      );
    const containers = [made(name, args.container), made(`${name}-segments`, args.segments)];
    const key = new Ec2CredentialV3(
      name,
      {},
      {
        parent: this,
        additionalSecretOutputs: ["secret"],
        hooks: tellsOfLostKey(`${name}-key`, args.operations, this),
      },
    );
    this.accessKey = pulumi.all([key.access, ...containers.map(({ id }) => id)]).apply(([access]) => access as string);
    this.secretKey = pulumi.secret(key.secret);

    this.registerOutputs({ container: args.container });
  }
}
