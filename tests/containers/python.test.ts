import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { docker, findDocker } from "../../local/docker.ts";
import { TestCluster } from "./harness.ts";

const d = await findDocker();
const cluster = new TestCluster(d, "tw-python", 3, ["agentCount=2"]);

describe("Python on a cluster", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("every type, each way between Spark and Python, with Arrow and without, is as Spark 3.5 documents", async () => {
    await docker(d, ["cp", join(ROOT, "tests/cluster/types_table.py"), `${cluster.container("client")}:/tmp/`]);
    const run =
      "spark-submit --conf spark.sql.shuffle.partitions=2 /tmp/types_table.py 2>/tmp/types.log || tail -n 20 /tmp/types.log";
    const { output } = await cluster.exec("client", ["bash", "-c", run]);
    const report = JSON.parse(output.slice(output.indexOf("{")));
    expect(report.wrong).toEqual([]);
    expect(report.cells).toBeGreaterThan(500);
  });
});
