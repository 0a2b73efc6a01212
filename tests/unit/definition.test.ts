import fc from "fast-check";
import { Address4 } from "ip-address";
import { describe, expect, test } from "vitest";
import { architectureOf, mesosStartsExecutors } from "../../cluster/architectures/index.ts";
import { egressOf } from "../../cluster/firewall.ts";
import { agentNumbers } from "../../cluster/groups.ts";
import { describeCluster, loadConfig, validate } from "../../cluster/load.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { fill, placeholder, secretsIn } from "../../cluster/values.ts";
import { environments } from "../../config/load.ts";
import { ARCHITECTURES, type Architecture } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { publishedLinks } from "../../render/compose.ts";
import { renderService } from "../../render/content.ts";
import { planDocument, planText } from "../../render/plan.ts";
import { CLOUD, HIGHLY_AVAILABLE } from "../fixtures/configs.ts";

const SIZED_CLOUD = {
  ...CLOUD,
  flavorSizes: { "m1.medium": { vcpus: 2, ramMiB: 4096 }, "m1.large": { vcpus: 4, ramMiB: 8192 } },
};
const VERSIONS = { TRIPLEWIDE_VERSION: "0.0.0" };

/** A file of a service, with placeholders for what is not known yet. */
function contentOf(service: Service | undefined, path: string): string {
  const files = service ? renderService(service, placeholder).files : [];
  return files.find((file) => file.path === path)?.content ?? "";
}

const define = (raw: Record<string, unknown>): Cluster => describeCluster(validate(raw, "test"));
const inCloud = (raw: Record<string, unknown>): Cluster => define({ ...SIZED_CLOUD, ...raw });

describe.each(ARCHITECTURES)("%s", (architecture) => {
  test("small, on Docker: golden plan", async () => {
    const document = planDocument(define({ platform: "docker", architecture }), VERSIONS);
    await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot(
      `../golden/plan/${architecture}.docker.json`,
    );
  });

  test("three masters with HDFS, on OpenStack: golden plan", async () => {
    const raw = { ...HIGHLY_AVAILABLE, architecture, availabilityZones: ["a", "b", "c"] };
    const document = planDocument(inCloud(raw), VERSIONS);
    await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot(
      `../golden/plan/${architecture}.openstack.json`,
    );
  });

  test("no two services of a machine share a port", () => {
    const cluster = inCloud({ ...HIGHLY_AVAILABLE, architecture, dynamicAllocation: true });
    for (const [machine, services] of Map.groupBy(cluster.services, (s) => s.machine)) {
      const ranges = services.flatMap((s) =>
        s.ports.map((p) => ({ name: `${machine} ${s.name} ${p.name}`, first: p.port, last: p.last ?? p.port })),
      );
      for (const [i, a] of ranges.entries()) {
        for (const b of ranges.slice(i + 1))
          expect(a.last < b.first || b.last < a.first, `${a.name} and ${b.name}`).toBe(true);
      }
    }
  });

  test("one agent more changes no other machine, service, rule or secret", () => {
    const few = inCloud({ architecture, agentCount: 7, masterCount: 3 });
    const more = inCloud({ architecture, agentCount: 8, masterCount: 3 });
    const others = (c: Cluster) => ({
      machines: c.machines.filter((m) => m.name !== "agent-8"),
      services: c.services.filter((s) => s.machine !== "agent-8"),
      firewall: c.firewall,
      secrets: c.secrets,
    });
    expect(others(more)).toEqual(others(few));
    expect(more.machines.length).toBe(few.machines.length + 1);
  });

  test("removing agent-7 removes that one", () => {
    const before = inCloud({ architecture, agentCount: 10 });
    const after = inCloud({ architecture, agentCount: 9, removedAgents: ["agent-7"] });
    expect(after.machines).toEqual(before.machines.filter((m) => m.name !== "agent-7"));
  });

  test("agents hold none of the masters' secrets", () => {
    const held = inCloud({ architecture, masterCount: 3 })
      .secrets.filter((s) => s.groups.includes("agent"))
      .map((s) => s.name);
    // Where Marathon runs them, Spark's masters are on agents.
    const ofMasters = architectureOf({ architecture }).sparkMaster === "marathon" ? ["zookeeper-spark"] : [];
    const allowed = ["spark-auth", "mesos-agent", "mesos-agent-http", "registry", ...ofMasters];
    expect(held.filter((name) => !allowed.includes(name))).toEqual([]);
  });

  test("machines know no password by which images are pushed", () => {
    const cluster = inCloud({ architecture, masterCount: 3 });
    expect(cluster.secrets.find((s) => s.name === "registry-push")?.groups).toEqual(["registry"]);
    const rules = cluster.firewall.filter((r) => r.group === "registry" && r.first <= 5001 && r.last >= 5001);
    expect(rules).toEqual([]);
    expect(cluster.services.find((s) => s.name === "registry")?.health.probe).toMatchObject({ host: "127.0.0.1" });
  });

  test("rules name groups; only SSH names addresses, and those of the config", () => {
    for (const rule of inCloud({ architecture, masterCount: 3 }).firewall) {
      expect((rule.fromGroup === undefined) !== (rule.fromCidr === undefined)).toBe(true);
      if (rule.fromCidr)
        expect([rule.group, rule.first, rule.last, rule.fromCidr]).toEqual(["bastion", 22, 22, "198.51.100.7/32"]);
    }
  });

  test("drivers and executors are wired", () => {
    const { spark, machines } = inCloud({ architecture });
    expect(spark.conf["spark.master"]).toBe(spark.master);
    expect(spark.conf["spark.driver.host"]).toBe(machines.find((m) => m.name === "client")?.address);
    expect(spark.master).toMatch(
      mesosStartsExecutors({ architecture }) ? /^mesos:\/\/zk:\/\/[\d.]+:2181\/mesos$/ : /^spark:\/\/[\d.]+:7077/,
    );
    expect(spark.env.MESOS_NATIVE_JAVA_LIBRARY).toBe(
      mesosStartsExecutors({ architecture }) ? "/opt/mesos/lib/libmesos.so" : undefined,
    );
  });
});

