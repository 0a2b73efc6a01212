import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StateResource } from "../tests/engine/stack.ts";

/**
 * The OpenStack resources of a stack as a Terraform configuration, with the same provider's Terraform build: what Pulumi's
 * speed is measured against. Secrets and images are left out, which only favours Terraform.
 */

const TYPES: Readonly<Record<string, string>> = {
  "openstack:networking/network:Network": "openstack_networking_network_v2",
  "openstack:networking/subnet:Subnet": "openstack_networking_subnet_v2",
  "openstack:networking/router:Router": "openstack_networking_router_v2",
  "openstack:networking/routerInterface:RouterInterface": "openstack_networking_router_interface_v2",
  "openstack:networking/secGroup:SecGroup": "openstack_networking_secgroup_v2",
  "openstack:networking/secGroupRule:SecGroupRule": "openstack_networking_secgroup_rule_v2",
  "openstack:networking/port:Port": "openstack_networking_port_v2",
  "openstack:networking/floatingIp:FloatingIp": "openstack_networking_floatingip_v2",
  "openstack:networking/floatingIpAssociate:FloatingIpAssociate": "openstack_networking_floatingip_associate_v2",
  "openstack:compute/keypair:Keypair": "openstack_compute_keypair_v2",
  "openstack:compute/serverGroup:ServerGroup": "openstack_compute_servergroup_v2",
  "openstack:compute/instance:Instance": "openstack_compute_instance_v2",
  "openstack:blockstorage/volume:Volume": "openstack_blockstorage_volume_v3",
};

/** Lists of blocks, which Terraform names in the singular. */
const SINGULAR: Readonly<Record<string, string>> = {
  fixed_ips: "fixed_ip",
  networks: "network",
  block_devices: "block_device",
};

/** A secret as `pulumi stack export` leaves it encrypted: as long as what it hides, give or take. */
const SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d";

/** `main.tf.json` of the resources in a stack's state. Ids of other resources become references to them. */
export function terraformOf(resources: readonly StateResource[]): string {
  const ours = resources.filter((r) => TYPES[r.type]);
  const labelOf = (r: StateResource): string => (r.urn.split("::").at(-1) ?? "").replaceAll(/[^A-Za-z0-9_-]/g, "-");
  const references = new Map(
    ours.flatMap((r) => {
      const id = r.id;
      // A key pair's id is its name, which others have as well.
      return id && /^[0-9a-f-]{36}$/.test(id) ? [[id, `\${${TYPES[r.type]}.${labelOf(r)}.id}`] as const] : [];
    }),
  );
  const value = (input: unknown): unknown => {
    if (typeof input === "string") return references.get(input) ?? input;
    if (Array.isArray(input)) return input.map(value);
    if (typeof input !== "object" || input === null) return input;
    if (SECRET_SIGNATURE in input) return JSON.stringify(input).slice(0, 30_000).replaceAll("${", "$${");
    return table(input as Record<string, unknown>);
  };
  const table = (inputs: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(inputs)
        .filter(([key]) => !key.startsWith("__"))
        .map(([key, item]) => {
          const snake = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
          // Names of metadata are not ours to change.
          return [SINGULAR[snake] ?? snake, key === "metadata" ? item : value(item)];
        }),
    );
  const byType: Record<string, Record<string, unknown>> = {};
  for (const resource of ours) {
    const type = TYPES[resource.type] ?? "";
    byType[type] ??= {};
    byType[type][labelOf(resource)] = table(resource.inputs ?? {});
  }
  return JSON.stringify({
    terraform: { required_providers: { openstack: { source: "terraform-provider-openstack/openstack" } } },
    provider: { openstack: {} },
    resource: byType,
  });
}

/** The same configuration with more agents: copies of the first one, each with a name and an address of its own. */
export function withAgents(configuration: string, agents: number): string {
  const parsed = JSON.parse(configuration) as { resource: Record<string, Record<string, unknown>> };
  for (const resources of Object.values(parsed.resource)) {
    for (const [label, first] of Object.entries(resources)) {
      if (!label.endsWith("-agent-1") || "policies" in (first as object)) continue;
      for (let n = 2; n <= agents; n++) {
        const text = JSON.stringify(first)
          .replaceAll("-agent-1", `-agent-${n}`)
          .replaceAll("10.72.0.64", `10.72.${(63 + n) >> 8}.${(63 + n) & 255}`);
        // The server group of the first block of agents serves for all.
        resources[label.replace(/1$/, String(n))] = JSON.parse(
          text.replaceAll(/(servergroup_v2\.[\w-]*-agent-)\d+\.id/g, "$11.id"),
        );
      }
    }
  }
  return JSON.stringify(parsed);
}

/** One Terraform working folder. The provider comes from a folder that Terraform looks into by itself. */
export class Terraform {
  readonly folder = mkdtempSync(join(tmpdir(), "triplewide-terraform-"));
  readonly #env: NodeJS.ProcessEnv;

  constructor(configuration: string, env: Readonly<Record<string, string>>) {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(join(this.folder, "main.tf.json"), configuration);
    this.#env = { ...process.env, ...env, CHECKPOINT_DISABLE: "1", TF_IN_AUTOMATION: "1" };
    this.#run("init", "-no-color");
  }

  plan(): void {
    this.#run("plan", "-no-color", "-input=false", "-lock=false");
  }

  apply(): void {
    this.#run("apply", "-no-color", "-input=false", "-auto-approve");
  }

  destroy(): void {
    this.#run("destroy", "-no-color", "-input=false", "-auto-approve");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #run(...args: string[]): void {
    execFileSync("terraform", args, {
      cwd: this.folder,
      env: this.#env,
      stdio: ["ignore", "ignore", "inherit"],
      maxBuffer: 2 ** 30,
    });
  }
}
