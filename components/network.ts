import * as networking from "@pulumi/openstack/networking/network.js";
import { Router } from "@pulumi/openstack/networking/router.js";
import { RouterInterface } from "@pulumi/openstack/networking/routerInterface.js";
import { Subnet } from "@pulumi/openstack/networking/subnet.js";
import * as pulumi from "@pulumi/pulumi";
import { addressAt, cloudPool } from "../cluster/addresses.ts";

export interface NetworkArgs {
  /** Name of the network, the subnet and the router in OpenStack. */
  clusterName: string;
  /** Addresses of the new subnet. Plain text, because the range that DHCP may use is computed from it. */
  cidr: string;
  /** Id of the external network that the router leads to. */
  externalNetworkId: pulumi.Input<string>;
  /**
   * DNS servers that the subnet's machines are told.
   * @default the cloud's own
   */
  dnsServers?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Id of a network to use instead of a new one; `existingSubnetId` goes with it, and nothing is then made here.
   * @default a new network, subnet and router
   */
  existingNetworkId?: string;
  /** Id of the subnet to use in `existingNetworkId`. */
  existingSubnetId?: string;
  /** See `twins.ts`. */
  refusesTwins: pulumi.ResourceHook;
}

/**
 * The cluster's own network, subnet and router, or the ids of a network and subnet that exist.
 *
 * @example
 * ```ts
 * const network = new Network("lab-network", { clusterName: "lab", cidr: "10.72.0.0/16", externalNetworkId, refusesTwins });
 * ```
 */
export class Network extends pulumi.ComponentResource {
  /** Id of the network that the machines' ports are in. */
  readonly networkId: pulumi.Output<string>;
  /** Id of the subnet that the machines' addresses are of. */
  readonly subnetId: pulumi.Output<string>;
  /**
   * The router's interface in the subnet, or nothing in an existing network. Machines and floating IPs depend on it: a
   * booting machine reaches package mirrors through it, and Neutron removes it only after the last floating IP.
   */
  readonly routerInterfaces: pulumi.Resource[];

  constructor(name: string, args: NetworkArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:Network", name, {}, opts);

    if (args.existingNetworkId && args.existingSubnetId) {
      this.networkId = pulumi.output(args.existingNetworkId);
      this.subnetId = pulumi.output(args.existingSubnetId);
      this.routerInterfaces = [];
    } else {
      const unique = { parent: this, hooks: { beforeCreate: [args.refusesTwins] } };
      const network = new networking.Network(name, { name: args.clusterName }, unique);
      const subnet = this.#subnet(name, network, args);
      const router = new Router(name, { name: args.clusterName, externalNetworkId: args.externalNetworkId }, unique);
      const routerInterface = new RouterInterface(name, { routerId: router.id, subnetId: subnet.id }, { parent: this });
      this.networkId = network.id;
      this.subnetId = subnet.id;
      this.routerInterfaces = [routerInterface];
    }

    this.registerOutputs({ networkId: this.networkId, subnetId: this.subnetId });
  }

  #subnet(name: string, network: networking.Network, args: NetworkArgs): Subnet {
    return new Subnet(
      name,
      {
        name: args.clusterName,
        networkId: network.id,
        cidr: args.cidr,
        gatewayIp: addressAt(args.cidr, 1),
        // All other addresses belong to machines, whose ports name them; DHCP must not give them to anything else.
        allocationPools: [{ start: addressAt(args.cidr, cloudPool.first), end: addressAt(args.cidr, cloudPool.last) }],
        ...(args.dnsServers ? { dnsNameservers: args.dnsServers } : {}),
      },
      { parent: this },
    );
  }
}
