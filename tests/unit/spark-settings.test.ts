import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { placeholder } from "../../cluster/values.ts";
import { ConfigError } from "../../config/problems.ts";
import { ARCHITECTURES, type Architecture } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { renderService } from "../../render/content.ts";
import { capacity, planText } from "../../render/plan.ts";
import { CLOUD } from "../fixtures/configs.ts";

const define = (raw: RawConfig): Cluster => describeCluster(validate(raw, "test"));
const inCloud = (raw: RawConfig): Cluster => define({ ...CLOUD, ...raw });
const local = (raw: RawConfig): Cluster => define({ platform: "docker", ...raw });

function problemsOf(raw: RawConfig): string[] {
  try {
    validate({ ...CLOUD, ...raw }, "test");
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ key, value, rule, fix }) => `${key} ${value}: ${rule}; ${fix}`);
  }
}

const serviceOf = (cluster: Cluster, name: string): Service => {
  const service = cluster.services.find((s) => s.name === name);
  if (!service) throw new Error(`no service ${name}`);
  return service;
};

/** The properties that a service reads, by name. */
function propertiesOf(cluster: Cluster, name: string): Record<string, string> {
  const { files } = renderService(serviceOf(cluster, name), placeholder);
  const text = files.find((file) => file.path === "/etc/spark/spark-defaults.conf")?.content ?? "";
  return Object.fromEntries(
    text.split("\n").flatMap((line) => (line === "" ? [] : [[line.split(" ")[0], line.slice(line.indexOf(" ") + 1)]])),
  );
}

/** One property for each kind of process that reads it, and one that both ends of a connection need. */
const GIVEN = {
  "spark.sql.shuffle.partitions": "7",
  "spark.network.timeout": "121s",
  "spark.ui.retainedTasks": "99",
  "spark.shuffle.io.maxRetries": "9",
};
const STANDALONE = { ...GIVEN, "spark.worker.timeout": "61", "spark.deploy.retainedDrivers": "3" };

describe("encryption", () => {
  /** Properties that must be equal at both ends of a connection. */
  const connection = (properties: Record<string, string>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(properties).filter(([name]) => /^spark\.(network\.crypto\.|authenticate$)/.test(name)),
    );
  /** The properties of the first connection of an executor that Mesos starts. */
  const firstOnMesos = (options = ""): Record<string, string> =>
    Object.fromEntries(options.split(" ").map((option) => option.replace(/^-D/, "").split("=") as [string, string]));

  test.each(ARCHITECTURES)("%s: every Spark process says the same of its connections", (architecture) => {
    const cluster = inCloud({ architecture });
    const driver = connection(propertiesOf(cluster, "jupyter"));
    expect(driver).toMatchObject({
      "spark.network.crypto.enabled": "true",
      "spark.network.crypto.cipher": "AES/GCM/NoPadding",
      "spark.network.crypto.saslFallback": "false",
    });
    const others = cluster.services.filter(
      ({ name, files }) => name !== "history-server" && files.some(({ path }) => path.endsWith("spark-defaults.conf")),
    );
    for (const { name } of others) expect(connection(propertiesOf(cluster, name)), name).toEqual(driver);
    const options = cluster.spark.conf["spark.executorEnv.JAVA_TOOL_OPTIONS"];
    if (options !== undefined) expect(firstOnMesos(String(options))).toEqual(driver);
  });

  test.each([
    ["standalone", "true"],
    ["marathon-standalone", "true"],
    // Spark refuses to start with this property there.
    ["vanilla", undefined],
    ["docker-executors", undefined],
    ["mesos-in-docker", undefined],
  ] as const)("%s: what jobs leave on disks is encrypted: %s", (architecture, enabled) => {
    expect(inCloud({ architecture }).spark.conf["spark.io.encryption.enabled"]).toBe(enabled);
  });

  test("can be switched off, and the plan says so", () => {
    const cluster = inCloud({ encryption: false });
    expect(Object.keys(propertiesOf(cluster, "jupyter")).filter((name) => /crypt/.test(name))).toEqual([]);
    expect(planText(cluster, {}, "test", false)).toContain("encryption is off");
    expect(planText(inCloud({}), {}, "test", false)).not.toContain("encryption is off");
  });
});

