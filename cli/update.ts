import type { Cluster } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { resourceName } from "../openstack/inventory.ts";
import { projectFolder } from "./common.ts";
import { pulumi } from "./pulumi.ts";

/** Updates of a stack that commands of this program run. */

/** Makes `pulumi destroy` remove only servers and their dependents. Volumes, ports, addresses and secrets stay in the stack. */
export const SERVERS_ALONE = ["--target", "**openstack:compute/instance:Instance::**", "--target-dependents"] as const;

/** Options of an update that a command runs. */
export interface UpdateOptions {
  /** Its message in the stack's history. @default none */
  message?: string;
  /** Further variables of the program's environment. */
  env?: Readonly<Record<string, string>>;
}

/**
 * Runs an update of a stack without asking.
 *
 * @param verb `up`, or `destroy`, which needs the flags `SERVERS_ALONE`.
 * @throws UserError where there is no Pulumi CLI, or it fails.
 */
export async function update(
  environment: string,
  verb: "up" | "destroy",
  args: readonly string[] = [],
  { message = "", env = {} }: UpdateOptions = {},
): Promise<void> {
  const options = ["--yes", "--skip-preview", "--non-interactive", "--stack", environment, "--message", message];
  await pulumi(projectFolder(), [verb, ...options, ...args], "show", env);
}

/**
 * Refreshes some machines in a stack from the cloud: an update makes only those anew that the state says are gone. Other differences are
 * left for people to look at.
 *
 * @param machines The machines' names.
 * @throws UserError where there is no Pulumi CLI, or it fails.
 */
export async function refreshMachines(
  environment: string,
  { name }: Pick<Cluster, "name">,
  machines: readonly string[],
): Promise<void> {
  const targets = machines.flatMap((machine) => ["--target", `**::${resourceName(name, machine)}`]);
  const options = ["--yes", "--skip-preview", "--non-interactive", "--stack", environment];
  await pulumi(projectFolder(), ["refresh", ...options, ...targets], "show");
}

/** A step of a preview. */
interface Step {
  op: string;
  urn: string;
}

/**
 * The changes of a preview except creation and removal of the machines to be scaled. No person has reviewed them.
 *
 * @param broken Names of agents that may be made anew as well.
 */
export function otherChanges(
  steps: readonly Step[],
  { name }: Pick<Cluster, "name">,
  broken: readonly string[] = [],
): string[] {
  return steps.flatMap(({ op, urn }) => {
    const [type = "", resource = ""] = urn.split("::").slice(-2);
    const kind = type.split("$").at(-1) ?? type;
    // Components and the stack itself are not resources of the cloud.
    if (op === "same" || op === "read" || !kind.startsWith("openstack:")) return [];
    const agent = new RegExp(`^${name}-agent-[1-9][0-9]*$`).test(resource) && ["create", "delete"].includes(op);
    const anew = /replace/.test(op) && broken.some((machine) => resource === resourceName(name, machine));
    return agent || anew ? [] : [`${op} ${resource}`];
  });
}

/**
 * Refuses an update with changes that no person has reviewed.
 *
 * @param what The words for these changes in the error, such as "more than agents".
 * @param broken Names of agents that may be made anew as well.
 * @throws UserError if the checkout has changes that were not applied yet.
 */
export async function refuseOtherChanges(
  environment: string,
  cluster: Pick<Cluster, "name">,
  what: string,
  env: Readonly<Record<string, string>> = {},
  broken: readonly string[] = [],
): Promise<void> {
  const args = ["preview", "--json", "--stack", environment, "--non-interactive"];
  const { steps = [] } = JSON.parse(await pulumi(projectFolder(), args, "read", env)) as { steps?: Step[] };
  const others = otherChanges(steps, cluster, broken);
  if (others.length === 0) return;
  throw new UserError(
    `an update would change more than ${what} (${others.slice(0, 5).join(", ")}); nothing was changed. Fix: pulumi up --stack ${environment}, then run this again`,
  );
}
