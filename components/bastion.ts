import { FloatingIp } from "@pulumi/openstack/networking/floatingIp.js";
import * as pulumi from "@pulumi/pulumi";
import { MachineGroup, type MachineGroupArgs } from "./machine-group.ts";

export interface BastionArgs extends MachineGroupArgs {
  /** External network, by name, that the public address comes from. */
  externalNetwork: pulumi.Input<string>;
}

/**
 * The one machine with a public address, through which all others are reached.
 *
 * @throws Error where `machines` is empty.
 * @example
 * ```ts
 * const bastion = new Bastion("lab-bastion", { ...groupArgs, externalNetwork: "public" });
 * export const address = bastion.address;
 * ```
 */
export class Bastion extends pulumi.ComponentResource {
  /** The group with the one machine. */
  readonly machines: MachineGroup;
  /** Public address. */
  readonly address: pulumi.Output<string>;

  constructor(name: string, args: BastionArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:Bastion", name, {}, opts);

    const { externalNetwork, ...group } = args;
    this.machines = new MachineGroup(name, group, { parent: this });
    const [port] = this.machines.ports.values();
    if (!port) throw new Error("the group of the bastion has no machine");
    const floatingIp = new FloatingIp(
      name,
      { pool: externalNetwork, portId: port.id, description: `triplewide ${args.clusterName}` },
      // Neutron gives an address to a port only once a router leads there, and keeps the router until it is free.
      { parent: this, dependsOn: [...args.routerInterfaces] },
    );
    this.address = floatingIp.address;

    this.registerOutputs({ address: this.address });
  }
}
