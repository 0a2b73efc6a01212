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
