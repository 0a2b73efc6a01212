import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Address4 } from "ip-address";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { withHostKey } from "../../cluster/host-keys.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster, Machine } from "../../cluster/types.ts";
import { type LookUp, placeholder } from "../../cluster/values.ts";
import { ARCHITECTURES, type Architecture } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { renderUserData } from "../../render/cloud-init.ts";
import { MESOS_SOURCE } from "../fixtures/configs.ts";
import { actualInputs, expectedInputs, rules } from "./expected.ts";
import { archiveOf, configOf, IMAGE_ID, type Registration, type Run, run, SECRET_MARK, UNKNOWN } from "./monitor.ts";
import { summary } from "./summary.ts";

/** The registrations that the engine gets, for every architecture. */

const runs = new Map<string, Promise<Run>>();
const runOf = (architecture: (typeof ARCHITECTURES)[number]): Promise<Run> => {
  const there = runs.get(architecture) ?? run(configOf(architecture));
  runs.set(architecture, there);
  return there;
};

const shortName = (urn: string): string => urn.split(" ").at(-1) ?? "";
const key = (r: Registration): string => `${r.type} ${r.name}`;
const byKey = (resources: readonly Registration[]): Map<string, Registration> =>
  new Map(resources.map((r) => [key(r), r]));

/** A registration without what a component records afterwards: the agents' component records the ids of its servers. */
const asked = (registration: Registration | undefined): unknown => ({ ...registration, outputs: {} });

function userDataOf(resources: readonly Registration[], machine: string): string {
  const instance = byKey(resources).get(`openstack:compute/instance:Instance demo-${machine}`);
  if (!instance) throw new Error(`no instance for ${machine}`);
  return (instance.inputs.userData as { secret: string }).secret;
}

/** Removes values that are marked secret. */
function plainParts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainParts);
  if (typeof value !== "object" || value === null) return value;
  if ("secret" in value) return "(secret)";
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plainParts(item)]));
}

const sorted = (resources: readonly Registration[]): Registration[] =>
  resources.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));

test.each(ARCHITECTURES)("%s: resources, dependencies and options are as reviewed", async (architecture) => {
  const { resources } = await runOf(architecture);
  const file = join(ROOT, "tests", "golden", "components", `${architecture}.md`);
  await expect(summary(`What ${architecture} registers`, resources)).toMatchFileSnapshot(file);
});

test.each(ARCHITECTURES)("%s: the inputs of every resource follow from the plan", async (architecture) => {
  const { resources, cluster } = await runOf(architecture);
  for (const r of resources) expect(actualInputs(r), key(r)).toEqual(expectedInputs(cluster, r));
});

test("with egressCidrs machines connect to those networks, to each other and to their metadata, and nowhere else", async () => {
  const { resources, cluster } = await run(configOf("standalone", { egressCidrs: ["198.51.100.0/24"] }));
  const firewall = resources.filter((r) => r.type.endsWith(":SecGroupRule"));
  expect(cluster.quota.securityGroupRules).toBe(firewall.length);
  for (const r of firewall) expect(actualInputs(r), key(r)).toEqual(expectedInputs(cluster, r));
  const out = firewall.filter((r) => r.inputs.direction === "egress").map((r) => r.inputs.remoteIpPrefix);
  expect([...new Set(out)].sort()).toEqual(["10.72.0.0/16", "169.254.169.254/32", "198.51.100.0/24"]);
});

test("with userCidrs people come by the bastion's public address, which the gateway has a certificate for", async () => {
  const userCidrs = ["198.51.100.0/24"];
  const { resources, outputs, cluster } = await run(configOf("standalone", { tls: "own", userCidrs }));
  const firewall = resources.filter((r) => r.type.endsWith(":SecGroupRule"));
  expect(cluster.quota.securityGroupRules).toBe(firewall.length);
  for (const r of firewall) expect(actualInputs(r), key(r)).toEqual(expectedInputs(cluster, r));
  const open = firewall.filter((r) => r.inputs.remoteIpPrefix === "198.51.100.0/24").map((r) => r.inputs.portRangeMin);
  expect(open.sort()).toEqual([443, 80]);
  const address = String(outputs.bastionAddress);
  expect(outputs.jupyterUrl).toBe(`https://${address}/jupyter/lab`);
  expect(String(outputs.summary)).toContain(`https://${address}\n`);
  expect(userDataOf(resources, "client")).toContain(`"automate":["localhost","${address}"]`);
  const certificate = String(outputs.gatewayCertificate);
  expect(new X509Certificate(certificate).subject).toBe("CN=triplewide demo");
  // The certificate in the output is the one that the gateway has.
  const file = certificate.trim().split("\n").at(-2) ?? "";
  expect(userDataOf(resources, "client")).toContain(file);
});