test("a plan for people says that everything on Docker is a container", () => {
  const runsAs = (cluster: Cluster): string | undefined =>
    / {2}mesos-agent +\S+ +(\w+)/.exec(planText(cluster, VERSIONS, "test", false).split("Services")[1] ?? "")?.[1];
  expect(runsAs(define({ platform: "docker", architecture: "vanilla", agentCount: 1 }))).toBe("docker");
  expect(runsAs(inCloud({ architecture: "vanilla", agentCount: 1 }))).toBe("systemd");
});

test("networks that machines may connect to are named once each, as Neutron keeps them", () => {
  const named = (raw: RawConfig) => egressOf(inCloud(raw).config).map((rule) => rule.remoteIpPrefix ?? rule.ethertype);
  expect(named({})).toEqual(["IPv4", "IPv6"]);
  const egressCidrs = ["198.51.100.7/24", "198.51.100.0/24", "10.72.0.0/16"];
  expect(named({ egressCidrs, dnsServers: ["198.51.100.53"] })).toEqual([
    "10.72.0.0/16",
    "169.254.169.254/32",
    "198.51.100.53/32",
    "198.51.100.0/24",
  ]);
});

test("quota counts what OpenStack counts", () => {
  const { quota } = inCloud({ architecture: "standalone", masterCount: 3, agentCount: 4, datanodeCount: 2 });
  // bastion, registry, 3 masters, 4 agents, 2 datanodes, client
  expect(quota.instances).toBe(12);
  expect(quota.ports).toBe(14);
  expect(quota.vcpus).toBe(2 * 6 + 4 * 6);
  expect(quota.ramMiB).toBe(4096 * 6 + 8192 * 6);
  // registry 20, masters 3 x 10 (ZooKeeper, namenode), datanodes 2 x 100, client 20
  expect(quota.volumes).toBe(7);
  expect(quota.gigabytes).toBe(20 + 30 + 200 + 20);
  expect(quota.floatingIps).toBe(1);
  expect(quota.securityGroups).toBe(6);
  // Agents' volumes for what jobs leave on disks.
  const more = inCloud({ architecture: "standalone", masterCount: 3, agentCount: 4, datanodeCount: 2, scratchGb: 50 });
  expect(more.quota.volumes).toBe(7 + 4);
  expect(more.quota.gigabytes).toBe(270 + 200);
});

