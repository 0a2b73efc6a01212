import { beforeAll, describe, expect, test } from "vitest";
import { type Docker, docker } from "../../local/docker.ts";
import { eventually, type TestCluster } from "../containers/harness.ts";

/** Tables that outlive the session that made them. */
export function tablesSuite(d: Docker, cluster: TestCluster): void {
  const METASTORE = "client-metastore";

  async function run(args: string[], options: string[] = []): Promise<unknown> {
    const script = 'spark-submit "$@" 2>/tmp/tables.log || tail -n 20 /tmp/tables.log';
    const command = ["bash", "-c", script, "bash", ...options, "/tmp/tables.py", ...args];
    const { output } = await cluster.exec("client", command);
    expect(output).toContain("found: {");
    return JSON.parse(/^found: (.*)$/m.exec(output)?.[1] ?? "{}");
  }
  /** A driver that needs no executor: it asks the catalogue, and reads. */
  const alone = ["--master", "local[2]"];

  const FOUND = {
    databases: ["default", "team"],
    default: ["as_hive", "by_day", "by_hand", "plain", "wide"],
    team: ["evens", "plain"],
    plain: 2000,
    "one day": 200,
    partitions: 5,
    csv: 499500,
    view: 1000,
    "by hand": ["ä", "2024-02-29 12:00:00", 1, "2.50"],
    provider: "parquet",
    hive: 5,
    columns: 1500,
    "made again": 2000,
  };

  describe("tables", () => {
    beforeAll(async () => {
      await cluster.bring("tables.py");
    });

    test("are found by name in the next session, which may make them again", async () => {
      expect(await run(["make"])).toEqual({ rows: 2000 });
      expect(await run(["find"])).toEqual(FOUND);
    });

    test("are found in two sessions at a time, each of which made one", async () => {
      const half = ["--conf", "spark.cores.max=1"];
      const both = await Promise.all([
        run(["shared", "first", "second"], half),
        run(["shared", "second", "first"], half),
      ]);
      expect(both).toEqual([{ second: 1000 }, { first: 1000 }]);
    });

    test("are found by a session during which the catalogue died: it is started again", async () => {
      const go = "/tmp/tables-go";
      await cluster.exec("client", ["rm", "-f", go]);
      const session = run(["outlive", go], alone);
      const log = ["bash", "-c", "cat /tmp/tables-ready"];
      await eventually(
        "a session that has found a table",
        300,
        () => cluster.exec("client", log),
        ({ output }) => output.includes("ready"),
      );
      await cluster.exec(METASTORE, ["pkill", "-KILL", "java"]);
      await cluster.exec("client", ["touch", go]);
      expect(await session).toEqual({ before: 2000, after: 2000 });
    });

    test("that cannot be found for want of a catalogue are an error that says so; all else works", async () => {
      await docker(d, ["stop", cluster.container(METASTORE)]);
      try {
        const once = ["--conf", "spark.hadoop.hive.metastore.connect.retries=1"];
        expect(await run(["missing"], [...alone, ...once])).toEqual({
          "without a table": 10,
          "a view of its own": 1000,
          said: expect.stringMatching(/^triplewide: the catalogue of tables .* does not answer.*try again in a minute/),
        });
      } finally {
        await docker(d, ["start", cluster.container(METASTORE)]);
      }
    });

    test("that are dropped when the catalogue is back leave no files", async () => {
      expect(await run(["drop"], alone)).toEqual({ tables: [], files: [] });
    });
  });
}
