import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import type { Service } from "../../openstack/catalog.ts";
import { Cloud, type CloudOptions } from "../../openstack/cloud.ts";

/**
 * A real OpenStack: the one that OS_CLOUD or OS_AUTH_URL names (with TRIPLEWIDE_TEST_IMAGE, TRIPLEWIDE_TEST_FLAVOR and
 * TRIPLEWIDE_TEST_NETWORK for an image, a flavor and an external network of it), or the lab of tests/lab where it runs.
 */
export interface RealCloud {
  /** Credentials as OpenStack's own tools take them. */
  env: Record<string, string>;
  /** The keys of a cluster's config for this cloud. */
  config: RawConfig;
  /** The lab's command, which can inject faults; undefined on other clouds. */
  lab?: (...args: string[]) => Promise<string>;
  /** Whether its servers are real machines; false with the lab's fake driver. */
  machines: boolean;
  /** The address at which its servers reach this machine; undefined on remote clouds. */
  host?: string;
}

const run = promisify(execFile);
const LAB = join(ROOT, "tests", "lab", "cloud.sh");

/**
 * The cloud that tests may use, or why there is none. If a cloud was named and does not work, tests are not skipped:
 * they fail. A killed lab leaves its READY file behind, and a lab of which only some parts have died still answers.
 */
export async function realCloud(): Promise<{ cloud?: RealCloud; missing: string }> {
  if (process.env.OS_CLOUD || process.env.OS_AUTH_URL) {
    const own = Object.entries(process.env).filter(([key]) => key.startsWith("OS_"));
    const cloud = {
      env: Object.fromEntries(own) as Record<string, string>,
      config: configFor(
        needed("TRIPLEWIDE_TEST_IMAGE"),
        needed("TRIPLEWIDE_TEST_FLAVOR"),
        needed("TRIPLEWIDE_TEST_NETWORK"),
      ),
      machines: true,
    };
    return { cloud, missing: "" };
  }
  const ready = `${process.env.LAB_BASE ?? "/var/tmp/openstack-lab"}/READY`;
  if (!existsSync(ready)) return { missing: `no cloud: neither OS_CLOUD nor a lab (${ready})` };
  const printed = execFileSync("env", ["-i", "bash", "--norc", "-c", `. ${ready}; env -0`], { encoding: "utf8" });
  const env = Object.fromEntries(
    printed
      .split("\0")
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const own = Object.fromEntries(Object.entries(env).filter(([key]) => key.startsWith("OS_")));
  try {
    await holdings(own, { timeoutMs: 20_000, retries: 1 });
  } catch (error) {
    return { missing: `the lab of ${ready} does not work: ${(error as Error).message.split("\n")[0]}` };
  }
  const cloud = {
    env: own,
    config: {
      ...configFor(env.LAB_IMAGE ?? "", "m1.small", env.LAB_EXTERNAL_NETWORK ?? ""),
      dnsServers: [env.LAB_DNS ?? ""],
    },
    lab: async (...args: string[]) => (await run(LAB, args)).stdout,
    machines: env.LAB_DRIVER === "lxc",
    host: new URL(env.OS_AUTH_URL ?? "").hostname.replace(/\d+$/, "1"),
  };
  return { cloud, missing: "" };
}

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: tests need it on the cloud that OS_CLOUD or OS_AUTH_URL names`);
  return value;
}

function configFor(image: string, flavor: string, externalNetwork: string): RawConfig {
  return { image, masterFlavor: flavor, agentFlavor: flavor, bastionFlavor: flavor, externalNetwork };
}

interface Item {
  id: string;
  name?: string;
  device_owner?: string;
}

const COLLECTIONS: readonly (readonly [Service, string, string])[] = [
  ["compute", "/servers/detail", "servers"],
  ["compute", "/os-server-groups", "server_groups"],
  ["volume", "/volumes", "volumes"],
  ["network", "/ports", "ports"],
  ["network", "/floatingips", "floatingips"],
  ["network", "/routers", "routers"],
  ["network", "/networks", "networks"],
  ["network", "/subnets", "subnets"],
  ["network", "/security-groups", "security_groups"],
];

/** All resources of the project, as sorted lines `kind name id`. They must be the same before and after a test. */
export function holdings(env: Readonly<Record<string, string>>, options?: CloudOptions): Promise<string[]> {
  const look = async (cloud: Cloud): Promise<string[]> => {
    const project = await cloud.projectId();
    const lists = await Promise.all(
      COLLECTIONS.map(async ([service, path, key]) => {
        const own = service === "network" ? { project_id: project } : {};
        const items = await cloud.list<Item>(service, path, key, own);
        // Ports of DHCP servers and routers appear and disappear shortly after their networks.
        const ours = items.filter((item) => !item.device_owner?.startsWith("network:"));
        return ours.map((item) => `${key} ${item.name ?? ""} ${item.id}`);
      }),
    );
    const { keypairs } = await cloud.get<{ keypairs: { keypair: { name: string } }[] }>("compute", "/os-keypairs");
    return [...lists.flat(), ...keypairs.map(({ keypair }) => `keypairs ${keypair.name}`)].sort();
  };
  return asUser(env, look, options);
}

interface Server {
  id: string;
  name: string;
  status: string;
}

/** The cluster's servers by name, without the cluster's prefix. */
export function servers(
  env: Readonly<Record<string, string>>,
  clusterName: string,
): Promise<ReadonlyMap<string, Server>> {
  return asUser(env, async (cloud) => {
    const list = await cloud.list<Server>("compute", "/servers/detail", "servers", { name: `^${clusterName}-` });
    return new Map(list.map((server) => [server.name.slice(clusterName.length + 1), server]));
  });
}

async function asUser<T>(
  env: Readonly<Record<string, string>>,
  look: (cloud: Cloud) => Promise<T>,
  options?: CloudOptions,
): Promise<T> {
  const cloud = Cloud.fromEnvironment({ folder: ROOT, env }, options);
  try {
    return await look(cloud);
  } finally {
    cloud.close();
  }
}
