import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { MARATHON_LOGIN } from "../../cluster/services/marathon/marathon.ts";
import type { Cluster } from "../../cluster/types.ts";
import { placeholder, secretsIn } from "../../cluster/values.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { throughSsh } from "../../machines/marathon.ts";
import type { Ssh } from "../../machines/ssh.ts";
import { type ApplyOptions, applyApps, type MarathonHttp } from "../../marathon/apply.ts";
import { changes, labelled, pending } from "../../marathon/changes.ts";
import { direct } from "../../marathon/direct.ts";
import { renderGates, renderUserData } from "../../render/cloud-init.ts";
import { type MarathonApp, renderApps } from "../../render/marathon-apps.ts";
import { MarathonStandIn } from "../fakes/marathon-stand-in.ts";
import { CLOUD } from "../fixtures/configs.ts";

const BASE = { ...CLOUD, architecture: "marathon-standalone", masterCount: 3, agentCount: 4 };
const inCloud = (more: RawConfig = {}): Cluster => describeCluster(validate({ ...BASE, ...more }, "test"));

/** Fields that these tests check. */
type App = MarathonApp & {
  cmd: string;
  cpus: number;
  mem: number;
  env: Record<string, string>;
  healthChecks: { command: { value: string } }[];
  constraints: string[][];
  container: { docker: { image: string }; volumes: { hostPath: string }[] };
  portDefinitions: { port: number }[];
  upgradeStrategy: { minimumHealthCapacity: number; maximumOverCapacity: number };
};
const appsOf = (cluster: Cluster): App[] => renderApps(cluster, placeholder) as App[];
const appOf = (cluster: Cluster, id: string): App => appsOf(cluster).find((app) => app.id === id) as App;

