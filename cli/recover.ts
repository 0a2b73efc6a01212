import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { Cloud } from "../openstack/cloud.ts";
import { adopt, type Checkpoint, findPending } from "../openstack/pending.ts";
import { ROOT, reportAndExit, UserError } from "./common.ts";

/**
 * `npm run recover -- <environment>`: after an update that was killed. The state then says of some resources that their
 * creation had begun; this looks which of them the cloud holds, and writes it into the state. The next `pulumi up` goes on
 * from there.
 */
const USAGE = "usage: npm run recover -- <environment>";

/** As long as the provider itself waits for a server. */
const BUILD_MINUTES = 30;

const run = promisify(execFile);

async function recover(environment: string): Promise<void> {
  const stack = ["--stack", environment];
  const { stdout } = await run("pulumi", ["stack", "export", ...stack], { maxBuffer: 1024 ** 3 });
  const checkpoint: Checkpoint = JSON.parse(stdout);
  const creates = (checkpoint.deployment.pending_operations ?? []).filter((o) => o.type === "creating");
  if (creates.length === 0) {
    process.stdout.write("Nothing to recover: no creation was cut off.\n");
    return;
  }
  const cloud = Cloud.fromEnvironment({ folder: ROOT });
  const found = await findPending(
    cloud,
    creates.map(({ resource }) => ({ urn: resource.urn, type: resource.type, inputs: resource.inputs ?? {} })),
  );
  await built(
    cloud,
    found.flatMap(({ urn, id }) => (id && urn.includes("compute/instance:Instance::") ? [id] : [])),
  );
  cloud.close();
  for (const { urn, id, todo } of found) {
    const name = urn.split("::").slice(2).join(" ");
    process.stdout.write(`${name}: ${todo ?? (id ? `there (${id})` : "not there, will be made again")}\n`);
  }
  await importState(stack, adopt(checkpoint, found));
  // The engine has flags of its own for this, but they read nothing of what is there (3.259). A refresh of these alone does:
  // one of everything takes as long as the cluster is large.
  const targets = found.flatMap(({ urn, id }) => (id ? ["--target", urn] : []));
  if (targets.length > 0) await pulumi(["refresh", "--yes", "--skip-preview", ...stack, ...targets]);
}

/** Waits until no server is being made any more: the provider cannot read one that is. */
async function built(cloud: Cloud, ids: readonly string[]): Promise<void> {
  const until = Date.now() + BUILD_MINUTES * 60_000;
  for (const id of ids) {
    for (;;) {
      const found = await cloud.find<{ server: { status: string } }>("compute", `/servers/${id}`);
      if (found?.server.status !== "BUILD") break;
      if (Date.now() > until) throw new UserError(`server ${id} is in BUILD for more than ${BUILD_MINUTES} minutes`);
      await sleep(2000);
    }
  }
}

/** By way of a file that nobody else may read: secrets in it are encrypted, but names and addresses are not. */
async function importState(stack: readonly string[], checkpoint: Checkpoint): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-recover-"));
  try {
    const file = join(folder, "state.json");
    writeFileSync(file, JSON.stringify(checkpoint), { mode: 0o600 });
    await pulumi(["stack", "import", "--file", file, ...stack]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function pulumi(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("pulumi", args, { stdio: "inherit" });
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve() : reject(new UserError(`pulumi ${args[0]} ended with ${code}`)),
    );
  });
}

try {
  const { positionals } = parseArgs({ allowPositionals: true, options: {} });
  const [environment, ...extra] = positionals;
  if (environment === undefined || extra.length > 0) {
    process.stderr.write(`${USAGE}\n`);
    process.exitCode = 2;
  } else {
    await recover(environment);
  }
} catch (error) {
  reportAndExit(error);
}
