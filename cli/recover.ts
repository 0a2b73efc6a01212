import { execFile, spawn } from "node:child_process";
import { parseArgs, promisify } from "node:util";
import { Cloud } from "../openstack/cloud.ts";
import { findPending, type PendingCreate } from "../openstack/pending.ts";
import { ROOT, reportAndExit, UserError } from "./common.ts";

/**
 * `npm run recover -- <environment>`: after an update that was killed. The state then says of some resources that their
 * creation had begun; this looks which of them the cloud holds, and tells the engine. The next `pulumi up` goes on from there.
 */
const USAGE = "usage: npm run recover -- <environment>";

interface Operation {
  type: string;
  resource: { urn: string; type: string; inputs?: Record<string, unknown> };
}

const run = promisify(execFile);

async function recover(environment: string): Promise<void> {
  const { stdout } = await run("pulumi", ["stack", "export", "--stack", environment], { maxBuffer: 1024 ** 3 });
  const operations: Operation[] = JSON.parse(stdout).deployment.pending_operations ?? [];
  const creates = operations.filter((o) => o.type === "creating");
  if (creates.length === 0) {
    process.stdout.write("Nothing to recover: no creation was cut off.\n");
    return;
  }
  const cloud = Cloud.fromEnvironment({ folder: ROOT });
  const pending = creates.map(
    ({ resource }): PendingCreate => ({
      urn: resource.urn,
      type: resource.type,
      inputs: resource.inputs ?? {},
    }),
  );
  const found = await findPending(cloud, pending);
  cloud.close();
  for (const { urn, id, todo } of found) {
    const name = urn.split("::").slice(2).join(" ");
    process.stdout.write(`${name}: ${todo ?? (id ? `there (${id})` : "not there, will be made again")}\n`);
  }
  const imported = found.flatMap(({ urn, id }) => (id ? [urn, id] : []));
  await refresh(environment, [
    ...imported.flatMap((word) => ["--import-pending-creates", word]),
    "--clear-pending-creates",
    // Nothing but what was cut off is looked at: a refresh of everything takes as long as the cluster is large.
    ...creates.flatMap(({ resource }) => ["--target", resource.urn]),
  ]);
}

function refresh(environment: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const common = ["refresh", "--yes", "--skip-preview", "--stack", environment];
    const child = spawn("pulumi", [...common, ...args], { stdio: "inherit" });
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve() : reject(new UserError(`pulumi refresh ended with ${code}`)),
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
