import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MARATHON_LOGIN } from "../../cluster/services/marathon/marathon.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import type { MarathonHttp } from "../../marathon/apply.ts";
import { direct } from "../../marathon/direct.ts";
import { eventually } from "../containers/harness.ts";
import { growsAndShrinks } from "./allocation.ts";
import { OTHER, REDUNDANT, survivesFaults } from "./faults.ts";
import { MesosCluster, measured } from "./mesos-cluster.ts";

/** MARATHON_SOURCE names the image of a real Marathon, as `marathonSource` does; Mesos' source alone does not bring one. */
const source = process.env.MARATHON_SOURCE ?? "";
const reason = source === "" ? "no Marathon: set MARATHON_SOURCE to docker://…" : "";
const cluster = new MesosCluster(await findDocker(), "tw-marathon", 5, [
  "architecture=marathon-standalone",
  ...REDUNDANT,
  ...(source === "" ? [] : [`marathonSource=${source}`]),
]);
const FOLDER = join(ROOT, "docs", "apps");
const EXAMPLES = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));
const AGENTS = ["agent-1", "agent-2"];

describe.skipIf(reason !== "")(`marathon-standalone: Spark as apps${reason && ` (skipped: ${reason})`}`, () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  const smoked = async (setting: string[], executors: number): Promise<void> => {
    const { code, output } = await cluster.cli("up", [], setting);
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(output).toContain(`${executors} executors took part`);
    expect(code).toBe(0);
  };
  const marathon = async (): Promise<MarathonHttp> => {
    const login = (await cluster.exec("master-1-marathon", ["cat", MARATHON_LOGIN])).output.trim();
    return direct(`127.0.0.1:${cluster.cluster.config.marathonPort}`, login);
  };
  const tasks = (): Promise<string[][]> => Promise.all(AGENTS.map((agent) => cluster.taskContainers(agent)));

  test("up: Marathon starts masters and workers, and the smoke job is green", () => smoked([], 2));

  test("two jobs at once", async () => {
    const [one, two] = [cluster.job(12, { "spark.cores.max": "2" }), cluster.job(12, { "spark.cores.max": "2" })];
    expect((await one.done).output).toContain(one.says);
    expect((await two.done).output).toContain(two.says);
  });

  test("nobody gives Marathon apps without its password", async () => {
    const { marathonPort } = cluster.cluster.config;
    for (const headers of [{}, { authorization: `Basic ${Buffer.from("marathon:guessed").toString("base64")}` }]) {
      expect((await fetch(`http://127.0.0.1:${marathonPort}/v2/apps`, { headers })).status).toBe(401);
    }
  });

  test.each(EXAMPLES)("docs/apps/%s is an app that it takes", async (file) => {
    const http = await marathon();
    const body = readFileSync(join(FOLDER, file), "utf8");
    const path = `/v2/apps${JSON.parse(body).id}`;
    // Its image is pulled only when the app is placed on an agent; the test does not wait for that.
    expect((await http({ method: "PUT", path, body })).status).toBe(201);
    expect((await http({ method: "DELETE", path: `${path}?force=true` })).status).toBe(200);
    await eventually(
      "the app is gone",
      60,
      () => http({ method: "GET", path }),
      ({ status }) => status === 404,
    );
  });

  survivesFaults(cluster);

  test("the leading Marathon is killed in mid-job, and its apps run on", async () => {
    const job = cluster.jobOnEveryAgent(40);
    const before = await tasks();
    const [leader = 0] = await cluster.leadingMarathons();
    await cluster.kill(`master-${leader}-marathon`);
    await measured("another leading Marathon", 120, async () => {
      const found = await cluster.leadingMarathons();
      return found.length > 0 && !found.includes(leader);
    });
    expect((await job.done).output).toContain(job.says);
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
    expect(await tasks()).toEqual(before);
  });

  test("the leading Marathon gives way when asked, as `up` asks one that has lost sight of its apps' health", async () => {
    const before = await tasks();
    const [leader = 0] = await cluster.leadingMarathons();
    const http = await marathon();
    expect((await http({ method: "DELETE", path: "/v2/leader" })).status).toBe(200);
    await measured("another leading Marathon, the first having been asked to give way", 120, async () => {
      const found = await cluster.leadingMarathons();
      return found.length > 0 && !found.includes(leader);
    });
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
    expect(await tasks()).toEqual(before);
  });

  test("one number more or less scales the workers, and makes room for another framework", async () => {
    await smoked(["marathonWorkers=1"], 1);
    expect((await cluster.otherFramework(OTHER, OTHER)).output).toContain("TASK_FINISHED");
    await smoked([], 2);
  });

  growsAndShrinks(cluster);

  test("down leaves nothing", async () => {
    expect((await cluster.cli("down", ["--volumes"])).code).toBe(0);
    expect(await cluster.traces()).toEqual([]);
    expect(await tasks()).toEqual([[], []]);
  });
});
