import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { loadRaw } from "../config/load.ts";
import { UserError } from "../lib/errors.ts";
import { print } from "../lib/terminal.ts";
import { Cloud } from "../openstack/cloud.ts";
import { accessKeys } from "../openstack/object-store.ts";
import {
  ACCESS_KEY,
  adopt,
  type Checkpoint,
  findable,
  findPending,
  findTwins,
  isHalfMade,
  type PlannedStep,
  removeTwin,
  withPending,
} from "../openstack/pending.ts";
import { commandOf, projectFolder } from "./common.ts";
import { pulumi } from "./pulumi.ts";
import { removeBrokenAttributes } from "./state-file.ts";

/** Minutes for which the provider itself waits for a server. */
const BUILD_MINUTES = 30;

interface Options {
  adopt: boolean;
}

async function recoverStack(environment: string, { adopt: takeIn }: Options): Promise<void> {
  const folder = projectFolder();
  // The config is not fully validated, because its errors must not prevent the repair of the state.
  const raw = loadRaw(folder, environment);
  if (raw.platform === "docker") {
    print(
      `Nothing to recover: ${environment} is for this machine's Docker. triplewide up --env ${environment} goes on.\n`,
    );
    return;
  }
  const stack: Stack = { folder, flags: ["--stack", environment] };
  for (const file of await removeBrokenAttributes(folder, environment)) {
    print(`${file}: removed, it was cut off\n`);
  }
  const checkpoint = await readState(stack);
  const { pending_operations: operations = [], resources = [] } = checkpoint.deployment;
  const cut = operations.some(({ type }) => type === "creating") || resources.some(isHalfMade);
  if (!cut && !takeIn) {
    print("Nothing to recover: no creation was cut off.\n");
    return;
  }
  await Cloud.with({ folder }, async (cloud) => {
    if (cut) await mend(stack, cloud, checkpoint);
    if (takeIn) {
      await adoptUnknown(stack, cloud);
      await removeTwins(stack, cloud);
    }
    const asked = takeIn && (raw.objectStore ?? "none") !== "none";
    if (asked || operations.some(({ resource }) => resource.type === ACCESS_KEY)) await tellAccessKeys(stack, cloud);
  });
}

/** Type and name of a resource, for messages. */
const nameOf = (urn: string): string => (urn.split("$").at(-1) ?? urn).split("::").join(" ");

interface Stack {
  /** Folder of the Pulumi project. */
  folder: string;
  flags: readonly string[];
}

const readState = async ({ folder, flags }: Stack): Promise<Checkpoint> =>
  JSON.parse(await pulumi(folder, ["stack", "export", ...flags], "read"));

/** Cloud ids of the resources in the state. */
const idsIn = ({ deployment }: Checkpoint): ReadonlySet<string> =>
  new Set((deployment.resources ?? []).flatMap(({ id }) => (id === undefined ? [] : [id])));

/** Imports into the state those resources whose creation the state lists as begun and that the cloud has. */
async function mend({ folder, flags }: Stack, cloud: Cloud, checkpoint: Checkpoint): Promise<void> {
  const creates = (checkpoint.deployment.pending_operations ?? []).filter((o) => o.type === "creating");
  const found = await findPending(
    cloud,
    creates.map(({ resource }) => resource),
    idsIn(checkpoint),
  );
  await built(
    cloud,
    found.flatMap(({ urn, id }) => (id && urn.includes("compute/instance:Instance::") ? [id] : [])),
  );
  for (const { urn, id, todo } of found) {
    print(`${nameOf(urn)}: ${todo ?? (id ? `there (${id})` : "not there, will be made again")}\n`);
  }
  if (found.length > 0) await importState(folder, flags, adopt(checkpoint, found));
  // The engine's own flags for this do not read the existing resources (3.259). A refresh of only these resources does;
  // a refresh of everything would take long on a large cluster.
  const halfMade = (checkpoint.deployment.resources ?? []).filter(isHalfMade);
  const targets = [...found.filter(({ id }) => id), ...halfMade].flatMap(({ urn }) => ["--target", urn]);
  if (targets.length > 0) await pulumi(folder, ["refresh", "--yes", "--skip-preview", ...flags, ...targets], "show");
}

/**
 * Adopts resources that the next update would make but that the cloud already has, because the reply to their creation was lost. In
 * rounds: a resource that depends on an adopted one can be looked for only after that.
 */
async function adoptUnknown(stack: Stack, cloud: Cloud): Promise<void> {
  for (let first = true; ; first = false) {
    const known = idsIn(await readState(stack));
    const preview = await pulumi(stack.folder, ["preview", "--json", ...stack.flags], "read");
    const wanted = findable((JSON.parse(preview) as { steps?: PlannedStep[] }).steps ?? []);
    const found = await findPending(cloud, wanted, known);
    const there = new Set(found.flatMap(({ urn, id }) => (id ? [urn] : [])));
    for (const { todo } of found) if (todo) print(`${todo}\n`);
    if (there.size === 0) {
      if (first) print("Nothing to adopt: the cloud has nothing that the next update would make.\n");
      return;
    }
    const begun = wanted.filter(({ urn }) => there.has(urn));
    await mend(stack, cloud, withPending(await readState(stack), begun));
  }
}

/** Removes duplicates of the stack's resources. Nothing uses them, and no later update would adopt them. */
async function removeTwins(stack: Stack, cloud: Cloud): Promise<void> {
  const state = await readState(stack);
  for (const twin of await findTwins(cloud, state.deployment.resources ?? [], idsIn(state))) {
    await removeTwin(cloud, twin);
    print(`${nameOf(twin.urn)}: was made twice, ${twin.id} is removed, which nothing used\n`);
  }
}

/** Lists S3 keys that are not in the stack. They have no names, so only a person can tell whose they are. */
async function tellAccessKeys(stack: Stack, cloud: Cloud): Promise<void> {
  const known = idsIn(await readState(stack));
  const unknown = (await accessKeys(cloud)).filter((key) => !known.has(key));
  if (unknown.length === 0) return;
  print(
    `Keys for S3 of this user and project that this stack does not have: ${unknown.join(", ")}. They have no names: one may be left of a creation ` +
      "whose answer got lost, the others are somebody else's. Where you know that nobody uses one: openstack ec2 credentials delete <key>\n",
  );
}

/** Waits until no server is being built, because the provider cannot read such a server. */
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

/** Imports a state from a file that only this user can read. Secrets in it are encrypted, but names and addresses are not. */
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
    "Looks which of the resources whose creation had begun the cloud holds, and writes that into the state. The next `pulumi up` goes on from there. With --adopt it does the same for what the next update would make and the cloud has already under the same names, as when a connection was cut before the cloud's answer came; what it takes is then this stack's, to be changed and removed by it. A server group that was made twice loses the one that nothing uses, and keys for S3 that the stack does not have are named. On this machine's Docker there is nothing to recover: `triplewide up` is enough.",
    ["triplewide recover production && pulumi up --stack production"],
  )
    .argument("<environment>", "the Pulumi stack")
    .option("--adopt", "also take in what the next update would make and the cloud has already", false)
    .action(recoverStack);
}
