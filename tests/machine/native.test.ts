import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { type Guest, Guests, imageName, missing, RELEASE, type Result } from "./guests.ts";

/**
 * An agent that runs Mesos as a process of the machine, without Docker: what is downloaded, checked and installed, and how
 * systemd keeps it. Mesos itself is a stand-in here that answers on the agent's port; the real one has tests of its own.
 */

const MINUTES = 60_000;
/** Why the tests are skipped. Other Debian releases have another Python than executors need. */
const reason = RELEASE === undefined ? await missing() : `the images' Debian is not ${RELEASE}`;

const STAND_IN = `#!/usr/bin/env python3
import http.server, os, subprocess, sys
if "--version" in sys.argv:
    print("VERSION")
    sys.exit()
# A task, which outlives its agent.
if not os.path.exists("/run/task"):
    open("/run/task", "w").write(str(subprocess.Popen(["sleep", "infinity"]).pid))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer((os.environ["MESOS_ip"], int(os.environ["MESOS_port"])), Health).serve_forever()
`;

/** Where the shuffle service of the agent's Spark listens. */
const SHUFFLE_PORT = 7337;

/** Stands in for Spark as the client serves it. Its shuffle service only accepts connections. */
const SPARK_STAND_IN = `#!/usr/bin/env python3
import socketserver
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("", ${SHUFFLE_PORT}), socketserver.BaseRequestHandler).serve_forever()
`;

import { describeCluster, validate } from "../../cluster/load.ts";
import { EXECUTOR_TARBALL } from "../../cluster/services/client/client.ts";
import { ROOT } from "../../lib/root.ts";

