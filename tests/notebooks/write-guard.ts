import { beforeAll, describe, expect, test } from "vitest";
import type { TestCluster } from "../containers/harness.ts";

const SHARED = "/home/spark/work";

interface Report {
  tried: number;
  wrong: string[];
}

/** Some of the forms, of each kind one: for places where no more than the place differs. */
const SOME = [
  "write.parquet",
  "saveAsTable",
  "saveAsTextFile",
  "MLlib",
  "write.mode(overwrite)",
  "insertInto, dynamic overwrite",
  "saveAsTable, overwrite",
];

/** Writes that would be scattered over executors' disks. */
export function writeGuardSuite(cluster: TestCluster): void {
  async function submit(options: string[], args: string[], forms?: readonly string[]): Promise<Report> {
    const words = ["--conf", "spark.sql.shuffle.partitions=2", ...options, "/tmp/write_guard.py", ...args];
    const run = 'spark-submit "$@" 2>/tmp/guard.log || tail -n 20 /tmp/guard.log';
    const only = forms ? ["env", `TRIPLEWIDE_FORMS=${forms.join(";")}`] : [];
    const { output } = await cluster.exec("client", [...only, "bash", "-c", run, "bash", ...words]);
    expect(output).toContain('{"tried"');
    return JSON.parse(output.slice(output.indexOf('{"tried"')));
  }

  describe("writes that would be scattered over executors", () => {
    beforeAll(async () => {
      await cluster.bring("write_guard.py");
    });

    test("each form is refused before it runs, says what works, leaves nothing and keeps what was there", async () => {
      const report = await submit([], ["refused", "/tmp/guard", "Write to hdfs:///user/spark/results", SHARED]);
      expect(report.wrong).toEqual([]);
      expect(report.tried).toBeGreaterThan(30);
    });

    test("without a shared folder the notebook's own is refused as well", async () => {
      const none = ["--conf", "spark.triplewide.sharedFolders="];
      const args = ["refused", `${SHARED}/guard`, "Write to hdfs:///user/spark/results", "/tmp"];
      const report = await submit(none, args, [...SOME, "Hive's CREATE TABLE AS"]);
      expect(report.wrong.filter((text) => !text.startsWith("left behind"))).toEqual([]);
    });

    test("writes work in HDFS", async () => {
      const tables = ["Hive's insertInto, overwrite", "saveAsTable, overwrite, with a path"];
      const report = await submit([], ["works", "hdfs:///user/spark/guard"], [...SOME, ...tables]);
      expect(report.wrong).toEqual([]);
    });

    test("each form works in the shared folder", async () => {
      const report = await submit([], ["works", `file://${SHARED}/guard`]);
      expect(report.wrong).toEqual([]);
    });

    test("a driver without executors on other machines may write anywhere", async () => {
      // The catalogue makes and removes tables' folders, and does not see this one.
      const own = ["--master", "local[2]", "--conf", "spark.sql.catalogImplementation=in-memory"];
      const report = await submit(own, ["works", "file:///tmp/guard-local"], SOME);
      expect(report.wrong).toEqual([]);
    });
  });
}