test("with a hub its users come by the bastion, executors reach their drivers, and their passwords are secret outputs", async () => {
  const hub = { notebooks: "hub", users: { alice: {}, bob: {} }, tls: "own", userCidrs: ["198.51.100.0/24"] };
  const { resources, outputs, cluster } = await run(configOf("standalone", hub));
  const firewall = resources.filter((r) => r.type.endsWith(":SecGroupRule"));
  expect(cluster.quota.securityGroupRules).toBe(firewall.length);
  for (const r of firewall) expect(actualInputs(r), key(r)).toEqual(expectedInputs(cluster, r));
  const open = firewall.filter((r) => r.inputs.remoteIpPrefix === "198.51.100.0/24").map((r) => r.inputs.portRangeMin);
  expect(open.sort()).toEqual([443, 80, 8000]);
  const drivers = firewall.filter((r) => r.inputs.portRangeMin === 20000).map((r) => r.inputs.portRangeMax);
  expect(drivers).toEqual([28191, 28191]);
  expect(outputs.uis).toMatchObject({ hub: `https://${outputs.bastionAddress}:8000` });
  const { secret: passwords } = outputs.hubPasswords as { secret: Record<string, string> };
  expect(Object.keys(passwords)).toEqual(["alice", "bob"]);
  for (const { name } of cluster.machines) {
    const held = Object.values(passwords).filter((password) => userDataOf(resources, name).includes(password));
    expect(held, name).toHaveLength(name === "client" ? 2 : 0);
  }
});

test("agents' scratch volumes come and go with their agents", async () => {
  const { resources, cluster } = await run(configOf("standalone", { scratchGb: 50 }));
  expect(cluster.machines.filter((m) => m.scratchGb === 50).map((m) => m.group)).toEqual(["agent", "agent", "agent"]);
  for (const r of resources) expect(actualInputs(r), key(r)).toEqual(expectedInputs(cluster, r));
  const without = await runOf("standalone");
  expect(resources.map(key).sort()).toEqual(without.resources.map(key).sort());
});

test("machines boot from volumes, with config drives, and their data lies in the zones of volumes, where that is said", async () => {
  const settings = {
    bootVolumeGb: 30,
    configDrive: true,
    volumeType: "ssd",
    scratchGb: 50,
    availabilityZones: ["east", "west"],
    volumeZones: ["cinder-east", "cinder-west"],
    antiAffinity: "soft",
  };
  const { resources } = await run(configOf("standalone", settings));
  const instances = resources.filter((r) => r.type.endsWith(":Instance"));
  expect(instances.length).toBeGreaterThan(4);
  for (const { inputs, name } of instances) {
    expect(inputs.imageId, name).toBeUndefined();
    expect(inputs.configDrive, name).toBe(true);
    const [root, ...others] = inputs.blockDevices as Record<string, unknown>[];
    expect(root, name).toEqual({
      sourceType: "image",
      uuid: IMAGE_ID,
      destinationType: "volume",
      volumeSize: 30,
      volumeType: "ssd",
      bootIndex: 0,
      deleteOnTermination: true,
    });
    const kept = others.map((d) => d.deleteOnTermination);
    expect(kept, name).toEqual(/agent/.test(name) ? [true] : /bastion/.test(name) ? [] : [false]);
    expect(inputs.metadata, name).toMatchObject({ "triplewide-image": "debian-12", "triplewide-image-id": IMAGE_ID });
  }
  const volumes = resources.filter((r) => r.type.endsWith(":Volume"));
  for (const { inputs, name, options } of volumes) {
    const zone = instances.find((i) => i.name === name)?.inputs.availabilityZone;
    expect(inputs.availabilityZone, name).toBe(`cinder-${zone}`);
    expect(options.ignoreChanges).toEqual(["availabilityZone"]);
  }
  expect(volumes.length).toBeGreaterThan(1);
});

