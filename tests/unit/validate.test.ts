import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hasMesos } from "../../cluster/architectures/index.ts";
import { zookeeperMembers } from "../../cluster/groups.ts";
import { validate } from "../../cluster/load.ts";
import { usedPorts } from "../../cluster/ports.ts";
import { ConfigError } from "../../config/problems.ts";
import { ARCHITECTURES, type Architecture } from "../../config/schema.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";

const { script } = readCheckout();

const local = { platform: "docker" };

const keysOf = (raw: Record<string, unknown>): string[] => problems(raw).map((p) => p.key);

describe("bad input", () => {
  test("every problem is reported at once, with key, value, rule and fix", () => {
    const raw = { ...local, agentCuont: 3, masterCount: 2, agentCount: "none", jupyterPort: 80, mesosRole: "a b" };
    const found = problems(raw);
    expect(found.map((p) => p.key).sort()).toEqual([
      "agentCount",
      "agentCuont",
      "jupyterPort",
      "masterCount",
      "mesosRole",
    ]);
    for (const p of found) {
      expect(p.rule).not.toBe("");
      expect(p.fix).not.toBe("");
      expect(p.value).toBe(raw[p.key as keyof typeof raw]);
    }
    const message = new ConfigError("test", found).message;
    expect(message).toContain("test: 5 problems in the config, nothing was changed.");
    expect(message).toContain(
      "agentCuont: got 3; must be a key of docs/CONFIG.md. Fix: write agentCount, or remove it.",
    );
    expect(message).toContain('agentCount: got "none"; must be a whole number from 1 to 2000.');
  });

  test.each([
    [{ masterCount: 2 }, "masterCount"],
    [{ masterCount: 4 }, "masterCount"],
    [{ zookeeperCount: 2 }, "zookeeperCount"],
    [{ agentCount: 0 }, "agentCount"],
    [{ agentCount: 2.5 }, "agentCount"],
    [{ sparkMasterPort: 4050 }, "sparkMasterPort"],
    [{ jupyterPort: 7231 }, "jupyterPort"],
    [{ networkCidr: "10.0.0.0/26" }, "networkCidr"],
    [{ networkCidr: "10.0.0.7/16" }, "networkCidr"],
    [{ networkCidr: "10.0.0.0" }, "networkCidr"],
    [{ networkCidr: "169.254.0.0/16" }, "networkCidr"],
    [{ sparkVersion: "3.5.9" }, "sparkVersion"],
    [{ architecture: "vanilla", executorSource: "hdfs" }, "executorSource"],
    [{ namenodeCount: 2, datanodeCount: 1 }, "namenodeCount"],
    [{ historyServer: true }, "historyServer"],
    [{ existingNamenodes: ["nn1"], datanodeCount: 1 }, "existingNamenodes"],
    [{ existingNamenodes: ["nn1", "nn2", "nn3"] }, "existingNamenodes"],
    [{ existingNamenodes: ["hdfs://nn1:8020"] }, "existingNamenodes[0]"],
    [{ zookeeperCount: 3, masterCount: 1 }, "zookeeperCount"],
    [{ architecture: "vanilla", mesosSource: "https://example.org/mesos.tar.gz" }, "mesosSource"],
    [{ removedAgents: ["worker-1"] }, "removedAgents[0]"],
    [{ removedAgents: ["agent-1", "agent-1"] }, "removedAgents"],
    [{ sparkConf: { "spark.x": 3 } }, "sparkConf.spark.x"],
    [{ clusterName: "No_Name" }, "clusterName"],
    [{ s3Endpoint: "https://s3.example.org", s3AccessKey: "a" }, "s3SecretKey"],
    [{ objectStore: "swift" }, "objectStore"],
    [{ objectStore: "s3" }, "objectStore"],
    [{ sharedStorage: "manila" }, "sharedStorage"],
    [{ shareType: "generic" }, "shareType"],
    [{ s3Endpoint: "s3.example.org", s3AccessKey: "a", s3SecretKey: "b" }, "s3Endpoint"],
    [{ s3Endpoint: "https://s3.example.org", s3AccessKey: "a", s3SecretKey: "(secret)" }, "s3SecretKey"],
    [{ mavenMirror: "https://me:word@maven.example.org/" }, "mavenMirror"],
    [{ mavenMirror: 'https://maven.example.org/"/><x y="' }, "mavenMirror"],
    [{ trustedCertificates: ["/etc/ssl/certs/site.pem"] }, "trustedCertificates[0]"],
    [{ architecture: "marathon-standalone", agentMemoryMiB: 2815 }, "agentMemoryMiB"],
    [{ architecture: "marathon-standalone", agentCount: 3, marathonWorkers: 4 }, "marathonWorkers"],
  ])("%j is refused at %s alone", (raw, key) => {
    expect([...new Set(keysOf({ ...local, ...raw }))]).toEqual([key]);
  });

  test("one object store is enough, and the message says which keys name the other", () => {
    const s3 = { s3Endpoint: "https://s3.example.org", s3AccessKey: "a", s3SecretKey: "b" };
    const message = new ConfigError("test", problems({ ...CLOUD, objectStore: "swift", ...s3 })).message;
    expect(message.match(/^ {2}\w+:.*$/gm)).toEqual([
      '  objectStore: got "swift"; must be none while s3Endpoint, s3AccessKey, s3SecretKey name an object store: one is enough. Fix: remove it, or those.',
    ]);
  });

  test("OpenStack needs what only the user can know", () => {
    expect(keysOf({}).sort()).toEqual(["adminCidrs", "agentFlavor", "externalNetwork", "image", "masterFlavor"]);
  });

  test.each([
    [3, ["a"], true],
    [3, ["a", "b"], false],
    [3, ["a", "b", "c"], true],
    [5, ["a", "b", "c"], true],
    [7, ["a", "b", "c"], true],
    [1, ["a", "b"], true],
  ])(
    "%i masters in the zones %j: the loss of one zone leaves a majority, or it is refused",
    (masterCount, availabilityZones, fine) => {
      const raw = { ...CLOUD, masterCount, availabilityZones };
      expect(keysOf(raw)).toEqual(fine ? [] : ["availabilityZones"]);
      expect(keysOf({ ...raw, antiAffinity: "soft" })).toEqual([]);
    },
  );

  test("administrators come from outside, and not from everywhere", () => {
    expect(keysOf({ ...CLOUD, adminCidrs: ["0.0.0.0/0"] })).toEqual(["adminCidrs"]);
    expect(keysOf({ ...CLOUD, adminCidrs: ["10.72.3.0/24"] })).toEqual(["adminCidrs"]);
    expect(keysOf({ ...CLOUD, adminCidrs: ["198.51.100.7/32"] })).toEqual([]);
    expect(keysOf({ ...CLOUD, adminCidrs: ["192.168.0.0/16", "172.16.0.0/12"] })).toEqual([]);
  });

  test.each([
    [["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"]],
    [["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"]],
    // All addresses except one block.
    [Array.from({ length: 224 }, (_, i) => `${i}.0.0.0/8`).filter((cidr) => cidr !== "10.0.0.0/8")],
    [["1.0.0.0/6", "1.0.0.0/8", "5.0.0.0/9"]],
  ])("nor from the world in pieces: %j", (adminCidrs) => {
    expect(keysOf({ ...CLOUD, networkCidr: "10.72.0.0/16", adminCidrs })).toContain("adminCidrs");
  });

  test.each([
    { adminCidrs: ["2001:db8::/32"] },
    { userCidrs: ["2001:db8::/32"], tls: "own" },
    { egressCidrs: ["2001:db8::/32"] },
    { networkCidr: "fd00::/48" },
    { dockerCidr: "fd00::/64" },
    { dnsServers: ["2001:db8::1"] },
    { dnsServers: ["::ffff:198.51.100.1"] },
    { ntpServers: ["2001:db8::1"] },
    { noProxy: ["2001:db8::/32"] },
    { httpProxy: "http://[2001:db8::1]:3128" },
    { s3Endpoint: "http://[2001:db8::1]:9000" },
  ])("IPv6 is refused in %j", (over) => {
    const keys = keysOf({ ...CLOUD, ...over }).map((key) => key.replace(/\[.*/, ""));
    expect(keys).toContain(Object.keys(over)[0]);
  });

  test("networks that overlap count once", () => {
    expect(keysOf({ ...CLOUD, adminCidrs: ["12.0.0.0/6", "13.0.0.0/8", "12.1.0.0/16"] })).toEqual([]);
  });

  test.each([
    ["0.0.0.0", ["bindAddress"]],
    ["192.168.1.7", ["bindAddress"]],
    ["127.0.0.1", []],
    ["127.5.0.1", []],
  ])("on Docker, pages on %s: %j, unless the config says so", (bindAddress, keys) => {
    expect(keysOf({ ...local, bindAddress })).toEqual(keys);
    expect(keysOf({ ...local, bindAddress, openToNetwork: true })).toEqual([]);
  });

  test("a secret's value is not in the message", () => {
    const message = new ConfigError("test", problems({ ...local, platform: "openstack", registryPassword: "hunter2" }))
      .message;
    expect(message).toContain("registryPassword");
    expect(message).not.toContain("hunter2");
  });
});

describe("what the CLI wrote as text", () => {
  test("is read as the key's own kind", () => {
    const c = validate(
      { ...local, agentCount: "3", dataVolumes: "false", removedAgents: '["agent-2"]', sparkConf: '{"spark.x": "1"}' },
      "test",
    );
    expect(c.agentCount).toBe(3);
    expect(c.dataVolumes).toBe(false);
    expect(c.removedAgents).toEqual(["agent-2"]);
    expect(c.sparkConf).toEqual({ "spark.x": "1" });
  });
});

describe("properties", () => {
  const architectures = fc.constantFrom<Architecture>(...ARCHITECTURES);

  test("only odd counts of masters pass, and ZooKeeper always has a majority", () => {
    fc.assert(
      fc.property(architectures, fc.integer({ min: -1, max: 9 }), (architecture, masterCount) => {
        const raw = { ...local, architecture, masterCount };
        if (![1, 3, 5, 7].includes(masterCount)) return keysOf(raw).includes("masterCount");
        const members = zookeeperMembers(validate(raw, "test"));
        return members === 0
          ? !hasMesos({ architecture }) && masterCount === 1
          : members % 2 === 1 && members <= masterCount;
      }),
    );
  });

  test("a config whose ports overlap never passes; one whose ports are apart does", () => {
    fc.assert(
      fc.property(
        architectures,
        fc.integer({ min: 1024, max: 65000 }),
        fc.integer({ min: 1024, max: 65000 }),
        (architecture, a, b) => {
          const raw = { ...local, architecture, jupyterPort: a, driverPort: b };
          const config = validate({ ...local, architecture }, "test");
          const ranges = usedPorts({ ...config, jupyterPort: a, driverPort: b }, script);
          const apart = ranges.every((r, i) => ranges.every((s, j) => i === j || r.last < s.first || s.last < r.first));
          return (keysOf(raw).length === 0) === apart;
        },
      ),
      { numRuns: 300 },
    );
  });

  test("control groups are Mesos' alone", () => {
    expect(keysOf({ ...local, architecture: "docker-executors", mesosCgroups: "1" })).toEqual([]);
    expect(keysOf({ ...local, architecture: "standalone", mesosCgroups: "2" })).toEqual(["mesosCgroups"]);
    expect(keysOf({ ...local, architecture: "vanilla", mesosCgroups: "3" })).toEqual(["mesosCgroups"]);
  });

  test("a further framework has a name of its own", () => {
    const mesos = { ...local, architecture: "vanilla" };
    expect(keysOf({ ...mesos, mesosFrameworks: ["flink", "batch-2"] })).toEqual([]);
    for (const name of ["spark", "marathon", "agent", "agent-http", "admin"]) {
      const found = problems({ ...mesos, mesosFrameworks: ["flink", name] });
      expect(found.map((p) => [p.key, p.value])).toEqual([["mesosFrameworks", name]]);
    }
    expect(keysOf({ ...mesos, mesosRole: "flink", mesosFrameworks: ["flink"] })).toEqual(["mesosFrameworks"]);
    expect(keysOf({ ...mesos, mesosFrameworks: ["flink", "flink"] })).toEqual(["mesosFrameworks"]);
  });

  test.each([
    ["taskImages", ["elasticsearch"]],
    ["taskImages", ["--privileged"]],
    ["taskVolumes", ["/"]],
    ["taskVolumes", ["/etc"]],
    ["taskVolumes", ["/run/docker.sock"]],
    ["taskVolumes", ["/srv/../etc"]],
    ["taskVolumes", ["/srv"]],
    ["taskVolumes", ["/var/lib/docker"]],
    ["taskVolumes", ["/srv/a:/etc"]],
  ])("containers of tasks get no image without a tag and no folder of the system: %s %j", (key, value) => {
    expect(keysOf({ ...local, architecture: "docker-executors", [key]: value })).toEqual([`${key}[0]`]);
  });

  test("no text whatever makes the validator throw anything but its list", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom("agentCount", "masterCount", "networkCidr", "adminCidrs", "sparkConf", "x"),
          fc.jsonValue(),
        ),
        (raw) => {
          problems({ ...local, ...raw });
        },
      ),
    );
  });
});

