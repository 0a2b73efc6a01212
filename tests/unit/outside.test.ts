import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeCluster, validate } from "../../cluster/load.ts";
import { proxyJavaOptions } from "../../cluster/outside.ts";
import type { Cluster } from "../../cluster/types.ts";
import { ARCHITECTURES, type Architecture } from "../../config/schema.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { renderUserData } from "../../render/cloud-init.ts";
import { renderCompose } from "../../render/compose.ts";
import { mirrorsOf, mirrorsText } from "../../render/mirrors.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";

/** A cluster's connections to services outside of it. */

const checkout = readCheckout();
const PROXY = { httpProxy: "http://proxy.example.org:3128", noProxy: [".example.org", "192.168.0.0/16", "nexus"] };
const CERTIFICATE = `MII${"x".repeat(100)}==`;

const clusterOf = (over: Record<string, unknown>, architecture: Architecture = "standalone"): Cluster =>
  describeCluster(validate({ ...CLOUD, architecture, ...mesosOf(architecture), ...over }, "lab"));

/** Files that a machine's user data writes, by path. */
function filesOf(cluster: Cluster, name: string): Map<string, string> {
  const machine = cluster.machines.find((m) => m.name === name);
  if (!machine) throw new Error(`no ${name}`);
  const text = renderUserData(cluster, machine, checkout, ({ name }) => `value-of-${name}`);
  const { write_files } = parse(text, { version: "1.1" }) as { write_files: { path: string; content: string }[] };
  return new Map(write_files.map((f) => [f.path, f.content]));
}

