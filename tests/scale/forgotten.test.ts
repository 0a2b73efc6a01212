import { utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Notice } from "../../cluster/lifetime.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { Door } from "../containers/door.ts";
import { TestCluster } from "../containers/harness.ts";

/** A cluster with `ttlHours` and no recent `up`: users are warned, an `up` keeps it, and ending it deletes no data. */

const d = await findDocker();
const cluster = new TestCluster(d, "tw-forgotten", 10, ["agentCount=1", "ttlHours=4"]);
const door = new Door(cluster);
const HOUR = 3600;
const TABLE = "spark.range(7).write.saveAsTable('kept')";

const scale = async (): Promise<string> => {
  const sets = cluster.settings.flatMap((text) => ["--set", text]);
  const { code, output } = await cluster.program(["scale", "local", ...sets]);
  expect(code, output).toBe(0);
  return output;
};
const up = async (): Promise<void> => {
  const { code, output } = await cluster.cli("up", ["--no-smoke"]);
  expect(code, output).toBe(0);
};
/** Sets the time of the last `up` to some hours ago. */
const forget = (hours: number): void => {
  const then = Math.floor(Date.now() / 1000) - hours * HOUR;
  utimesSync(join(ROOT, ".triplewide", cluster.name, "last-up"), then, then);
};
const notice = async (): Promise<Partial<Notice>> => {
  const answer = await door.get("/notice.json");
  return answer.status === 200 ? ((await answer.json()) as Notice) : {};
};
/** The messages of a cell of a new kernel, without its result. */
const cell = async (code: string): Promise<string> => {
  const { code: exit, output } = await cluster.exec("client", ["python3", "/tmp/one_cell.py", code]);
  expect(exit, output).toBe(0);
  return output;
};

describe("a forgotten cluster", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
    await up();
    await cluster.bring("one_cell.py");
    await door.logIn();
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("is left alone until the warning", async () => {
    forget(2);
    expect(await scale()).toMatch(/^tw-forgotten: ends .* UTC unless there is an up before \(ttlHours is 4\)\n$/);
    expect(await notice()).toEqual({});
    expect(await cell(TABLE)).not.toContain("this cluster ends");
  });

  test("warns on the first page, in notebooks and where scale runs; no user's program takes that back", async () => {
    forget(5);
    const said = await scale();
    expect(said).toMatch(/^tw-forgotten ends .*To keep it: make up\n$/);
    const { ends = "" } = await notice();
    expect(said).toContain(ends.slice(0, 16).replace("T", " "));
    expect(await cell("1")).toMatch(/triplewide: this cluster ends on .*nobody has run an up since/);
    expect((await (await door.get("/door/landing.js")).text()).includes("/notice.json")).toBe(true);
    const { code } = await cluster.exec("client", ["rm", "-f", "/run/notice/notice.json"]);
    expect(code).not.toBe(0);
    expect((await fetch(`${door.address}/notice.json`)).status).toBe(401);
    // The warning must stand for an hour, a quarter of the four hours of `ttlHours`, before the cluster is ended.
    expect(await scale()).toBe(said);
  });

  test("an up that changes nothing keeps it", async () => {
    await up();
    expect(await scale()).toContain("unless there is an up before");
    expect(await notice()).toEqual({});
    expect(await cell("1")).not.toContain("this cluster ends");
  });

  test("ends when the warning is over, and comes back with its data", async () => {
    forget(5);
    await scale();
    const { lastUp = "" } = await notice();
    const over = JSON.stringify({ lastUp, ends: new Date(Date.parse(lastUp) + 4 * HOUR * 1000).toISOString() });
    for (const [container, file] of Object.entries({
      "client-gateway": "/tmp/notice.json",
      client: "/run/notice/notice.json",
    }))
      await cluster.exec(container, ["sh", "-c", `printf '%s' '${over}' > ${file}`], "0");
    expect(await scale()).toMatch(/tw-forgotten was ended: .* To bring it back: make up\n$/);
    const left = await cluster.traces();
    expect(left.length).toBeGreaterThan(0);
    expect(left.filter((name) => !name.startsWith("triplewide-tw-forgotten_"))).toEqual([]);
    expect(await scale()).toBe("tw-forgotten: nothing of it runs, so there is nothing to do\n");

    await up();
    await cluster.bring("one_cell.py");
    expect(await cell("print(spark.table('kept').count(), 'rows')")).toContain("7 rows");
    expect(await scale()).toContain("unless there is an up before");
  });
});
