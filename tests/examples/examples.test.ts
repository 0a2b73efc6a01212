import { afterAll, beforeAll, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { TestCluster } from "../containers/harness.ts";

const d = await findDocker();
const cluster = new TestCluster(d, "tw-examples", 8, ["agentCount=2"]);

beforeAll(async () => {
  await cluster.cli("down", ["--volumes"]);
  const { code, output } = await cluster.cli("up", ["--no-smoke"]);
  expect(code, output).toBe(0);
}, 1_500_000);
afterAll(async () => {
  await cluster.cli("down", ["--volumes"]);
}, 300_000);

test("Spark's own Python examples run on the cluster, each by spark-submit", async () => {
  await cluster.bring("spark_examples.py");
  const { code, output } = await cluster.exec("client", ["python3", "/tmp/spark_examples.py"]);
  expect(code, output.slice(-2000)).toBe(0);
  const results = output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { name: string; ok?: boolean; excluded?: string });
  expect(results.filter(({ ok, excluded }) => ok !== true && excluded === undefined)).toEqual([]);
  expect(results.filter(({ ok }) => ok).length).toBe(130);
  expect(results.filter(({ excluded }) => excluded).length).toBe(13);
});
