import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { holdings, realCloud } from "./real-cloud.ts";
import { Stack } from "./stack.ts";

/**
 * A whole cluster by `pulumi up`, with nothing left out: images built and pushed to the cluster's own registry, machines
 * booted from their user data, readiness asked for over the bastion, and then the smoke job on the client. Needs a cloud
 * whose servers are machines (the lab with LAB_DRIVER=lxc, and 12 GiB), and Docker for the images.
 */

const cloud = await realCloud();
const docker = await findDocker().catch(() => undefined);
const reason = !cloud
  ? "no cloud"
  : !cloud.machines
    ? "the servers of this cloud hold nothing"
    : docker
      ? ""
      : "no Docker to build images with";
const NAME = "tw-machines";
const AGENTS = 2;
const run = promisify(execFile);

describe.skipIf(reason !== "")(`a cluster of real machines${reason && ` (skipped: ${reason})`}`, () => {
  if (!cloud) return;
  const folder = mkdtempSync(join(tmpdir(), "triplewide-machines-"));
  let stack: Stack;
  let before: string[];

  beforeAll(async () => {
    before = await holdings(cloud.env);
    const sizes = cloud.lab
      ? { bastionFlavor: "m1.tiny", masterFlavor: "m1.medium", agentFlavor: "m1.large", clientFlavor: "m1.large" }
      : {};
    const config = {
      ...cloud.config,
      ...sizes,
      clusterName: NAME,
      architecture: "standalone",
      // The lab's machines reach this one by the address that its own network gives it.
      adminCidrs: cloud.lab ? ["172.24.0.0/16"] : (process.env.TRIPLEWIDE_TEST_ADMIN_CIDRS ?? "").split(","),
      networkCidr: "10.204.0.0/16",
      agentCount: AGENTS,
      agentCpus: 2,
      agentMemoryMiB: 2048,
      antiAffinity: "soft",
      registryVolumeGb: 5,
      clientVolumeGb: 2,
      readyTimeoutSeconds: 1800,
    };
    stack = await new Stack({ config, env: cloud.env }).init();
  });
  afterAll(async () => {
    await stack.destroy();
    stack.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("up returns when the cluster works", async () => {
    const up = await stack.up();
    expect(up.code, up.text).toBe(0);
    process.stdout.write(`up, images built and pushed: ${up.seconds} s\n`);
  });

  test("the smoke job runs on the client, with every agent", async () => {
    const outputs = await stack.outputs();
    const key = join(folder, "key");
    writeFileSync(key, String(outputs.privateKey), { mode: 0o600 });
    const conf = String(outputs.sshConfig)
      .replaceAll(`~/.ssh/${NAME}-known-hosts`, join(folder, "known-hosts"))
      .replaceAll(`~/.ssh/${NAME}`, key);
    writeFileSync(join(folder, "config"), conf);
    const command = `sudo docker exec triplewide-jupyter smoke --json --agents ${AGENTS}`;
    const { stdout } = await run("ssh", ["-F", join(folder, "config"), `${NAME}-client`, command], {
      maxBuffer: 1 << 26,
    });
    const report = JSON.parse(stdout.slice(stdout.indexOf("{")));
    expect(report.error).toBe(null);
    expect(Object.keys(report.tasks).length).toBe(AGENTS);
    process.stdout.write(`smoke job: ${report.seconds} s\n`);
  });

  test("a second up changes nothing", async () => {
    const again = await stack.up();
    expect(again.code, again.text).toBe(0);
    expect(again.changes).toEqual([]);
    process.stdout.write(`second up: ${again.seconds} s\n`);
  });

  test("destroy leaves nothing behind", async () => {
    const destroy = await stack.destroy();
    expect(destroy.code, destroy.text).toBe(0);
    process.stdout.write(`destroy: ${destroy.seconds} s\n`);
    expect(await holdings(cloud.env)).toEqual(before);
  });
});