test.each(ARCHITECTURES)(
  "%s: what jobs leave on disks lies in one folder, which a scratch volume can hold",
  (architecture) => {
    const folder = "/var/lib/spark/work";
    const cluster = inCloud({ architecture, scratchGb: 50, dynamicAllocation: false });
    const agent = cluster.services.filter((s) => s.machine === "agent-1");
    expect(agent.some((s) => s.dirs.some((dir) => dir.path === folder))).toBe(true);
    // Spark's own workers read the folder from their file; executors on Mesos get it from their driver.
    const workers = cluster.services.concat().some((s) => s.name === "spark-worker") || cluster.apps.length > 0;
    expect(cluster.spark.conf["spark.local.dir"]).toBe(workers ? undefined : folder);
    for (const app of cluster.apps) expect(app.folders.includes(folder), app.id).toBe(app.id === "/spark/worker");
  },
);

test("a flavor of unknown size makes the totals unknown, not wrong", () => {
  const { quota } = inCloud({ agentFlavor: "other" });
  expect([quota.vcpus, quota.ramMiB]).toEqual([null, null]);
});

test("an object store is wired with its secret as a mark, on the client alone", () => {
  const { spark, secrets } = inCloud({ s3Endpoint: "http://s3.example.org:9000/", s3AccessKey: "a", s3SecretKey: "b" });
  expect(fill(spark.conf, placeholder)).toMatchObject({
    "spark.hadoop.fs.s3a.endpoint": "http://s3.example.org:9000",
    "spark.hadoop.fs.s3a.access.key": "a",
    "spark.hadoop.fs.s3a.secret.key": "{{secret:s3-secret-key}}",
  });
  expect(secrets.find((s) => s.name === "s3-secret-key")?.groups).toEqual(["client"]);
  expect(Object.keys(inCloud({}).spark.conf).filter((key) => key.includes("s3a"))).toEqual([]);
});

test("a container in the cloud's object store is wired with what the cloud gives, and named to people", () => {
  const { spark, secrets, services } = inCloud({ objectStore: "swift", clusterName: "lab" });
  expect(fill(spark.conf, placeholder)).toMatchObject({
    "spark.hadoop.fs.s3a.endpoint": "{{cloud:object-store-endpoint}}",
    "spark.hadoop.fs.s3a.endpoint.region": "{{cloud:object-store-region}}",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.access.key": "{{cloud:object-store-access-key}}",
    "spark.hadoop.fs.s3a.secret.key": "{{secret:s3-secret-key}}",
    "spark.triplewide.writeInstead": expect.stringContaining("s3a://lab-data/results"),
  });
  expect(secrets.find((s) => s.name === "s3-secret-key")?.groups).toEqual(["client"]);
  const gateway = services.find(({ name }) => name === "gateway");
  const landing = gateway?.files.map(({ content }) => JSON.stringify(content)).join("\n");
  expect(landing).toContain("s3a://lab-data/");
});

