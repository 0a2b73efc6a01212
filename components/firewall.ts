import { SecGroup } from "@pulumi/openstack/networking/secGroup.js";
import { SecGroupRule } from "@pulumi/openstack/networking/secGroupRule.js";
import * as pulumi from "@pulumi/pulumi";
import type { Egress } from "../cluster/firewall.ts";
import type { FirewallRule, Group } from "../cluster/types.ts";

export interface FirewallArgs {
  /** Prefix of the security groups' names in OpenStack. */
  clusterName: string;
  /** Groups of machines; each gets a security group of its own. Plain, because it decides which resources there are. */
  groups: readonly Group[];
  /** Who may connect to what. Plain, for the same reason. */
  rules: readonly FirewallRule[];
  /** What machines may connect to. Plain, for the same reason. */
  egress: readonly Egress[];
  /** See `twins.ts`. */
  refusesTwins: pulumi.ResourceHook;
}

/**
 * A security group for each group of machines, with rules that name groups.
 *
 * @throws Error where a rule names a group that is not in `groups`.
 * @example
 * ```ts
 * const rules = [{ group: "master", protocol: "tcp", first: 2181, last: 2181, fromGroup: "agent" }];
 * const egress = [{ ethertype: "IPv4" }];
 * const firewall = new Firewall("lab-firewall", { clusterName: "lab", groups: ["master", "agent"], rules, egress, refusesTwins });
 * const securityGroupId = firewall.of("agent");
 * ```
 */
export class Firewall extends pulumi.ComponentResource {
  readonly #made: ReadonlyMap<Group, MadeGroup>;

  constructor(name: string, args: FirewallArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:Firewall", name, {}, opts);

    const groups = new Map(args.groups.map((group) => [group, this.#group(name, args, group)]));
    for (const group of groups.values()) this.#egress(group, args.egress);
    for (const rule of args.rules) this.#ingress(rule, groups);
    this.#made = groups;

    this.registerOutputs({
      securityGroupIds: Object.fromEntries([...groups].map(([group, { resource }]) => [group, resource.id])),
    });
  }

  /**
   * Id of a group's security group.
   *
   * @throws Error for a group that has none.
   */
  of(group: Group): pulumi.Output<string> {
    return must(this.#made, group).resource.id;
  }

  #group(name: string, { clusterName, refusesTwins }: FirewallArgs, group: Group): MadeGroup {
    const resource = new SecGroup(
      `${name}-${group}`,
      {
        name: `${clusterName}-${group}`,
        description: `triplewide ${clusterName}: ${group}`,
        // Neutron's own two egress rules would collide with ours and could not be changed.
        deleteDefaultRules: true,
      },
      { parent: this, hooks: { beforeCreate: [refusesTwins] } },
    );
    return { name: `${name}-${group}`, resource };
  }

  #egress(group: MadeGroup, egress: readonly Egress[]): void {
    for (const { ethertype, remoteIpPrefix } of egress) {
      const to = remoteIpPrefix ?? ethertype.toLowerCase();
      this.#rule(`${group.name}-egress-${to}`, group, {
        direction: "egress",
        ethertype,
        ...(remoteIpPrefix === undefined ? {} : { remoteIpPrefix }),
      });
    }
  }

  #ingress(rule: FirewallRule, groups: ReadonlyMap<Group, MadeGroup>): void {
    const group = must(groups, rule.group);
    const from = rule.fromGroup ?? String(rule.fromCidr);
    const ports = rule.first === rule.last ? `${rule.first}` : `${rule.first}-${rule.last}`;
    // Named by what it allows: Neutron refuses a second rule that allows the same, so a rule that is only described
    // differently must stay the same resource.
    this.#rule(`${group.name}-${rule.protocol}-${ports}-from-${from}`, group, {
      direction: "ingress",
      ethertype: "IPv4",
      protocol: rule.protocol,
      portRangeMin: rule.first,
      portRangeMax: rule.last,
      ...(rule.fromGroup
        ? { remoteGroupId: must(groups, rule.fromGroup).resource.id }
        : { remoteIpPrefix: String(rule.fromCidr) }),
    });
  }

  #rule(
    name: string,
    group: MadeGroup,
    rule: Omit<ConstructorParameters<typeof SecGroupRule>[1], "securityGroupId">,
  ): void {
    // Rules go with their group: deleted one by one they would take five seconds each.
    new SecGroupRule(
      name,
      { securityGroupId: group.resource.id, ...rule },
      { parent: this, deletedWith: group.resource },
    );
  }
}

interface MadeGroup {
  name: string;
  resource: SecGroup;
}

function must(groups: ReadonlyMap<Group, MadeGroup>, group: Group): MadeGroup {
  const made = groups.get(group);
  if (!made) throw new Error(`no security group for ${group}: it has no machines`);
  return made;
}
