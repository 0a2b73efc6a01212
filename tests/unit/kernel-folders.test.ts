import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** The folder in which Jupyter starts a notebook's kernel, where Python looks for modules first. */

const SCRIPT = join(ROOT, "images/client/jupyter_server_config.py");
let work = "";
beforeAll(() => {
  work = realpathSync(mkdtempSync(join(tmpdir(), "triplewide-kernels-")));
  for (const path of ["own/deeper", "users/bob/of-spark"]) mkdirSync(join(work, path), { recursive: true });
  symlinkSync("users/bob", join(work, "short"));
});
afterAll(() => rmSync(work, { recursive: true }));

/** The kernel's folder for a notebook's path. `users/bob` is another user's folder; all others are this user's. */
async function folderOf(path: string): Promise<string> {
  const python = `
import ast, os, sys, types
name = "jupyter_server.services.kernels.kernelmanager"
for i in range(name.count(".") + 1):
    sys.modules[name.rsplit(".", i)[0]] = types.ModuleType(name.rsplit(".", i)[0])
class MappingKernelManager:
    def cwd_for_path(self, path, **kwargs):
        return os.path.join(work, path)
sys.modules[name].MappingKernelManager = MappingKernelManager
script, work, path = sys.argv[1:]
source = ast.parse(open(script).read())
source.body = [one for one in source.body if getattr(one, "name", "") == "start_kernels_in_own_folders"]
exec(compile(source, script, "exec"))
start_kernels_in_own_folders(work)
stat = os.stat
os.stat = lambda at, **more: types.SimpleNamespace(st_uid=2001) if at == work + "/users/bob" else stat(at, **more)
print(MappingKernelManager().cwd_for_path(path), end="")
`;
  return (await promisify(execFile)("python3", ["-c", python, SCRIPT, work, path])).stdout;
}

test.each(["", "own", "own/deeper", "users"])(
  "is the notebook's own, where its user makes what is in it: %j",
  async (path) => {
    expect(await folderOf(path)).toBe(path === "" ? `${work}/` : join(work, path));
  },
);

test.each(["users/bob", "users/bob/of-spark", "short", "own/../users/bob"])(
  "is none of another user's, whose modules it would find first: %j",
  async (path) => {
    expect(await folderOf(path)).toBe(work);
  },
);
