import { execFile } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { holdings, realCloud } from "./real-cloud.ts";
import { Stack } from "./stack.ts";

/**
 * A whole cluster by `pulumi up`, with nothing left out: images built and pushed to the cluster's own registry, machines
 * booted from their user data, readiness asked for over the bastion, and then the smoke job on the client. Needs a cloud
 * whose servers are machines (the lab with LAB_DRIVER=lxc, and 12 GiB), and Docker for the images.
 *
 * TRIPLEWIDE_TEST_ARCHITECTURES names the architectures, separated by commas; those on Mesos need MESOS_SOURCE too.
 */

const { cloud, missing } = await realCloud();
const docker = await findDocker().catch(() => undefined);
const reason = !cloud
  ? missing
  : !cloud.machines
    ? "the servers of this cloud hold nothing"
    : docker
      ? ""
      : "no Docker to build images with";
const ON_MESOS = ["vanilla", "docker-executors", "mesos-in-docker"];
const architectures = (
  process.env.TRIPLEWIDE_TEST_ARCHITECTURES ?? ["standalone", ...(process.env.MESOS_SOURCE ? ON_MESOS : [])].join(",")
).split(",");
const NAME = "tw-machines";
const AGENTS = 2;
const run = promisify(execFile);

/** A file of this machine, as those of a cloud may fetch it; other sources they reach by themselves. */
async function offered(source: string, host: string | undefined): Promise<{ source: string; server?: Server }> {
  if (!source.startsWith("file://") || !host) return { source };
  const [address = "", digest] = source.split("#");
  const server = createServer((_, response) => createReadStream(fileURLToPath(address)).pipe(response));
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return { source: `http://${host}:${port}/mesos.tar.gz#${digest}`, server };
}

describe.skipIf(reason !== "").each(architectures)(
  `%s on real machines${reason && ` (skipped: ${reason})`}`,
  (architecture) => {
    if (!cloud) return;
    let server: Server | undefined;
    const folder = mkdtempSync(join(tmpdir(), "triplewide-machines-"));
    let stack: Stack;
    let before: string[];

    beforeAll(async () => {
      before = await holdings(cloud.env);
      const mesos = await offered(process.env.MESOS_SOURCE ?? "", cloud.host);
      server = mesos.server;
      const sizes = cloud.lab
        ? { bastionFlavor: "m1.tiny", masterFlavor: "m1.medium", agentFlavor: "m1.large", clientFlavor: "m1.large" }
        : {};
      const config = {
        ...cloud.config,
        ...sizes,
        clusterName: NAME,
        architecture,
        ...(architecture === "standalone" ? {} : { mesosSource: mesos.source }),
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
      server?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    test("up returns when the cluster works", async () => {
      const up = await stack.up();
      expect(up.code, up.text).toBe(0);
      process.stdout.write(`${architecture}: up, images built and pushed: ${up.seconds} s\n`);
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
      process.stdout.write(`${architecture}: smoke job: ${report.seconds} s\n`);
    });

    test("a second up changes nothing", async () => {
      const again = await stack.up();
      expect(again.code, again.text).toBe(0);
      expect(again.changes).toEqual([]);
      process.stdout.write(`${architecture}: second up: ${again.seconds} s\n`);
    });

    test("destroy leaves nothing behind", async () => {
      const destroy = await stack.destroy();
      expect(destroy.code, destroy.text).toBe(0);
      process.stdout.write(`${architecture}: destroy: ${destroy.seconds} s\n`);
      expect(await holdings(cloud.env)).toEqual(before);
    });
  },
);