test("Java has its archives of classes, where it runs the Spark of the images", () => {
  for (const architecture of ARCHITECTURES) {
    const { conf } = inCloud({ architecture }).spark;
    expect(conf["spark.driver.defaultJavaOptions"]).toContain("executor.jsa:/opt/spark-classes/driver.jsa");
    expect(conf["spark.driver.extraClassPath"]).toBe("/opt/spark-classes/spark.jar");
    const fetched = architecture === "vanilla";
    expect("spark.executor.extraClassPath" in conf).toBe(!fetched);
    expect("spark.executor.defaultJavaOptions" in conf).toBe(!fetched);
  }
  // A class path from the config stays as it is, and the archive of classes is not used.
  const own = { "spark.executor.extraClassPath": "/opt/own.jar" };
  expect(inCloud({ sparkConf: own }).spark.conf).toMatchObject(own);
});

test("drivers on Mesos use agents again, beside plugins of people's own", () => {
  const sparkConf = { "spark.plugins": "org.example.Own" };
  const plugins = (c: object) => inCloud({ architecture: "docker-executors", ...c }).spark.conf["spark.plugins"];
  expect(plugins({})).toBe("triplewide.mesos.AgentsAgain,triplewide.mesos.ExecutorUser");
  expect(plugins({ sparkConf })).toBe("triplewide.mesos.AgentsAgain,triplewide.mesos.ExecutorUser,org.example.Own");
  expect(inCloud({ sparkConf }).spark.conf["spark.plugins"]).toBe("org.example.Own");
});

test("drivers get jars from the mirror, and trust whom the config trusts", () => {
  const pem = `-----BEGIN CERTIFICATE-----\nMII${"x".repeat(61)}\nxx==\n-----END CERTIFICATE-----\n`;
  const own = { mavenMirror: "https://maven.example.org/central/", trustedCertificates: [`MII${"x".repeat(61)} xx==`] };
  const jupyterOf = (cluster: Cluster) => cluster.services.find(({ name }) => name === "jupyter");
  for (const architecture of ARCHITECTURES) {
    const cluster = inCloud({ architecture, ...own });
    const jupyter = jupyterOf(cluster);
    const store = "-Djavax.net.ssl.trustStore=/home/spark/work/.trust/cacerts";
    expect(cluster.spark.conf).toMatchObject({
      "spark.jars.ivy": "/home/spark/work/.ivy2",
      "spark.jars.ivySettings": "/etc/triplewide/ivysettings.xml",
    });
    for (const of of ["driver", "executor"])
      expect(String(cluster.spark.conf[`spark.${of}.defaultJavaOptions`]).split(" ")).toContain(store);
    expect(contentOf(jupyter, "/etc/triplewide/ivysettings.xml")).toContain(
      'root="https://maven.example.org/central/"',
    );
    expect(contentOf(jupyter, "/etc/triplewide/trusted.pem")).toBe(pem);
    expect(jupyter?.command.slice(0, 4)).toEqual([
      ...["with-trust", "/etc/triplewide/trusted.pem", "/home/spark/work/.trust"],
      "jupyter",
    ]);
    expect(jupyter?.env.PIP_CERT).toBe("/home/spark/work/.trust/ca.pem");
  }
  const { spark } = inCloud({ ...own, sharedStorage: "none" });
  const trusting = Object.entries(spark.conf).filter(([, value]) => String(value).includes("trustStore"));
  expect(trusting.map(([key]) => key)).toEqual(["spark.driver.defaultJavaOptions"]);
  const plain = inCloud({});
  expect(plain.spark.conf["spark.jars.ivySettings"]).toBeUndefined();
  expect(jupyterOf(plain)?.command).toEqual(["jupyter", "lab"]);
});

