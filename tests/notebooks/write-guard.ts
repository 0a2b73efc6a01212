import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { type Docker, docker } from "../../local/docker.ts";
import type { TestCluster } from "../containers/harness.ts";

const SHARED = "/home/spark/work";

interface Report {
  tried: number;
  wrong: string[];
}

/** Writes that would be scattered over executors' disks. */
export function writeGuardSuite(d: Docker, cluster: TestCluster): void {
  async function submit(options: string[], args: string[]): Promise<Report> {
    const words = ["--conf", "spark.sql.shuffle.partitions=2", ...options, "/tmp/write_guard.py", ...args];
    const run = 'spark-submit "$@" 2>/tmp/guard.log || tail -n 20 /tmp/guard.log';
    const { output } = await cluster.exec("client", ["bash", "-c", run, "bash", ...words]);
    expect(output).toContain('{"tried"');
    return JSON.parse(output.slice(output.indexOf('{"tried"')));
  }

  describe("writes that would be scattered over executors", () => {
    beforeAll(async () => {
      await docker(d, ["cp", join(ROOT, "tests/cluster/write_guard.py"), `${cluster.container("client")}:/tmp/`]);
    });

    test("each form is refused before it runs, says what works, leaves nothing and keeps what was there", async () => {
      const report = await submit([], ["refused", "/tmp/guard", "Write to hdfs:///user/spark/results", SHARED]);
      expect(report.wrong).toEqual([]);
      expect(report.tried).toBeGreaterThan(30);
    });

    test("without a shared folder the notebook's own is refused as well", async () => {
      const none = ["--conf", "spark.triplewide.sharedFolders="];
      const report = await submit(none, ["refused", `${SHARED}/guard`, "Write to hdfs:///user/spark/results", "/tmp"]);
      expect(report.wrong.filter((text) => !text.startsWith("left behind"))).toEqual([]);
    });

    test("each form works in HDFS", async () => {
      const report = await submit([], ["works", "hdfs:///user/spark/guard"]);
      expect(report.wrong).toEqual([]);
    });

    test("each form works in the shared folder", async () => {
      const report = await submit([], ["works", `file://${SHARED}/guard`]);
      expect(report.wrong).toEqual([]);
    });

    test("a driver without executors on other machines may write anywhere", async () => {
      // The catalogue makes and removes tables' folders, and does not see this one.
      const own = ["--master", "local[2]", "--conf", "spark.sql.catalogImplementation=in-memory"];
      const report = await submit(own, ["works", "file:///tmp/guard-local"]);
      expect(report.wrong).toEqual([]);
    });
  });
}
