import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { captured } from "../../lib/exec.ts";
import { findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { Visitor } from "../hub/visitor.ts";
import { losesLeadingMaster } from "./faults.ts";
import { MesosCluster } from "./mesos-cluster.ts";

const d = await findDocker();
const HUB_PORT = 8000 + 24000;
const USERS = ["ann", "bob"] as const;
const cluster = new MesosCluster(d, "tw-mesos-tls", 14, [
  "architecture=vanilla",
  "masterCount=3",
  "agentCount=2",
  "mesosTls=true",
  ...["notebooks=hub", `hubPort=${HUB_PORT}`, "driverMemoryMiB=512", "notebookMemoryMiB=1536"],
  `users=${JSON.stringify(Object.fromEntries(USERS.map((user) => [user, {}])))}`,
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
    // `mesos.internal.` is in every message of Mesos. The other word is sent in plain text, to show that the listener works.
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

  test("drivers of the hub's users are known by certificates for where they are, by keys that nobody else has", async () => {
    const { output: said } = await cluster.cli("users");
    const keys: string[] = [];
    for (const user of USERS) {
      const visitor = new Visitor(`http://127.0.0.1:${HUB_PORT}`, user);
      await visitor.logIn(new RegExp(`^ {2}${user} +(\\S+)$`, "m").exec(said)?.[1] ?? "");
      await eventually(`${user}'s server`, 180, () => visitor.hasServer(), Boolean);
      const run = await visitor.kernel();
      const job =
        "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\nprint(spark.range(1000).repartition(4).count())";
      expect(await run(job)).toBe("1000\n");
      const frameworks = await cluster.frameworks();
      const { pid = "" } = frameworks.find(({ principal, active }) => active && principal === `user.${user}`) ?? {};
      const inside = (command: string) =>
        captured(d.client, ["exec", `${cluster.name}-client-user-${user}`, "bash", "-c", command]);
      const { output } = await inside(
        "stat -c '%U %a' /etc/libprocess/key.pem; openssl x509 -in /etc/libprocess/certificate.pem -noout -ext subjectAltName",
      );
      expect(output).toMatch(new RegExp(`^${user} 400\n`));
      expect(output).toContain(`IP Address:${/@(.*):/.exec(pid)?.[1]}\n`);
      keys.push((await inside("cat /etc/libprocess/key.pem")).output);
      // A message in the master's name without TLS is refused too.
      const [leader = 0] = await cluster.leadingMasters();
      const plain = await cluster.message(
        `client-user-${user}`,
        cluster.upid(`master-${leader}`),
        pid,
        "FrameworkErrorMessage",
        "x",
      );
      expect(plain).toMatch(/RemoteDisconnected|ConnectionResetError/);
      expect(await run("spark.stop()")).toBe("");
    }
    keys.push((await cluster.onClient(["cat", "/etc/libprocess/key.pem"])).output);
    expect(new Set(keys).size).toBe(3);
  });

  test("the operator takes an agent out of service, and gives it back", async () => {
    const drained = await cluster.drain("agent-2", "--grace", "5");
    expect(drained.output).toMatch(/agent-2 is drained after [\d.]+ s/);
    expect(drained.code).toBe(0);
    expect((await cluster.drain("agent-2", "--back")).output).toContain("agent-2 takes tasks again");
  });

  losesLeadingMaster(cluster);
});
