import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { losesLeadingMaster } from "./faults.ts";
import { MesosCluster } from "./mesos-cluster.ts";

const cluster = new MesosCluster(await findDocker(), "tw-mesos-tls", 14, [
  "architecture=vanilla",
  "masterCount=3",
  "agentCount=2",
  "mesosTls=true",
]);

describe("mesosTls: Mesos' own connections by certificates of the cluster's authority", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("up: the masters find each other, agents register, and the smoke job is green", async () => {
    const { code, output } = await cluster.cli("up");
    expect(output).toContain("a leading Mesos master with 2 agents");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(output).toMatch(/[2-9] executors took part/);
    expect(code).toBe(0);
  });

  test("nobody reads what a driver and Mesos say to each other", async () => {
    // What every message of Mesos begins with, and a word of ours: a listener that sees nothing is not deaf.
    const [plain, hidden] = ["plain-word-on-the-wire", "mesos.internal."];
    const zookeeper = `${cluster.address("master-1")}/${cluster.cluster.config.zookeeperClientPort}`;
    const seen = await cluster.eavesdrop(cluster.part("client", "jupyter"), [plain, hidden], async () => {
      const job = cluster.job(4);
      expect((await job.done).output).toContain(job.says);
      const say = ["bash", "-c", `exec 3<>/dev/tcp/${zookeeper} && echo ${plain} >&3`];
      await cluster.exec(cluster.part("client", "jupyter"), say);
    });
    expect(seen).toEqual([plain]);
  });

  test("who speaks without TLS is heard by no master and no agent", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    const task = cluster.part("agent-1", "mesos-agent");
    const own = `nobody@${cluster.address("agent-1")}:1`;
    for (const to of [cluster.upid("agent-2"), cluster.upid(`master-${leader}`)]) {
      const answer = await cluster.message(task, own, to, "UnregisterSlaveMessage", "S0");
      expect(answer, to).toMatch(/RemoteDisconnected|ConnectionResetError/);
    }
    await expect(fetch(`http://127.0.0.1:${cluster.cluster.config.mesosMasterPort}/health`)).rejects.toThrow();
  });

  test("the operator takes an agent out of service, and gives it back", async () => {
    const drained = await cluster.drain("agent-2", "--grace", "5");
    expect(drained.output).toMatch(/agent-2 is drained after [\d.]+ s/);
    expect(drained.code).toBe(0);
    expect((await cluster.drain("agent-2", "--back")).output).toContain("agent-2 takes tasks again");
  });

  losesLeadingMaster(cluster);
});
