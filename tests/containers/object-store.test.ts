import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { localReference } from "../../cluster/images.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { docker, findDocker } from "../../local/docker.ts";
import { TestCluster } from "./harness.ts";
import { S3Server } from "./s3-server.ts";

const d = await findDocker();
const INDEX = 9;
const server = new S3Server(d, "tw-object-store", `10.${98 - INDEX}.200.2`);
let cluster: TestCluster;

beforeAll(async () => {
  await server.start();
  cluster = new TestCluster(d, "tw-store", INDEX, ["agentCount=2", ...server.settings]);
  await cluster.cli("down", ["--volumes"]);
  const up = await cluster.cli("up", ["--no-smoke"]);
  expect(up.code, up.output).toBe(0);
  await server.join("tw-store");
});

afterAll(async () => {
  await server.remove();
  await cluster?.cli("down", ["--volumes"]);
});

test("executors write and read partitioned Parquet in an object store, and no one sees the login", async () => {
  const client = cluster.container("client");
  await cluster.bring("object_store.py");
  const command = "python3 /tmp/object_store.py s3a://bucket 2>/tmp/log || { tail -n 40 /tmp/log; exit 1; }";
  const job = spawn(d.client, ["exec", "--interactive", client, "bash", "-c", command]);
  const ended = new Promise<number | null>((resolve) => job.on("close", resolve));
  let said = "";
  for await (const line of createInterface(job.stdout)) {
    said += `${line}\n`;
    if (!line.startsWith("{")) continue;
    // Lists processes while driver and executors run, because their command lines are visible to others.
    const lists = ["client", "agent-1", "agent-2"].map((machine) =>
      cluster.exec(machine, ["bash", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'"]),
    );
    const running = (await Promise.all(lists)).map(({ output }) => output).join("\n");
    expect(running).toContain("CoarseGrainedExecutorBackend");
    expect(running).not.toContain(server.secret);
    job.stdin.end();
  }
  expect(await ended, said).toBe(0);
  const done = JSON.parse(said.slice(said.indexOf("{")));
  expect(done).toMatchObject({
    rows: 120_000,
    // The committer copies nothing. Readers see a job's files when all are written, or none if the job fails.
    committer: "magic",
    "left by a job that failed": [],
    "single partitions": [
      [0, 3],
      [1, 5],
      [2, 3],
    ],
    "part 3": { "count(id)": 20_000, "sum(id)": 1_000_010_000 },
    parts: ["_SUCCESS", "part=0", "part=1", "part=2", "part=3", "part=4"],
    text: ["one", "three", "two"],
    "secret on page": false,
  });
  expect(done.executors).toBeGreaterThan(0);
  expect(done.page["spark.hadoop.fs.s3a.secret.key"]).toBe("*********(redacted)");
});

test("images of a cluster without an object store are others, and have no jars for it", async () => {
  const versions = pinnedVersions(ROOT);
  const local = { platform: "docker", architecture: "standalone" };
  const jarsOf = async (raw: Record<string, unknown>): Promise<string> => {
    const image = localReference(
      "spark-python",
      describeCluster(validate({ ...local, ...raw }, "test")).config,
      versions,
    );
    return docker(d, ["run", "--rm", image, "ls", "/opt/spark/jars"]);
  };
  const plain = await captured(join(ROOT, "images", "build.sh"), ["spark-python"]);
  expect(plain.code, plain.output).toBe(0);
  expect(await jarsOf({})).not.toMatch(/hadoop-aws|aws-java/);
  expect(await jarsOf(server.keys)).toMatch(/hadoop-aws-3\.3\.4\.jar/);
});