describe("a proxy", () => {
  test("is in the environment of boot, Docker, apt and the client, and past it lies the cluster", () => {
    const cluster = clusterOf({ ...PROXY, masterCount: 3 });
    const files = filesOf(cluster, "agent-1");
    const env = files.get("/etc/triplewide/proxy.env") ?? "";
    for (const name of ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"])
      expect(env).toContain(`${name}="http://proxy.example.org:3128"\n`);
    const past = /^no_proxy="(.*)"$/m.exec(env)?.[1]?.split(",") ?? [];
    const own = cluster.machines.filter((m) => /master|registry/.test(m.name)).map((m) => m.address);
    expect(own).toHaveLength(4);
    expect(past).toEqual(
      expect.arrayContaining(["localhost", "169.254.169.254", "10.72.0.0/16", ...own, ...PROXY.noProxy]),
    );
    expect(files.get("/etc/systemd/system/docker.service.d/triplewide.conf")).toBe(
      "[Service]\nEnvironmentFile=/etc/triplewide/proxy.env\n",
    );
    expect(files.get("/etc/apt/apt.conf.d/90triplewide-proxy")).toBe(
      'Acquire::http::Proxy "http://proxy.example.org:3128";\nAcquire::https::Proxy "http://proxy.example.org:3128";\nAcquire::http::Proxy::nexus "DIRECT";\nAcquire::https::Proxy::nexus "DIRECT";\n',
    );
    expect([...filesOf(clusterOf({}), "agent-1").keys()].filter((path) => /proxy|docker.service.d/.test(path))).toEqual(
      [],
    );
    expect(filesOf(cluster, "bastion").has("/etc/systemd/system/docker.service.d/triplewide.conf")).toBe(false);
  });

  test("replaces no machine when agents come and go", () => {
    const env = (agentCount: number, machine: string): string[] =>
      [...filesOf(clusterOf({ ...PROXY, agentCount }), machine)].filter(([path]) => /proxy|env/.test(path)).map(String);
    for (const machine of ["agent-1", "client"]) expect(env(9, machine), machine).toEqual(env(2, machine));
  });

  test("is the client's on this machine's Docker, for Python by environment and for Java by options", () => {
    const config = validate({ platform: "docker", architecture: "standalone", ...PROXY }, "lab");
    const cluster = describeCluster(config);
    const { compose } = renderCompose({ cluster, imageOf: (name) => name, secretOf: (name) => name });
    const { services } = parse(compose) as { services: Record<string, { environment?: Record<string, string> }> };
    expect(services["client-jupyter"]?.environment).toMatchObject({
      https_proxy: PROXY.httpProxy,
      HTTPS_PROXY: PROXY.httpProxy,
    });
    expect(cluster.spark.conf["spark.driver.defaultJavaOptions"]).toContain(
      "-Dhttp.proxyHost=proxy.example.org -Dhttp.proxyPort=3128 -Dhttps.proxyHost=proxy.example.org -Dhttps.proxyPort=3128 -Dhttp.nonProxyHosts=localhost|127.0.0.1|169.254.169.254|10.72.*|*.example.org|example.org|192.168.*|nexus",
    );
    expect(cluster.spark.conf["spark.executor.defaultJavaOptions"]).not.toContain("proxy");
  });

  test("and trusted certificates share the driver's options", () => {
    const { conf } = clusterOf({ ...PROXY, trustedCertificates: [CERTIFICATE] }).spark;
    expect(conf["spark.driver.defaultJavaOptions"]).toMatch(/^-Djavax.net.ssl.trustStore=\S+ -Dhttp.proxyHost=/);
    expect(conf["spark.executor.defaultJavaOptions"]).not.toContain("proxy");
    expect(proxyJavaOptions({ ...PROXY, networkCidr: "10.72.4.0/22", httpProxy: "http://p" })).toEqual(
      expect.arrayContaining(["-Dhttp.proxyPort=80", expect.stringContaining("|10.72.*|")]),
    );
  });

  test("has no login, and what is past it no star; without one nothing is past it", () => {
    const keys = (over: Record<string, unknown>): string[] =>
      problems({ ...CLOUD, ...over }).map((p) => p.key.replace("[0]", ""));
    for (const httpProxy of ["proxy:3128", "https://p:1", "http://me:pw@p:1", 'http://p:1"', "http://p:1/x"])
      expect(keys({ httpProxy }), httpProxy).toEqual(["httpProxy"]);
    for (const entry of ["*", "*.example.org", "0.0.0.0/0", "a b", "a,b", "fe80::/10"])
      expect(keys({ ...PROXY, noProxy: [entry] }), entry).toEqual(["noProxy"]);
    expect(keys({ noProxy: ["a"] })).toEqual(["noProxy"]);
    expect(keys(PROXY)).toEqual([]);
  });
});

test("machines trust the config's authorities, and take its time", () => {
  const files = filesOf(
    clusterOf({ trustedCertificates: [CERTIFICATE], ntpServers: ["ntp.example.org", "10.0.0.9"] }),
    "master-1",
  );
  expect(files.get("/usr/local/share/ca-certificates/triplewide-1.crt")).toMatch(
    /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n$/,
  );
  expect(files.get("/etc/systemd/timesyncd.conf.d/triplewide.conf")).toBe("[Time]\nNTP=ntp.example.org 10.0.0.9\n");
  expect(files.get("/etc/chrony/sources.d/triplewide.sources")).toBe(
    "server ntp.example.org iburst\nserver 10.0.0.9 iburst\n",
  );
});

test("time servers and a proxy that are addresses are reached where machines may not connect anywhere", () => {
  const over = {
    egressCidrs: ["198.51.100.0/24"],
    ntpServers: ["10.9.0.1", "ntp.example.org"],
    httpProxy: "http://10.9.0.2:3128",
  };
  const rules =
    clusterOf(over).quota.securityGroupRules - clusterOf({ egressCidrs: over.egressCidrs }).quota.securityGroupRules;
  // Two more networks for each of the five groups.
  expect(rules).toBe(2 * new Set(clusterOf(over).machines.map((m) => m.group)).size);
});

describe("what has to be mirrored", () => {
  const text = (cluster: Cluster): string => mirrorsText(cluster, mirrorsOf(cluster, checkout));

  test.each(ARCHITECTURES)(
    "%s: every package of a machine, every source of the config, and a setting for each",
    (architecture) => {
      const cluster = clusterOf({ datanodeCount: 1, masterCount: 3 }, architecture);
      const mirrors = mirrorsOf(cluster, checkout);
      const packages = cluster.services.flatMap((s) => (s.runtime === "systemd" ? (s.software?.packages ?? []) : []));
      for (const name of packages) expect(text(cluster)).toContain(name);
      for (const { setting, from } of mirrors) {
        expect(setting).not.toBe("");
        expect(from).not.toBe("");
      }
      expect(mirrors.some((m) => m.setting === "mesosSource")).toBe(architecture !== "standalone");
      expect(mirrors.some((m) => m.setting === "pythonIndex")).toBe(architecture === "vanilla");
      expect(mirrors.some((m) => m.setting === "marathonSource")).toBe(architecture === "marathon-standalone");
    },
  );

  test("is nothing of the builder's with images that exist, and shows no login", () => {
    const names = ["spark-python", "client", "gateway", "hdfs", "zookeeper"];
    const digest = `@sha256:${"d".repeat(64)}`;
    const prebuiltImages = Object.fromEntries(names.map((name) => [name, `r.example.org/${name}${digest}`]));
    const cluster = clusterOf({ prebuiltImages, aptMirror: "https://me:hunter2@apt.example.org/debian" });
    expect(mirrorsOf(cluster, checkout).map((m) => m.who)).not.toContain("builder");
    expect(text(cluster)).toContain("apt.example.org");
    expect(text(cluster)).not.toContain("hunter2");
  });
});
