import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { loadRaw } from "../config/load.ts";
import { UserError } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { Cloud } from "../openstack/cloud.ts";
import { adopt, type Checkpoint, findPending } from "../openstack/pending.ts";
import { commandOf, projectFolder } from "./common.ts";
import { pulumi } from "./pulumi.ts";

/** As long as the provider itself waits for a server. */
const BUILD_MINUTES = 30;

async function recoverStack(environment: string): Promise<void> {
  const folder = projectFolder();
  // Not the whole validation: what is wrong with a config must not keep its state from being mended.
  if (loadRaw(folder, environment).platform === "docker") {
    process.stdout.write(
      `Nothing to recover: ${environment} is for this machine's Docker. triplewide up --env ${environment} goes on.\n`,
    );
    return;
  }
  const stack = ["--stack", environment];
  const checkpoint: Checkpoint = JSON.parse(await pulumi(folder, ["stack", "export", ...stack], "read"));
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
  await importState(folder, stack, adopt(checkpoint, found));
  // The engine has flags of its own for this, but they read nothing of what is there (3.259). A refresh of these alone does:
  // one of everything takes as long as the cluster is large.
  const targets = found.flatMap(({ urn, id }) => (id ? ["--target", urn] : []));
  if (targets.length > 0) await pulumi(folder, ["refresh", "--yes", "--skip-preview", ...stack, ...targets], "show");
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
async function importState(project: string, stack: readonly string[], checkpoint: Checkpoint): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-recover-"));
  try {
    const file = join(folder, "state.json");
    writeFileSync(file, JSON.stringify(checkpoint), { mode: 0o600 });
    await pulumi(project, ["stack", "import", "--file", file, ...stack], "show");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `triplewide recover`. */
export function recover(): Command {
  return commandOf(
    "recover",
    "Mends the state after an update on OpenStack that was killed.",
    "Looks which of the resources whose creation had begun the cloud holds, and writes that into the state. The next `pulumi up` goes on from there. On this machine's Docker there is nothing to recover: `triplewide up` is enough.",
    ["triplewide recover production && pulumi up --stack production"],
  )
    .argument("<environment>", "the Pulumi stack")
    .action(recoverStack);
}
