import { execFile } from "node:child_process";
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { RawConfig } from "../../config/validate.ts";
import { shellQuote } from "../../lib/quote.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { holdings, realCloud } from "./real-cloud.ts";
import { Stack } from "./stack.ts";

/**
 * A whole cluster by `pulumi up`, with nothing left out: images built and pushed to the cluster's own registry, machines
 * booted from their user data, readiness checked through the bastion, and then the smoke job on the client. Needs a cloud
 * whose servers are machines (the lab with LAB_DRIVER=lxc, and 12 GiB), and Docker for the images.
 *
 * TRIPLEWIDE_TEST_ARCHITECTURES names the architectures, separated by commas; those on Mesos need MESOS_SOURCE too, and
 * Marathon MARATHON_SOURCE. TRIPLEWIDE_TEST_SETTINGS has further settings, as JSON.
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
const {
  MESOS_SOURCE = "",
  MARATHON_SOURCE = "",
  TRIPLEWIDE_TEST_ARCHITECTURES,
  TRIPLEWIDE_TEST_SETTINGS = "{}",
} = process.env;
const MARATHON = "marathon-standalone";
const possible = [
  "standalone",
  ...(MESOS_SOURCE ? ["vanilla", "docker-executors", "mesos-in-docker"] : []),
  ...(MESOS_SOURCE && MARATHON_SOURCE ? [MARATHON] : []),
];
const architectures = TRIPLEWIDE_TEST_ARCHITECTURES?.split(",") ?? possible;
const NAME = "tw-machines";
const AGENTS = 2;
/** A framework beside Spark. */
const OTHER = "batch";
/** The output of `slowJob(60)`. */
const SUM = "sum is 1770";
const run = promisify(execFile);

/** Serves a file of this machine so that the cloud's machines can fetch it. They reach other sources by themselves. */
async function offered(source: string, host: string | undefined): Promise<{ source: string; server?: Server }> {
  if (!source.startsWith("file://") || !host) return { source };
  const [address = "", digest] = source.split("#");
  const server = createServer((_, response) => createReadStream(fileURLToPath(address)).pipe(response));
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  // The file name in the URL tells whether it is a tarball or a package.
  return { source: `http://${host}:${port}/${basename(address)}#${digest}`, server };
}