describe("Docker's bridge on machines", () => {
  const cloud = { ...CLOUD, architecture: "standalone" };
  const refused = (raw: Record<string, unknown>): string[] =>
    problems({ ...cloud, ...raw }).map(({ key, value, rule }) => `${key} ${value}: ${rule}`);

  test.each([
    [{ dnsServers: ["172.17.0.53"] }, "172.17.0.53 (dnsServers)"],
    [{ egressCidrs: ["172.17.8.0/24"], dnsServers: ["10.0.0.2"] }, "172.17.8.0/24 (egressCidrs)"],
    [{ existingNamenodes: ["172.17.9.9"] }, "172.17.9.9 (existingNamenodes)"],
    [{ registry: "172.17.1.2:5000/team" }, "172.17.1.2 (registry)"],
    [{ aptMirror: "http://me@172.17.1.2/debian" }, "172.17.1.2 (aptMirror)"],
  ])("may not hide what %j names", (raw, what) => {
    expect(refused(raw)).toEqual([`dockerCidr 172.17.0.0/16: apart from ${what}, which machines could not reach`]);
    expect(refused({ ...raw, dockerCidr: "10.200.0.0/24" })).toEqual([]);
  });

  test("lies outside of the cluster's network, wherever it is, and names are not looked up", () => {
    expect(refused({ networkCidr: "172.17.0.0/16" })).toEqual([
      "networkCidr 172.17.0.0/16: apart from 172.17.0.0/16 (dockerCidr, Docker's own bridge on every machine)",
    ]);
    expect(refused({ networkCidr: "172.17.0.0/16", dockerCidr: "10.200.0.0/24" })).toEqual([]);
    expect(refused({ dockerCidr: "10.72.9.0/24" })).toEqual([
      expect.stringMatching(/^networkCidr 10\.72\.0\.0\/16: apart/),
    ]);
    expect(refused({ registry: "registry.example.org", aptMirror: "https://172.17.example.org/" })).toEqual([]);
    expect(refused({ egressCidrs: ["172.16.0.0/12"], dnsServers: ["10.0.0.2"] })).toEqual([]);
    expect(problems({ ...local, dnsServers: ["172.17.0.2"] })).toEqual([]);
  });
});

