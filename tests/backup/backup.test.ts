import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { TestCluster } from "../containers/harness.ts";

/** A backup of a cluster with HDFS, and its restoration after everything of the cluster was removed. */

const cluster = new TestCluster(await findDocker(), "tw-backup", 5, ["agentCount=1", "datanodeCount=1"]);
const folder = mkdtempSync(join(tmpdir(), "triplewide-backup-"));
const target = join(folder, "one");

const WRITE = `
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(1000).write.mode("overwrite").parquet("hdfs:///user/spark/kept")
spark.range(7).write.mode("overwrite").saveAsTable("kept")
open("/home/spark/work/kept.txt", "w").write("kept")
`;
const READ = `
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("HDFS", spark.read.parquet("hdfs:///user/spark/kept").count(), "TABLE", spark.table("kept").count(), open("/home/spark/work/kept.txt").read())
`;
const python = (script: string) => cluster.exec("client", ["python3", "-c", script]);

beforeAll(async () => {
  await cluster.cli("down", ["--volumes"]);
  const { code, output } = await cluster.cli("up", ["--no-smoke"]);
  expect(code, output).toBe(0);
  const { code: written, output: said } = await python(WRITE);
  expect(written, said).toBe(0);
});
afterAll(async () => {
  await cluster.cli("down", ["--volumes"]);
  rmSync(folder, { recursive: true });
});

test("a backup has an archive of every volume with data, for this user alone, and the cluster goes on", async () => {
  const { code, output } = await cluster.cli("backup", [target]);
  expect(code, output).toBe(0);
  const files = readdirSync(target);
  expect(files).toEqual(
    expect.arrayContaining(["backup.json", "secrets.json", "client-jupyter-home-spark-work.tar.gz"]),
  );
  expect(files.filter((name) => /datanode|namenode/.test(name)).length).toBeGreaterThan(1);
  for (const name of files) expect(statSync(join(target, name)).mode & 0o077, name).toBe(0);
  expect((await python(READ)).output).toContain("HDFS 1000 TABLE 7 kept");
  const again = await cluster.cli("backup", [target]);
  expect(again).toMatchObject({ code: 1, output: expect.stringContaining("is not empty") });
});

test("data that is there is not overwritten without a word", async () => {
  const { code, output } = await cluster.cli("restore", [target]);
  expect({ code, output }).toMatchObject({
    code: 1,
    output: expect.stringContaining("holds data here; nothing was changed"),
  });
});

test("all of it is there again after everything was removed", async () => {
  expect((await cluster.cli("down", ["--volumes"])).code).toBe(0);
  expect(await cluster.traces()).toEqual([]);
  // As a newcomer would: first a fresh cluster, with other secrets and an empty HDFS.
  const fresh = await cluster.cli("up", ["--no-smoke"]);
  expect(fresh.code, fresh.output).toBe(0);
  const { code, output } = await cluster.cli("restore", [target, "--replace"]);
  expect(code, output).toBe(0);
  expect((await python(READ)).output).toContain("HDFS 1000 TABLE 7 kept");
});

test("a damaged backup, and one of another kind of cluster, change nothing", async () => {
  const other = await cluster.cli("restore", [target, "--replace"], ["datanodeCount=0"]);
  expect(other.output).toMatch(/this config has no place for .*; nothing was changed/);
  appendFileSync(join(target, "client-jupyter-home-spark-work.tar.gz"), "x");
  const damaged = await cluster.cli("restore", [target, "--replace"]);
  expect(damaged.output).toContain("the backup is damaged: client-jupyter-home-spark-work.tar.gz");
  expect([other.code, damaged.code]).toEqual([1, 1]);
  expect((await python(READ)).output).toContain("HDFS 1000 TABLE 7 kept");
});