test.each([
  [["nn1.example.org"], "hdfs://nn1.example.org:9000"],
  [["nn1.example.org", "10.1.0.7"], "hdfs://cluster"],
])("an HDFS that is there already: %j", (existingNamenodes, defaultFs) => {
  const cluster = inCloud({
    ...{ architecture: "vanilla", executorSource: "hdfs", historyServer: true },
    ...{ existingNamenodes, namenodePort: 9000 },
  });
  expect(cluster.services.filter(({ name }) => /namenode|datanode|journal/.test(name))).toEqual([]);
  expect(cluster.spark.conf).toMatchObject({
    "spark.hadoop.fs.defaultFS": defaultFs,
    "spark.eventLog.dir": `${defaultFs}/spark-events`,
  });
  expect(cluster.spark.options?.slice(0, 2)).toEqual(["/usr/local/bin/executor-uri", `${defaultFs}/spark`]);
  const client = cluster.services.find(({ name }) => name === "jupyter");
  const site = contentOf(client, "/etc/hadoop/hdfs-site.xml");
  for (const host of existingNamenodes) expect(site).toContain(`<value>${host}:9000</value>`);
  // These settings are for the existing HDFS to decide.
  expect(site).not.toMatch(/dfs\.(replication|datanode|journalnode|namenode\.name)/);
  const agent = cluster.services.find(({ name }) => name === "mesos-agent");
  expect(contentOf(agent, "/etc/mesos/hadoop/bin/hadoop")).toContain(
    JSON.stringify(existingNamenodes.map((host) => `${host}:9870`)),
  );
});

test("the history server, whose pages ask for no login, holds no secret of drivers", () => {
  const s3 = { s3Endpoint: "https://s3.example.org", s3AccessKey: "a", s3SecretKey: "b" };
  for (const architecture of ARCHITECTURES) {
    const { services } = inCloud({ architecture, datanodeCount: 1, historyServer: true, ...s3 });
    const of = (name: string) => services.find((s) => s.name === name);
    expect(secretsIn(of("jupyter"))).toEqual(expect.arrayContaining(["spark-auth", "s3-secret-key"]));
    expect(secretsIn(of("history-server"))).toEqual([]);
  }
});

test("the folder of event logs is made before anyone needs it", () => {
  const { services, spark } = inCloud({ datanodeCount: 1, historyServer: true });
  const folder = String(spark.conf["spark.eventLog.dir"]).replace(/^hdfs:\/\/[^/]+/, "");
  const server = services.find((s) => s.name === "history-server");
  expect(server?.command[2]).toMatch(new RegExp(`^hdfs dfs -mkdir -p ${folder} && exec .*HistoryServer `));
});

test("Mesos' quorum follows from the count of masters", () => {
  for (const [masters, quorum] of [
    [1, "1"],
    [3, "2"],
    [5, "3"],
    [7, "4"],
  ] as const) {
    const { services } = inCloud({ architecture: "vanilla", masterCount: masters });
    const found = services.filter((s) => s.name === "mesos-master").map((s) => s.env.MESOS_quorum);
    expect(found).toEqual(Array(masters).fill(quorum));
  }
});

test.each(environments(ROOT))("every environment of the repository is valid: %s", (environment) => {
  const cluster = describeCluster(loadConfig(ROOT, environment));
  expect(cluster.machines.length).toBeGreaterThan(2);
});

describe("further frameworks on Mesos", () => {
  const cluster = inCloud({ architecture: "vanilla", masterCount: 3, mesosFrameworks: ["flink"] });
  const file = (service: string, path: string): string =>
    contentOf(
      cluster.services.find((s) => s.name === service),
      path,
    );

  test("each registers in the role of its name, with a secret that only masters and the client hold", () => {
    const { credentials } = JSON.parse(file("mesos-master", "/etc/mesos/credentials.json"));
    expect(credentials).toContainEqual({ principal: "flink", secret: "{{secret:mesos-flink}}" });
    const rules = JSON.parse(file("mesos-master", "/etc/mesos/acls.json")).register_frameworks;
    expect(rules.at(-2)).toEqual({ principals: { values: ["flink"] }, roles: { values: ["flink"] } });
    expect(rules.at(-1)).toEqual({ principals: { type: "ANY" }, roles: { type: "NONE" } });
    expect(JSON.parse(file("jupyter", "/etc/mesos/frameworks/flink.json"))).toEqual({
      principal: "flink",
      secret: "{{secret:mesos-flink}}",
    });
    expect(cluster.secrets.find((secret) => secret.name === "mesos-flink")?.groups).toEqual(["client", "master"]);
  });
});

