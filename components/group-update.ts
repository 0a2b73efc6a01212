import type { Instance } from "@pulumi/openstack/compute/instance.js";
import * as pulumi from "@pulumi/pulumi";
import { GROUPS } from "../cluster/groups.ts";
import type { Group, Machine } from "../cluster/types.ts";
import { messageOf } from "../lib/errors.ts";
import { never } from "../lib/promises.ts";
import { planRollout, Rollout } from "../machines/rollout.ts";
import type { SshTarget } from "../machines/ssh.ts";
import type { Configuration } from "./configuration.ts";
import type { Operations } from "./operations.ts";

export interface GroupUpdateArgs {
  group: Group;
  machines: readonly Machine[];
  /** By machine name. Known as soon as the secrets and the images' digests are. */
  configurations: pulumi.Output<ReadonlyMap<string, Configuration>>;
  operations: Operations;
  /** How many machines are replaced at the same time. */
  batchSize: number;
  readyTimeoutSeconds: number;
  /** Resolves when every group that comes before this one has finished its replacements. */
  after: Promise<void>;
  /** Where progress that concerns no single machine is shown. */
  resource: pulumi.Resource;
}

/**
 * One update of one group: in which order machines that exist are replaced, and when the group is ready.
 *
 * The program alone keeps the order. A machine that has to wait is not registered yet and occupies none of the engine's
 * workers. After a failure it is never registered in this update, so it stays as it is. Machines that do not exist yet and
 * machines that do not change do not wait.
 */
export class GroupUpdate {
  /**
   * Resolves when every machine of the group is ready, at once in a preview.
   *
   * Rejects with an error at the resource at fault.
   */
  readonly ready: Promise<void>;
  /** Resolves when the group has finished its replacements. Never settles after a failure. */
  readonly replaced: Promise<void>;

  readonly #args: GroupUpdateArgs;
  readonly #plan = Promise.withResolvers<Plan>();
  readonly #members = new Map<string, Member>();
  /** Where each member is whose server is the one that this update wants, by name. */
  readonly #placed = new Map<string, SshTarget>();
  readonly #failed = Promise.withResolvers<never>();

