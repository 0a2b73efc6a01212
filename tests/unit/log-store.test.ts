import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** What keeps the journals of all machines, without the servers that take them. With machines: tests/machine. */

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
  // agent-1 and client said theirs before all of agent-2's.
  expect(said).toBe("agent-1.journal agent-2.journal agent-2@4.journal agent-2@5.journal client@1.journal\n");
});
