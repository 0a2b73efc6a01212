import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { MesosCluster, measured } from "./mesos-cluster.ts";

/** MARATHON_SOURCE names the image of a real Marathon, as `marathonSource` does; Mesos' source alone does not bring one. */
const source = process.env.MARATHON_SOURCE ?? "";
const reason = source === "" ? "no Marathon: set MARATHON_SOURCE to docker://…" : "";
const cluster = new MesosCluster(await findDocker(), "tw-marathon", 5, [
  "architecture=marathon-standalone",
  "masterCount=3",
  "agentCount=2",
  ...(source === "" ? [] : [`marathonSource=${source}`]),
]);

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

  test("up: Marathon starts masters and workers, and the smoke job is green", () => smoked([], 2));

  test("two jobs at once", async () => {
    const [one, two] = [cluster.job(12), cluster.job(12)];
    expect((await one.done).output).toContain(one.says);
    expect((await two.done).output).toContain(two.says);
  });

  test("the leading Mesos master is killed in mid-job", async () => {
    const job = cluster.job(40);
    const [leader = 0] = await cluster.leadingMasters();
    await cluster.kill(`master-${leader}-mesos-master`);
    await measured("another leading master with both agents", 120, () => cluster.agentsAtLeader(2));
    expect((await job.done).output).toContain(job.says);
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
  });

  test("an agent is lost in mid-job with its worker, and comes back", async () => {
    const job = cluster.job(40);
    await cluster.killAgent("agent-2");
    expect((await job.done).output).toContain(job.says);
    await smoked([], 2);
  });

  test("one number more or less scales the workers", async () => {
    await smoked(["marathonWorkers=1"], 1);
    await smoked([], 2);
  });

  test("down leaves nothing", async () => {
    expect((await cluster.cli("down", ["--volumes"])).code).toBe(0);
    expect(await cluster.traces()).toEqual([]);
    expect(await Promise.all(["agent-1", "agent-2"].map((agent) => cluster.taskContainers(agent)))).toEqual([[], []]);
  });
});
