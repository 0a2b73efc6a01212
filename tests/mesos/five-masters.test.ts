import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { MesosCluster, measured } from "./mesos-cluster.ts";

const cluster = new MesosCluster(await findDocker(), "tw-five", 6, [
  "architecture=mesos-in-docker",
  "masterCount=5",
  "zookeeperPlacement=own",
  "zookeeperCount=5",
  "agentCount=2",
]);

describe("five masters, and five ZooKeepers on machines of their own", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("up: one of each leads, and the smoke job is green", async () => {
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
    expect((await cluster.leadingMasters()).length).toBe(1);
    expect((await cluster.leadingZookeepers()).length).toBe(1);
  });

  test("two of each are killed in mid-job, the leading ones among them", async () => {
    const job = cluster.jobOnEveryAgent(40);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    const [master = 0] = await cluster.leadingMasters();
    const [zookeeper = 0] = await cluster.leadingZookeepers();
    const withNext = (n: number): number[] => [n, (n % 5) + 1];
    await Promise.all([
      ...withNext(master).map((n) => cluster.kill(cluster.part(`master-${n}`, "mesos-master"))),
      ...withNext(zookeeper).map((n) => cluster.kill(cluster.part(`zookeeper-${n}`, "zookeeper"))),
    ]);
    await measured("others lead, with both agents, after two of five were killed", 120, () =>
      cluster.agentsAtLeader(2),
    );
    expect(withNext(master)).not.toContain((await cluster.leadingMasters())[0]);
    expect(withNext(zookeeper)).not.toContain((await cluster.leadingZookeepers())[0]);
    expect((await job.done).output).toContain(job.says);
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
  });

  test("down leaves nothing", async () => {
    expect((await cluster.cli("down", ["--volumes"])).code).toBe(0);
    expect(await cluster.traces()).toEqual([]);
  });
});
