import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fileSha256 } from "../../lib/digest.ts";
import { type BackupRequest, backup, restore } from "../../local/backup.ts";

/** Backups with a stand-in for Docker that only records its commands. tests/backup uses the real one. */

let folder: string;
let request: BackupRequest;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-backup-"));
  const client = join(folder, "docker");
  writeFileSync(
    client,
    `#!/bin/bash
echo "$*" >>'${folder}/asked'
case "$*" in
  'volume ls'*scratch*) ;;
  'volume ls'*) echo triplewide-lab_client-data ;;
  'ps -aq'*) echo 1 ;;
  stop*) if [[ -e '${folder}/full' ]]; then ln -s /dev/full '${folder}/backup/client-data.tar.gz'; fi ;;
  run*) echo data ;;
esac
`,
    { mode: 0o755 },
  );
  request = {
    d: { client, compose: [client] },
    project: { name: "triplewide-lab", dir: join(folder, "project") },
    architecture: "standalone",
    image: "image",
    folder: join(folder, "backup"),
    say: () => {},
  };
});
afterEach(() => rmSync(folder, { recursive: true }));

const asked = (): string[] => readFileSync(join(folder, "asked"), "utf8").split("\n");

/** Makes the project's folder with its secrets, as `up` does. */
function withSecrets(): void {
  mkdirSync(request.project.dir);
  writeFileSync(join(request.project.dir, "secrets.json"), '{"a":"1"}');
}

test("a disk that is full ends a backup, which then is none", async () => {
  withSecrets();
  writeFileSync(join(folder, "full"), "");
  await expect(backup(request)).rejects.toThrow(/docker run failed:\n.*ENOSPC/);
  expect(existsSync(join(request.folder, "backup.json"))).toBe(false);
});

test("a backup that lacks its secrets, or has half of its list, is refused before anything is touched", async () => {
  withSecrets();
  await backup(request);
  const archive = join(request.folder, "client-data.tar.gz");
  const list = JSON.parse(readFileSync(join(request.folder, "backup.json"), "utf8"));
  expect(list.volumes).toEqual({ "client-data": await fileSha256(archive) });

  const before = asked().length;
  const back = () => restore({ ...request, wanted: ["client-data"], replace: true });
  writeFileSync(join(request.folder, "secrets.json"), '{"a":');
  await expect(back()).rejects.toThrow(
    /^the backup is damaged: secrets\.json cannot be read \(.*\); nothing was changed/,
  );
  // A manipulated backup: a value that is read as two lines, and a name that is a path.
  for (const secrets of [
    '{"a": "1\\nspark.authenticate false"}',
    '{"a": ["1"]}',
    '{"../a": "1"}',
    '{"a": "\\u001b[2J"}',
  ]) {
    writeFileSync(join(request.folder, "secrets.json"), secrets);
    await expect(back(), secrets).rejects.toThrow(
      /^the backup is damaged: secrets\.json holds no secret as \S*a; nothing/,
    );
  }
  rmSync(join(request.folder, "secrets.json"));
  await expect(back()).rejects.toThrow(/^the backup is damaged: secrets\.json cannot be read/);
  writeFileSync(join(request.folder, "backup.json"), '{"format"');
  await expect(back()).rejects.toThrow(/^the backup is damaged: backup\.json cannot be read/);
  expect(asked().length).toBe(before);
});