describe("each property of sparkConf is read by those that it concerns", () => {
  /** The keys of the given properties that a service has. */
  const given = (cluster: Cluster, name: string): string[] =>
    Object.keys(propertiesOf(cluster, name)).filter((property) => property in { ...STANDALONE, ...HISTORY });
  const HISTORY = { "spark.history.retainedApplications": "5" };

  test("standalone: driver, worker, master, history server", () => {
    const cluster = inCloud({ datanodeCount: 1, historyServer: true, sparkConf: { ...STANDALONE, ...HISTORY } });
    expect(given(cluster, "jupyter")).toEqual([
      "spark.network.timeout",
      "spark.shuffle.io.maxRetries",
      "spark.sql.shuffle.partitions",
      "spark.ui.retainedTasks",
    ]);
    expect(given(cluster, "spark-worker")).toEqual([
      "spark.network.timeout",
      "spark.shuffle.io.maxRetries",
      "spark.ui.retainedTasks",
      "spark.worker.timeout",
    ]);
    expect(given(cluster, "spark-master")).toEqual([
      "spark.deploy.retainedDrivers",
      "spark.network.timeout",
      "spark.ui.retainedTasks",
    ]);
    expect(given(cluster, "history-server")).toEqual([
      "spark.history.retainedApplications",
      "spark.network.timeout",
      "spark.ui.retainedTasks",
    ]);
  });

  test("Marathon's master and workers read one file", () => {
    const cluster = inCloud({ architecture: "marathon-standalone", sparkConf: STANDALONE });
    expect(given(cluster, "mesos-agent")).toEqual([
      "spark.deploy.retainedDrivers",
      "spark.network.timeout",
      "spark.shuffle.io.maxRetries",
      "spark.ui.retainedTasks",
      "spark.worker.timeout",
    ]);
  });

  test.each(["vanilla", "docker-executors", "mesos-in-docker"] as const)("%s: the shuffle service", (architecture) => {
    const cluster = inCloud({ architecture, dynamicAllocation: true, sparkConf: GIVEN });
    expect(given(cluster, "shuffle")).toEqual(["spark.network.timeout", "spark.shuffle.io.maxRetries"]);
  });

  test("the history server holds no secret", () => {
    const cluster = inCloud({ datanodeCount: 1, historyServer: true });
    expect(JSON.stringify(renderService(serviceOf(cluster, "history-server"), placeholder).files)).not.toContain(
      "secret",
    );
  });
});