describe("what tasks may have", () => {
  const policyOf = (raw: Record<string, unknown>) =>
    JSON.parse(
      contentOf(
        inCloud({ masterCount: 1, ...raw }).services.find((s) => s.name === "mesos-agent"),
        "/etc/mesos/docker-policy.json",
      ),
    );

  test.each(ARCHITECTURES.filter((architecture) => architectureOf({ architecture }).mesos !== "none"))(
    "%s: each principal runs tasks as its own user, and nobody as root",
    (architecture) => {
      const cluster = inCloud({ architecture, masterCount: 3, mesosFrameworks: ["flink"] });
      const master = cluster.services.find((s) => s.name === "mesos-master");
      const acls = JSON.parse(contentOf(master, "/etc/mesos/acls.json"));
      const rules: { principals: object; users: { values?: string[] } }[] = acls.run_tasks;
      expect(rules.at(-1)).toEqual({ principals: { type: "ANY" }, users: { type: "NONE" } });
      expect(rules).toContainEqual({ principals: { values: ["spark"] }, users: { values: ["spark"] } });
      expect(rules).toContainEqual({ principals: { values: ["flink"] }, users: { values: ["task-flink"] } });
      expect(rules.flatMap(({ users }) => users.values ?? [])).not.toContain("root");
      expect(cluster.services.find((s) => s.name === "mesos-agent")?.command.at(-1)).toBe("task-flink");
      // A GET can change the log level too, so only the operator may use every path.
      expect(acls.get_endpoints.filter(({ paths }: { paths: object }) => "type" in paths)).toEqual([
        { principals: { values: ["admin"] }, paths: { type: "ANY" } },
      ]);
    },
  );

  test.each(ARCHITECTURES.filter((architecture) => architectureOf({ architecture }).mesos !== "none"))(
    "%s: every process with libprocess takes messages only from the address that they name",
    (architecture) => {
      const { services, spark } = inCloud({ architecture, masterCount: 3 });
      const name = "LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH";
      const talking = services.filter((s) => /^(mesos-master|mesos-agent|marathon)$/.test(s.name));
      expect(talking.map((s) => s.env[name])).toEqual(talking.map(() => "true"));
      const agent = services.find((s) => s.name === "mesos-agent");
      expect(JSON.parse(String(agent?.env.MESOS_executor_environment_variables))).toHaveProperty(name, "true");
      const drivers = mesosStartsExecutors({ architecture }) ? [spark, services.find((s) => s.name === "jupyter")] : [];
      expect(drivers.map((d) => d?.env[name])).toEqual(drivers.map(() => "true"));
      if (architectureOf({ architecture }).agentsStartContainers)
        expect(contentOf(agent, "/etc/mesos/libprocess.env")).toBe(`${name}=true\n`);
    },
  );

  test.each(ARCHITECTURES.filter((architecture) => architectureOf({ architecture }).mesos !== "none"))(
    "%s: the masters reach agents' Mesos, and the operator; drivers are reached by the masters",
    (architecture) => {
      const reach = (raw: RawConfig, group: string, port: number): (string | undefined)[] =>
        inCloud({ architecture, masterCount: 3, ...raw })
          .firewall.filter((r) => r.group === group && r.first <= port && port <= r.last)
          .map((r) => r.fromGroup);
      expect(reach({}, "agent", 5051)).toEqual(["bastion", "master"]);
      // 40000 stands for a port that the operating system chooses.
      expect(reach({}, "client", 40000)).toEqual(["master"]);
      expect(reach({ mesosFrameworks: ["flink"] }, "client", 40000)).toEqual(["master", "agent"]);
    },
  );

  test("agents' Docker takes the images and folders that the config names", () => {
    const own = policyOf({ architecture: "docker-executors", dynamicAllocation: false, sharedStorage: "none" });
    expect(own.images).toEqual(["{{image:spark-python}}"]);
    expect(own.volumes).toEqual({ "/etc/spark/executor.token": { mode: "ro", notRoles: [] } });
    const flink = policyOf({ architecture: "docker-executors", mesosFrameworks: ["flink"] });
    expect(flink.volumes).toMatchObject({ "/etc/spark/executor.token": { mode: "ro", notRoles: ["flink"] } });
    const more = policyOf({
      architecture: "marathon-standalone",
      sharedStorage: "none",
      taskImages: ["docker.elastic.co/elasticsearch/elasticsearch:8.15.3"],
      taskVolumes: ["/srv/index"],
    });
    expect(more.images).toEqual(["{{image:spark-python}}", "docker.elastic.co/elasticsearch/elasticsearch:8.15.3"]);
    expect(more.volumes).toEqual({
      "/srv/index": { mode: "rw" },
      "/var/lib/spark/work": { mode: "rw" },
      "/etc/spark/spark-defaults.conf": { mode: "ro", role: "marathon" },
    });
  });
});

