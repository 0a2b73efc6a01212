import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../cli/common.ts";
import { defineCluster } from "../../cluster/define.ts";
import { validate } from "../../config/validate.ts";
import { type Guest, Guests, missing } from "./guests.ts";

/**
 * An agent that runs Mesos as a process of the machine, without Docker: what is downloaded, checked and installed, and how
 * systemd keeps it. Mesos itself is a stand-in here that answers on the agent's port; the real one has tests of its own.
 */

const MINUTES = 60_000;
const reason = await missing();

const STAND_IN = `#!/usr/bin/env python3
import http.server, os, subprocess, sys
if "--version" in sys.argv:
    print("clusterd 0.6.0")
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

describe.skipIf(reason !== "")(`a vanilla agent${reason && ` (skipped: ${reason})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "machine-test-mesos-"));
  mkdirSync(join(folder, "mesos-9.9/sbin"), { recursive: true });
  for (const program of ["mesos-master", "mesos-agent"]) {
    writeFileSync(join(folder, "mesos-9.9/sbin", program), STAND_IN);
    chmodSync(join(folder, "mesos-9.9/sbin", program), 0o755);
  }
  writeFileSync(join(folder, "mesos-9.9/RUNTIME_PACKAGES"), "# what it links to\nlibsasl2-2 zlib1g\n");
  execFileSync("tar", ["-czf", "mesos.tar.gz", "mesos-9.9"], { cwd: folder });
  const sha256 = createHash("sha256")
    .update(readFileSync(join(folder, "mesos.tar.gz")))
    .digest("hex");

  const cluster = defineCluster(
    validate(
      {
        architecture: "vanilla",
        image: "debian-12",
        masterFlavor: "m1.small",
        agentFlavor: "m1.small",
        externalNetwork: "public",
        adminCidrs: ["198.51.100.7/32"],
        networkCidr: "10.202.0.0/16",
        agentCount: 2,
        mesosSource: `http://10.202.0.99:8000/mesos.tar.gz#sha256=${sha256}`,
        mesosAttributes: { rack: 'r 1 "a" $b' },
        ...(process.env.PIP_INDEX_URL ? { pythonIndex: process.env.PIP_INDEX_URL } : {}),
      },
      "env",
    ),
  );
  const guests = new Guests(cluster);
  let agent: Guest;
  let wrong: Guest;

  beforeAll(async () => {
    await guests.prepare();
    const serve = ["--ip", "10.202.0.99", "--volume", `${folder}:/srv:ro`, "triplewide-test/guest:plain"];
    await guests.runAside("server", ...serve, "python3", "-m", "http.server", "--directory", "/srv", "8000");
    agent = await guests.boot("agent-1", "plain", guests.userData("agent-1", String));
    const userData = guests.userData("agent-2", String).replaceAll(sha256, "0".repeat(64));
    wrong = await guests.boot("agent-2", "plain", userData);
    process.stdout.write(`seconds from power-on to ready: ${await agent.ready(1800)}\n`);
  }, 40 * MINUTES);

  afterAll(async () => {
    await guests.cleanUp();
    rmSync(folder, { recursive: true, force: true });
  }, 5 * MINUTES);

  test("has Mesos at its place, and no Docker", async () => {
    expect(await agent.out("/opt/mesos/sbin/mesos-agent --version")).toBe("clusterd 0.6.0");
    expect((await agent.sh("command -v docker")).code).not.toBe(0);
    expect(await agent.out("systemd-analyze verify /etc/systemd/system/triplewide-*")).toBe("");
  });

  test("gives Mesos its settings as they were written", async () => {
    const environment = await agent.out(
      "tr '\\0' '\\n' </proc/$(systemctl show --value -p MainPID triplewide-mesos-agent)/environ",
    );
    expect(environment.split("\n")).toContain('MESOS_attributes=rack:r 1 "a" $b');
    expect(environment.split("\n")).toContain("MESOS_containerizers=mesos");
  });

  test("has Java and the Python packages of the image", async () => {
    expect(await agent.out("java -version 2>&1")).toContain('openjdk version "17.');
    const lock = readFileSync(join(ROOT, "images/spark-python/requirements.txt"), "utf8");
    const pinned = [...lock.matchAll(/^([a-z0-9-]+)==(\S+)/gm)].map((m) => `${m[1]}==${m[2]}`);
    const installed = await agent.out("/opt/venv/bin/pip list --format freeze");
    for (const pin of pinned) expect(installed.split("\n")).toContain(pin);
    expect(
      await agent.out(
        "setpriv --reuid 1000 --clear-groups /opt/venv/bin/python3 -c 'import numpy, pandas, pyarrow; print(1)'",
      ),
    ).toBe("1");
  });

  test("leaves tasks alone when the agent is restarted", async () => {
    const task = await agent.out("cat /run/task");
    await agent.out("systemctl restart triplewide-mesos-agent");
    await agent.ready(120);
    expect(await agent.out(`cat /proc/${task}/comm`)).toBe("sleep");
  });

  test("says what is wrong when its Mesos is not the one that was asked for", async () => {
    const deadline = Date.now() + 10 * MINUTES;
    let result = await wrong.sh("triplewide-ready");
    while (result.code === 1 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      result = await wrong.sh("triplewide-ready");
    }
    expect(result.output).toContain("failed: first boot (cloud-init)");
    expect(result.output).toMatch(/mesosSource: http:\S+mesos\.tar\.gz is not what its sha256 says/);
    expect(result.code).toBe(2);
  });
});