describe("the Spark cluster as Marathon apps", () => {
  test("no secret is in an app: agents have it in a file of the containers' user", () => {
    const cluster = inCloud();
    expect(secretsIn(cluster.apps)).toEqual([]);
    const agent = cluster.services.find((s) => s.name === "mesos-agent");
    const file = agent?.files.find((f) => f.path === "/etc/spark/spark-defaults.conf");
    expect(file).toMatchObject({ mode: "0600", uid: 1000 });
    expect(secretsIn(file?.content)).toEqual(["spark-auth", "zookeeper-spark"]);
    for (const id of ["/spark/master", "/spark/worker"]) {
      const app = appOf(cluster, id);
      expect(app.cmd).toContain("--properties-file /etc/spark/spark-defaults.conf");
      expect(app.container.volumes.map((v) => v.hostPath)).toEqual([
        "/etc/spark/spark-defaults.conf",
        ...(id === "/spark/worker" ? ["/var/lib/spark/work"] : []),
        "/home/spark/work",
      ]);
    }
  });

  test("the agent hands the file to that user", () => {
    const cluster = inCloud();
    const agent = cluster.machines.find((m) => m.name === "agent-1");
    if (!agent) throw new Error("no agent");
    expect(renderUserData(cluster, agent, readCheckout(), placeholder)).toContain(
      "ExecStartPre=+/usr/bin/chown 1000:1000 /etc/spark/spark-defaults.conf",
    );
  });

  test.each([{}, { sparkMasterPort: 9077, sparkWorkerUiPort: 9081 }])("agents offer the apps' ports: %j", (ports) => {
    const cluster = inCloud(ports);
    const agent = cluster.services.find((s) => s.name === "mesos-agent");
    const offered = [...String(agent?.env.MESOS_resources).matchAll(/(\d+)-(\d+)/g)].map(([, a, b]) => [
      Number(a),
      Number(b),
    ]);
    const needed = appsOf(cluster).flatMap((app) => app.portDefinitions.map(({ port }) => port));
    expect(needed.length).toBe(4);
    for (const port of needed) {
      expect(offered.some(([first = 0, last = 0]) => first <= port && port <= last)).toBe(true);
    }
    expect(needed.filter((port) => [5050, 5051, 2181, 2888, 3888, cluster.config.marathonPort].includes(port))).toEqual(
      [],
    );
  });

  test("masters are where drivers look for them, and no two tasks of an app on one machine", () => {
    const cluster = inCloud();
    const master = appOf(cluster, "/spark/master");
    const [[, unique] = [], [, like, pattern = ""] = []] = master.constraints;
    expect([unique, like]).toEqual(["UNIQUE", "LIKE"]);
    const agents = cluster.machines.filter((m) => m.group === "agent").map((m) => m.address);
    const places = agents.filter((address) => new RegExp(`^(${pattern})$`).test(address));
    expect(places.length).toBe(master.instances);
    expect(cluster.spark.master).toBe(`spark://${places.map((address) => `${address}:7077`).join(",")}`);
    expect(appOf(cluster, "/spark/worker").cmd).toContain(cluster.spark.master);
  });

  test.each([
    [1, 1],
    [1, 4],
    [3, 3],
    [5, 9],
    [7, 2000],
  ])("an upgrade of %i masters and %i workers can go on, without more tasks than ports", (masterCount, agentCount) => {
    const cluster = inCloud({ masterCount, agentCount });
    for (const { id, instances, upgradeStrategy } of appsOf(cluster)) {
      const healthy = Math.ceil(instances * upgradeStrategy.minimumHealthCapacity);
      expect(healthy, id).toBeLessThan(instances);
      if (id === "/spark/master") expect(instances - healthy).toBe(1);
      expect(upgradeStrategy.maximumOverCapacity).toBe(0);
    }
  });

  test("one worker more changes a number, and neither another field nor any machine", () => {
    const [few, more] = [inCloud({ marathonWorkers: 2 }), inCloud({ marathonWorkers: 3 })];
    expect(appOf(more, "/spark/worker")).toEqual({ ...appOf(few, "/spark/worker"), instances: 3 });
    const checkout = readCheckout();
    const userData = (c: Cluster) => c.machines.map((machine) => renderUserData(c, machine, checkout, placeholder));
    expect(userData(more)).toEqual(userData(few));
    expect(renderGates(more, "client")).toContain("3 Spark workers registered");
  });

  test("a worker and a master fit on an agent together", () => {
    const known = inCloud({ flavorSizes: { "m1.large": { vcpus: 4, ramMiB: 8192 } } });
    const told = inCloud({ agentCpus: 4, agentMemoryMiB: 6144 });
    for (const cluster of [known, told]) {
      const [master, worker] = [appOf(cluster, "/spark/master"), appOf(cluster, "/spark/worker")];
      expect(master.cpus + worker.cpus).toBe(4);
      expect(master.mem + worker.mem).toBeLessThanOrEqual(cluster === told ? 6144 : 8192 - 1024);
      expect(worker.env.SPARK_WORKER_CORES).toBe("4");
      expect(Number.parseInt(worker.env.SPARK_WORKER_MEMORY ?? "", 10)).toBeLessThan(worker.mem);
    }
  });

  test("where nobody knows how large an agent is, a worker takes what one executor needs", () => {
    const worker = appOf(inCloud({ executorCores: 2, executorMemoryMiB: 4096 }), "/spark/worker");
    expect([worker.cpus, worker.mem]).toEqual([0.5, 768 + 4096 + Math.ceil(0.4 * 4096)]);
    expect(worker.env).toMatchObject({ SPARK_WORKER_CORES: "2", SPARK_WORKER_MEMORY: "4096m" });
  });

  test("a health check is one command line for a shell", () => {
    const [check] = appOf(inCloud(), "/spark/master").healthChecks;
    const command = check?.command.value ?? "";
    expect(spawnSync("sh", ["-n", "-c", command], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
    const elsewhere = command.replace("/8080 ", "/1 ");
    expect(spawnSync("sh", ["-c", elsewhere], { encoding: "utf8" }).stderr).toContain("refused");
  });
});

const app = (id: string, instances: number, more: object = {}): MarathonApp => ({ id, instances, cmd: "x", ...more });
const WANTED = [app("/spark/master", 1), app("/spark/worker", 3)];
const asRunning = (apps: readonly MarathonApp[]) => apps.map(labelled);

describe("changes", () => {
  test("none where all is there, whatever Marathon has filled in", () => {
    const running = asRunning(WANTED).map((a) => ({ ...a, cmd: "rewritten", killSelection: "YOUNGEST_FIRST" }));
    expect(changes(WANTED, running)).toEqual({ shrink: [], put: [], remove: [] });
  });

  test("what differs is put, what is no longer wanted is removed, what is not ours stays", () => {
    const running = [
      ...asRunning([app("/spark/master", 1, { cmd: "old" }), app("/spark/worker", 3), app("/spark/gone", 1)]),
      { id: "/elasticsearch", instances: 3 },
      { id: "/sparkling", instances: 1 },
    ];
    const { put, remove } = changes(WANTED, running);
    expect(put.map((a) => a.id)).toEqual(["/spark/master"]);
    expect(remove).toEqual(["/spark/gone"]);
  });

  test("another count is a change, and not one of the definition", () => {
    const { put } = changes([app("/spark/worker", 5)], asRunning([app("/spark/worker", 3)]));
    expect(put.map((a) => a.instances)).toEqual([5]);
    expect(put[0]?.labels).toEqual(labelled(app("/spark/worker", 3)).labels);
  });

  test("fewer of an app that differs too: the count comes first", () => {
    const running = asRunning([app("/spark/master", 3), app("/spark/worker", 5, { cmd: "old" })]);
    const { shrink, put } = changes([app("/spark/master", 1), app("/spark/worker", 3)], running);
    expect(shrink).toEqual([{ id: "/spark/worker", instances: 3 }]);
    expect(put.map((a) => a.id)).toEqual(["/spark/master", "/spark/worker"]);
    expect(changes([app("/spark/worker", 7)], running).shrink).toEqual([]);
  });

  test("apps outside of our groups are never ours to put", () => {
    expect(() => changes([app("/other/app", 1)], [])).toThrow("/other/app is outside");
  });

  test("what is missing is said with the last failure", () => {
    const running = [
      { ...WANTED[0], tasksRunning: 1, tasksHealthy: 1, deployments: [] },
      {
        ...WANTED[1],
        tasksRunning: 3,
        tasksHealthy: 2,
        lastTaskFailure: { message: "Command exited with status 1", state: "TASK_FAILED", host: "10.72.0.65" },
      },
    ] as Parameters<typeof pending>[1];
    expect(pending(WANTED, running)).toEqual([
      "/spark/worker: 2 of 3 healthy; last failure on 10.72.0.65: TASK_FAILED, Command exited with status 1",
    ]);
  });
});

describe("against a stand-in of Marathon", () => {
  let marathon: MarathonStandIn;
  beforeEach(async () => {
    marathon = await MarathonStandIn.start();
  });
  afterEach(async () => {
    vi.useRealTimers();
    await marathon.stop();
  });
  const http = (): MarathonHttp => direct(`127.0.0.1:${marathon.port}`, marathon.login);
  /** The same requests, of which each moves the mocked clock forward by some seconds. */
  const taking = (seconds: number, send = http()): MarathonHttp => {
    vi.useFakeTimers({ toFake: ["Date"] });
    return async (request) => {
      const answer = await send(request);
      vi.setSystemTime(Date.now() + seconds * 1000);
      return answer;
    };
  };
  const apply = (more: Partial<ApplyOptions> = {}) =>
    applyApps({
      http: http(),
      apps: WANTED,
      timeoutSeconds: 60,
      pauseMs: 5,
      ...more,
    });

  test("a first time starts the apps and waits for them; a second time changes nothing", async () => {
    marathon.slowness = 3;
    marathon.electing = 2;
    const lines: string[] = [];
    expect((await apply({ report: (line) => lines.push(line) })).put.map((a) => a.id)).toEqual(WANTED.map((a) => a.id));
    expect(lines).toEqual(["/spark/master: 0 of 1 healthy; /spark/worker: 0 of 3 healthy"]);
    expect(await apply()).toEqual({ shrink: [], put: [], remove: [] });
    expect(marathon.log).toEqual(["PUT /v2/apps?force=true&partialUpdate=false"]);
  });

  test("an app with fewer tasks and another definition is made smaller, and restarted when it is", async () => {
    await apply();
    await apply({ apps: [app("/spark/master", 1), app("/spark/worker", 1, { cmd: "new" })] });
    expect(marathon.log.slice(1)).toEqual(["PUT /v2/apps?force=true", "PUT /v2/apps?force=true&partialUpdate=false"]);
    expect(marathon.stuck).toEqual([]);
    expect(marathon.apps.get("/spark/worker")).toMatchObject({ instances: 1, cmd: "new" });
  });

  test("what the definition no longer has is removed, and what is not ours is not touched", async () => {
    for (const id of ["/spark/old", "/elasticsearch", "/team/spark/app"]) marathon.apps.set(id, { id, instances: 1 });
    await apply();
    expect([...marathon.apps.keys()].sort()).toEqual([
      "/elasticsearch",
      "/spark/master",
      "/spark/worker",
      "/team/spark/app",
    ]);
    expect(marathon.log.filter((line) => line.startsWith("DELETE"))).toEqual(["DELETE /v2/apps/spark/old?force=true"]);
  });

  test("a leader that knows nothing of its tasks' health makes room for another", async () => {
    await apply();
    marathon.unseen.add("/spark/master");
    await apply({ http: taking(50), timeoutSeconds: 1000 });
    expect(marathon.log.slice(1)).toEqual(["DELETE /v2/leader"]);
  });

  test("an app that does not run is named, with what Marathon says of its last task", async () => {
    marathon.broken.set("/spark/worker", "Failed to pull image");
    await expect(apply({ http: taking(15) })).rejects.toThrow(
      "Marathon's apps do not run after 60 s:\n  /spark/worker: 0 of 3 healthy; last failure on 10.72.0.64: TASK_FAILED, Failed to pull image",
    );
  });

  test("an app that no agent has room for is named, with the reason why offers are declined", async () => {
    marathon.slowness = 1_000_000;
    const declined = (reason: string, count: number) => ({ reason, declined: count, processed: 4 });
    const summary = [declined("InsufficientMemory", 4), declined("InsufficientPorts", 0)];
    const waiting = { app: { id: "/spark/worker" }, processedOffersSummary: { rejectSummaryLastOffers: summary } };
    marathon.queue = [waiting, { ...waiting, app: { id: "/elasticsearch" } }];
    await expect(apply({ http: taking(15) })).rejects.toThrow(
      /0 of 3 healthy\n {2}\/spark\/worker waits for an offer; the last ones were declined for InsufficientMemory \(4\)$/,
    );
  });

  test("a refusal is final, and says which field is wrong", async () => {
    marathon.refusal = { message: "Object is not valid", details: [{ path: "/cpus", errors: ["is too small"] }] };
    await expect(apply()).rejects.toThrow(
      "Marathon answers PUT /v2/apps with 422: Object is not valid; /cpus: is too small",
    );
  });

  test("a wrong login is final, and is not shown", async () => {
    const http = direct(`127.0.0.1:${marathon.port}`, "marathon:wrong");
    await expect(apply({ http })).rejects.toThrow(
      /^Marathon refuses the cluster's own login \(401 to GET \/v2\/apps\)$/,
    );
  });

  test("nobody there: the time is waited out, and the address's own error shown", async () => {
    const nobody = taking(20, direct("127.0.0.1:1", marathon.login));
    await expect(apply({ http: nobody })).rejects.toThrow(/does not answer GET \/v2\/apps: /);
  });

  test("someone who interrupts does not wait", async () => {
    marathon.broken.set("/spark/worker", "");
    const abort = new AbortController();
    // The line is printed before the pause.
    const report = (): void => void setImmediate(() => abort.abort());
    await expect(apply({ signal: abort.signal, pauseMs: 3_600_000, report })).rejects.toThrow(/abort/i);
  });

  describe("a redirect", () => {
    let [asked, folder]: [(string | undefined)[], string] = [[], ""];
    const servers = [0, 1].map((number) =>
      createServer((request, response) => {
        asked.push(`${number} ${request.headers.authorization}`);
        const to = number === 0 ? `http://127.0.0.1:${portOf(1)}/v2/apps` : undefined;
        response.writeHead(to ? 302 : 200, to ? { location: to } : {}).end("[]");
      }),
    );
    const portOf = (number: number) => (servers[number]?.address() as AddressInfo | undefined)?.port ?? 0;
    beforeEach(async () => {
      asked = [];
      folder = mkdtempSync(join(tmpdir(), "triplewide-marathon-"));
      writeFileSync(join(folder, "login"), "marathon:right");
      for (const server of servers) await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    });
    afterEach(() => {
      for (const server of servers) server.close();
      rmSync(folder, { recursive: true, force: true });
    });

    test.each(["direct", "relay"])("leads nobody away from Marathon, and the login to nobody else: %s", async (way) => {
      const relay = (): MarathonHttp =>
        throughSsh({
          ssh: {
            run: async (_, command, options) => {
              const there = command.replace("'sudo' '-n' ", "");
              const child = spawn("sh", ["-c", there], { stdio: ["pipe", "pipe", "inherit"] });
              child.stdin.end(options?.input ?? "");
              return { code: 0, stdout: await text(child.stdout), stderr: "" };
            },
          },
          machines: [{ name: "master-1", address: "127.0.0.1" }],
          port: portOf(0),
          loginFile: join(folder, "login"),
        });
      const http = way === "direct" ? direct(`127.0.0.1:${portOf(0)}`, "marathon:right") : relay();
      expect((await http({ method: "GET", path: "/v2/apps" })).status).toBe(302);
      expect(asked).toEqual([`0 Basic ${Buffer.from("marathon:right").toString("base64")}`]);
    });
  });

  describe("through SSH", () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "triplewide-marathon-"));
      writeFileSync(join(folder, "login"), marathon.login);
      // A stand-in, because the user who runs the tests may not be allowed to use sudo.
      writeFileSync(join(folder, "sudo"), '#!/bin/sh\nshift\nexec "$@"\n', { mode: 0o755 });
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    test("request and answer go by standard input and output; the next machine is asked where one is away", async () => {
      const commands: string[] = [];
      const ssh: Pick<Ssh, "run"> = {
        run: async ({ name }, command, options) => {
          commands.push(command);
          if (name === "master-1") return { code: 255, stdout: "", stderr: "no route to host" };
          const { promise, resolve } = Promise.withResolvers<{ code: number; stdout: string; stderr: string }>();
          const child = spawn("sh", ["-c", command], {
            env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
          });
          let [stdout, stderr] = ["", ""];
          child.stdout.on("data", (chunk) => {
            stdout += chunk;
          });
          child.stderr.on("data", (chunk) => {
            stderr += chunk;
          });
          child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr }));
          child.stdin.end(options?.input ?? "");
          return promise;
        },
      };
      const machines = [
        { name: "master-1", address: "10.72.0.16" },
        { name: "master-2", address: "127.0.0.1" },
      ];
      const http = throughSsh({ ssh, machines, port: marathon.port, loginFile: join(folder, "login") });
      await apply({ http, timeoutSeconds: 20 });
      expect(marathon.apps.size).toBe(2);
      for (const command of commands) {
        expect(command).not.toContain("/spark/worker");
        expect(command).not.toContain("right");
      }
      marathon.refusal = { message: "Object is not valid", details: [] };
      await expect(apply({ http, apps: [app("/spark/worker", 9)] })).rejects.toThrow("422: Object is not valid");
      const away = throughSsh({ ssh, machines: machines.slice(0, 1), port: 1, loginFile: MARATHON_LOGIN });
      expect(await away({ method: "GET", path: "/" })).toEqual({ status: 0, body: "master-1: no route to host" });
    });
  });
});
