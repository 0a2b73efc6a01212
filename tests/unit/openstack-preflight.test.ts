import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { Cloud } from "../../openstack/cloud.ts";
import { SYSTEMS } from "../../openstack/guest-system.ts";
import { PreflightError, type PreflightFacts, preflight } from "../../openstack/preflight.ts";
import { serverGroups } from "../../openstack/server-groups.ts";
import { FakeOpenStack, IDS } from "../fakes/openstack.ts";
import { CLOUD } from "../fixtures/configs.ts";

let fake: FakeOpenStack;
beforeEach(async () => {
  fake = await FakeOpenStack.start();
});
afterEach(() => fake.stop());

const base = { ...CLOUD, architecture: "standalone", masterFlavor: "m1.small" };
const clusterOf = (over: Record<string, unknown> = {}): Cluster =>
  describeCluster(validate({ ...base, ...over }, "lab"));
const check = (over: Record<string, unknown> = {}, env: Record<string, string> = {}): Promise<PreflightFacts> => {
  const cloud = Cloud.fromEnvironment({ env: { ...fake.env, ...env } }, { retryDelayMs: 1, retries: 1 });
  return preflight(clusterOf(over), cloud);
};
/** The lines of the error, without its heading. */
const problems = async (over: Record<string, unknown> = {}, env: Record<string, string> = {}): Promise<string[]> => {
  const error = await check(over, env).then(
    () => new Error("nothing was found"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(PreflightError);
  return (error as Error).message.split("\n").slice(1);
};

test("a cloud that can hold the cluster gives the facts, and is only looked at", async () => {
  const facts = await check();
  expect(facts).toMatchObject({
    projectId: IDS.project,
    imageId: IDS.image,
    flavors: {
      "m1.small": { id: "2", vcpus: 1, ramMiB: 2048, diskGb: 10 },
      "m1.large": { id: "3", vcpus: 4, ramMiB: 8192, diskGb: 40 },
    },
    externalNetworkId: IDS.external,
    externalNetworkName: "public",
    warnings: [],
  });
  expect(fake.requests.filter((line) => !line.startsWith("GET "))).toEqual(["POST /identity/v3/auth/tokens"]);
});

test("an image whose system is another is refused, or let through with a warning", async () => {
  const said = async (system: Record<string, string>, over: Record<string, unknown> = {}): Promise<string[]> => {
    for (const image of fake.state.images) Object.assign(image, { os_distro: null, os_version: null }, system);
    const error = await check(over).then(
      (facts) => facts.warnings.map((line) => `(warning) ${line}`),
      (e: Error) => e.message.split("\n").slice(1),
    );
    return error.map((line) => line.trim()).filter((line) => /image: (got|it has)/.test(line));
  };
  const vanilla = { architecture: "vanilla" };
  for (const fine of [
    {},
    { os_distro: "debian" },
    { os_distro: "debian", os_version: "12" },
    { os_distro: "Debian", os_version: "12.11" },
  ]) {
    expect(await said(fine)).toEqual([]);
    expect(await said(fine, vanilla)).toEqual([]);
  }
  for (const version of ["13", "trixie"]) {
    expect(await said({ os_distro: "debian", os_version: version })).toEqual([]);
    expect(await said({ os_distro: "debian", os_version: version }, vanilla)).toEqual([
      `image: got "debian-12"; it has debian ${version}, which does not have the Python that executors need without containers. Fix: use an image of Debian 12, or another architecture.`,
    ]);
  }
  expect(await said({ os_distro: "debian", os_version: "11" })).toEqual([
    'image: got "debian-12"; it has debian 11, which is older than 12. Fix: use an image of Debian 12 or 13.',
  ]);
  for (const version of ["22.04", "24.04", "26.04"])
    expect(await said({ os_distro: "ubuntu", os_version: version })).toEqual([
      `(warning) image: it has ubuntu ${version}, which no test has booted. Fix: use an image of Debian 12 or 13`,
    ]);
  expect(await said({ os_distro: "ubuntu", os_version: "20.04" })).toEqual([
    expect.stringContaining("older than 22.04"),
  ]);
  expect(await said({ os_distro: "rocky", os_version: "9" })).toEqual([
    'image: got "debian-12"; it has rocky 9, and machines install packages of Debian. Fix: use an image of Debian 12 or 13.',
  ]);
  // What Debian 12 has is what the images have.
  const { DEBIAN_SUITE, PYTHON_VERSION } = pinnedVersions(ROOT);
  expect([SYSTEMS.debian?.[12]?.code, PYTHON_VERSION]).toEqual([DEBIAN_SUITE, "3.11"]);
});

test("everything that is wrong is said at once, each with its setting and a fix", async () => {
  fake.state.zones.push({ zoneName: "east", zoneState: { available: false } });
  const found = await problems({
    image: "debian-21",
    masterFlavor: "m1.smal",
    agentFlavor: "m1.tiny",
    clientFlavor: "c9.huge",
    externalNetwork: "office",
    keyPair: "mine",
    volumeType: "ssd",
    availabilityZones: ["nova", "east", "mars"],
  });
  expect(found).toEqual([
    `  availabilityZones: got "mars"; there is no such zone. Fix: use nova.`,
    `  availabilityZones: got "east"; this zone is not available now. Fix: use nova.`,
    `  clientFlavor: got "c9.huge"; there is no such flavor. Fix: use m1.large (there are also m1.small, m1.tiny).`,
    `  externalNetwork: got "office"; that network is not external. Fix: use public.`,
    `  image: got "debian-21"; there is no such image. Fix: use debian-12.`,
    `  keyPair: got "mine"; this user has no such key pair. Fix: remove keyPair: one is then made.`,
    `  masterFlavor: got "m1.smal"; there is no such flavor. Fix: use m1.small (there are also m1.large, m1.tiny).`,
    `  volumeType: got "ssd"; there is no such volume type. Fix: use lvm.`,
  ]);
});

describe("the cloud's DNS", () => {
  const door = { tls: "own", userCidrs: ["198.51.100.0/24"], domain: "spark.example.org", clusterName: "lab" };
  const named = { ...door, dnsZone: "example.org" };

  test("is not asked where no record is wanted", async () => {
    expect((await check(door)).dns).toBeUndefined();
    expect(fake.count(/dns/)).toBe(0);
  });

  test("needs a service, the zone, and a name that nobody has", async () => {
    expect(await problems(named)).toEqual([
      '  dnsZone: got "example.org"; this cloud has no service for names (Designate). Fix: remove dnsZone, and have your DNS lead domain to the output bastionAddress.',
    ]);
    fake.state.services.push("dns");
    expect((await check(named)).dns).toEqual({ zoneId: "z1" });
    const record = { id: "r", name: "spark.example.org.", type: "A", records: ["198.51.100.9"], description: null };
    fake.state.recordSets.push(record);
    expect(await problems(named)).toEqual([
      '  domain: got "spark.example.org"; its zone has a record of that name already, which leads to 198.51.100.9. Fix: choose another name, or delete that record: openstack recordset delete.',
    ]);
    record.description = "triplewide lab" as never;
    expect((await check(named)).dns).toEqual({ zoneId: "z1" });
    fake.state.dnsZones = [{ id: "z2", name: "example.com." }];
    expect(await problems(named)).toEqual([
      '  dnsZone: got "example.org"; this project has no such zone. Fix: use one of example.com.',
    ]);
  });
});

describe("the cloud's shares", () => {
  const manila = { sharedStorage: "manila", clusterName: "lab" };

  test("are not asked for where the client serves the folder itself", async () => {
    expect((await check()).share).toBeUndefined();
    expect(fake.count(/share/)).toBe(0);
  });

  test("need a service, a share type and room", async () => {
    expect(await problems(manila)).toEqual([
      '  sharedStorage: got "manila"; this cloud has no service for shares (Manila). Fix: set sharedStorage to nfs: the client then serves the folder from its data volume.',
    ]);
    fake.state.services.push("sharev2");
    fake.state.defaultShareType = "";
    const limits = {
      maxTotalShares: 10,
      totalSharesUsed: 10,
      maxTotalShareGigabytes: 1000,
      totalShareGigabytesUsed: 950,
    };
    fake.state.shareLimits = limits;
    expect(await problems(manila)).toEqual([
      '  sharedStorage: got "manila"; 1 more shares needed, but the quota leaves 0 (10 of 10 used). Fix: set sharedStorage to nfs, or ask the cloud for a quota of 11 shares.',
      "  shareGb: got 100; 100 more GB of shares needed, but the quota leaves 50 (950 of 1000 used). Fix: use a smaller one, or ask the cloud for a quota of 1050 GB of shares.",
      "  shareType: this cloud has no default share type. Fix: use one of cephfs, generic.",
    ]);
    expect((await problems({ ...manila, shareType: "netapp" })).at(-1)).toBe(
      '  shareType: got "netapp"; there is no such share type. Fix: use one of cephfs, generic.',
    );
    // What is there already needs no room.
    fake.state.shares.push({ id: "1", name: "lab-work" });
    expect((await check({ ...manila, shareType: "cephfs" })).share).toEqual({ ownServer: false });
  });

  test("say whether a type makes a server for each network", async () => {
    fake.state.services.push("sharev2");
    expect((await check(manila)).share).toEqual({ ownServer: false });
    expect((await check({ ...manila, shareType: "generic" })).share).toEqual({ ownServer: true });
    expect((await check({ ...manila, shareType: "type-2" })).share).toEqual({ ownServer: true });
  });
});

describe("the cloud's object store", () => {
  const swift = { objectStore: "swift", clusterName: "lab" };
  /** As Swift's s3api answers someone whom it does not know. */
  const unknownKey = {
    status: 403,
    body: "<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>",
  };

  test("is not asked for where the config wants no container", async () => {
    expect((await check()).objectStore).toBeUndefined();
    expect(fake.count(/object/)).toBe(0);
  });

  test("refuses a cloud without one", async () => {
    expect(await problems(swift)).toEqual([
      '  objectStore: got "swift"; this cloud has no object store (Swift, or Ceph with its API). Fix: set objectStore to none, or name a store with s3Endpoint, s3AccessKey and s3SecretKey.',
    ]);
  });

  test("refuses one without an S3 interface, and says where it was looked for", async () => {
    fake.state.services.push("object-store");
    expect(await problems(swift)).toEqual([
      `  objectStore: got "swift"; this cloud's object store has no S3 interface at ${fake.url}. Fix: ask for it (Swift's s3api), or set objectStore to none, or name a store with s3Endpoint, s3AccessKey and s3SecretKey.`,
    ]);
  });

  test("is found at the root of its server, or where the catalogue lists it, and gets no token of ours there", async () => {
    fake.state.services.push("object-store");
    fake.state.s3 = unknownKey;
    expect((await check(swift)).objectStore).toEqual({ endpoint: fake.url, region: "us-east-1" });
    fake.state.services.push("s3");
    expect((await check(swift)).objectStore).toEqual({ endpoint: fake.url, region: "us-east-1" });
    expect(fake.rootHeaders.length).toBe(2);
    for (const headers of fake.rootHeaders) expect(Object.keys(headers)).not.toContain("x-auth-token");
  });

  test("says which region requests are to be signed for", async () => {
    fake.state.services.push("object-store");
    // Word for word from Swift's s3api with `location = RegionOne`.
    fake.state.s3 = {
      status: 400,
      body: "<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'RegionOne'</Message><Region>RegionOne</Region></Error>",
    };
    expect((await check(swift)).objectStore?.region).toBe("RegionOne");
  });

  test("refuses a container of someone else's, which destroy would empty, and takes the cluster's own", async () => {
    fake.state.services.push("object-store");
    fake.state.s3 = unknownKey;
    fake.state.containers["lab-data"] = {};
    expect(await problems(swift)).toEqual([
      '  objectStore: got "swift"; there is a container lab-data that this cluster did not make. Fix: choose another clusterName, or, where what it holds may go with the cluster: openstack container set --property Triplewide-Cluster=lab lab-data.',
    ]);
    fake.state.containers["lab-data"] = { "x-container-meta-triplewide-cluster": "lab" };
    expect((await check(swift)).objectStore).toBeDefined();
  });
});

test("of several external networks of one name none is chosen", async () => {
  fake.state.networks.push({ id: "66666666-6666-4666-8666-666666666666", name: "public", "router:external": true });
  expect(await problems()).toEqual([
    `  externalNetwork: got "public"; 2 external networks have this name. Fix: name a network whose name no other external network has.`,
  ]);
});

test("an external network whose subnets are all IPv6 is refused, one that also has IPv4 or shows none is not", async () => {
  const subnet = { network_id: IDS.external, cidr: "2001:db8::/64", ip_version: 6 };
  fake.state.subnets.push({ ...subnet, id: "six" });
  expect(await problems()).toEqual([
    `  externalNetwork: got "public"; all of its subnets are IPv6. Fix: name an external network with an IPv4 subnet: addresses of machines are IPv4.`,
  ]);
  fake.state.subnets.push({ ...subnet, id: "four", cidr: "198.51.100.0/24", ip_version: 4 });
  expect((await check()).externalNetworkName).toBe("public");
});

test("an external network is named so that floating IPs are had of it, also by its id", async () => {
  expect((await check({ externalNetwork: IDS.external })).externalNetworkName).toBe("public");
  const twin = { id: "66666666-6666-4666-8666-666666666666", name: "public", "router:external": false };
  fake.state.networks.unshift(twin);
  for (const externalNetwork of ["public", IDS.external])
    expect(await problems({ externalNetwork })).toEqual([
      `  externalNetwork: got "${externalNetwork}"; floating IPs are asked for by its name, public, which ${twin.id} has too. Fix: give that one another name, or set bastion to false.`,
    ]);
});

test("a network of the cluster's own has no address of the external one", async () => {
  fake.state.subnets.push({ id: "out", network_id: IDS.external, cidr: "10.72.128.0/17", ip_version: 4 });
  expect(await problems()).toEqual([
    '  networkCidr: got "10.72.0.0/16"; externalNetwork public has the addresses 10.72.128.0/17, and no router leads from a network into itself. Fix: use addresses that it does not have.',
  ]);
  expect((await check({ networkCidr: "10.99.0.0/16" })).warnings).toEqual([]);
  // The router's own address may be in another subnet.
  fake.state.subnets.push({ id: "out-2", network_id: IDS.external, cidr: "198.51.100.0/24", ip_version: 4 });
  expect((await check()).warnings).toEqual([
    "networkCidr: externalNetwork public has the addresses 10.72.128.0/17, which machines do not reach then",
  ]);
});

test("a project without flavors is told so, and a cloud without limits has none", async () => {
  fake.fault(/limits/, { status: 200, body: {} }, 10);
  fake.fault(/quotas/, { status: 200, body: {} }, 10);
  expect((await check()).warnings).toEqual([]);
  fake.state.flavors = [];
  expect((await problems())[0]).toBe(
    '  agentFlavor: got "m1.large"; there is no such flavor. Fix: there is none that this project may use.',
  );
});

test("zones that a cloud shows nobody are not held against it", async () => {
  fake.fault(/os-availability-zone/, { status: 403 }, 10);
  expect((await check({ availabilityZones: ["nova"], volumeZones: ["nova"] })).warnings.sort()).toEqual([
    "availabilityZones: Nova does not show its zones; they were not checked",
    "volumeZones: Cinder does not show its zones; they were not checked",
  ]);
});

test("zones may be called what clouds call them", async () => {
  const zone = "AZ 1 (Süd)";
  fake.state.zones = [{ zoneName: zone, zoneState: { available: true } }];
  expect((await check({ availabilityZones: [zone] })).warnings).toEqual([]);
});

test("what a cloud does not tell hides nothing, and stops nothing", async () => {
  const odd = { status: 200, body: "<html>Welcome</html>" };
  for (const path of [/v2.1\/$/, /os-quota-sets/, /os-keypairs/, /types\/default/]) fake.fault(path, odd, 10);
  expect((await check()).warnings).toEqual([]);
  // As Glance of before community images.
  fake.state.images = [];
  fake.refuseCommunityImages = true;
  expect(await problems()).toEqual([
    '  image: got "debian-12"; there is no such image. Fix: there is none that this project may use.',
  ]);
});

test("a Neutron without routers, or without security groups, is said before anything is made", async () => {
  fake.state.noSuchNetworkParts = ["routers", "security_groups"];
  expect(await problems()).toEqual([
    "  cloud: its networks have no security groups, so that nothing would keep others out. Fix: use a cloud whose Neutron has them (extension security-group).",
    "  existingNetworkId: this cloud's networks have no routers (extension router). Fix: set existingNetworkId and existingSubnetId to a network that leads outside, and bastion to false.",
    "  (warning) quota: the network service does not show this project's quota; it was not checked",
  ]);
  fake.state.noSuchNetworkParts = ["routers"];
  const existing = { existingNetworkId: IDS.network, existingSubnetId: IDS.subnet };
  expect(await problems(existing)).toEqual([
    "  bastion: got true; this cloud's networks have no routers (extension router), and so no floating IPs. Fix: set bastion to false.",
  ]);
});

test("a Nova that knows no soft groups is said before anything is made", async () => {
  for (const version of ["2.15", "2.96", "3.0"]) {
    fake.state.novaVersion = version;
    expect((await check()).warnings).toEqual([]);
  }
  fake.state.novaVersion = "2.1";
  expect(await problems()).toEqual([
    '  antiAffinity: got "hard"; agents are spread by soft-anti-affinity, for which Nova has to have API 2.15, and this one ends at 2.1. Fix: set it to none.',
  ]);
  expect((await check({ antiAffinity: "none" })).warnings).toEqual([]);
});

test("a key pair of the cluster's name is doubtful where nothing else of the cluster is there", async () => {
  fake.state.keyPairs.push({ name: "lab" });
  expect((await check({ clusterName: "lab" })).warnings).toEqual([
    expect.stringMatching(/^keyPair: this user has a key pair lab already, in whatever project/),
  ]);
  for (const m of clusterOf({ clusterName: "lab" }).machines) fake.addServer("lab", m.name);
  expect((await check({ clusterName: "lab" })).warnings).toEqual([]);
});

test("what is told of credentials that Pulumi does not read, or that nobody can renew", async () => {
  expect((await check({}, { OS_INTERFACE: "internal" })).warnings).toEqual([
    "credentials: OS_INTERFACE is internal, which Pulumi does not read: it takes public addresses. Fix: export OS_ENDPOINT_TYPE=internal",
  ]);
  expect((await check({}, { OS_INTERFACE: "internal", OS_ENDPOINT_TYPE: "internalURL" })).warnings).toEqual([]);
  const token = { OS_PASSWORD: "", OS_TOKEN: "right", OS_AUTH_TYPE: "v3token" };
  expect((await check({}, token)).warnings).toEqual([
    expect.stringMatching(/^credentials: a token that nobody can renew, and it ends in (59|60) min/),
  ]);
});

test("what exists is found by name and by id", async () => {
  fake.state.keyPairs.push({ name: "my key" });
  const over = {
    image: IDS.image,
    masterFlavor: "2",
    externalNetwork: IDS.external,
    keyPair: "my key",
    volumeType: "lvm",
  };
  const facts = await check({ ...over, availabilityZones: ["nova"] });
  expect(facts.imageId).toBe(IDS.image);
  expect(facts.flavors["2"]?.name).toBe("m1.small");
  expect(facts.externalNetworkName).toBe("public");
});

test("credentials that do not work are one problem, beside those that need no cloud", async () => {
  const missing = pathToFileURL(join(tmpdir(), "triplewide-none.tar.gz")).href;
  const mesosSource = `${missing}#sha256=${"0".repeat(64)}`;
  const found = await problems({ architecture: "vanilla", mesosSource }, { OS_PASSWORD: "wrong" });
  expect(found).toHaveLength(2);
  expect(found[0]).toContain("credentials: OS_PASSWORD wrong for user demo");
  expect(found[1]).toContain(`mesosSource: got "${mesosSource}"; there is no such file`);
});

test("a service that does not answer hides nothing, and is named once", async () => {
  fake.fault(/^\/network/, { status: 503, body: { message: "maintenance" } }, 1000);
  const found = await problems({ image: "none" });
  expect(found.some((line) => line.includes("image: got"))).toBe(true);
  const network = found.filter((line) => line.includes("503 maintenance"));
  expect(network.length).toBeGreaterThan(0);
  expect(new Set(network).size).toBe(network.length);
});

describe("images", () => {
  test("must be unique, active, and fit the flavors", async () => {
    const [image] = fake.state.images as [Record<string, unknown>];
    fake.state.images.push({ ...image, id: "other" });
    expect(await problems()).toEqual([
      `  image: got "debian-12"; 2 images have this name. Fix: give the id of one: ${IDS.image}, other.`,
    ]);
    fake.state.images = [{ ...image, status: "queued" }];
    expect((await problems())[0]).toContain("its status is queued");
    fake.state.images = [
      { ...image, status: "queued" },
      { ...image, id: "second" },
    ];
    expect((await check()).imageId).toBe("second");
    fake.state.images = [{ ...image, min_ram: 4096, min_disk: 0, virtual_size: 11 * 1024 ** 3 }];
    expect(await problems()).toEqual([
      `  masterFlavor: got "m1.small"; it has 10 GB of disk, and image debian-12 needs 11. Fix: use a larger flavor.`,
      `  masterFlavor: got "m1.small"; it has 2048 MiB of RAM, and image debian-12 needs 4096. Fix: use a larger flavor.`,
    ]);
  });

  test("of others, of no disk, and flavors of which no machine can be made are no choice", async () => {
    const [image] = fake.state.images as [Record<string, unknown>];
    fake.state.images.push({ ...image, id: "of-others", name: "debian-13", visibility: "community" });
    // As Glance lists them: not unless they are asked for.
    fake.hideCommunityImages = true;
    expect(await problems({ image: "debian-13" })).toEqual([
      '  image: got "debian-13"; only others of the cloud\'s users offer one of that name. Fix: where you trust whose it is, give its id: of-others.',
    ]);
    Object.assign(image, { disk_format: "iso" });
    expect(await problems()).toEqual([
      '  image: got "debian-12"; it is no disk (its disk_format is iso). Fix: use a cloud image: qcow2 or raw.',
    ]);
    Object.assign(image, { disk_format: "qcow2" });
    fake.state.flavors.push({
      id: "4",
      name: "m1.old",
      vcpus: 2,
      ram: 4096,
      disk: 40,
      "OS-FLV-DISABLED:disabled": true,
    });
    expect(await problems({ clientFlavor: "m1.old" })).toEqual([
      expect.stringContaining('clientFlavor: got "m1.old"; there is no such flavor. Fix: use m1.'),
    ]);
  });

  test("need a volume to boot from where the flavor has no disk, large enough for the image", async () => {
    fake.state.flavors.push({ id: "9", name: "b1.none", vcpus: 2, ram: 4096, disk: 0 });
    expect(await problems({ bastionFlavor: "b1.none" })).toEqual([
      `  bastionFlavor: got "b1.none"; it has no disk of its own to boot from. Fix: set bootVolumeGb to 20, or use a flavor with a disk.`,
    ]);
    expect((await check({ bastionFlavor: "b1.none", bootVolumeGb: 10 })).warnings).toEqual([]);
    expect(await problems({ bootVolumeGb: 2 })).toEqual([
      "  bootVolumeGb: got 2; image debian-12 needs 3 GB. Fix: use 3 or more.",
    ]);
    fake.state.services = ["compute", "network", "image"];
    expect(await problems({ bootVolumeGb: 10, dataVolumes: false })).toEqual([
      "  bootVolumeGb: got 10; this cloud has no volume service (Cinder). Fix: remove it, and use flavors with a disk.",
    ]);
  });

  test("of boot volumes count for the quota, once", async () => {
    const over = { agentCount: 2, bootVolumeGb: 10 };
    // bastion, registry, master-1, client and two agents; two of them with a data volume.
    Object.assign(fake.state.volumeLimits, { maxTotalVolumes: 7, maxTotalVolumeGigabytes: 99 });
    const found = await problems(over);
    expect(found.join()).toContain("bootVolumeGb: got 10; 8 more volumes needed, but the quota leaves 7");
    expect(found.join()).toContain("bootVolumeGb: got 10; 100 more GB of volumes needed");
    for (const m of clusterOf(over).machines) fake.addServer("lab", m.name);
    expect((await check({ ...over, bootVolumeGb: 60 })).warnings).toEqual([]);
  });
});

describe("an image's name", () => {
  const NEWER = "77777777-7777-4777-8777-777777777777";
  const made = (over: Record<string, unknown> = {}): void => {
    for (const m of clusterOf().machines) {
      const metadata = { "triplewide-cluster": "lab", "triplewide-config": "h", "triplewide-image": "debian-12" };
      fake.addServer("lab", m.name, { image: { id: IDS.image }, metadata, ...over });
    }
  };
  /** As clouds do it: the name goes to a newer image, and the one before gets another name. */
  const publish = (old: Record<string, unknown> | undefined): void => {
    const image = { id: IDS.image, name: "debian-12", status: "active" };
    fake.state.images = [{ ...image, id: NEWER }, ...(old ? [{ ...image, ...old }] : [])];
  };

  test("means the image that it meant first, whatever the cloud calls it since", async () => {
    made();
    expect(await check()).toMatchObject({ imageId: IDS.image, warnings: [] });
    const warning = `image: debian-12 now also means ${NEWER}; machines keep ${IDS.image}. To move every machine to another one, set image to its id`;
    for (const name of ["debian-12-until-may", "debian-12"]) {
      publish({ name });
      expect(await check()).toMatchObject({ imageId: IDS.image, warnings: [warning] });
    }
  });

  test("is moved by an id, and by another name", async () => {
    made();
    publish({ name: "debian-12-until-may" });
    expect((await check({ image: NEWER })).imageId).toBe(NEWER);
    fake.state.images.push({ ...fake.state.images[0], id: "ubuntu", name: "ubuntu-24.04" });
    expect((await check({ image: "ubuntu-24.04" })).imageId).toBe("ubuntu");
  });

  test("is known of machines that boot from a volume, and of those from before it was kept", async () => {
    const metadata = { "triplewide-cluster": "lab", "triplewide-image": "debian-12", "triplewide-image-id": IDS.image };
    made({ image: "", metadata });
    publish({ name: "old" });
    expect((await check()).imageId).toBe(IDS.image);
    fake.state.servers = [];
    made({ metadata: { "triplewide-cluster": "lab" } });
    publish({ name: "debian-12" });
    expect((await check()).imageId).toBe(IDS.image);
  });

  test("whose image is gone stops machines from being made, not those that run", async () => {
    made();
    publish(undefined);
    expect(await check()).toMatchObject({
      imageId: IDS.image,
      warnings: [expect.stringContaining(`the image ${IDS.image} that its machines have is not there any more`)],
    });
    expect(await problems({ agentCount: 3 })).toEqual([
      expect.stringMatching(
        `image: got "debian-12"; the image ${IDS.image} .* so that no machine can be made. Fix: set image to the id of another one, such as ${NEWER}`,
      ),
    ]);
  });
});

test("zones of volumes are looked up, and asked for where there are several", async () => {
  fake.state.zones.push({ zoneName: "east", zoneState: { available: true } });
  expect((await check({ availabilityZones: ["nova", "east"] })).warnings).toEqual([]);
  fake.state.volumeZones.push({ zoneName: "cinder-east", zoneState: { available: true } });
  expect((await check({ availabilityZones: ["nova", "east"] })).warnings).toEqual([
    expect.stringMatching(/^volumeZones: Cinder has the zones nova, cinder-east, and data volumes go to its default/),
  ]);
  const over = { availabilityZones: ["nova", "east"], volumeZones: ["nova", "cinder-east"] };
  expect((await check(over)).warnings).toEqual([]);
  expect(await problems({ ...over, volumeZones: ["nova", "mars"] })).toEqual([
    expect.stringMatching(/volumeZones: got "mars"; Cinder has no such zone now. Fix: use nova/),
  ]);
});

test("agents may not promise more memory than they have, and told sizes should be true", async () => {
  expect(await problems({ agentMemoryMiB: 8192 })).toEqual([
    "  agentMemoryMiB: got 8192; agentFlavor m1.large has 8192 MiB, and the system needs some of them. Fix: use 0 (all but the system's share), or a larger agentFlavor.",
  ]);
  const flavorSizes = { "m1.large": { vcpus: 8, ramMiB: 8192 }, "m1.small": { vcpus: 1, ramMiB: 2048 } };
  expect((await check({ flavorSizes })).warnings).toEqual([
    "flavorSizes: m1.large has 4 vCPUs and 8192 MiB, not 8 and 8192",
  ]);
});

test("without a volume service, data volumes have to be given up knowingly", async () => {
  fake.state.services = ["compute", "network", "image"];
  expect((await problems())[0]).toMatch(
    /dataVolumes: got true; this cloud has no volume service.*set dataVolumes to false/,
  );
  expect((await check({ dataVolumes: false })).warnings).toEqual([]);
});

describe("an existing network", () => {
  const existing = { existingNetworkId: IDS.network, existingSubnetId: IDS.subnet };

  test("must be there, with its subnet, and hold the cluster's addresses", async () => {
    expect((await check(existing)).imageId).toBe(IDS.image);
    const other = "99999999-9999-4999-8999-999999999999";
    expect(await problems({ existingNetworkId: other, existingSubnetId: "office" })).toEqual([
      expect.stringContaining(`existingNetworkId: got "${other}"; there is no network with this id`),
      expect.stringContaining(`existingSubnetId: got "office"; there is no subnet with this id`),
    ]);
    expect((await problems({ ...existing, existingNetworkId: IDS.external }))[0]).toContain(
      `existingSubnetId: got "${IDS.subnet}"; it belongs to network ${IDS.network}`,
    );
    expect((await problems({ ...existing, networkCidr: "192.168.0.0/16" }))[0]).toContain(
      `networkCidr: got "192.168.0.0/16"; existingSubnetId has the addresses 10.0.0.0/8. Fix: use a free part of 10.0.0.0/8`,
    );
  });

  test("must hold to security groups", async () => {
    const network = fake.state.networks.find((n) => n.id === IDS.network);
    if (!network) throw new Error("no network");
    network.port_security_enabled = true;
    expect((await check(existing)).warnings).toEqual([]);
    network.port_security_enabled = false;
    expect(await problems(existing)).toEqual([
      expect.stringMatching(/existingNetworkId: got .*its port security is off.*--enable-port-security/),
    ]);
  });

  test("of the project's own needs a router for the bastion's floating IP", async () => {
    const network = fake.state.networks.find((n) => n.id === IDS.network) as Record<string, unknown>;
    network.project_id = IDS.project;
    expect(await problems(existing)).toEqual([
      expect.stringMatching(/existingSubnetId: got .*; no router leads out of it.*set bastion to false/),
    ]);
    expect((await check({ ...existing, bastion: false })).warnings).toEqual([]);
    for (const device_owner of ["network:router_interface_distributed", "network:ha_router_replicated_interface"]) {
      const fixed_ips = [{ ip_address: "10.0.0.1", subnet_id: IDS.subnet }];
      fake.state.ports = [{ id: "p", name: "", network_id: IDS.network, device_owner, fixed_ips }];
      expect((await check(existing)).warnings).toEqual([]);
    }
  });

  test("without DHCP needs config drives; of others or without DNS it is doubtful", async () => {
    const [subnet] = fake.state.subnets as [Record<string, unknown>];
    const network = fake.state.networks.find((n) => n.id === IDS.network) as Record<string, unknown>;
    Object.assign(subnet, { enable_dhcp: false, dns_nameservers: ["10.0.0.2"] });
    expect(await problems(existing)).toEqual([
      expect.stringMatching(/configDrive: got false; existingSubnetId has no DHCP.*Fix: set configDrive to true/),
    ]);
    expect((await check({ ...existing, configDrive: true })).warnings).toEqual([]);
    Object.assign(subnet, { enable_dhcp: true, dns_nameservers: [] });
    network.project_id = "of-others";
    expect((await check(existing)).warnings.sort()).toEqual([
      expect.stringMatching(/^existingNetworkId: office belongs to another project.*create_port:fixed_ips/),
      expect.stringMatching(/^existingSubnetId: it names no DNS servers.*--dns-nameserver/),
    ]);
  });

  test("may not have others on the addresses that the cluster will use", async () => {
    const addresses = new Map(clusterOf().machines.map((m) => [m.name, m.address]));
    const port = (name: string, address: string | undefined) => ({
      id: name,
      name,
      network_id: IDS.network,
      project_id: IDS.project,
      fixed_ips: [{ ip_address: address }],
    });
    fake.state.ports = [port("lab-agent-1", addresses.get("agent-1")), port("printer", "10.72.0.9")];
    expect((await check(existing)).existing.get("agent-1")?.status).toBe("MISSING");
    fake.state.ports.push(port("printer-2", addresses.get("master-1")));
    expect((await problems(existing))[0]).toContain(`in use by others: ${addresses.get("master-1")}`);
  });
});

describe("quota", () => {
  test("that is too small names what is missing, what is used and what to ask for", async () => {
    Object.assign(fake.state.computeLimits, { maxTotalInstances: 8, totalInstancesUsed: 5, maxTotalCores: 20 });
    Object.assign(fake.state.computeLimits, { maxServerGroups: 1, totalServerGroupsUsed: 1 });
    fake.state.networkQuota.floatingip = { limit: 3, used: 2, reserved: 0 };
    fake.state.networkQuota.router = { limit: 1, used: 1, reserved: 0 };
    fake.state.networkQuota.port = { limit: 12, used: 5, reserved: 0 };
    fake.state.networkQuota.security_group = { limit: 4, used: 1, reserved: 0 };
    Object.assign(fake.state.volumeLimits, { maxTotalVolumes: 1, maxTotalVolumeGigabytes: 35 });
    // bastion, registry, master-1, client: m1.small; five agents: m1.large.
    expect(await problems({ agentCount: 5 })).toEqual([
      `  agentCount: got 5; 11 more ports needed, but the quota leaves 7 (5 of 12 used). Fix: use fewer agents, or ask the cloud for a quota of 16 ports.`,
      `  agentCount: got 5; 9 more instances needed, but the quota leaves 3 (5 of 8 used). Fix: use fewer agents, or ask the cloud for a quota of 14 instances.`,
      `  agentFlavor: got "m1.large"; 24 more vCPUs needed, but the quota leaves 20 (0 of 20 used). Fix: use smaller flavors or fewer agents, or ask the cloud for a quota of 24 vCPUs.`,
      `  antiAffinity: got "hard"; 1 more server groups needed, but the quota leaves 0 (1 of 1 used). Fix: set antiAffinity to none, or ask the cloud for a quota of 2 server groups.`,
      `  dataVolumes: got true; 2 more volumes needed, but the quota leaves 1 (0 of 1 used). Fix: set dataVolumes to false, or ask the cloud for a quota of 2 volumes.`,
      `  existingNetworkId: 1 more routers needed, but the quota leaves 0 (1 of 1 used). Fix: set existingNetworkId and existingSubnetId, or ask the cloud for a quota of 2 routers.`,
      `  masterVolumeGb: got 10; 40 more GB of volumes needed, but the quota leaves 35 (0 of 35 used). Fix: use smaller volumes, or ask the cloud for a quota of 40 GB of volumes.`,
      `  quota: 5 more security groups needed, but the quota leaves 3 (1 of 4 used). Fix: remove some that are not in use, or ask the cloud for a quota of 6 security groups.`,
    ]);
  });

  /** As the cloud is after `up`: everything of the cluster is there, and the quota is full to the last. */
  const fill = (cluster: Cluster): void => {
    const s = fake.state;
    for (const m of cluster.machines) {
      const name = `lab-${m.name}`;
      fake.addServer("lab", m.name, { flavor: { id: m.group === "agent" ? "3" : "2" } });
      s.ports.push({ id: `port-${m.name}`, name, project_id: IDS.project });
      if (m.volumeGb !== undefined) s.volumes.push({ id: name, name: `${name}-data`, size: m.volumeGb });
    }
    for (const kind of [s.networks, s.subnets, s.routers])
      kind.push({ id: "lab", name: "lab", project_id: IDS.project });
    for (const group of new Set(cluster.machines.map((m) => m.group))) {
      const count = cluster.firewall.filter((rule) => rule.group === group).length + 2;
      s.securityGroups.push({ id: group, name: `lab-${group}`, security_group_rules: Array(count).fill({}) });
    }
    for (const { name } of serverGroups(cluster)) s.serverGroups.push({ id: name, name: `lab-${name}` });
    s.floatingIps.push({ id: "fip", port_id: "port-bastion" });
    const sum = (size: "vcpus" | "ram"): number =>
      s.servers.reduce((total, server) => {
        const { id } = server.flavor as { id: string };
        return total + Number(s.flavors.find((f) => f.id === id)?.[size]);
      }, 0);
    const instances = s.servers.length;
    Object.assign(s.computeLimits, {
      maxTotalInstances: instances,
      totalInstancesUsed: instances,
      maxTotalCores: sum("vcpus"),
      totalCoresUsed: sum("vcpus"),
      maxTotalRAMSize: sum("ram"),
      totalRAMUsed: sum("ram"),
      maxServerGroups: s.serverGroups.length,
      totalServerGroupsUsed: s.serverGroups.length,
    });
    const full = (count: number) => ({ limit: count, used: count, reserved: 0 });
    const q = cluster.quota;
    s.networkQuota = {
      network: full(1),
      subnet: full(1),
      router: full(1),
      port: full(q.ports),
      floatingip: full(1),
      security_group: full(q.securityGroups + 1),
      security_group_rule: full(q.securityGroupRules + 2),
    };
    Object.assign(s.volumeLimits, {
      maxTotalVolumes: q.volumes,
      totalVolumesUsed: q.volumes,
      maxTotalVolumeGigabytes: q.gigabytes,
      totalGigabytesUsed: q.gigabytes,
    });
  };

  test("full of this very cluster is no obstacle: only what is still to be added counts", async () => {
    const over = { architecture: "vanilla", masterCount: 3, agentCount: 12 };
    fill(clusterOf(over));
    expect((await check(over)).existing.size).toBe(clusterOf(over).machines.length);
    const more = (await problems({ ...over, agentCount: 13 })).join("\n");
    expect(more).toContain("1 more instances needed, but the quota leaves 0");
    expect(more).toContain("4 more vCPUs needed");
    expect(more).toContain("1 more ports needed");
    // A smaller agent gives back what a larger master needs.
    expect((await check({ ...over, masterFlavor: "m1.large", agentFlavor: "m1.small" })).imageId).toBe(IDS.image);
    const larger = (await problems({ ...over, masterFlavor: "m1.large", masterVolumeGb: 11 })).join("\n");
    // Three masters, and registry, client and bastion, from 1 to 4 vCPUs.
    expect(larger).toContain("18 more vCPUs needed");
    expect(larger).toContain("3 more GB of volumes needed");
  });

  test("counts agents' scratch volumes, once", async () => {
    const over = { agentCount: 3, scratchGb: 7 };
    Object.assign(fake.state.volumeLimits, { maxTotalVolumes: 4, maxTotalVolumeGigabytes: -1 });
    // Those of registry and client, and three agents'.
    expect((await problems(over)).join()).toContain("scratchGb: got 7; 5 more volumes needed");
    fill(clusterOf(over));
    expect((await check(over)).warnings).toEqual([]);
    expect((await problems({ ...over, agentCount: 4 })).join()).toContain("scratchGb: got 7; 1 more volumes needed");
  });

  test("of a type of volumes, and of one volume, are counted as well", async () => {
    const over = { agentCount: 2, volumeType: "lvm" };
    fake.state.volumeQuota = {
      per_volume_gigabytes: { limit: -1 },
      gigabytes_lvm: { limit: -1 },
      volumes_lvm: { limit: 2 },
    };
    expect((await check(over)).warnings).toEqual([]);
    fake.state.volumeQuota = {
      per_volume_gigabytes: { limit: 10 },
      gigabytes_lvm: { limit: 100, in_use: 80, reserved: 10 },
      volumes_lvm: { limit: 1 },
    };
    const found = await problems(over);
    expect(found).toEqual([
      "  clientVolumeGb: got 20; one volume may have 10 GB in this project. Fix: use 10 or less, or ask for more.",
      "  registryVolumeGb: got 20; one volume may have 10 GB in this project. Fix: use 10 or less, or ask for more.",
      expect.stringContaining('volumeType: got "lvm"; 2 more volumes of type lvm needed, but the quota leaves 1'),
      expect.stringContaining(
        'volumeType: got "lvm"; 40 more GB of volumes of type lvm needed, but the quota leaves 10',
      ),
    ]);
    // The cloud's own type, where the config names none.
    expect((await problems({ agentCount: 2 })).filter((line) => line.includes("of type lvm"))).toHaveLength(2);
  });

  test("without limits is enough for anything, and one that is not shown is not held against the cluster", async () => {
    for (const key of Object.keys(fake.state.computeLimits))
      if (key.startsWith("max")) fake.state.computeLimits[key] = -1;
    for (const quota of Object.values(fake.state.networkQuota)) quota.limit = -1;
    Object.assign(fake.state.volumeLimits, { maxTotalVolumes: -1, maxTotalVolumeGigabytes: -1 });
    expect((await check({ agentCount: 1000 })).warnings).toEqual([]);
    fake.fault(/quotas/, { status: 403, body: { forbidden: { message: "no" } } });
    expect((await check()).warnings).toEqual([
      "quota: the network service does not show this project's quota; it was not checked",
    ]);
  });

  test("of server group members counts the largest group", async () => {
    fake.state.computeLimits.maxServerGroupMembers = 4;
    expect((await problems({ agentCount: 9 }))[0]).toContain("9 more members in one server group needed");
    expect((await check({ agentCount: 9, antiAffinity: "none" })).warnings).toEqual([]);
  });
});

describe("server groups", () => {
  test("keep a quorum apart as told, and spread agents in groups that a usual quota allows", () => {
    const groups = serverGroups(clusterOf({ architecture: "vanilla", masterCount: 3, agentCount: 12 }));
    expect(groups.map((g) => [g.name, g.policy, g.members.length])).toEqual([
      ["master", "anti-affinity", 3],
      ["agent-1", "soft-anti-affinity", 10],
      ["agent-2", "soft-anti-affinity", 2],
    ]);
    const soft = serverGroups(clusterOf({ architecture: "vanilla", masterCount: 3, antiAffinity: "soft" }));
    expect(soft[0]?.policy).toBe("soft-anti-affinity");
  });

  test("stay the same for every machine when others come and go", () => {
    const groupOf = (over: Record<string, unknown>) =>
      new Map(serverGroups(clusterOf(over)).flatMap((g) => g.members.map((m) => [m, g.name] as const)));
    const before = groupOf({ agentCount: 25 });
    const after = groupOf({ agentCount: 40, removedAgents: ["agent-3", "agent-11"] });
    for (const [machine, group] of before) {
      if (machine !== "agent-3" && machine !== "agent-11") expect(after.get(machine)).toBe(group);
    }
  });
});

describe("sources", () => {
  let web: Server;
  let url: string;
  let answers: Record<string, { status: number; headers?: Record<string, string> }>;
  let asked: string[];
  beforeEach(async () => {
    answers = {};
    asked = [];
    web = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`.trim());
      const answer = answers[`${request.method} ${request.url}`] ?? answers[request.url ?? ""] ?? { status: 404 };
      response.writeHead(answer.status, answer.headers).end();
    });
    await new Promise<void>((done) => web.listen(0, "127.0.0.1", done));
    url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    web.closeAllConnections();
    web.close();
  });
  const digest = `#sha256=${"0".repeat(64)}`;
  const mesos = (mesosSource: string, over: Record<string, unknown> = {}) => ({
    architecture: "vanilla",
    mesosSource,
    ...over,
  });

  test("that answer are fine: after redirects, and where only GET is known", async () => {
    answers = {
      "/mesos.tar.gz": { status: 302, headers: { location: "/elsewhere" } },
      "HEAD /elsewhere": { status: 405 },
      "GET /elsewhere": { status: 206 },
      "/lib.deb": { status: 200 },
    };
    const libmesosSource = `deb+${url}/lib.deb${digest}`;
    expect((await check(mesos(`${url}/mesos.tar.gz${digest}`, { libmesosSource }))).warnings).toEqual([]);
    expect(asked).toContain("HEAD /lib.deb");
  });

  test("that do not answer name the setting, and only Mesos' users are asked for Mesos", async () => {
    const gone = `${url}/gone.tar.gz${digest}`;
    expect((await problems(mesos(gone)))[0]).toContain(`mesosSource: got "${gone}"; its server answers 404`);
    const closed = `http://127.0.0.1:1/mesos.tar.gz${digest}`;
    expect((await problems(mesos(closed)))[0]).toContain("it cannot be downloaded: connection refused");
    expect((await check({ ...mesos(gone), architecture: "standalone" })).warnings).toEqual([]);
  });

  test("on this machine's disk are looked for there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "triplewide-test-"));
    try {
      const file = join(folder, "mesos.tar.gz");
      const source = `${pathToFileURL(file).href}${digest}`;
      expect((await problems(mesos(source)))[0]).toContain("there is no such file");
      writeFileSync(file, "");
      expect((await check(mesos(source))).warnings).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("that are mirrors for the machines only cause a warning", async () => {
    answers = { "/debian": { status: 404 }, "/simple": { status: 500 } };
    const { warnings } = await check({ aptMirror: `${url}/debian`, pythonIndex: `${url}/simple` });
    expect(warnings).toEqual([`pythonIndex: ${url}/simple answers 500`]);
    expect((await check({ aptMirror: "http://127.0.0.1:1/" })).warnings).toEqual([
      "aptMirror: http://127.0.0.1:1/ is not reached from here (connection refused); the machines will have to reach it",
    ]);
  });

  test("name a Marathon by its digest, or say that its tag decides what runs on the masters", async () => {
    const marathon = { architecture: "marathon-standalone", mesosSource: `docker://x/mesos@sha256:${"a".repeat(64)}` };
    expect((await check(marathon)).warnings).toEqual([
      expect.stringMatching(
        /^marathonSource: docker:\/\/mesosphere\/marathon:v1\.11\.24 has no digest.* as root on the masters/,
      ),
    ]);
    const digest = `@sha256:${"b".repeat(64)}`;
    expect((await check({ ...marathon, marathonSource: `docker://x/marathon${digest}` })).warnings).toEqual([]);
    expect((await check({ ...marathon, prebuiltImages: { marathon: `x/marathon${digest}` } })).warnings).toEqual([]);
  });

  test("that are registries answer 200 or 401, and a refused password is told from that", async () => {
    const registry = `${new URL(url).host}/team`;
    answers = { "/v2/": { status: 401, headers: { "www-authenticate": 'Bearer realm="x"' } } };
    expect((await check({ registry })).warnings).toEqual([]);
    answers = { "/v2/": { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } } };
    const login = { registryUser: "me", registryPassword: "pass" };
    expect((await check({ registry })).warnings).toEqual([]);
    const [line] = await problems({ registry, ...login });
    expect(line).toContain(`registryPassword: got "(secret)"; ${new URL(url).host} refuses it for user me`);
    expect(line).not.toContain('pass"');
    expect(asked.at(-1)).toBe(`GET /v2/ Basic ${Buffer.from("me:pass").toString("base64")}`);
    // Without TLS a registry elsewhere is not told the password, and so does not refuse it either. This address leads here, too.
    const elsewhere = `0.0.0.0:${new URL(url).port}/team`;
    expect((await check({ registry: elsewhere, ...login })).warnings).toEqual([]);
    expect(asked.at(-1)).toBe("GET /v2/");
    answers = {};
    expect((await problems({ registry }))[0]).toContain("its server answers 404 where a registry says 200 or 401");
    expect((await problems({ registry: "127.0.0.1:1/x" }))[0]).toContain("registry: got");
    expect((await check({ registry: "team" })).warnings).toEqual([]);
  });
});