describe.skipIf(reason !== "")(`a vanilla agent${reason && ` (skipped: ${reason})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "machine-test-mesos-"));
  /** Makes a tarball of a Mesos prefix of version 1.11.0 whose library names these control group files. @returns Its sha256. */
  function offer(file: string, code: string): string {
    mkdirSync(join(folder, "mesos-9.9/sbin"), { recursive: true });
    mkdirSync(join(folder, "mesos-9.9/lib"), { recursive: true });
    writeFileSync(join(folder, "mesos-9.9/lib/libmesos.so"), code);
    for (const program of ["mesos-master", "mesos-agent"]) {
      writeFileSync(join(folder, "mesos-9.9/sbin", program), STAND_IN.replace("VERSION", "mesos 1.11.0"));
      chmodSync(join(folder, "mesos-9.9/sbin", program), 0o755);
    }
    writeFileSync(join(folder, "mesos-9.9/RUNTIME_PACKAGES"), "# what it links to\nlibsasl2-2 zlib1g\n");
    execFileSync("tar", ["-czf", file, "mesos-9.9"], { cwd: folder });
    return createHash("sha256")
      .update(readFileSync(join(folder, file)))
      .digest("hex");
  }
  const sha256 = offer("mesos.tar.gz", "cgroup.subtree_control cpu.cfs_quota_us");
  const oldSha256 = offer("old-mesos.tar.gz", "cpu.cfs_quota_us");

  const cluster = describeCluster(
    validate(
      {
        architecture: "vanilla",
        ...SMALL_CLOUD,
        networkCidr: "10.202.0.0/16",
        // Guests are containers with this machine's kernel, which may lack NFS. shared-storage.test.ts tests the shared folder.
        sharedStorage: "none",
        agentCount: 3,
        mesosSource: `http://10.202.0.99:8000/mesos.tar.gz#sha256=${sha256}`,
        dynamicAllocation: true,
        shuffleServicePort: SHUFFLE_PORT,
        mesosAttributes: { rack: "r1.a/b" },
        ...(process.env.PIP_INDEX_URL ? { pythonIndex: process.env.PIP_INDEX_URL } : {}),
      },
      "env",
    ),
  );
  const { executorHttpPort } = cluster.config;
  mkdirSync(join(folder, "spark/bin"), { recursive: true });
  writeFileSync(join(folder, "spark/bin/spark-class"), SPARK_STAND_IN, { mode: 0o755 });
  execFileSync("tar", ["-czf", EXECUTOR_TARBALL, "spark"], { cwd: folder });
  const guests = new Guests(cluster);
  let agent: Guest;
  let wrong: Guest;
  let old: Guest;

  beforeAll(async () => {
    await guests.prepare();
    const serve = async (name: string, address: string, port: number): Promise<void> => {
      const files = ["--ip", address, "--volume", `${folder}:/srv:ro`, imageName("plain")];
      await guests.runAside(name, ...files, "python3", "-m", "http.server", "--directory", "/srv", String(port));
    };
    await serve("server", "10.202.0.99", 8000);
    await serve("client", guests.machine("client").address, executorHttpPort);
    agent = await guests.boot("agent-1", "plain", guests.userData("agent-1", String));
    const userData = guests.userData("agent-2", String).replaceAll(sha256, "0".repeat(64));
    wrong = await guests.boot("agent-2", "plain", userData);
    const oldMesos = guests
      .userData("agent-3", String)
      .replaceAll(sha256, oldSha256)
      .replaceAll("/mesos.tar.gz", "/old-mesos.tar.gz");
    writeFileSync(join(folder, "update-grub"), "#!/bin/sh\nexit 0\n", { mode: 0o755 });
    const grub = ["--volume", `${join(folder, "update-grub")}:/usr/sbin/update-grub:ro`];
    old = await guests.boot("agent-3", "plain", oldMesos, ...grub, ...guests.controlGroups2());
    process.stdout.write(`seconds from power-on to ready: ${await agent.ready(1800)}\n`);
  }, 40 * MINUTES);

  afterAll(async () => {
    await guests.cleanUp();
    rmSync(folder, { recursive: true, force: true });
  }, 5 * MINUTES);

  /** The message of a machine whose start has failed. */
  const failed = (guest: Guest): Promise<Result> =>
    eventually(
      `${guest.machine.name} fails`,
      600,
      () => guest.sh("triplewide-ready"),
      ({ code }) => code === 2,
    );

  test("has Mesos at its place, and no Docker", async () => {
    expect(await agent.out("/opt/mesos/sbin/mesos-agent --version")).toBe("mesos 1.11.0");
    expect((await agent.sh("command -v docker")).code).not.toBe(0);
    expect(await agent.out("systemd-analyze verify /etc/systemd/system/triplewide-*")).toBe("");
  });

  test("gives Mesos its settings as they were written", async () => {
    const environment = await agent.out(
      "tr '\\0' '\\n' </proc/$(systemctl show --value -p MainPID triplewide-mesos-agent)/environ",
    );
    expect(environment.split("\n")).toContain("MESOS_attributes=rack:r1.a/b");
    expect(environment.split("\n")).toContain("MESOS_containerizers=mesos");
  });

  test("has Java and the Python packages of the image", async () => {
    expect(await agent.out("java -version 2>&1")).toContain('openjdk version "17.');
    const lock = readFileSync(join(ROOT, "images/spark-python/requirements.txt"), "utf8");
    const pinned = [...lock.matchAll(/^([a-z0-9-]+)==(\S+)/gm)].map((m) => `${m[1]}==${m[2]}`);
    // `pip list` writes some names with capitals and underscores, which the lock file does not.
    const installed = (await agent.out("/opt/venv/bin/pip list --format freeze")).replaceAll("_", "-").toLowerCase();
    for (const pin of pinned) expect(installed.split("\n")).toContain(pin);
    expect(
      await agent.out(
        "setpriv --reuid 1000 --clear-groups /opt/venv/bin/python3 -c 'import numpy, pandas, pyarrow; print(1)'",
      ),
    ).toBe("1");
  });

  test("has the shuffle service of the Spark that its executors get, as their user", async () => {
    const pid = await agent.out("systemctl show --value -p MainPID triplewide-shuffle");
    expect(await agent.out(`stat -c %u /proc/${pid}`)).toBe("1000");
    expect((await agent.sh(`exec 3<>/dev/tcp/${agent.machine.address}/${SHUFFLE_PORT}`)).code).toBe(0);
    expect(await agent.out("stat -c '%U %a' /etc/spark/spark-defaults.conf")).toBe("spark 600");
  });

  test("the shuffle service runs no program that a task left, or changed", async () => {
    const plant = (path: string) =>
      `mkdir -p ${path.replace(/\/[^/]*$/, "")} && printf '#!/bin/sh\ntouch /tmp/planted\nsleep 1000\n' >${path} && chmod 755 ${path}`;
    const restarted = async (): Promise<void> => {
      await agent.out("systemctl restart triplewide-shuffle");
      await eventually(
        "the shuffle service",
        60,
        () => agent.sh(`exec 3<>/dev/tcp/${agent.machine.address}/${SHUFFLE_PORT}`),
        ({ code }) => code === 0,
      );
    };
    // This folder is writable for everyone; a task may run as any user.
    expect((await agent.sh(plant("/var/lib/spark/work/spark/bin/spark-class"), "", "nobody")).code).toBe(0);
    for (const user of ["nobody", "spark"]) {
      expect((await agent.sh(plant("/opt/spark/bin/spark-class"), "", user)).output).toContain("denied");
    }
    await restarted();
    // Files that root has put into the folder are not run either: it is unpacked anew.
    for (const file of ["/opt/spark/bin/spark-class", "/opt/spark/conf/spark-env.sh"]) await agent.out(plant(file));
    await restarted();
    expect(await agent.out("ls /opt/spark")).toBe("bin");
    expect(await agent.out("journalctl -u triplewide-shuffle")).toContain("/opt/spark is not as it was unpacked");
    expect((await agent.sh("ls /tmp/planted")).code).not.toBe(0);
  });

  test("leaves tasks alone when the agent is restarted", async () => {
    const task = await agent.out("cat /run/task");
    await agent.out("systemctl restart triplewide-mesos-agent");
    await agent.ready(120);
    expect(await agent.out(`cat /proc/${task}/comm`)).toBe("sleep");
  });

  test("says what is wrong when its Mesos is not the one that was asked for", async () => {
    const result = await failed(wrong);
    expect(result.output).toContain("failed: first boot (cloud-init)");
    expect(result.output).toMatch(/mesosSource: http:\S+mesos\.tar\.gz is not what its sha256 says/);
    expect(result.code).toBe(2);
  });

  test("reboots for the control groups that its Mesos needs, and gives up where it gets others all the same", async () => {
    await eventually(
      "agent-3 reboots",
      600,
      () => guests.runs("agent-3"),
      (power) => !power,
    );
    await guests.docker("start", guests.container("agent-3"));
    expect(await old.out("cat /etc/default/grub.d/90-triplewide.cfg")).toMatch(
      /unified_cgroup_hierarchy=0 .*SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1/,
    );
    const result = await failed(old);
    expect(result.output).toMatch(
      /mesos 1\.11\.0 needs control groups version 1, and this guest image keeps version 2 whatever its kernel is told/,
    );
    expect(result.code).toBe(2);
  });
});
