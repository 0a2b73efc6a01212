import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster, FirewallRule, Machine } from "../../cluster/types.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { serverGroups } from "../../openstack/server-groups.ts";
import { IMAGE_ID, type Registration, SECRET_MARK } from "./monitor.ts";

/**
 * The expected inputs of every resource, computed independently of the components: from the plan
 * (machines, firewall, secrets) and from what OpenStack needs. Valid for the configs of `configOf`.
 */

/** Stands for values that other tests compare: user data, and the hash of a machine's definition. */
const ELSEWHERE = "(compared elsewhere)";

const VERSIONS = pinnedVersions(ROOT);
/** Id that the mocks give to a resource. */
const idOf = (name: string): string => `${name}-id`;

/** The exact inputs that a registration must have. @throws for a type that this file does not describe. */
export function expectedInputs(cluster: Cluster, r: Registration): Record<string, unknown> {
  const { config: c, name } = cluster;
  const machine = cluster.machines.find((m) => r.name === `${name}-${m.name}`);
  switch (r.type) {
    case "openstack:networking/port:Port": {
      const m = must(machine, r);
      return {
        name: r.name,
        networkId: idOf(`${name}-network`),
        fixedIps: [{ subnetId: idOf(`${name}-network`), ipAddress: m.address }],
        securityGroupIds: [idOf(`${name}-firewall-${m.group}`)],
      };
    }
    case "openstack:blockstorage/volume:Volume":
      return { name: `${r.name}-data`, size: must(machine, r).volumeGb, enableOnlineResize: true };
    case "openstack:compute/instance:Instance":
      return instance(cluster, must(machine, r));
    case "openstack:compute/serverGroup:ServerGroup": {
      const plan = must(
        serverGroups(cluster).find((g) => r.name === `${name}-${g.name}`),
        r,
      );
      return { name: r.name, policies: [plan.policy] };
    }
    case "openstack:networking/secGroup:SecGroup": {
      const group = r.name.replace(`${name}-firewall-`, "");
      return { name: `${name}-${group}`, description: `triplewide ${name}: ${group}`, deleteDefaultRules: true };
    }
    case "openstack:networking/secGroupRule:SecGroupRule":
      return must(rules(cluster).get(r.name), r);
    case "openstack:networking/network:Network":
      return { name };
    case "openstack:networking/subnet:Subnet":
      return {
        name,
        networkId: idOf(`${name}-network`),
        cidr: c.networkCidr,
        gatewayIp: "10.72.0.1",
        // Holds no address that the plan gives to a machine.
        allocationPools: [{ start: "10.72.0.2", end: "10.72.0.9" }],
      };
    case "openstack:networking/router:Router":
      return { name, externalNetworkId: "external-id" };
    case "openstack:networking/routerInterface:RouterInterface":
      return { routerId: idOf(`${name}-network`), subnetId: idOf(`${name}-network`) };
    case "openstack:networking/floatingIp:FloatingIp":
      return { pool: "public", portId: idOf(`${name}-bastion`), description: `triplewide ${name}` };
    case "openstack:compute/keypair:Keypair":
      return { name };
    case "random:index/randomPassword:RandomPassword": {
      if (r.name === `${name}-secret-ssh-host-keys`) return { length: 64, special: false };
      const secret = must(
        cluster.secrets.find((s) => r.name === `${name}-secret-${s.name}`),
        r,
      );
      return { length: secret.length, special: false };
    }
    case "docker:index/image:Image":
      return image(cluster, r);
    default:
      if (r.custom) throw new Error(`nobody has said what the inputs of ${r.type} must be`);
      return {};
  }
}

/** The inputs of a registration, made comparable. */
export function actualInputs(r: Registration): Record<string, unknown> {
  if (r.type === "docker:index/image:Image") return comparableImage(r.inputs);
  const { userData, metadata, ...inputs } = r.inputs;
  if (userData === undefined) return r.inputs;
  return {
    ...inputs,
    // User data is always marked secret.
    userData: { secret: typeof (userData as { secret?: unknown }).secret === "string" ? ELSEWHERE : userData },
    metadata: { ...(metadata as object), "triplewide-config": ELSEWHERE, "triplewide-host-key": ELSEWHERE },
  };
}

const ROOT_DISK = {
  sourceType: "image",
  uuid: IMAGE_ID,
  destinationType: "local",
  bootIndex: 0,
  deleteOnTermination: true,
};

function instance(cluster: Cluster, m: Machine): Record<string, unknown> {
  const name = `${cluster.name}-${m.name}`;
  const group = serverGroups(cluster).find((g) => g.members.includes(m.name));
  return {
    name,
    imageId: IMAGE_ID,
    flavorId: `id-of-${m.flavor}`,
    keyPair: cluster.name,
    // Only its port, and no further network: the port has the address and the firewall rules.
    networks: [{ port: idOf(name) }],
    userData: { secret: ELSEWHERE },
    metadata: {
      "triplewide-cluster": cluster.name,
      "triplewide-config": ELSEWHERE,
      "triplewide-host-key": ELSEWHERE,
      "triplewide-image": cluster.config.image,
    },
    ...(group ? { schedulerHints: [{ group: idOf(`${cluster.name}-${group.name}`) }] } : {}),
    ...(m.scratchGb !== undefined
      ? {
          blockDevices: [
            ROOT_DISK,
            // This disk is deleted with its machine, because it holds only temporary files.
            {
              sourceType: "blank",
              destinationType: "volume",
              volumeSize: m.scratchGb,
              bootIndex: -1,
              deleteOnTermination: true,
            },
          ],
        }
      : {}),
    ...(m.volumeGb !== undefined
      ? {
          blockDevices: [
            ROOT_DISK,
            // The data stays when the machine is deleted.
            {
              sourceType: "volume",
              uuid: idOf(name),
              destinationType: "volume",
              bootIndex: -1,
              deleteOnTermination: false,
            },
          ],
          stopBeforeDestroy: true,
        }
      : {}),
  };
}

