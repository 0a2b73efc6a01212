import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Target } from "../../cluster/services/prometheus/targets.ts";
import { SPARK_UID } from "../../cluster/services/spark/spark.ts";
import type { Cluster, Machine } from "../../cluster/types.ts";
import { placeholder, secretsIn } from "../../cluster/values.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { renderGates, renderUserData } from "../../render/cloud-init.ts";
import { renderCompose } from "../../render/compose.ts";
import { CLOUD, HIGHLY_AVAILABLE, mesosOf } from "../fixtures/configs.ts";

/** Prometheus' targets (`monitoring`), which are derived from the ports of services. */

const define = (raw: RawConfig): Cluster => describeCluster(validate(raw, "test"));
const serviceOf = ({ services }: Cluster, wanted: string) => services.find(({ name }) => name === wanted);

/** The targets of a cluster's Prometheus. */
function targetsOf(cluster: Cluster): Target[] {
  const file = serviceOf(cluster, "prometheus")?.files.find(({ path }) => path.endsWith("/targets.json"));
  return file?.content.format === "json" ? (file.content.value as unknown as Target[]) : [];
}

test("a hub is measured where nobody but the client is let in", () => {
  const hub = { platform: "docker", notebooks: "hub", users: { alice: {} }, monitoring: true, hubPort: 8100 };
  const [target, ...others] = targetsOf(define(hub)).filter(({ labels }) => labels.job === "hub");
  expect(others).toEqual([]);
  expect(target).toMatchObject({ targets: ["127.0.0.1:8101"], labels: { __metrics_path__: "/hub/metrics" } });
});

test("Prometheus, which has no login, is at the loopback interface behind the gateway", () => {
  const listensAt = (raw: RawConfig) =>
    serviceOf(define({ platform: "docker", monitoring: true, ...raw }), "prometheus")?.command.find((word) =>
      /listen-address/.test(word),
    );
  expect(listensAt({})).toBe("--web.listen-address=127.0.0.1:9090");
  expect(listensAt({ gateway: false })).toBe("--web.listen-address=10.72.0.11:9090");
  const [target] = targetsOf(define({ platform: "docker", monitoring: true })).filter(
    ({ labels }) => labels.job === "prometheus",
  );
  expect(target?.targets).toEqual(["127.0.0.1:9090"]);
});

test("programs of different images have different users, but for those that run as Spark's", () => {
  const raw = { notebooks: "hub", users: { alice: {} }, monitoring: true, hubPort: 8100, datanodeCount: 1 };
  const imagesOf = new Map<number, Set<string>>();
  for (const { uid, image } of define({ platform: "docker", ...raw }).services)
    if (uid !== 0 && uid !== SPARK_UID && image !== undefined)
      imagesOf.set(uid, (imagesOf.get(uid) ?? new Set()).add(image));
  const shared = [...imagesOf.values()].map((images) => [...images]).filter(({ length }) => length > 1);
  expect(shared).toEqual([]);
  expect([...imagesOf.values()].flatMap((images) => [...images]).sort()).toEqual([
    "gateway",
    "hdfs",
    "hub",
    "prometheus",
  ]);
});

test("whatever shows a certificate says until when that is good", () => {
  const certificates = (raw: RawConfig) =>
    targetsOf(define({ monitoring: true, ...raw }))
      .filter(({ labels }) => labels.__metrics_path__ === "/tls")
      .map(({ labels }) => `${labels.job} ${labels.instance}`);
  expect(certificates({ platform: "docker" })).toEqual([]);
  expect(certificates({ platform: "docker", tls: "own" })).toEqual(["gateway 10.72.0.11:8090"]);
  const machines = { ...CLOUD, architecture: "standalone", networkCidr: "10.80.0.0/16" };
  expect(certificates(machines)).toEqual(["registry-reader 10.80.0.12:5000", "log-store 10.80.0.11:19532"]);
  expect(certificates({ ...machines, tls: "own" })).toContain("gateway 10.80.0.11:8090");
});

