import { Share as ManilaShare } from "@pulumi/openstack/sharedfilesystem/share.js";
import { ShareAccess } from "@pulumi/openstack/sharedfilesystem/shareAccess.js";
import { ShareNetwork } from "@pulumi/openstack/sharedfilesystem/shareNetwork.js";
import * as pulumi from "@pulumi/pulumi";
import { printable } from "../lib/text.ts";
import { CLUSTER_KEY, shareName } from "../openstack/inventory.ts";

export interface ShareArgs {
  /** Prefix of the cluster's names in OpenStack. */
  clusterName: string;
  /** Size in GB. */
  sizeGb: number;
  /**
   * Manila's share type.
   * @default the cloud's own
   */
  shareType?: string;
  /** Whether the share type makes a server for each network, which it then has to be told. Plain: it decides which resources there are. */
  ownServer: boolean;
  /** Network and subnet of the machines. */
  networkId: pulumi.Input<string>;
  subnetId: pulumi.Input<string>;
  /** Addresses and networks that may mount it. Plain, because they decide which resources there are. */
  clients: readonly string[];
  /** Whether it refuses to be deleted. */
  protectData: boolean;
  /** See `twins.ts`. */
  refusesTwins: pulumi.ResourceHook;
}

/**
 * A share of the cloud's (Manila) that machines mount by NFS.
 *
 * @example
 * ```ts
 * const share = new Share("lab-share", { clusterName: "lab", sizeGb: 100, ownServer: true, networkId, subnetId, clients, protectData, refusesTwins });
 * export const source = share.source;
 * ```
 */
export class Share extends pulumi.ComponentResource {
  /** What machines mount, as `10.254.0.5:/shares/share-1`, once they may. */
  readonly source: pulumi.Output<string>;

  constructor(name: string, args: ShareArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:Share", name, {}, opts);

    const called = shareName(args.clusterName);
    const network = args.ownServer
      ? new ShareNetwork(
          name,
          { name: called, neutronNetId: args.networkId, neutronSubnetId: args.subnetId },
          { parent: this },
        )
      : undefined;
    const share = new ManilaShare(
      name,
      {
        name: called,
        shareProto: "NFS",
        size: args.sizeGb,
        ...(args.shareType ? { shareType: args.shareType } : {}),
        ...(network ? { shareNetworkId: network.id } : {}),
        metadata: { [CLUSTER_KEY]: args.clusterName },
      },
      // Another zone, or a default type that has changed, would mean an empty one.
      {
        parent: this,
        protect: args.protectData,
        ignoreChanges: ["availabilityZone", ...(args.shareType ? [] : ["shareType"])],
        hooks: { beforeCreate: [args.refusesTwins] },
      },
    );
    const rules = args.clients.map(
      (client) =>
        new ShareAccess(
          `${name}-${client}`,
          { shareId: share.id, accessType: "ip", accessTo: client, accessLevel: "rw" },
          { parent: this },
        ),
    );
    this.source = pulumi
      .all([share.exportLocations, pulumi.all(rules.map(({ id }) => id))])
      .apply(([locations]) => exportOf(locations, called));

    this.registerOutputs({ source: this.source });
  }
}

interface Location {
  path: string;
  /** `"true"` or `"True"` for the one that the cloud would take. */
  preferred: string;
}

/** The location to mount: the one that the cloud prefers, else the first by its name, of those that are not IPv6. */
function exportOf(locations: readonly Location[], share: string): string {
  // Sorted, because the cloud may list them in another order the next time, which would replace every machine.
  const usable = locations
    .filter(({ path }) => /^[A-Za-z0-9.-]+:\/\S*$/.test(path))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const found = usable.find(({ preferred }) => preferred.toLowerCase() === "true") ?? usable[0];
  if (!found) {
    const there = printable(locations.map(({ path }) => path).join(", ")) || "none";
    throw new pulumi.RunError(`the share ${share} has no address that machines can mount by NFS: ${there}`);
  }
  return found.path;
}
