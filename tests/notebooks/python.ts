import { describe, expect, test } from "vitest";
import type { TestCluster } from "../containers/harness.ts";
import { tutorials } from "../containers/tutorials.ts";

/** Types, messages and tutorials. */
export function pythonSuite(cluster: TestCluster): void {
  describe("Python on a cluster", () => {
    test("every type, each way between Spark and Python, with Arrow and without, is as Spark 3.5 documents", async () => {
      await cluster.bring("types_table.py");
      const run =
        "spark-submit --conf spark.sql.shuffle.partitions=2 /tmp/types_table.py 2>/tmp/types.log || tail -n 20 /tmp/types.log";
      const { output } = await cluster.exec("client", ["bash", "-c", run]);
      const report = JSON.parse(output.slice(output.indexOf("{")));
      expect(report.wrong).toEqual([]);
      expect(report.cells).toBeGreaterThan(500);
    });

    test("a notebook says why a cell waits, why an executor is gone, and what an install means for executors", async () => {
      await cluster.bring("notebook_messages.py");
      const { output } = await cluster.exec("client", ["python3", "/tmp/notebook_messages.py"]);
      const said: Record<string, string> = JSON.parse(output.slice(output.lastIndexOf('{\n "waits"')));
      expect(said.waits).toMatch(
        /this cell waits for executors: all (\d+) cores of the cluster are taken: big-job has \1/,
      );
      expect(said.waits).toMatch(/10$/);
      expect(said.page).toContain('"astray": []');
      expect(said.page).toContain("Spark Jobs");
      expect(said.dies).toMatch(
        /an executor on 10\.\d+\.0\.\d+ was killed, most often for its memory .*137.*executorMemoryMiB/,
      );
      expect(said["full disk"]).toMatch(/on agent 10\.\d+\.0\.\d+ is full: raise scratchGb/);
      expect(said.stopped).toContain("java.io.IOException: kept");
      expect(said.stopped).not.toMatch(/TaskKilled|is aborting/);
      expect(said.nanoseconds).toContain('coerce_timestamps="us"');
      expect(said["beside the notebook"]).toContain(
        "read file:/home/spark/work/beside.csv, or !hdfs dfs -put beside.csv",
      );
      expect(said["in HDFS"]).toContain("there.parquet is in HDFS, where Spark's relative paths lie");
      expect(said["web address"]).toContain("!wget URL");
      expect(said["file of the client"]).toContain("executors have no /tmp/mine.csv");
      expect(said.jdbc).toContain('.option("driver", "org.postgresql.Driver")');
      expect(said.avro).toMatch(/org\.apache\.spark:spark-avro_2\.12:3\.5\.\d+/);
      expect(said["no module"]).toContain("this Python has no seaborn: %pip install");
      expect(said["%pip pandas"]).toContain("drivers and executors have it already");
      expect(said["!pip nothing"]).toContain(
        "add the line `a-package-that-is-not-there` to images/spark-python/requirements.in",
      );
      expect(said["%pip mine"]).toContain("installed in /home/spark/work/.python, which executors read as well");
      expect(said["%pip mine"]).toContain("answer 42");
    });

    test("an application that the Spark master does not know is told so, not that executors are starting", async () => {
      const ask =
        "from triplewide_cluster import *; print(why_no_executor(defaults()['spark.master'], 'app-unknown', 1024))";
      const { output } = await cluster.exec("client", ["python3", "-c", ask]);
      expect(output).toContain("the Spark master does not know this application");
    });

    tutorials(cluster);
  });
}