describe.each(ARCHITECTURES)("with monitoring, %s", (architecture) => {
  const raw: RawConfig = {
    ...CLOUD,
    ...HIGHLY_AVAILABLE,
    ...mesosOf(architecture),
    architecture,
    agentCount: 3,
    monitoring: true,
  };
  const cluster = define(raw);
  const more = define({ ...raw, agentCount: 7, datanodeCount: 5 });
  const client = (of: Cluster): Machine => of.machines.find(({ name }) => name === "client") as Machine;

  test("reads every place that a port names, and no other", () => {
    const named = cluster.services.flatMap(({ machine, ports }) =>
      ports.flatMap(({ port, metrics = [] }) => metrics.map(({ path }) => `${machine} ${port} ${path}`)),
    );
    const read = targetsOf(cluster).map(({ targets: [first], labels }) => {
      // The target's own address, or that of a program whose metrics another one exports.
      const at = labels.__param_target ?? first;
      return `${labels.machine} ${at?.split(":")[1]} ${labels.__param_path ?? labels.__metrics_path__}`;
    });
    expect(read.sort()).toEqual(named.sort());
    const jobs = new Set(targetsOf(cluster).map(({ labels }) => labels.job));
    for (const job of ["machine", "spark-driver", "spark-executor", "prometheus"]) expect(jobs).toContain(job);
  });

  test("the landing page finds every service among what is measured, but the door itself and what has no port", () => {
    const file = serviceOf(cluster, "gateway")?.files.find(({ path }) => path.endsWith("/cluster.json"));
    if (file?.content.format !== "json") throw new Error("no cluster.json");
    const { groups } = file.content.value as unknown as {
      groups: { name: string; services: { name: string; job?: string }[] }[];
    };
    const measured = new Set(targetsOf(cluster).map(({ labels }) => `${labels.group} ${labels.job}`));
    const shown = groups.flatMap(({ name, services }) => services.map((one) => ({ group: name, ...one })));
    expect(shown.filter(({ group, job }) => job !== undefined && !measured.has(`${group} ${job}`))).toEqual([]);
    // Without metrics: the log sender has no port, the port for pushing images is on loopback, and the client may not reach zkfc.
    const unmeasured = new Set(shown.filter(({ job }) => job === undefined).map(({ name }) => name));
    expect([...unmeasured].sort()).toEqual(["log-sender", "registry", "zkfc"]);
  });

  test("tells no two places apart by their path alone: their series would be the same", () => {
    const series = targetsOf(cluster).flatMap(({ targets, labels }) =>
      targets.map((at) => `${labels.job} ${labels.instance ?? at}`),
    );
    expect(new Set(series).size).toBe(series.length);
  });

  test("measures every machine, from the client and from nowhere else", () => {
    const machines = targetsOf(cluster).filter(({ labels }) => labels.job === "machine");
    expect(machines.map(({ labels }) => labels.machine).sort()).toEqual(
      cluster.machines.map(({ name }) => name).sort(),
    );
    const port = cluster.config.nodeExporterPort;
    const open = cluster.firewall.filter(({ first, last }) => first === port && last === port);
    expect(new Set(open.map(({ fromGroup }) => fromGroup))).toEqual(new Set(["client"]));
    // A port for metrics must be open to the machine that reads them.
    for (const { machine, name, ports } of cluster.services) {
      if (machine === "client") continue;
      for (const { metrics, from, name: port } of ports)
        if (metrics) expect(from, `${name} ${port}`).toContain("client");
    }
  });

  test("every machine sends its logs to the client, and no other may", () => {
    const senders = cluster.services.filter(({ name }) => name === "log-sender");
    expect(senders.map(({ machine }) => machine).sort()).toEqual(cluster.machines.map(({ name }) => name).sort());
    const port = cluster.config.logStorePort;
    const open = cluster.firewall.filter(({ first, last }) => first <= port && port <= last);
    expect(new Set(open.map(({ group }) => group))).toEqual(new Set(["client"]));
    const groups = cluster.machines.map(({ group }) => group).filter((group) => group !== "client");
    expect(open.map(({ fromGroup }) => fromGroup).sort()).toEqual([...new Set(groups)].sort());
    expect(
      define({ platform: "docker", architecture, monitoring: true }).services.map(({ name }) => name),
    ).not.toContain("log-sender");
  });

  test("new agents and datanodes are measured, and the client stays as it is", () => {
    const parts = readCheckout();
    const userData = (of: Cluster) => renderUserData(of, client(of), parts, placeholder);
    expect(userData(more)).toBe(userData(cluster));
    expect(targetsOf(more).length).toBeGreaterThan(targetsOf(cluster).length);
    // The file gets its list from `up`; the user data has an empty one at the same path.
    const [path = "", content = ""] = (renderGates(more, "client").split("\n")[0] ?? "").split("\t");
    expect(JSON.parse(Buffer.from(content, "base64").toString())).toEqual(targetsOf(more));
    const { write_files } = parse(userData(more), { version: "1.1" });
    expect(write_files.find((file: { path: string }) => file.path === path)?.content).toBe("[]\n");
  });

  test("on this machine's Docker one agent more restarts nothing that was there", () => {
    const local = (raw: RawConfig) =>
      renderCompose({
        cluster: define({ platform: "docker", architecture, monitoring: true, ...raw }),
        imageOf: (name) => name,
        secretOf: (name) => name,
      });
    const [before, after] = [local({ agentCount: 2 }), local({ agentCount: 3 })];
    const services = (text: string) => parse(text).services;
    const prometheus = "client-prometheus";
    expect(services(after.compose)[prometheus]).toEqual(services(before.compose)[prometheus]);
    const list = (of: typeof before) =>
      of.files.find(({ path }) => path.endsWith(`${prometheus}/etc/prometheus/targets.json`));
    expect(list(after)?.content).not.toBe(list(before)?.content);
  });

  test("what measures holds no secret of what it measures that lets it do more than look", () => {
    for (const name of ["prometheus", "node-exporter", "log-store", "log-sender"]) {
      const { files, env } = serviceOf(cluster, name) ?? {};
      expect(secretsIn([files, env]).filter((secret) => !/viewer/.test(secret))).toEqual([]);
    }
  });

  test("without it nothing is measured, opened or kept", () => {
    const without = define({ ...raw, monitoring: false });
    expect(without.services.filter(({ name }) => /prometheus|exporter|^log-/.test(name))).toEqual([]);
    const texts = JSON.stringify(without.services.map(({ files, env, command }) => [files, env, command]));
    expect(texts).not.toMatch(/prometheusServlet|spark\.ui\.prometheus/);
  });
});

describe("alerts", () => {
  const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
  const { groups } = parse(read("images/prometheus/alerts.yml")) as { groups: { rules: { alert: string }[] }[] };
  const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)).sort();

  test("each says what it means and what to do, and no other is documented", () => {
    const documented = [...read("docs/OPERATIONS.md").matchAll(/^\| `([A-Za-z]+)` \| .+ \| .+ \|$/gm)].map(
      ([, name]) => name,
    );
    expect(documented.sort()).toEqual(alerts);
  });

  test("each is played: once it is raised", () => {
    const { tests } = parse(read("images/prometheus/alerts-test.yml")) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const raised = tests.flatMap(({ alert_rule_test }) =>
      alert_rule_test.filter(({ exp_alerts }) => exp_alerts.length > 0).map(({ alertname }) => alertname),
    );
    expect([...new Set(raised)].sort()).toEqual(alerts);
  });
});
