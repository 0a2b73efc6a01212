import { messageOf, UserError } from "../lib/errors.ts";
import { someNames } from "../lib/text.ts";

/**
 * In which order machines of one group are replaced, and when the next replacement may begin. The Pulumi program acquires
 * a permit before it registers a machine that changes. A machine that waits is not known to the engine and occupies none
 * of its workers, so a group may have more members than the engine has workers.
 */

/** Why a rollout stopped. The message names the member at fault and says what became of the others. */
export class RolloutError extends UserError {
  override name = "RolloutError";
}

/** What a rollout has to know of a machine that exists. */
export interface DeployedMachine {
  /** `ERROR` and `MISSING` mean that the machine does not run. */
  status: string;
  /** Hash of the configuration that it was made with; absent where nothing is known of it. */
  configHash?: string;
}

/** Which machines of one group have to be replaced. */
export interface RolloutPlan {
  /** Members that will be replaced, first to last. */
  order: string[];
  /** Those of `order` that do not run (ERROR, MISSING). They come first, whether or not the other members are healthy. */
  broken: string[];
  /** All machines of the group that the cloud holds, whether they change or not. */
  members: string[];
}

export interface RolloutOptions {
  /** Name of the group in messages: `masters`, `agents`. */
  group: string;
  /** Members that will be replaced, first to last; see `planRollout`. Where it is empty, no machine waits. */
  order: readonly string[];
  /** How many are replaced at the same time: 1 where members form a quorum. */
  batchSize: number;
  /**
   * All members of the group that exist, whether they change or not. Only these are handed to `unhealthy`.
   * @default order
   */
  members?: readonly string[];
  /**
   * Called before each replacement with all other members, except those that are being replaced at that moment. Returns
   * the members that are not healthy, with the reason. If exactly one is not healthy and it is waiting to be replaced as
   * well, it is replaced first. Otherwise the rollout stops, because one more replacement could break the quorum.
   * @default no health check
   */
  unhealthy?: (others: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

/**
 * Decides which machines have to be replaced. A machine that the cloud does not hold yet is not part of a rollout: first
 * creation is parallel.
 *
 * @param machines Machines of one group in the order in which they should go, with the hash of what each shall run.
 * @param existing What the cloud holds; see `existingMachines`.
 */
export function planRollout(
  machines: readonly { name: string; configHash: string }[],
  existing: ReadonlyMap<string, DeployedMachine>,
): RolloutPlan {
  const plan: RolloutPlan = { order: [], broken: [], members: [] };
  const working: string[] = [];
  for (const { name, configHash } of machines) {
    const machine = existing.get(name);
    if (!machine) continue;
    plan.members.push(name);
    if (machine.status === "ERROR" || machine.status === "MISSING") plan.broken.push(name);
    else if (machine.configHash !== configHash) working.push(name);
  }
  plan.order = [...plan.broken, ...working];
  return plan;
}

/** Gives out permits to replace machines, in order. One instance for each group and each update. */
export class Rollout {
  readonly #options: RolloutOptions;
  readonly #members: readonly string[];
  /** Members without a permit yet, first to last. */
  readonly #queue: string[];
  readonly #permits = new Map<string, PromiseWithResolvers<void>>();
  readonly #asked = new Set<string>();
  readonly #inFlight = new Set<string>();
  /** Members that were moved to the front because they are not healthy. */
  readonly #promoted = new Set<string>();
  /** Whether the others of the first in the queue were just found healthy. */
  #cleared = false;
  #checking = false;
  #failure: RolloutError | undefined;

  /** @throws RangeError for a batch size below 1, or a repeated member. */
  constructor(options: RolloutOptions) {
    const { order, batchSize } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) throw new RangeError(`batchSize ${batchSize}: at least 1`);
    for (const name of order) this.#permits.set(name, Promise.withResolvers());
    if (this.#permits.size < order.length) throw new RangeError(`order repeats a member: ${order.join(", ")}`);
    this.#options = options;
    this.#members = [...new Set([...(options.members ?? []), ...order])];
    this.#queue = [...order];
    // A permit that is never asked for may be refused as well, which must not count as an unhandled rejection.
    for (const { promise } of this.#permits.values()) promise.catch(() => {});
  }

  /**
   * Resolves when the machine may be replaced; at once for a machine that is not in `order`. Permits are granted strictly
   * in order: the caller has to ask for every member of `order`, and must not delay one request until another is granted.
   *
   * @throws RolloutError once another member has failed, or where the group is not healthy enough to go on.
   */
  acquire(name: string): Promise<void> {
    const permit = this.#permits.get(name);
    if (!permit) return Promise.resolve();
    this.#asked.add(name);
    // Not at once, so that permits granted together resolve in order.
    queueMicrotask(() => this.#advance());
    return permit.promise;
  }

  /** The machine is ready again, and the next one may be replaced. Has no effect for a machine without a permit. */
  release(name: string): void {
    if (this.#inFlight.delete(name)) this.#advance();
  }

  /**
   * A machine did not become ready: every permit not yet granted is refused from now on. Any machine of the group can
   * fail a rollout, also one that was not in `order`.
   */
  failed(name: string, error: unknown): void {
    this.#inFlight.delete(name);
    this.#stop(`${name} did not become ready: ${messageOf(error)}`);
  }

  #advance(): void {
    while (!this.#checking && !this.#failure && this.#inFlight.size < this.#options.batchSize) {
      const name = this.#queue[0];
      if (name === undefined || !this.#asked.has(name)) return;
      if (!this.#options.unhealthy || this.#cleared) {
        this.#cleared = false;
        this.#queue.shift();
        this.#inFlight.add(name);
        this.#permits.get(name)?.resolve();
      } else {
        this.#checking = true;
        void this.#checkOthers(name, this.#options.unhealthy);
      }
    }
  }

  async #checkOthers(name: string, unhealthy: NonNullable<RolloutOptions["unhealthy"]>): Promise<void> {
    const others = this.#members.filter((member) => member !== name && !this.#inFlight.has(member));
    try {
      const short = await unhealthy(others);
      const [first] = short.keys();
      if (first === undefined) {
        this.#cleared = true;
      } else if (short.size === 1 && this.#queue.includes(first) && !this.#promoted.has(name)) {
        // Replacing the unhealthy member takes no healthy one away.
        this.#promoted.add(first);
        this.#queue.splice(this.#queue.indexOf(first), 1);
        this.#queue.unshift(first);
      } else {
        const reasons = [...short].map(([member, why]) => `${member} is not healthy (${why})`).join("; ");
        this.#stop(`${reasons}. Replacing ${name} now could break the ${this.#options.group}' quorum`);
      }
    } catch (error) {
      this.#stop(`whether ${name} may be replaced could not be told: ${messageOf(error)}`);
    } finally {
      this.#checking = false;
    }
    this.#advance();
  }

  #stop(reason: string): void {
    if (this.#failure) return;
    const notes: string[] = [];
    if (this.#queue.length > 0) notes.push(`Left untouched: ${someNames(this.#queue)}.`);
    if (this.#inFlight.size > 0) notes.push(`Still being replaced: ${someNames([...this.#inFlight])}.`);
    this.#failure = new RolloutError([`${this.#options.group}: ${reason}.`, ...notes].join(" "));
    for (const name of this.#queue) this.#permits.get(name)?.reject(this.#failure);
  }
}