describe("a property that cannot stand in sparkConf is refused with what to do", () => {
  const cases: readonly (readonly [Architecture, string, RegExp])[] = [
    ["standalone", "spark.executor.memory", /set executorMemoryMiB instead/],
    ["standalone", "spark.executor.memoryOverhead", /set executorMemoryOverheadMiB instead/],
    ["standalone", "spark.cores.max", /set coresMax instead/],
    ["standalone", "spark.ui.port", /set sparkUiPort instead/],
    ["standalone", "spark.master", /drivers connect to the masters of this cluster; remove it/],
    ["standalone", "spark.driver.host", /the client's address/],
    ["standalone", "spark.port.maxRetries", /firewall/],
    ["standalone", "spark.authenticate.secret", /authenticated/],
    ["standalone", "spark.network.crypto.cipher", /set encryption instead/],
    ["standalone", "spark.io.encryption.enabled", /set encryption instead/],
    ["standalone", "spark.pyspark.driver.python", /Python of the image/],
    ["standalone", "spark.deploy.recoveryMode", /ZooKeeper/],
    ["standalone", "spark.mesos.constraints", /no effect in architecture standalone/],
    ["marathon-standalone", "spark.mesos.constraints", /no effect in architecture marathon-standalone/],
    ["standalone", "spark.history.retainedApplications", /set historyServer to true/],
    ["standalone", "spark.kubernetes.namespace", /no Kubernetes/],
    ["standalone", "spark.submit.deployMode", /client only/],
    ["standalone", "sparkling", /begin with `spark\.`/],
    ["vanilla", "spark.worker.timeout", /no effect in architecture vanilla/],
    ["docker-executors", "spark.master.rest.enabled", /no effect in architecture docker-executors/],
    ["vanilla", "spark.mesos.principal", /login of Spark/],
    ["vanilla", "spark.mesos.secret.file", /login of Spark/],
    ["vanilla", "spark.mesos.role", /set mesosRole instead/],
    ["vanilla", "spark.executor.uri", /set executorSource instead/],
    ["docker-executors", "spark.executor.uri", /do not fetch Spark/],
    ["docker-executors", "spark.mesos.executor.docker.image", /follows from the architecture/],
  ];
  test.each(cases)("%s: %s", (architecture, property, says) => {
    expect(problemsOf({ architecture, sparkConf: { [property]: "1" } })).toEqual([
      expect.stringMatching(new RegExp(`^sparkConf ${property}: without ${property}: `)),
    ]);
    expect(problemsOf({ architecture, sparkConf: { [property]: "1" } }).join()).toMatch(says);
  });

  test("a folder for shuffle files, only where the agents' shuffle service has to find it", () => {
    const sparkConf = { "spark.local.dir": "/scratch" };
    expect(problemsOf({ architecture: "vanilla", dynamicAllocation: true, sparkConf }).join()).toMatch(
      /set dynamicAllocation to false/,
    );
    expect(problemsOf({ architecture: "vanilla", dynamicAllocation: false, sparkConf })).toEqual([]);
    const cluster = inCloud({ sparkConf });
    for (const name of ["jupyter", "spark-worker"]) {
      expect(propertiesOf(cluster, name)["spark.local.dir"]).toBe("/scratch");
    }
  });
});

describe("memory of executors", () => {
  test("beside the heap there is room for Python", () => {
    expect(local({}).spark.conf["spark.executor.memoryOverhead"]).toBe("1024m");
    expect(local({ executorMemoryMiB: 8192 }).spark.conf["spark.executor.memoryOverhead"]).toBe("3277m");
    const told = local({ architecture: "vanilla", executorMemoryOverheadMiB: 600 }).spark.conf;
    expect(told["spark.mesos.executor.memoryOverhead"]).toBe("600");
  });

  test("a worker counts heap alone: the rest of what its agent has is kept free", () => {
    const size = { agentMemoryMiB: 4096, executorMemoryMiB: 1024, executorMemoryOverheadMiB: 1024 };
    expect(serviceOf(local(size), "spark-worker").env.SPARK_WORKER_MEMORY).toBe("2048m");
    expect(capacity(local(size)).join()).toMatch(/takes 2048 MiB: 1024 of heap and 1024 beside it; .* 4096 MiB for 2 /);
  });

  test("an agent of a known flavor keeps room for its daemons", () => {
    const flavorSizes = { "m1.large": { vcpus: 4, ramMiB: 8192 } };
    const room = Math.floor(8192 * 0.95) - 512;
    const mesos = (dynamicAllocation: boolean) =>
      serviceOf(inCloud({ architecture: "vanilla", flavorSizes, dynamicAllocation }), "mesos-agent").env
        .MESOS_resources;
    expect(mesos(false)).toMatch(new RegExp(`mem:${room - 256};`));
    expect(mesos(true)).toMatch(new RegExp(`mem:${room - 256 - 768};`));
    const heap = Math.floor((room - 768) / 2);
    expect(serviceOf(inCloud({ flavorSizes }), "spark-worker").env.SPARK_WORKER_MEMORY).toBe(`${heap}m`);
  });

  test.each(ARCHITECTURES)("%s: what does not fit an agent is refused", (architecture) => {
    const flavorSizes = { "m1.large": { vcpus: 4, ramMiB: 8192 } };
    expect(problemsOf({ architecture, flavorSizes })).toEqual([]);
    expect(problemsOf({ architecture, flavorSizes, executorMemoryMiB: 6144 }).join()).toMatch(
      /MemoryMiB .*one executor/,
    );
    expect(problemsOf({ architecture, flavorSizes, agentMemoryMiB: 8000 }).join()).toMatch(
      /^agentMemoryMiB 8000: at most \d{4}, what m1.large with its 8192 MiB has for executors/,
    );
    expect(problemsOf({ architecture, flavorSizes, executorCores: 8 }).join()).toMatch(/^executorCores 8: at most 4/);
  });

  test("a worker that nobody told how much there is looks at its machine", () => {
    const folder = mkdtempSync(join(tmpdir(), "spark-worker-"));
    try {
      mkdirSync(join(folder, "bin"));
      writeFileSync(join(folder, "bin/spark-class"), '#!/bin/sh\necho "memory $SPARK_WORKER_MEMORY"\n');
      chmodSync(join(folder, "bin/spark-class"), 0o755);
      const script = join(ROOT, "images/spark-python/spark-worker");
      const run = (env: Record<string, string>) =>
        spawnSync("bash", [script], { env: { ...process.env, SPARK_HOME: folder, ...env }, encoding: "utf8" }).stdout;
      const kib = Number(/^MemTotal: *(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]);
      const expected = Math.floor(((Math.floor(kib / 1024) - 1024) * 50) / 100);
      expect(run({ SPARK_WORKER_HEAP_PERCENT: "50" })).toBe(`memory ${expected}m\n`);
      expect(run({ SPARK_WORKER_HEAP_PERCENT: "50", SPARK_WORKER_MEMORY: "1g" })).toBe("memory 1g\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
