import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { eventually } from "../containers/harness.ts";
import { authorityHere, shownHere } from "../fixtures/tls.ts";

/** The store of all machines' journals, without the servers that receive them. tests/machine uses machines. */

const SCRIPT = join(ROOT, "cluster/services/logs/log-store.py");

/** Runs Python after the script's own definitions, with a folder for the journals and 1 GiB for them. */
async function inStore(python: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-logs-"));
  try {
    const settings = join(folder, "settings.json");
    writeFileSync(settings, JSON.stringify({ folder, bytes: 1 << 30 }));
    const definitions = `import sys\nsource = open(${JSON.stringify(SCRIPT)}).read().split("class Receive")[0]\nexec(source)\n`;
    const { stdout } = await promisify(execFile)("python3", ["-c", definitions + python, settings]);
    return stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a journal that has another name by now, or cannot be deleted, can be written to afterwards", async () => {
  const said = await inStore(`
gone, stays = journal("gone"), journal("stays")
os.mkdir(stays.path)
print(gone.delete())
try:
    stays.delete()
except OSError as error:
    print(type(error).__name__)
print(gone.lock.locked(), stays.lock.locked())
`);
  expect(said).toBe("True\nIsADirectoryError\nFalse False\n");
});

test("a machine that says much pushes out its own lines, and no other's", async () => {
  const said = await inStore(`
BOUND = 40 << 20
def file(name, megabytes, age):
    with open(FOLDER + "/" + name, "wb") as out:
        os.posix_fallocate(out.fileno(), 0, megabytes << 20)
    os.utime(FOLDER + "/" + name, (time.time() - age,) * 2)
file("agent-1.journal", 8, 100)
file("client@1.journal", 4, 90)
for number in range(2, 6):
    file("agent-2@%d.journal" % number, 8, 60 - number)
file("agent-2.journal", 8, 1)
delete_oldest()
print(*sorted(name for name in os.listdir(FOLDER) if name.endswith(".journal")))
delete_oldest()
`);
  // Lines of agent-1 and client are older than all lines of agent-2.
  expect(said).toBe("agent-1.journal agent-2.journal agent-2@4.journal agent-2@5.journal client@1.journal\n");
});

test("nobody logs in a machine's name by the certificate of another service of it, whose key tasks and notebooks read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-logs-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o755 });
    return join(folder, name);
  };
  // An address other than the one for Prometheus.
  const address = "127.0.0.2";
  const journals = join(folder, "journals");
  mkdirSync(journals);
  const remote = file("remote", '#!/bin/bash\ncat >>"$(cut -d= -f2 <<<"$2")"\n');
  const script = file(
    "log-store.py",
    readFileSync(SCRIPT, "utf8").replace("/usr/lib/systemd/systemd-journal-remote", remote),
  );
  const free = createServer();
  const port = await new Promise<number>((resolve) =>
    free.listen(0, address, () => resolve((free.address() as AddressInfo).port)),
  );
  await new Promise((resolve) => free.close(resolve));
  const own = shownHere("a", address, "log-store");
  const settings = {
    ...{ folder: journals, bytes: 1 << 30, address, port, authority: file("authority", authorityHere("a")) },
    ...{ certificate: file("certificate", own.cert), key: file("key", own.key) },
  };
  const store = spawn("python3", ["-I", script, file("settings.json", JSON.stringify(settings))], { stdio: "inherit" });
  /** The HTTP status when a service of the machine sends a line; 0 if there is no answer. */
  const send = (service: string): Promise<number> =>
    new Promise((resolve) => {
      const identity = shownHere("a", "127.0.0.1", service, ["server", "client"]);
      const how = { ...identity, ca: authorityHere("a"), host: address, port, method: "POST", path: "/upload" };
      const sent = request(how, (answer) => resolve(answer.resume().statusCode ?? 0));
      sent.on("error", () => resolve(0));
      sent.write(`MESSAGE=${service}\n\n`);
      sent.end();
    });
  try {
    await eventually(
      "it takes lines of who sends them",
      30,
      () => send("log-sender"),
      (status) => status === 202,
    );
    for (const service of ["mesos-executor", "mesos-driver", "mesos-agent"]) expect(await send(service)).toBe(403);
    expect(await send("log-sender")).toBe(202);
    expect(readdirSync(journals)).toEqual(["m.journal"]);
    await eventually(
      "it is written",
      30,
      async () => (existsSync(join(journals, "m.journal")) ? readFileSync(join(journals, "m.journal"), "utf8") : ""),
      (text) => text === "MESSAGE=log-sender\n\n".repeat(2),
    );
  } finally {
    store.kill();
    rmSync(folder, { recursive: true });
  }
});