test.each(ARCHITECTURES)("%s: every machine has its port and its instance, and no other has", async (architecture) => {
  const { resources, cluster } = await runOf(architecture);
  const named = (type: string): string[] =>
    resources.filter((r) => r.type.endsWith(`:${type}`)).map((r) => r.name.replace("demo-", ""));
  const machines = cluster.machines.map((m) => m.name).sort();
  expect(named("Port").sort()).toEqual(machines);
  expect(named("Instance").sort()).toEqual(machines);
  const stateful = cluster.machines.filter((m) => m.volumeGb !== undefined).map((m) => m.name);
  expect(named("Volume").sort()).toEqual(stateful.sort());
});

test.each(ARCHITECTURES)("%s: the security groups' rules are those of the plan, and no more", async (architecture) => {
  const { resources, cluster } = await runOf(architecture);
  const found = resources.filter((r) => r.type === "openstack:networking/secGroupRule:SecGroupRule");
  expect(found.map((r) => r.name).sort()).toEqual([...rules(cluster).keys()].sort());
  for (const r of found) {
    const group = shortName(String(r.options.deletedWith));
    expect(r.inputs.securityGroupId).toBe(`${group}-id`);
    expect(r.name.startsWith(`${group}-`)).toBe(true);
  }
});

test.each(ARCHITECTURES)("%s: every machine waits for its parts and the way out", async (architecture) => {
  const { resources, cluster } = await runOf(architecture);
  for (const machine of cluster.machines) {
    const instance = byKey(resources).get(`openstack:compute/instance:Instance demo-${machine.name}`);
    const needed = ((instance?.options.dependsOn ?? []) as string[]).map((urn) => urn.split("$").at(-1));
    expect(needed).toContain("openstack:networking/routerInterface:RouterInterface demo-network");
    expect(needed).toContain(`openstack:networking/port:Port demo-${machine.name}`);
    const volume = `openstack:blockstorage/volume:Volume demo-${machine.name}`;
    expect(needed.includes(volume)).toBe(machine.volumeGb !== undefined);
    // Its port and its volume belong to one instance at a time, so a changed image replaces the machine.
    expect(instance?.options).toMatchObject({ deleteBeforeReplace: true, onError: [`demo-${machine.group}-faults`] });
    expect(instance?.options.replaceOnChanges).toContain("imageId");
  }
});

test.each(ARCHITECTURES)("%s: no machine's user data counts agents", (architecture) => {
  const cluster = (agentCount: number) => describeCluster(validate(configOf(architecture, { agentCount }), "env"));
  const [few, many] = [cluster(3), cluster(300)];
  const checkout = readCheckout();
  for (const machine of few.machines) {
    const same = many.machines.find((m) => m.name === machine.name);
    const text = (c: Cluster, m: Machine): string => renderUserData(c, m, checkout, placeholder);
    expect(same && text(many, same), machine.name).toBe(text(few, machine));
  }
});

test.each(ARCHITECTURES)(
  "%s: every child's name begins with its parent's, and no two are the same",
  async (architecture) => {
    const { resources } = await runOf(architecture);
    const strays = resources.filter((r) => r.parent !== "" && !r.name.startsWith(shortName(r.parent)));
    expect(strays.map((r) => r.name)).toEqual(["demo"]);
    expect(byKey(resources).size).toBe(resources.length);
    expect(resources.filter((r) => r.parent === "").map((r) => r.type)).toEqual(["pulumi:pulumi:Stack"]);
  },
);

test.each(ARCHITECTURES)("%s: no secret goes anywhere in plain", async (architecture) => {
  const { resources, outputs, cluster } = await runOf(architecture);
  const all = JSON.stringify([resources, outputs]);
  const plain = JSON.stringify(plainParts([resources, outputs]));
  expect(plain).not.toContain(SECRET_MARK);
  // The same search must be able to find secrets: every secret is in the user data of some machine.
  const held = cluster.secrets.filter(({ groups }) => groups.length > 0);
  for (const { name } of held) expect(all).toContain(`${SECRET_MARK}-demo-secret-${name}`);
  for (const output of ["jupyterToken", "privateKey", "sparkProperties"]) {
    expect(outputs[output]).toEqual({ secret: expect.anything() });
  }
});