  constructor(args: GroupUpdateArgs) {
    this.#args = args;
    if (!args.operations.waits) {
      this.ready = Promise.resolve();
      this.replaced = Promise.resolve();
      return;
    }
    args.configurations.apply((configurations) => this.#plan.resolve(this.#makePlan(configurations)));
    const replaced = this.#replaceAll();
    this.replaced = replaced.catch(() => never());
    this.ready = Promise.race([this.#failed.promise, replaced.then(() => this.#allReady())]);
  }

  /** The configuration of a machine. It becomes known when the machine may be registered. */
  configurationOf(machine: Machine): pulumi.Output<Configuration> {
    const { configurations, operations } = this.#args;
    return configurations.apply(async (all) => {
      if (operations.waits) await this.#mayBeRegistered(machine.name);
      const configuration = all.get(machine.name);
      if (!configuration) throw new Error(`no configuration for ${machine.name}`);
      return configuration;
    });
  }

  /** Takes note that a machine's instance is registered. The server exists once the instance's id is known. */
  registered(machine: Machine, instance: Instance): void {
    if (!this.#args.operations.waits) return;
    const { promise, resolve } = Promise.withResolvers<SshTarget>();
    instance.id.apply(() => {
      const target = { name: machine.name, address: machine.address };
      this.#placed.set(machine.name, target);
      resolve(target);
    });
    this.#members.set(machine.name, { instance, placed: promise });
  }

  #makePlan(configurations: ReadonlyMap<string, Configuration>): Plan {
    const { group, machines, operations, batchSize } = this.#args;
    const wanted = machines.map(({ name }) => ({ name, configHash: configurations.get(name)?.hash ?? "" }));
    const { order, broken, members } = planRollout(wanted, operations.existing);
    // Machines that do not run are replaced together: nothing that works is lost, and a quorum may need several to be ready.
    const repairs = new Set(broken);
    const replacements = order.filter((name) => !repairs.has(name));
    const rollout = new Rollout({
      group: `${group}s`,
      batchSize,
      order: replacements,
      members,
      ...(GROUPS[group].replacedOnlyWhenHealthy
        ? { unhealthy: (others: readonly string[]) => this.#unhealthy(others) }
        : {}),
    });
    return { rollout, repairs, replacements };
  }

  async #mayBeRegistered(name: string): Promise<void> {
    const { rollout, replacements } = await this.#plan.promise;
    if (!replacements.includes(name)) return;
    await this.#untilGroupMayStart();
    try {
      await rollout.acquire(name);
    } catch (error) {
      // Only the first failure is an error. One error more for each machine that was not replaced would hide it.
      this.#fail(error, this.#args.resource);
      await never();
    }
  }

  /** Resolves when the earlier groups have finished, and every machine of this group that did not run is ready again. */
  async #untilGroupMayStart(): Promise<void> {
    const { repairs } = await this.#plan.promise;
    await this.#args.after;
    await Promise.all([...repairs].map((name) => this.#becomesReady(name)));
  }

  async #replaceAll(): Promise<void> {
    const { rollout, replacements } = await this.#plan.promise;
    if (replacements.length === 0) return this.#args.after;
    await this.#untilGroupMayStart();
    await Promise.all(
      replacements.map((name) =>
        this.#becomesReady(name).then(
          () => rollout.release(name),
          (error) => {
            rollout.failed(name, error);
            throw error;
          },
        ),
      ),
    );
  }

  /** Waits until one machine is registered and ready; otherwise the update fails at this machine. */
  async #becomesReady(name: string): Promise<void> {
    const member = this.#members.get(name);
    if (!member) throw new Error(`${name} was never registered`);
    const target = await member.placed;
    try {
      await this.#waitFor([target], member.instance);
    } catch (error) {
      this.#fail(error, member.instance);
      throw error;
    }
  }

  async #allReady(): Promise<void> {
    const targets = await Promise.all([...this.#members.values()].map(({ placed }) => placed));
    try {
      await this.#waitFor(targets, this.#args.resource);
    } catch (error) {
      this.#fail(error, this.#args.resource);
      await never();
    }
  }

  async #unhealthy(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const problems = new Map<string, string>();
    await Promise.all(
      names.map(async (name) => {
        try {
          await this.#waitFor([this.#whereIs(name)], this.#args.resource, HEALTHY_SECONDS);
        } catch (error) {
          problems.set(name, messageOf(error));
        }
      }),
    );
    return problems;
  }

  /** How to reach a member that exists, whether or not it is registered yet. */
  #whereIs(name: string): SshTarget {
    const placed = this.#placed.get(name);
    if (placed) return placed;
    const address = this.#args.machines.find((machine) => machine.name === name)?.address;
    const serverId = this.#args.operations.existing.get(name)?.serverId;
    if (!address || !serverId) throw new Error("it does not exist");
    // Its server may have an older host key, so it is known by the server's id.
    return { name, address, hostKeyAlias: serverId };
  }

  #waitFor(machines: readonly SshTarget[], resource: pulumi.Resource, seconds?: number): Promise<void> {
    return this.#args.operations.ready({
      group: this.#args.group,
      machines,
      gates: "",
      enough: "all",
      timeoutSeconds: seconds ?? this.#args.readyTimeoutSeconds,
      report: (line) => void pulumi.log.info(line, resource, undefined, true),
    });
  }

  #fail(error: unknown, resource: pulumi.Resource): void {
    this.#failed.reject(new pulumi.ResourceError(messageOf(error), resource, true));
  }
}

interface Member {
  instance: Instance;
  placed: Promise<SshTarget>;
}

interface Plan {
  rollout: Rollout;
  /** Machines that the cloud holds and that do not run. */
  repairs: ReadonlySet<string>;
  /** Machines that run and change, first to last. */
  replacements: readonly string[];
}

/** A healthy machine answers at once; the time allows for a network that is slow for a moment. */
const HEALTHY_SECONDS = 60;