test("there are as many zones of volumes as of machines", () => {
  const rules = (raw: Record<string, unknown>): string[] =>
    problems({ ...CLOUD, architecture: "standalone", ...raw }).map(({ key, rule }) => `${key}: ${rule}`);
  expect(rules({ volumeZones: ["cinder"] })).toEqual([]);
  expect(rules({ volumeZones: ["cinder"], availabilityZones: ["a"] })).toEqual([]);
  expect(rules({ volumeZones: ["x", "y"] })).toEqual(["volumeZones: one zone where availabilityZones is empty"]);
  expect(rules({ volumeZones: ["x"], availabilityZones: ["a", "b"], antiAffinity: "soft" })).toEqual([
    "volumeZones: as many as availabilityZones (2)",
  ]);
});

test("tables and lists are taken from the command line as stack files have them", () => {
  const told = {
    users: "{alice: {}, bob: {admin: true}}",
    notebooks: "hub",
    platform: "docker",
    prices: "{m1.large: 0.1}",
  };
  const config = validate({ ...told, dnsServers: "[10.1.0.1]" }, "test");
  expect(config).toMatchObject({
    users: { alice: {}, bob: { admin: true } },
    prices: { "m1.large": 0.1 },
    dnsServers: ["10.1.0.1"],
  });
});
