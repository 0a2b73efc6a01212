import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { renderCompose } from "../../render/compose.ts";

interface Compose {
  services: Record<
    string,
    { volumes?: string[]; network_mode?: string; labels?: Record<string, string>; command?: string[] }
  >;
  volumes: Record<string, { labels?: Record<string, string> }>;
}

const define = (raw: Record<string, unknown>): Cluster =>
  describeCluster(validate({ platform: "docker", clusterName: "lab", agentCount: 1, ...raw }, "test"));

function render(cluster: Cluster): { compose: Compose; file: (path: string) => string | undefined } {
  const { compose, files } = renderCompose({ cluster, imageOf: (name) => name, secretOf: (name) => name });
  return { compose: parse(compose), file: (path) => files.find((f) => f.path === path)?.content };
}

describe("an agent whose tasks are containers", () => {
  // The only service of its machine.
  const alone = { dynamicAllocation: false };
  const { compose, file } = render(define({ architecture: "docker-executors", ...alone }));

  test("reaches Docker, and its tasks its files", () => {
    const mounts = compose.services["agent-1"]?.volumes ?? [];
    expect(mounts).toContain("/var/run/docker.sock:/var/run/docker.sock");
    expect(mounts).toContain("agent-1-mesos-agent-var-lib-mesos:/var/lib/mesos");
    expect(compose.volumes["agent-1-mesos-agent-var-lib-mesos"]?.labels).toEqual({ "triplewide.scratch": "true" });
  });

  test("is told who it is", () => {
    const text = file("files/agent-1/etc/triplewide/container");
    expect(text).toBe("MACHINE=lab-agent-1\nPROJECT=triplewide-lab\nSELF=lab-agent-1\n");
  });

  test("leaves its masters on a signal, which down sends before they end", () => {
    const leaving = Object.entries(compose.services).flatMap(([name, { labels }]) =>
      labels?.["triplewide.leave"] ? [`${name} ${labels["triplewide.leave"]}`] : [],
    );
    expect(leaving).toEqual(["agent-1 USR1"]);
  });

  test("is the only one that reaches Docker", () => {
    for (const [name, { volumes = [] }] of Object.entries(compose.services)) {
      if (name !== "agent-1") expect(volumes.filter((v) => v.includes("docker.sock"))).toEqual([]);
    }
    const plain = render(define({ architecture: "mesos-in-docker", ...alone })).compose;
    expect(plain.services["agent-1"]?.volumes?.filter((v) => v.includes("docker.sock"))).toEqual([]);
  });
});

test("Marathon's image is its own program: the container is given arguments only", () => {
  const { compose } = render(define({ architecture: "marathon-standalone" }));
  expect(compose.services["master-1-marathon"]?.command?.[0]).toBe("--hostname");
});

describe("another service on a machine", () => {
  const sparkConf = { "spark.sql.catalogImplementation": "in-memory" };
  const few = { architecture: "vanilla", masterCount: 3, executorSource: "local", sparkConf, gateway: false };
  const before = render(define(few)).compose.services;
  const after = render(define({ architecture: "vanilla", masterCount: 3, datanodeCount: 3, gateway: false })).compose
    .services;
  const data = (service: Compose["services"][string] | undefined) =>
    service?.volumes?.filter((volume) => !volume.startsWith("./"));
  const label = (services: Compose["services"], name: string) => services[name]?.labels?.["triplewide.network"];

  test("takes no volume from those that are there", () => {
    // A machine's only service has the machine's name; with other services beside it, it has a name of its own.
    expect(before["client-jupyter"]).toBeUndefined();
    expect(data(after["client-jupyter"])).toEqual(["client-jupyter-home-spark-work:/home/spark/work"]);
    expect(data(before.client)).toEqual(data(after["client-jupyter"]));
    expect(data(before["master-1-zookeeper"])).toEqual(data(after["master-1-zookeeper"]));
  });

  test("replaces them where it replaces the network that they share, and only there", () => {
    // Publishing the namenode's page changes the container that holds the network, so that one is replaced.
    expect(after["master-1"]).not.toEqual(before["master-1"]);
    expect(label(after, "master-1-zookeeper")).not.toBe(label(before, "master-1-zookeeper"));
    expect(after["master-2"]).toEqual(before["master-2"]);
    expect(after["master-2-zookeeper"]).toEqual(before["master-2-zookeeper"]);
    expect(label(before, "client")).toBeUndefined();
  });
});

describe("dynamic allocation on Mesos", () => {
  const dynamic = (architecture: string) => define({ architecture });

  test.each(["vanilla", "docker-executors", "mesos-in-docker"])(
    "%s: every agent keeps shuffle files",
    (architecture) => {
      const cluster = dynamic(architecture);
      const shuffle = cluster.services.find((s) => s.name === "shuffle");
      expect(shuffle?.machine).toBe("agent-1");
      expect(shuffle?.command.at(-1)).toContain("MesosExternalShuffleService");
      expect(cluster.spark.conf["spark.local.dir"]).toBe("/var/lib/spark/work");
      // Agent and shuffle service have the one volume that executors write to.
      const { compose, file } = render(cluster);
      for (const name of ["agent-1-mesos-agent", "agent-1-shuffle"]) {
        expect(compose.services[name]?.volumes).toContain("agent-1-var-lib-spark-work:/var/lib/spark/work");
        expect(compose.services[name]?.network_mode).toBe("service:agent-1");
      }
      if (architecture === "docker-executors") {
        expect(file("files/agent-1-mesos-agent/etc/triplewide/container")).toContain(
          "MACHINE=lab-agent-1\nPROJECT=triplewide-lab\nSELF=lab-agent-1-mesos-agent\n",
        );
        expect(cluster.spark.conf["spark.mesos.executor.docker.volumes"]).toBe(
          "/etc/spark/executor.token:/etc/spark/executor.token:ro,/var/lib/spark/work:/var/lib/spark/work:rw,/home/spark/work:/home/spark/work:rw",
        );
      }
    },
  );

  test("elsewhere Spark's workers do it themselves", () => {
    for (const architecture of ["standalone", "marathon-standalone"]) {
      const cluster = dynamic(architecture);
      expect(cluster.services.filter((s) => s.name === "shuffle")).toEqual([]);
      expect(cluster.spark.conf["spark.local.dir"]).toBeUndefined();
    }
  });
});
