import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { docker, findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { MesosCluster } from "../mesos/mesos-cluster.ts";
import { asOneselfAlone } from "./attacks.ts";
import { Visitor } from "./visitor.ts";

/** JupyterHub on the real Mesos that MESOS_SOURCE names: users of two teams and one of none at work at the same time, and against each other. */

const d = await findDocker();
const { MESOS_SOURCE: source } = process.env;
const NONE = `file:///mesos.tar.gz#sha256=${"0".repeat(64)}`;
const HUB_PORT = 8000 + 21000;
const HUB = `http://127.0.0.1:${HUB_PORT}`;
const USERS = ["alice", "bob", "carol"] as const;
type User = (typeof USERS)[number];

/** 4 cores on two agents: 2 are guaranteed to one team, 1 (which is also its limit) to the other, and 1 is free for anyone. */
const TEAMS = {
  ml: { cpus: 2, memoryMiB: 2048, users: ["alice"] },
  bi: { cpus: 1, memoryMiB: 1024, cpusMax: 1, users: ["bob"] },
};
const teams = (value: object): string => `teams=${JSON.stringify(value)}`;
/** HUB_ARCHITECTURE names another architecture in which Mesos starts executors. */
const settings = [
  `architecture=${process.env.HUB_ARCHITECTURE ?? "docker-executors"}`,
  ...["agentCount=2", "agentCpus=2", "agentMemoryMiB=3072", "datanodeCount=1"],
  ...["executorCores=1", "executorMemoryMiB=512", "executorMemoryOverheadMiB=384", "driverMemoryMiB=512"],
  ...["notebooks=hub", `hubPort=${HUB_PORT}`, "notebookMemoryMiB=1536", "notebookCpus=1"],
  `users=${JSON.stringify(Object.fromEntries(USERS.map((user) => [user, {}])))}`,
  teams(TEAMS),
];
const cluster = new MesosCluster(d, "tw-hub-mesos", 11, settings, source ?? NONE);
const kernels = {} as Record<User, (code: string) => Promise<string>>;
const visitors = Object.fromEntries(USERS.map((user) => [user, new Visitor(HUB, user)])) as Record<User, Visitor>;
const inside = (user: User, command: string[]) =>
  captured(d.client, ["exec", `${cluster.name}-client-user-${user}`, ...command]);

/** Frameworks whose drivers are connected. */
const active = async () => (await cluster.frameworks()).filter((framework) => framework.active);
const held = async (): Promise<Record<string, number>> =>
  Object.fromEntries((await active()).map(({ principal, used_resources }) => [principal, used_resources.cpus]));

async function kernelOf(user: User): Promise<void> {
  await eventually(`${user}'s server`, 180, () => visitors[user].hasServer(), Boolean);
  kernels[user] = await visitors[user].kernel();
}

/** A job that wants every core of the cluster, and holds those that it gets until the user's file `go` is there. */
const JOB = `
import os, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.cores.max", "4").config("spark.dynamicAllocation.initialExecutors", "4").getOrCreate()
folder = os.getcwd()
def held(n):
    while not os.path.exists(f"{folder}/go"):
        time.sleep(0.2)
    return os.getuid()
print("UIDS", set(spark.sparkContext.parallelize(range(4), 4).map(held).collect()))
for rows in ("rows", f"file:{folder}/rows"):
    for _ in range(2):
        spark.range(1000).write.mode("overwrite").parquet(rows)
    print("ROWS", spark.read.parquet(rows).count())
path = spark._jvm.org.apache.hadoop.fs.Path("rows")
files = path.getFileSystem(spark._jsc.hadoopConfiguration())
print("AT", files.makeQualified(path).toUri().getPath(), {status.getOwner() for status in files.listStatus(path)})
`;

describe.skipIf(source === undefined)("users of a hub on Mesos", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    const { output: said } = await cluster.cli("users");
    for (const [, name = "", password = ""] of said.matchAll(/^ {2}(\S+) +(\S+)$/gm))
      await visitors[name as User].logIn(password);
    await Promise.all(USERS.map(kernelOf));
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("each one's job is in the role of their team, gets what that is guaranteed and no more than its limit", async () => {
    // Alice, whose team has the largest guarantee, starts last: the others must leave her cores free.
    const jobs = [kernels.carol(JOB), kernels.bob(JOB)];
    await eventually("cores of the others", 240, held, (now) => now["user.bob"] === 1 && now["user.carol"] === 1);
    jobs.push(kernels.alice(JOB));
    const shares = await eventually("her cores", 240, held, (now) => (now["user.alice"] ?? 0) >= 2);
    expect(shares).toEqual({ "user.alice": 2, "user.bob": 1, "user.carol": 1 });
    expect(Object.fromEntries((await active()).map(({ principal, role }) => [principal, role]))).toEqual({
      "user.alice": "ml",
      "user.bob": "bi",
      "user.carol": "spark",
    });
    for (const user of USERS) await inside(user, ["touch", "go"]);
    // On agents, executors run as Spark's user; in HDFS, they act as the user of their driver.
    for (const [i, user] of (["carol", "bob", "alice"] as const).entries())
      expect(await jobs[i]).toBe(`UIDS {1000}\nROWS 1000\nROWS 1000\nAT /user/${user}/rows {'${user}'}\n`);
  });

  test("a user registers neither in another's role nor as another, and ends nothing of theirs", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    const master = `${cluster.address(`master-${leader}`)}:${cluster.cluster.config.mesosMasterPort}`;
    const hers = (await active()).find(({ principal }) => principal === "user.alice");
    const attacks = readFileSync(join(ROOT, "tests/cluster/hub_mesos.py"), "utf8");
    const argv = ["", master, "ml", "user.alice", hers?.id ?? ""];
    for (const [user, role] of [
      ["bob", "bi"],
      ["carol", "spark"],
    ] as const) {
      const said = await kernels[user](`import sys; sys.argv = ${JSON.stringify(argv)}\n${attacks}`);
      expect(JSON.parse(said), said).toEqual(asOneselfAlone("alice", "ml", role === "bi" ? "spark" : "bi"));
      // Bob and carol send messages in the name of alice's driver to the master, and in the master's name to her driver.
      const place = `client-user-${user}`;
      const refused = /^400 UPID IP address validation failed/;
      const pid = hers?.pid ?? "";
      expect(await cluster.message(place, pid, `master@${master}`, "UnregisterSlaveMessage", "x")).toMatch(refused);
      expect(await cluster.message(place, `master@${master}`, pid, "FrameworkErrorMessage", "x")).toMatch(refused);
    }
    expect((await active()).map(({ id }) => id)).toContain(hers?.id);
    expect(await kernels.alice("print(spark.range(10).count())")).toBe("10\n");
  });

  test("each has their own secret alone, in a file that they alone read", async () => {
    const secrets = new Set<string>();
    for (const user of USERS) {
      const { output } = await inside(user, ["bash", "-c", "stat -c '%U %a' /etc/mesos/login && cat /etc/mesos/login"]);
      const [owner, secret = ""] = output.trim().split("\n");
      expect(owner).toBe(`${user} 400`);
      secrets.add(secret);
    }
    expect(secrets.size).toBe(3);
    const own = (await cluster.onClient(["bash", "-c", "cat /etc/mesos/teams/*"])).output;
    for (const secret of secrets) expect(own).not.toContain(secret);
    // The settings that executors get do not hold the secret either.
    const told = await kernels.alice(
      "print(open('/etc/mesos/login').read() in str(spark.sparkContext.getConf().getAll()))",
    );
    expect(told).toBe("False\n");
  });

  test("a user who names another team is told whose role theirs is", async () => {
    const { code, output } = await inside("carol", ["env", "TRIPLEWIDE_TEAM=ml", "spark-submit", "/dev/null"]);
    expect(output).toContain("TRIPLEWIDE_TEAM=ml: your jobs are in the role spark, and in no other");
    expect(code).not.toBe(0);
  });

  test("who is moved to another team is in its role from the next start of their server on", async () => {
    await kernels.bob("spark.stop()");
    const moved = { ml: { ...TEAMS.ml, users: ["alice", "bob"] }, bi: { ...TEAMS.bi, users: [] } };
    const { code, output } = await cluster.cli("up", ["--no-smoke"], [teams(moved)]);
    expect(code, output).toBe(0);
    await docker(d, ["rm", "-f", `${cluster.name}-client-user-bob`]);
    await kernelOf("bob");
    await inside("bob", ["touch", "go"]);
    const job = kernels.bob(`${JOB}\nprint("DONE")`);
    expect(await job).toContain("DONE");
    expect((await active()).filter(({ principal }) => principal === "user.bob").map(({ role }) => role)).toEqual([
      "ml",
    ]);
    // The masters were restarted with other rules, and alice's session goes on.
    expect(await kernels.alice("print(spark.range(10).count())")).toBe("10\n");
  });
});
