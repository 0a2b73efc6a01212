import { afterAll, beforeAll, describe, expect } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { TestCluster } from "../containers/harness.ts";
import { packagesSuite } from "./packages.ts";
import { pythonSuite } from "./python.ts";
import { tablesSuite } from "./tables.ts";
import { writeGuardSuite } from "./write-guard.ts";

const d = await findDocker();
const cluster = new TestCluster(d, "tw-notebooks", 7, ["agentCount=2", "datanodeCount=1"]);

/** One cluster for all of them: with HDFS, so that there is a place besides the shared folder. */
describe("a cluster as a notebook's user meets it", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  tablesSuite(d, cluster);
  pythonSuite(cluster);
  writeGuardSuite(cluster);
  packagesSuite(d, cluster);
});