describe.skipIf(reason !== "").each(architectures)(
  `%s on real machines${reason && ` (skipped: ${reason})`}`,
  (architecture) => {
    // A test whose name tells the summary why the tests were skipped.
    if (!cloud) return test("all", () => {});
    let server: Server | undefined;
    const folder = mkdtempSync(join(tmpdir(), "triplewide-machines-"));
    let stack: Stack;
    let config: RawConfig;
    let before: string[];

    const addressOf = (machine: string): string =>
      describeCluster(validate(config, "test")).machines.find((m) => m.name === machine)?.address ?? machine;

    /** The output of a command on a machine. */
    async function on(machine: string, command: string): Promise<string> {
      const args = ["-F", join(folder, "config"), addressOf(machine), command];
      return (await run("ssh", args, { maxBuffer: 1 << 26 })).stdout;
    }

    /** Processes of executors on agent-2. */
    async function executors(): Promise<string[]> {
      const found = await on("agent-2", "pgrep -f '[j]ava .*CoarseGrainedExecutorBackend' || true");
      return found.split("\n").filter(Boolean);
    }

    /** Runs a job that takes all cores, and a second for each task. Returns its output. */
    function slowJob(tasks: number): Promise<string> {
      const script = [
        "import time",
        "from pyspark.sql import SparkSession",
        `spark = SparkSession.builder.config('spark.cores.max', '${2 * AGENTS}').getOrCreate()`,
        `slow = spark.sparkContext.parallelize(range(${tasks}), ${tasks}).map(lambda n: time.sleep(1) or n)`,
        "print('sum is', slow.sum())",
      ].join("\n");
      return on("client", `sudo docker exec -i triplewide-jupyter timeout 400 python3 - <<'END'\n${script}\nEND`);
    }

    /** Runs a task with checkpoints, of a framework other than Spark, until `USR1`. Returns the framework's last output. */
    async function longTask(): Promise<string> {
      const file = `/etc/triplewide/jupyter/etc/mesos/frameworks/${OTHER}.json`;
      const { principal, secret } = JSON.parse(await on("client", `sudo cat ${file}`));
      const { mesosMasterPort } = validate(config, "test");
      const flags = { name: OTHER, role: OTHER, principal, secret, resources: "cpus:0.1;mem:32" };
      const words = [
        ...(architecture === "mesos-in-docker" ? ["docker", "exec", "triplewide-mesos-master"] : []),
        ...["/opt/mesos/bin/mesos-execute", `--master=${addressOf("master-1")}:${mesosMasterPort}`, "--checkpoint"],
        ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
        "--command=trap 'exit 0' USR1; while :; do sleep 1; done",
      ];
      return on("master-1", `sudo timeout 600 ${words.map(shellQuote).join(" ")} 2>&1 | tee /tmp/framework.log`);
    }

    async function restartAgent(name: string): Promise<void> {
      await on(name, "sudo systemctl restart triplewide-mesos-agent");
      const ready = (): Promise<string> => on(name, "sudo triplewide-ready || true");
      await eventually(`${name} is ready`, 120, ready, (said) => said.includes("ready: "));
    }

    async function drain(...args: string[]): Promise<string> {
      const command = [join(ROOT, "cli", "main.ts"), "drain", "test", ...args];
      const options = { cwd: stack.folder, env: stack.environment };
      return (await run(process.execPath, command, options)).stdout;
    }

    beforeAll(async () => {
      before = await holdings(cloud.env);
      const mesos = await offered(MESOS_SOURCE, cloud.host);
      server = mesos.server;
      const sizes = cloud.lab
        ? { bastionFlavor: "m1.tiny", masterFlavor: "m1.medium", agentFlavor: "m1.large", clientFlavor: "m1.large" }
        : {};
      config = {
        ...cloud.config,
        ...sizes,
        clusterName: NAME,
        architecture,
        ...(architecture === "standalone" ? {} : { mesosSource: mesos.source, mesosFrameworks: [OTHER] }),
        ...(architecture === MARATHON ? { marathonSource: MARATHON_SOURCE } : {}),
        // The lab's machines reach this machine at its address in the lab's network.
        adminCidrs: cloud.lab ? ["172.24.0.0/16"] : (process.env.TRIPLEWIDE_TEST_ADMIN_CIDRS ?? "").split(","),
        networkCidr: "10.204.0.0/16",
        agentCount: AGENTS,
        agentCpus: 2,
        agentMemoryMiB: 3072,
        executorMemoryOverheadMiB: 512,
        antiAffinity: "soft",
        registryVolumeGb: 5,
        clientVolumeGb: 2,
        readyTimeoutSeconds: 1800,
        ...JSON.parse(TRIPLEWIDE_TEST_SETTINGS),
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

    /** Runs the smoke job, in which all agents must take part. @returns Seconds. */
    async function smoke(agents: number): Promise<number> {
      const stdout = await on("client", `sudo docker exec triplewide-jupyter smoke --json --agents ${agents}`);
      const report = JSON.parse(stdout.slice(stdout.indexOf("{")));
      expect(report.error).toBe(null);
      expect(Object.keys(report.tasks).length).toBe(agents);
      return report.seconds;
    }

    test("the smoke job runs on the client, with every agent", async () => {
      const outputs = await stack.outputs();
      const key = join(folder, "key");
      writeFileSync(key, String(outputs.privateKey), { mode: 0o600 });
      writeFileSync(join(folder, "known-hosts"), String(outputs.sshKnownHosts));
      const conf = String(outputs.sshConfig)
        .replaceAll(`~/.ssh/${NAME}-known-hosts`, join(folder, "known-hosts"))
        .replaceAll(`~/.ssh/${NAME}`, key);
      writeFileSync(join(folder, "config"), conf);
      process.stdout.write(`${architecture}: smoke job: ${await smoke(AGENTS)} s\n`);
    });

    test.skipIf(architecture === "standalone")("strangers write nothing where Mesos keeps what it knows", async () => {
      for (const words of ["create /mesos/stranger x", "set /mesos x", "setAcl /mesos world:anyone:r"]) {
        const said = await on("master-1", `sudo docker exec triplewide-zookeeper zk ${words} 2>&1 || true`);
        expect(said, words).toMatch(/insufficient permission|NoAuth/i);
      }
    });

    test("ssh connects to no machine that shows another host key", async () => {
      const file = join(folder, "known-hosts");
      const known = readFileSync(file, "utf8");
      // As if an attacker's machine answered in place of the client, with another host key.
      const lines = known.split("\n");
      const keyOf = (machine: string) =>
        lines.find((line) => line.startsWith(`${NAME}-${machine},`))?.split(" ")[2] ?? "";
      writeFileSync(file, known.replace(keyOf("client"), keyOf("registry")));
      try {
        await expect(on("client", "true")).rejects.toThrow("Host key verification failed");
      } finally {
        writeFileSync(file, known);
      }
      expect(await on("client", "echo in")).toBe("in\n");
    });

    test("a second up changes nothing", async () => {
      const again = await stack.up();
      expect(again.code, again.text).toBe(0);
      expect(again.changes).toEqual([]);
      process.stdout.write(`${architecture}: second up: ${again.seconds} s\n`);
    });

    describe.skipIf(architecture === "standalone")("Mesos' agents", () => {
      test("a job goes on over a restart of an agent", async () => {
        const job = slowJob(60);
        await eventually("an executor on agent-2", 120, executors, (pids) => pids.length > 0);
        const before = await executors();
        await restartAgent("agent-2");
        // Spark's drivers register without checkpoints, so Mesos ends their executors with the agent and Spark starts others.
        // Marathon registers with checkpoints.
        if (architecture === MARATHON) expect(await executors()).toEqual(before);
        expect(await job).toContain(SUM);
      });

      test("tasks of a framework that checkpoints outlive a restart of their agent", async () => {
        const framework = longTask();
        const find = (agent: string): Promise<string> => on(agent, "pgrep -f '^sh -c trap' || true");
        const agents = ["agent-1", "agent-2"];
        const seen = await eventually(
          "the task",
          240,
          () => Promise.all(agents.map(find)),
          (pids) => pids.join("") !== "",
        ).catch(async (error: Error) => {
          throw new Error(`${error.message}\n${await on("master-1", "cat /tmp/framework.log")}`);
        });
        const agent = agents.find((_, i) => seen[i] !== "") ?? "";
        await restartAgent(agent);
        expect(await find(agent)).toBe(seen.join(""));
        await on(agent, "sudo pkill -USR1 -f '^sh -c trap'");
        expect(await framework).toContain("TASK_FINISHED");
      });

      test("one is drained by name in mid-job, over SSH, and given back", async () => {
        const job = slowJob(60);
        await eventually("an executor on agent-2", 120, executors, (pids) => pids.length > 0);
        const drained = await drain("agent-2", "--grace", "5");
        expect(drained).toMatch(/agent-2 is drained after [\d.]+ s/);
        expect(await executors()).toEqual([]);
        expect(await job).toContain(SUM);
        expect(await drain("agent-2", "--back")).toContain("agent-2 takes tasks again");
      });
    });

    test.skipIf(architecture !== MARATHON)("one number scales Marathon's workers, and changes no machine", async () => {
      for (const marathonWorkers of [1, AGENTS]) {
        stack.configure({ marathonWorkers });
        const up = await stack.up();
        expect(up.code, up.text).toBe(0);
        expect(up.changes).toEqual([]);
        await smoke(marathonWorkers);
      }
    });

    test("destroy leaves nothing behind", async () => {
      const destroy = await stack.destroy();
      expect(destroy.code, destroy.text).toBe(0);
      process.stdout.write(`${architecture}: destroy: ${destroy.seconds} s\n`);
      expect(await holdings(cloud.env)).toEqual(before);
    });
  },
);
