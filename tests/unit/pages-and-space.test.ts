import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { placeholder } from "../../cluster/values.ts";
import { ConfigError } from "../../config/problems.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { renderUserData } from "../../render/cloud-init.ts";
import { renderCompose } from "../../render/compose.ts";
import { renderService } from "../../render/content.ts";
import { renderApps } from "../../render/marathon-apps.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";

const inCloud = (raw: RawConfig): Cluster => describeCluster(validate({ ...CLOUD, ...raw }, "test"));
const local = (raw: RawConfig): Cluster => describeCluster(validate({ platform: "docker", ...raw }, "test"));

/** The lines of a service's file that name a property. */
function linesOf(cluster: Cluster, name: string, property: RegExp): string[] {
  const service = cluster.services.find((s) => s.name === name);
  const files = service ? renderService(service, placeholder).files : [];
  const text = files.find((file) => file.path === "/etc/spark/spark-defaults.conf")?.content ?? "";
  return text.split("\n").filter((line) => property.test(line));
}

describe("pages of Spark's own cluster", () => {
  const ui = /^spark\.ui\.(reverse|kill)/;

  test("the master shows its workers', and has no buttons that end jobs", () => {
    const cluster = inCloud({ gateway: false });
    expect(linesOf(cluster, "spark-master", ui)).toEqual(["spark.ui.killEnabled false", "spark.ui.reverseProxy true"]);
    expect(linesOf(cluster, "spark-worker", ui)).toEqual([
      "spark.ui.reverseProxy true",
      "spark.ui.reverseProxyUrl http://127.0.0.1:8080",
    ]);
    expect(cluster.services.find((s) => s.name === "spark-master")?.env.SPARK_PUBLIC_DNS).toBe("127.0.0.1");
    // With this setting, a driver would prefix the links of its own page with its address at the master.
    expect(linesOf(cluster, "jupyter", ui)).toEqual([]);
  });

  test("Marathon's do alike", () => {
    const lines = linesOf(inCloud({ architecture: "marathon-standalone" }), "mesos-agent", ui);
    expect(lines).toContain("spark.ui.killEnabled false");
    expect(lines).toContain("spark.ui.reverseProxy true");
  });

  test("links to logs lead to where the master's page is published", () => {
    const to = (raw: RawConfig) => linesOf(local({ gateway: false, ...raw }), "spark-worker", /reverseProxyUrl/);
    expect(to({ bindAddress: "198.51.100.7", openToNetwork: true, sparkMasterUiPort: 9080 })).toEqual([
      "spark.ui.reverseProxyUrl http://198.51.100.7:9080",
    ]);
    expect(to({ bindAddress: "0.0.0.0", openToNetwork: true })).toEqual([]);
    // A path on the gateway, which is valid for every address by which users reach it.
    expect(to({ gateway: true })).toEqual(["spark.ui.reverseProxyUrl /spark"]);
  });
});

describe("shared memory of containers", () => {
  const render = (cluster: Cluster) =>
    parse(renderCompose({ cluster, imageOf: (name) => name, secretOf: (name) => name }).compose).services;

  test("on Docker: client and workers", () => {
    const services = render(local({ agentCount: 1 }));
    expect([services["client-jupyter"].shm_size, services["agent-1"].shm_size]).toEqual(["1024m", "1024m"]);
    expect(services["master-1"].shm_size).toBeUndefined();
  });

  test("on machines", () => {
    const cluster = inCloud({});
    for (const name of ["client", "agent-1"]) {
      const machine = cluster.machines.find((m) => m.name === name);
      if (!machine) throw new Error(`no machine ${name}`);
      expect(renderUserData(cluster, machine, readCheckout(), placeholder)).toContain("--shm-size 1024m");
    }
  });

  test("executors that are containers of their own", () => {
    const { conf } = inCloud({ architecture: "docker-executors" }).spark;
    expect(conf["spark.mesos.executor.docker.parameters"]).toContain("shm-size=1024m");
    const apps = renderApps(inCloud({ architecture: "marathon-standalone" }), placeholder);
    expect(JSON.stringify(apps.find(({ id }) => id === "/spark/worker"))).toContain(
      '{"key":"shm-size","value":"1024m"}',
    );
  });
});

test.each(["vanilla", "docker-executors", "mesos-in-docker", "marathon-standalone"] as const)(
  "%s: what ended executors leave is collected",
  (architecture) => {
    const agent = inCloud({ architecture }).services.find((s) => s.name === "mesos-agent");
    expect(agent?.env).toMatchObject({ MESOS_gc_delay: "6hrs", MESOS_disk_watch_interval: "30secs" });
  },
);

test("agents do not keep a tarball by its address: after an upgrade it would be another Spark than the drivers'", () => {
  expect(inCloud({ architecture: "vanilla" }).spark.conf["spark.mesos.fetcherCache.enable"]).toBeUndefined();
});

describe("one time zone", () => {
  test.each(ARCHITECTURES)("%s: everywhere", (architecture) => {
    const cluster = inCloud({ architecture, ...mesosOf(architecture), timeZone: "Europe/Berlin" });
    expect(cluster.spark.conf["spark.executorEnv.TZ"]).toBe("Europe/Berlin");
    const ours = cluster.services.filter(({ name }) => /jupyter|spark|shuffle|history/.test(name));
    expect(ours.map(({ env }) => env.TZ)).toEqual(ours.map(() => "Europe/Berlin"));
    for (const app of cluster.apps) expect(app.env.TZ).toBe("Europe/Berlin");
  });

  test("executors without an image of ours get its locale too", () => {
    expect(inCloud({ architecture: "vanilla" }).spark.conf).toMatchObject({
      "spark.executorEnv.TZ": "UTC",
      "spark.executorEnv.LC_ALL": "C.UTF-8",
    });
  });

  test.each(["Europe/Atlantis", "europe/berlin", "../etc/passwd"])("%s is refused", (timeZone) => {
    expect(() => inCloud({ timeZone })).toThrow(ConfigError);
    expect(() => inCloud({ timeZone })).toThrow(/timeZone/);
  });
});
