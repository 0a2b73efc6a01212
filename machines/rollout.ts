import { messageOf } from "../lib/errors.ts";

/**
 * In which order machines of one group are replaced, and when the next one may go. The Pulumi program asks for a turn
 * before it registers a machine that changes, so nothing is held inside the engine while a machine waits: a group may
 * have more members than the engine has workers.
 */

/** Why a rollout stopped. The message names the member at fault and says what became of the others. */
export class RolloutError extends Error {
  override name = "RolloutError";
}

/** What a rollout has to know of a machine that exists. */
export interface DeployedMachine {
  /** `ERROR` and `MISSING` mean that the machine does not run. */
  status: string;
  /** Hash of the configuration that it was made with; absent where nothing is known of it. */
  configHash?: string;
}

/** Who of one group has to be replaced. */
export interface RolloutPlan {
  /** Members that will be replaced, first to last. */
  order: string[];
  /** Those of `order` that do not run any more (ERROR, MISSING): they go first, and need nobody's good health. */
  broken: string[];
  /** Everyone in the group that the cloud holds, changing or not. */
  members: string[];
}

export interface RolloutOptions {
  /** What the members are, for messages: `masters`, `agents`. */
  group: string;
  /** Members that will be replaced, first to last; see `planRollout`. Empty (a preview): nobody ever waits. */
  order: readonly string[];
  /** How many are replaced at the same time: 1 where members form a quorum. */
  batchSize: number;
  /** Everyone in the group that exists, changing or not; default `order`. Only these are handed to `unhealthy`. */
  members?: readonly string[];
  /**
   * Asked before each working member is replaced, with all other members but those being replaced right now. Returns
   * those that are not healthy, and why. One that is not healthy is replaced first where it was to be replaced
   * anyway; otherwise the rollout stops before it makes a short quorum shorter. Left out (agents): nobody is asked.
   */
  unhealthy?: (others: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

/**
 * Decides who has to be replaced. A machine that the cloud does not hold yet is no part of a rollout: first creation
 * is parallel.
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

/** Hands out turns. One instance for each group and each update. */
export class Rollout {
  readonly #options: RolloutOptions;
  readonly #members: readonly string[];
  /** Not granted yet, first to last. */
  readonly #queue: string[];
  readonly #turns = new Map<string, PromiseWithResolvers<void>>();
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
    for (const name of order) this.#turns.set(name, Promise.withResolvers());
    if (this.#turns.size < order.length) throw new RangeError(`order repeats a member: ${order.join(", ")}`);
    this.#options = options;
    this.#members = [...new Set([...(options.members ?? []), ...order])];
    this.#queue = [...order];
    // Nobody may ever ask for some of these: their refusal is no unhandled error.
    for (const { promise } of this.#turns.values()) promise.catch(() => {});
  }

  /**
   * Resolves when the machine may be replaced; at once for a machine that is not in `order`. Members are let through
   * strictly in order, so every one of `order` has to ask, and none may wait for another's turn before it asks.
   *
   * @throws RolloutError once another member has failed, or where the group is not healthy enough to go on.
   */
  turn(name: string): Promise<void> {
    const turn = this.#turns.get(name);
    if (!turn) return Promise.resolve();
    this.#asked.add(name);
    // Later, so that those who are let through together learn it in order.
    queueMicrotask(() => this.#advance());
    return turn.promise;
  }

  /** The machine is ready again: the next one may go. Of no effect for a machine that has no turn. */
  done(name: string): void {
    if (this.#inFlight.delete(name)) this.#advance();
  }

  /**
   * A machine did not become ready: every turn not yet granted is refused from now on. Any machine of the group may
   * fail a rollout, a new one too.
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
        this.#turns.get(name)?.resolve();
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
        // The one that is not healthy is to be replaced anyway: with it first, the quorum never gets shorter.
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
    if (this.#queue.length > 0) notes.push(`Left untouched: ${namesOf(this.#queue)}.`);
    if (this.#inFlight.size > 0) notes.push(`Still being replaced: ${namesOf([...this.#inFlight])}.`);
    this.#failure = new RolloutError([`${this.#options.group}: ${reason}.`, ...notes].join(" "));
    for (const name of this.#queue) this.#turns.get(name)?.reject(this.#failure);
  }
}

/** Names that are written out; with hundreds of agents the first few tell as much. */
const SHOWN = 8;

function namesOf(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(", ");
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