/** The text with its encoded HTTP logins decoded. */
const withLogins = (text: string): string =>
  text.replace(/Basic ([A-Za-z0-9+/=]+)/g, (_, login: string) => Buffer.from(login, "base64").toString());

test.each(ARCHITECTURES)("%s: a secret reaches only the groups that need it", async (architecture) => {
  const { resources, cluster } = await runOf(architecture);
  const instances = resources.filter((r) => r.type === "openstack:compute/instance:Instance");
  for (const { name, groups } of cluster.secrets) {
    const holders = instances.filter((r) =>
      withLogins(JSON.stringify(r.inputs.userData)).includes(`demo-secret-${name}`),
    );
    const found = new Set(holders.map((r) => cluster.machines.find((m) => `demo-${m.name}` === r.name)?.group));
    expect([...found].sort(), name).toEqual([...groups].sort());
  }
});

/** Stands for every image's digest. */
const DIGEST = "0".repeat(64);

test.each(ARCHITECTURES)("%s: user data is what the renderer says, with every mark filled", async (architecture) => {
  const { resources, cluster } = await runOf(architecture);
  const images = resources.filter((r) => r.type.startsWith("docker:")).map((r) => r.name.replace("demo-image-", ""));
  for (const machine of cluster.machines) {
    const secret = userDataOf(resources, machine.name);
    expect(secret).not.toMatch(/\{\{(secret|image):/);
    const value: LookUp = ({ kind, name }) =>
      kind === "image" ? `10.72.0.12:5000/triplewide/${name}@sha256:${DIGEST}` : `${SECRET_MARK}-demo-secret-${name}`;
    const expected = renderUserData(cluster, machine, readCheckout(), withHostKey(machine.name, value));
    const withoutImages = secret.replace(/@sha256:[0-9a-f]{64}/g, `@sha256:${DIGEST}`);
    expect(withoutImages).toBe(expected);
  }
  expect(images).toContain("base");
});

test.each(ARCHITECTURES)("%s: the same config gives the same registrations", async (architecture) => {
  const [first, second] = [await runOf(architecture), await run(configOf(architecture))];
  expect(sorted(second.resources)).toEqual(sorted(first.resources));
});

test.each(ARCHITECTURES)("%s: one agent more changes nothing else", async (architecture) => {
  const [before, after] = [
    byKey((await runOf(architecture)).resources),
    byKey((await run(configOf(architecture, { agentCount: 4 }))).resources),
  ];
  expect([...after.keys()].filter((k) => !before.has(k)).sort()).toEqual([
    "openstack:compute/instance:Instance demo-agent-4",
    "openstack:networking/port:Port demo-agent-4",
  ]);
  for (const [name, registration] of before) expect(asked(after.get(name)), name).toEqual(asked(registration));
});

// In marathon-standalone the first three agents run the Spark masters, whose addresses every driver knows.
test.each(ARCHITECTURES)("%s: an agent removed by name is all that goes", async (architecture) => {
  const before = byKey((await run(configOf(architecture, { agentCount: 5 }))).resources);
  const config = configOf(architecture, { agentCount: 4, removedAgents: ["agent-4"] });
  const after = byKey((await run(config)).resources);
  expect([...before.keys()].filter((k) => !after.has(k)).sort()).toEqual([
    "openstack:compute/instance:Instance demo-agent-4",
    "openstack:networking/port:Port demo-agent-4",
  ]);
  for (const [name, registration] of after) expect(asked(before.get(name)), name).toEqual(asked(registration));
});

test.each(ARCHITECTURES)(
  "%s: a further group of agents, and one that goes, leaves all else as it is",
  async (architecture) => {
    const agentGroups = { big: { count: 2, flavor: "m1.small", memoryMiB: 6144 } };
    const before = byKey((await run(configOf(architecture))).resources);
    const after = byKey((await run(configOf(architecture, { agentGroups }))).resources);
    expect([...after.keys()].filter((k) => !before.has(k)).sort()).toEqual([
      "openstack:compute/instance:Instance demo-agent-big-1",
      "openstack:compute/instance:Instance demo-agent-big-2",
      "openstack:compute/serverGroup:ServerGroup demo-agent-big-1",
      "openstack:networking/port:Port demo-agent-big-1",
      "openstack:networking/port:Port demo-agent-big-2",
    ]);
    for (const [name, registration] of before) expect(asked(after.get(name)), name).toEqual(asked(registration));
  },
);

test("a first preview knows nothing of secrets and digests, and registers all the same", async () => {
  const [up, preview] = [await runOf("standalone"), await run(configOf("standalone"), { preview: true })];
  expect(sorted(preview.resources).map(key)).toEqual(sorted(up.resources).map(key));
  const instance = byKey(preview.resources).get("openstack:compute/instance:Instance demo-agent-1");
  expect(instance?.inputs.userData).toBe(UNKNOWN);
  expect(instance?.inputs.metadata).toEqual({
    "triplewide-cluster": "demo",
    "triplewide-config": UNKNOWN,
    "triplewide-image": "debian-12",
    "triplewide-host-key": UNKNOWN,
  });
  expect(preview.outputs.jupyterToken).toEqual({ secret: UNKNOWN });
  expect(preview.outputs.masterUrl).toBe(up.outputs.masterUrl);
});

test("a network, a key pair and a registry that exist are used, and none is made", async () => {
  const { resources, outputs } = await run(
    configOf("standalone", {
      existingNetworkId: "network-1",
      existingSubnetId: "subnet-1",
      keyPair: "mine",
      registry: "registry.example.org/team",
      registryUser: "robot",
      registryPassword: "(secret)",
    }),
    { secrets: { registryPassword: `${SECRET_MARK}-given` } },
  );
  const types = resources.map((r) => r.type);
  expect(types.filter((t) => /networking\/(network|subnet|router)|keypair/.test(t))).toEqual([]);
  expect(resources.some((r) => r.name.startsWith("demo-registry"))).toBe(false);
  const port = byKey(resources).get("openstack:networking/port:Port demo-agent-1");
  expect(port?.inputs).toMatchObject({ networkId: "network-1", fixedIps: [{ subnetId: "subnet-1" }] });
  const instance = byKey(resources).get("openstack:compute/instance:Instance demo-agent-1");
  expect(instance?.inputs.keyPair).toBe("mine");
  expect(JSON.stringify(instance?.inputs.userData)).toContain(`${SECRET_MARK}-given`);
  expect(JSON.stringify(instance?.inputs.userData)).toMatch(
    /registry\.example\.org\/team\/triplewide\/spark-python@sha256:/,
  );
  const image = byKey(resources).get("docker:index/image:Image demo-image-client");
  expect(image?.inputs.registry).toEqual({
    server: "registry.example.org",
    username: "robot",
    password: { secret: `${SECRET_MARK}-given` },
  });
  expect(JSON.stringify(plainParts([resources, outputs]))).not.toContain(SECRET_MARK);
});

test("the key of an object store is the config's, and with the client alone", async () => {
  const given = `${SECRET_MARK}-given`;
  const { resources, outputs } = await run(
    configOf("standalone", { s3Endpoint: "https://s3.example.org", s3AccessKey: "AKEXAMPLE", s3SecretKey: "(secret)" }),
    { secrets: { s3SecretKey: given } },
  );
  const holders = resources.filter((r) => JSON.stringify(r.inputs).includes(given)).map((r) => r.name);
  expect(holders).toEqual(["demo-client"]);
  expect(resources.some((r) => r.name === "demo-secret-s3-secret-key")).toBe(false);
  // With it, images that hold Spark have the jars.
  const image = (name: string) => byKey(resources).get(`docker:index/image:Image demo-image-${name}`)?.inputs;
  expect(image("spark-python")).toMatchObject({
    imageName: expect.stringMatching(/:[\d.]+-s3$/),
    build: { args: { S3: "jars" } },
  });
  expect(image("client")?.imageName).toMatch(/-s3$/);
  expect(image("zookeeper")?.imageName).toMatch(/:[\d.]+$/);
  expect(JSON.stringify(plainParts([resources, outputs]))).not.toContain(SECRET_MARK);
});

test.each(ARCHITECTURES)(
  "a share of the cloud's is protected as data is, let in client and agents alone, and mounted by them: %s",
  async (architecture) => {
    const config = configOf(architecture, {
      sharedStorage: "manila",
      protectData: true,
      shareType: "generic",
      shareGb: 7,
    });
    const { resources, cluster } = await run(config, { share: { ownServer: true } });
    const made = (type: string) => resources.filter((r) => r.type.startsWith(`openstack:sharedfilesystem/${type}:`));
    expect(made("share").map(({ inputs, options }) => ({ ...inputs, protect: options.protect }))).toEqual([
      {
        name: "demo-work",
        shareProto: "NFS",
        size: 7,
        shareType: "generic",
        shareNetworkId: "demo-share-id",
        metadata: { "triplewide-cluster": "demo" },
        protect: true,
      },
    ]);
    expect(made("shareNetwork").map(({ inputs }) => inputs)).toEqual([
      { name: "demo-work", neutronNetId: "demo-network-id", neutronSubnetId: "demo-network-id" },
    ]);
    const rules = made("shareAccess").map(({ inputs }) => inputs);
    const common = { shareId: "demo-share-id", accessType: "ip", accessLevel: "rw" };
    expect(rules).toEqual(["10.72.0.11/32", "10.72.0.64/26"].map((accessTo) => ({ ...common, accessTo })));
    for (const { name, group, address } of cluster.machines) {
      const mounts = userDataOf(resources, name).includes("SHARED_SOURCE=10.254.0.5:/shares/1\n");
      expect(mounts, name).toBe(group === "client" || group === "agent");
      const allowed = rules.some(({ accessTo }) => new Address4(address).isInSubnet(new Address4(String(accessTo))));
      expect(allowed, name).toBe(mounts);
    }
    // A share type without share servers needs no share network. A default type that changes later must not replace the share.
    const { resources: plain } = await run(configOf(architecture, { sharedStorage: "manila" }), {
      share: { ownServer: false },
    });
    expect(plain.some((r) => r.type.includes("shareNetwork"))).toBe(false);
    const share = plain.find((r) => r.type === "openstack:sharedfilesystem/share:Share");
    expect(share?.options.ignoreChanges).toEqual(["availabilityZone", "shareType"]);
    expect(share?.inputs).not.toHaveProperty("shareNetworkId");
  },
);

test("a container of the cloud's and its key: protected as data is, the secret with the client alone", async () => {
  const objectStore = { endpoint: "https://swift.example.org", region: "RegionOne" };
  const config = configOf("standalone", { objectStore: "swift", protectData: true });
  const { resources, outputs } = await run(config, { objectStore });
  const container = (name: string) => byKey(resources).get(`openstack:objectstorage/container:Container ${name}`);
  for (const [name, called] of [
    ["demo-objects", "demo-data"],
    ["demo-objects-segments", "demo-data+segments"],
  ] as const) {
    expect(container(name)?.inputs).toMatchObject({ name: called, forceDestroy: true });
    expect(container(name)?.options.protect).toBe(true);
  }
  const secret = `${SECRET_MARK}-s3`;
  const holders = resources.filter((r) => JSON.stringify(r.inputs).includes(secret)).map((r) => r.name);
  expect(holders).toEqual(["demo-client"]);
  expect(userDataOf(resources, "client")).toContain("https://swift.example.org");
  expect(resources.some((r) => r.name === "demo-secret-s3-secret-key")).toBe(false);
  expect(outputs.objectStore).toBe("s3a://demo-data");
  expect(outputs.summary).toContain("s3a://demo-data/");
  expect(JSON.stringify(plainParts([resources, outputs]))).not.toContain(secret);
  const image = byKey(resources).get("docker:index/image:Image demo-image-spark-python");
  expect(image?.inputs).toMatchObject({ build: { args: { S3: "jars" } } });
});

test("every machine's SSH host key is the stack's: in its user data, and public in the outputs", async () => {
  const { outputs, resources, cluster } = await runOf("standalone");
  const lines = String(outputs.sshKnownHosts).trimEnd().split("\n");
  expect(lines).toHaveLength(cluster.machines.length);
  const keys = cluster.machines.map((machine, i) => {
    const [names, ...key] = (lines[i] ?? "").split(" ");
    expect(names).toBe(`demo-${machine.name},${machine.address}`);
    const { ssh_keys } = parse(userDataOf(resources, machine.name), { version: "1.1" });
    const folder = mkdtempSync(join(tmpdir(), "host-key-"));
    writeFileSync(join(folder, "key"), ssh_keys.ecdsa_private, { mode: 0o600 });
    expect(execFileSync("ssh-keygen", ["-yf", join(folder, "key")], { encoding: "utf8" }).trim()).toBe(key.join(" "));
    rmSync(folder, { recursive: true });
    const instance = byKey(resources).get(`openstack:compute/instance:Instance demo-${machine.name}`);
    expect(instance?.inputs.metadata).toMatchObject({ "triplewide-host-key": key.join(" ") });
    return key.join(" ");
  });
  expect(new Set(keys).size).toBe(keys.length);
  expect(JSON.stringify(plainParts([resources, outputs]))).not.toContain("PRIVATE KEY");
});

test("components record what they offer, and no secret among it", async () => {
  const { resources, cluster } = await runOf("standalone");
  const recorded = (type: string, name: string) => byKey(resources).get(`triplewide:index:${type} ${name}`)?.outputs;
  const ids = (group: string) =>
    cluster.machines.filter((m) => m.group === group).map((m) => [m.name, `demo-${m.name}-id`]);
  for (const group of ["registry", "master", "datanode", "agent", "client"]) {
    expect(recorded("MachineGroup", `demo-${group}`)).toEqual({ instanceIds: Object.fromEntries(ids(group)) });
  }
  expect(recorded("Firewall", "demo-firewall")?.securityGroupIds).toMatchObject({ agent: "demo-firewall-agent-id" });
  expect(recorded("Network", "demo-network")).toEqual({ networkId: "demo-network-id", subnetId: "demo-network-id" });
  expect(recorded("KeyPair", "demo-key")).toEqual({ keyName: "demo" });
  expect(recorded("Bastion", "demo-bastion")).toEqual({ address: "203.0.113.10" });
  expect(recorded("ClusterSecrets", "demo-secret")?.names).toContain("jupyter-token");
  expect(recorded("SparkCluster", "demo")).toMatchObject({
    bastionAddress: "203.0.113.10",
    masterUrl: expect.any(String),
  });
  const components = resources.filter((r) => r.type.startsWith("triplewide:"));
  expect(JSON.stringify(components.map((r) => r.outputs))).not.toContain(SECRET_MARK);
});

test("prebuilt images need no Docker", async () => {
  const digest = `sha256:${"d".repeat(64)}`;
  const names = ["spark-python", "client", "gateway", "zookeeper", "hdfs"];
  const prebuiltImages = Object.fromEntries(names.map((name) => [name, `registry.example.org/${name}@${digest}`]));
  const { resources } = await run(configOf("standalone", { prebuiltImages }));
  expect(resources.filter((r) => r.type.startsWith("docker:"))).toEqual([]);
  const instance = byKey(resources).get("openstack:compute/instance:Instance demo-agent-1");
  expect(JSON.stringify(instance?.inputs.userData)).toContain(prebuiltImages["spark-python"]);
});

describe("the Mesos in images", () => {
  const OTHER_SOURCE = `https://mirror.example.org/libmesos.deb#sha256=${"6".repeat(64)}`;
  const [archive, other] = [MESOS_SOURCE, OTHER_SOURCE].map(archiveOf);
  /** The archive and the parts of Mesos that each image is built with, by its resource. */
  const built = async (architecture: Architecture, more: RawConfig = {}): Promise<Record<string, string>> => {
    const { resources } = await run(configOf(architecture, more));
    const images = resources.filter((r) => r.type === "docker:index/image:Image");
    return Object.fromEntries(
      images.flatMap(({ name, inputs }) => {
        const { args } = inputs.build as { args: Record<string, string> };
        return args.MESOS ? [[name, `${args.MESOS} ${args.MESOS_SHA256} ${args.MESOS_PARTS}`]] : [];
      }),
    );
  };

  test("is there where drivers or daemons run in them", async () => {
    expect(await built("standalone")).toEqual({});
    expect(await built("marathon-standalone")).toEqual({});
    expect(await built("docker-executors")).toEqual({ "demo-image-spark-python": `archive ${archive} java` });
    expect(await built("mesos-in-docker")).toEqual({ "demo-image-spark-python": `archive ${archive} daemons java` });
    // Its machines run Mesos themselves; only the client's image needs the library.
    expect(await built("vanilla")).toEqual({ "demo-image-spark-python-for-client": `archive ${archive} java` });
  });

  test("may be another one for drivers than for daemons", async () => {
    const more = { libmesosSource: OTHER_SOURCE };
    expect(await built("mesos-in-docker", more)).toEqual({
      "demo-image-spark-python": `archive ${archive} daemons`,
      "demo-image-spark-python-for-client": `archive ${other} java`,
    });
    expect(await built("docker-executors", more)).toEqual({ "demo-image-spark-python": `archive ${other} java` });
  });

  test("is below the client, and told by its tag", async () => {
    const { resources } = await run(configOf("vanilla"));
    const image = (name: string) => byKey(resources).get(`docker:index/image:Image demo-image-${name}`)?.inputs;
    expect(image("spark-python-for-client")?.imageName).toMatch(/spark-python:.*-mesos-555555555555$/);
    expect(image("client")).toMatchObject({
      imageName: expect.stringMatching(/client:.*-mesos-555555555555$/),
      build: { args: { SPARK_PYTHON_IMAGE: expect.stringContaining("/spark-python@sha256:") } },
    });
  });

  test("is nobody's where images are given", async () => {
    const reference = `registry.example.org/x@sha256:${"d".repeat(64)}`;
    const prebuiltImages = { "spark-python": reference, client: reference, gateway: reference };
    expect(await built("mesos-in-docker", { prebuiltImages })).toEqual({});
  });
});

test("images are built on the base that was found, by its digest", async () => {
  const found = `debian:bookworm-slim@sha256:${"b".repeat(64)}`;
  const { resources } = await run(configOf("standalone"), { baseImage: found });
  const asking = resources.filter(({ type, inputs }) => {
    const args = (inputs.build as { args?: object } | undefined)?.args ?? {};
    return type === "docker:index/image:Image" && "BASE_IMAGE" in args;
  });
  expect(asking.map(({ inputs }) => (inputs.build as { args: { BASE_IMAGE: string } }).args.BASE_IMAGE)).toEqual([
    found,
  ]);
});

test("without a bastion no address is public and the machines are reached directly", async () => {
  const { resources, outputs } = await run(configOf("standalone", { bastion: false }));
  expect(resources.some((r) => /floatingip/i.test(r.type) || r.name.includes("bastion"))).toBe(false);
  expect(outputs.bastionAddress).toBe("");
  expect(outputs.jupyterUrl).toBe("http://10.72.0.11:8090/jupyter/lab");
  expect(outputs.sshConfig).not.toContain("ProxyJump");
});

test("protected data is protected, and nothing else is", async () => {
  const { resources } = await run(configOf("standalone", { protectData: true }));
  const isProtected = resources.filter((r) => r.options.protect).map((r) => r.type);
  expect(new Set(isProtected)).toEqual(new Set(["openstack:blockstorage/volume:Volume"]));
  expect(isProtected.length).toBe(resources.filter((r) => r.type === "openstack:blockstorage/volume:Volume").length);
});

test("without data volumes there are none", async () => {
  const { resources } = await run(configOf("standalone", { dataVolumes: false }));
  expect(resources.some((r) => r.type.startsWith("openstack:blockstorage"))).toBe(false);
});

test("anti-affinity follows the config", async () => {
  const policies = async (antiAffinity: string): Promise<Record<string, unknown>> => {
    const { resources } = await run(configOf("standalone", { antiAffinity, agentCount: 12 }));
    const groups = resources.filter((r) => r.type === "openstack:compute/serverGroup:ServerGroup");
    return Object.fromEntries(groups.map((r) => [r.name, (r.inputs.policies as string[])[0]]));
  };
  const soft = "soft-anti-affinity";
  const spread = { "demo-agent-1": soft, "demo-agent-2": soft, "demo-datanode-1": soft };
  expect(await policies("hard")).toEqual({ ...spread, "demo-master": "anti-affinity" });
  expect(await policies("soft")).toEqual({ ...spread, "demo-master": soft });
  expect(await policies("none")).toEqual({});
});