describe("properties of addresses", () => {
  const sizes = fc.record({
    architecture: fc.constantFrom<Architecture>(...ARCHITECTURES),
    masterCount: fc.constantFrom(1, 3, 5, 7),
    agentCount: fc.integer({ min: 1, max: 200 }),
    datanodeCount: fc.integer({ min: 0, max: 40 }),
    zookeeperPlacement: fc.constantFrom("masters", "own"),
    removedAgents: fc.uniqueArray(
      fc.integer({ min: 1, max: 60 }).map((n) => `agent-${n}`),
      { maxLength: 20 },
    ),
    networkCidr: fc.constantFrom("10.72.0.0/16", "192.168.128.0/22", "172.20.0.0/20", "10.0.0.0/23"),
  });

  test("all different, all inside the network, none the network's own", () => {
    fc.assert(
      fc.property(sizes, (raw) => {
        const { machines, config } = inCloud(raw);
        const network = new Address4(config.networkCidr);
        const addresses = machines.map((m) => m.address);
        expect(new Set(addresses).size).toBe(addresses.length);
        expect(new Set(machines.map((m) => m.name)).size).toBe(machines.length);
        const edges = [network.startAddress(), network.endAddress()].map((a) => a.addressMinusSuffix);
        const outside = addresses.filter((a) => !new Address4(a).isInSubnet(network) || edges.includes(a));
        expect(outside).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  test("agents are as many as asked for, without the removed, each at the address of its number", () => {
    fc.assert(
      fc.property(sizes, ({ agentCount, removedAgents }) => {
        const numbers = agentNumbers({ agentCount, removedAgents });
        expect(numbers.length).toBe(agentCount);
        expect(numbers.filter((n) => removedAgents.includes(`agent-${n}`))).toEqual([]);
        expect([...numbers].sort((a, b) => a - b)).toEqual(numbers);
      }),
    );
  });

  test("availability zones are spread evenly", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 4 }), (agentCount, zones) => {
        const availabilityZones = Array.from({ length: zones }, (_, i) => `zone-${i}`);
        const agents = inCloud({ agentCount, availabilityZones }).machines.filter((m) => m.group === "agent");
        const counts = availabilityZones.map((zone) => agents.filter((m) => m.availabilityZone === zone).length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

test("every published port names the config key that moves it, and the config takes that key", () => {
  const raw = { platform: "docker", gateway: false, datanodeCount: 1, historyServer: true };
  const links = publishedLinks(describeCluster(validate(raw, "test")));
  expect(links.map(({ key }) => key)).toContain("historyServerPort");
  for (const { key, port } of links) {
    if (key === undefined) throw new Error(`nothing moves port ${port}`);
    const moved = publishedLinks(describeCluster(validate({ ...raw, [key]: port + 1000 }, "test")));
    expect(
      moved.map((link) => link.port),
      key,
    ).toContain(port + 1000);
  }
});