/** Every firewall rule, and the rules for each group's outgoing traffic, by resource name. */
export function rules(cluster: Cluster): ReadonlyMap<string, Record<string, unknown>> {
  const prefix = `${cluster.name}-firewall`;
  const groups = [...new Set(cluster.machines.map((m) => m.group))];
  const ingress = cluster.firewall.map((rule) => [ruleName(prefix, rule), ruleInputs(prefix, rule)] as const);
  const { egressCidrs, networkCidr } = cluster.config;
  const anywhere = [
    ["ipv4", { ethertype: "IPv4" }],
    ["ipv6", { ethertype: "IPv6" }],
  ] as const;
  const listed = [networkCidr, "169.254.169.254/32", ...egressCidrs].map(
    (cidr) => [cidr, { ethertype: "IPv4", remoteIpPrefix: cidr }] as const,
  );
  const egress = groups.flatMap((group) =>
    (egressCidrs.length > 0 ? listed : anywhere).map(
      ([to, rule]) =>
        [
          `${prefix}-${group}-egress-${to}`,
          { securityGroupId: idOf(`${prefix}-${group}`), direction: "egress", ...rule },
        ] as const,
    ),
  );
  return new Map<string, Record<string, unknown>>([...ingress, ...egress]);
}

function ruleName(prefix: string, { group, protocol, first, last, fromGroup, fromCidr }: FirewallRule): string {
  return `${prefix}-${group}-${protocol}-${first === last ? first : `${first}-${last}`}-from-${fromGroup ?? fromCidr}`;
}

function ruleInputs(prefix: string, rule: FirewallRule): Record<string, unknown> {
  return {
    securityGroupId: idOf(`${prefix}-${rule.group}`),
    direction: "ingress",
    ethertype: "IPv4",
    protocol: rule.protocol,
    portRangeMin: rule.first,
    portRangeMax: rule.last,
    ...(rule.fromGroup ? { remoteGroupId: idOf(`${prefix}-${rule.fromGroup}`) } : { remoteIpPrefix: rule.fromCidr }),
  };
}

/** An image that is built on this machine and pushed to the cluster's registry through an SSH tunnel. */
function image(cluster: Cluster, r: Registration): Record<string, unknown> {
  const folder = imageOf(r);
  const dockerfile = join(ROOT, "images", folder, "Dockerfile");
  const asked = [...readFileSync(dockerfile, "utf8").matchAll(/^ARG (\w+)/gm)].map((match) => match[1] ?? "");
  const values: Readonly<Record<string, string>> = {
    ...VERSIONS,
    S3: "jars",
    CONNECT: "jars",
    MARATHON_IMAGE: cluster.config.marathonSource.replace("docker://", ""),
    TRIPLEWIDE_BASE: `localhost:5001/triplewide/base@${DIGEST}`,
    SPARK_PYTHON_IMAGE: `localhost:5001/triplewide/spark-python@${DIGEST}`,
  };
  // Without an object store and without Spark Connect, the image's own default applies.
  const layers: Readonly<Record<string, boolean>> = {
    S3: cluster.config.s3Endpoint !== undefined,
    CONNECT: cluster.config.sparkConnect,
  };
  const given = asked.filter((arg) => !isOfMesos(arg) && (layers[arg] ?? true));
  const args = given.map((arg) => [arg, must(values[arg], r)]);
  return {
    imageName: `localhost:5001/triplewide/${folder}:${VERSIONS.TRIPLEWIDE_VERSION}`,
    build: {
      context: join(ROOT, "images", folder),
      dockerfile,
      platform: "linux/amd64",
      builderVersion: "BuilderBuildKit",
      args: Object.fromEntries(args),
    },
    registry: {
      server: "localhost:5001",
      username: "triplewide-push",
      password: { secret: `${SECRET_MARK}-demo-secret-registry-push` },
    },
    buildOnPreview: false,
    skipPush: false,
  };
}

const imageOf = (r: Registration): string => r.name.replace("demo-image-", "").replace("-for-client", "");
/** Stands for a digest that the mocks make up. */
const DIGEST = "(digest)";
/** Whether a build argument gives an image its Mesos. Other tests check which image holds which Mesos, and its tag. */
const isOfMesos = (arg: string): boolean => arg.startsWith("MESOS");

function comparableImage(inputs: Record<string, unknown>): Record<string, unknown> {
  const { build, imageName } = inputs as { build: { args: Record<string, string> }; imageName: string };
  const args = Object.entries(build.args)
    .filter(([arg]) => !isOfMesos(arg))
    .map(([arg, value]) => [arg, value.replace(/sha256:[0-9a-f]{64}$/, DIGEST)]);
  return {
    ...inputs,
    imageName: imageName.replace(/-mesos-[0-9a-f]{12}$/, ""),
    build: { ...build, args: Object.fromEntries(args) },
  };
}

function must<T>(value: T | undefined, r: Registration): T {
  if (value === undefined) throw new Error(`the plan knows nothing of ${r.type} ${r.name}`);
  return value;
}
