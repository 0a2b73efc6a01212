import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import type { TestCluster } from "./harness.ts";

/** Tests each tutorial in the user's folder: the whole notebook runs, and each assertion in it holds. */
export function tutorials(cluster: TestCluster): void {
  test.each(readdirSync(join(ROOT, "images/client/tutorials")).sort())("the tutorial %s runs", async (tutorial) => {
    const run = `cd /home/spark/work/tutorials && jupyter execute --timeout=300 --output=/tmp/${tutorial} ${tutorial}`;
    const { code, output } = await cluster.exec("client", ["bash", "-c", run]);
    expect(code, output.slice(-3000)).toBe(0);
  });
}
