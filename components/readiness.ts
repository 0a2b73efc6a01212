import * as pulumi from "@pulumi/pulumi";
import { hasMesos } from "../cluster/architectures/index.ts";
import { GROUP_NAMES, GROUPS } from "../cluster/groups.ts";
import { MARATHON_LOGIN } from "../cluster/services/marathon/marathon.ts";
import type { App, Cluster, Group, Machine } from "../cluster/types.ts";
import type { Reference } from "../cluster/values.ts";
import { messageOf } from "../lib/errors.ts";
import type { SshTarget } from "../machines/ssh.ts";
import { pathOnMachine, renderGates } from "../render/cloud-init.ts";
import { renderApps } from "../render/marathon-apps.ts";
import type { ClusterSecrets } from "./cluster-secrets.ts";
import { type CloudValues, valuesOf } from "./filler.ts";
import type { Images } from "./images.ts";
import type { MachineGroup } from "./machine-group.ts";
import type { Operations } from "./operations.ts";

/** The groups of machines that are registered. */
export type Groups = ReadonlyMap<Group, MachineGroup>;

export interface ReadinessArgs {
  cluster: Cluster;
  operations: Operations;
  groups: Groups;
  secrets: ClusterSecrets;
  cloud: CloudValues;
  images: Images;
  /** Resource of messages that belong to no group. */
  resource: pulumi.Resource;
}

/** What has to happen on machines after they are registered, until the cluster works as one. */
export class Readiness {
  readonly #args: ReadinessArgs;

  constructor(args: ReadinessArgs) {
    this.#args = args;
  }

  /**
   * Waits for every machine, then for what the groups must achieve together, then for Marathon's apps. The client comes
   * last: it counts Spark workers, which may be among those apps.
   */
  async wait(): Promise<void> {
    const { cluster, operations, groups } = this.#args;
    if (!operations.waits) return;
    const gated = GROUP_NAMES.filter((g) => cluster.gates.some((gate) => gate.group === g));
    try {
      await allOf([...groups.values()].map((group) => group.ready));
      await allOf(gated.filter((g) => !GROUPS[g].gatedLast).map((g) => this.#gate(g)));
      await allOf([this.#quotas(), this.#apps()]);
      await allOf(gated.filter((g) => GROUPS[g].gatedLast).map((g) => this.#gate(g)));
    } finally {
      await operations.close();
    }
  }

  /** Waits for what a group must achieve together. Every machine of the group can see it, so one that confirms it is enough. */
  async #gate(group: Group): Promise<void> {
    const { cluster, operations } = this.#args;
    const resource = this.#args.groups.get(group) ?? this.#args.resource;
    try {
      await operations.ready({
        group,
        machines: await this.#targets(this.#machines(group)),
        gates: renderGates(cluster, group),
        enough: "one",
        timeoutSeconds: cluster.config.readyTimeoutSeconds,
        report: (line) => void pulumi.log.info(line, resource, undefined, true),
      });
    } catch (error) {
      throw new pulumi.ResourceError(messageOf(error), resource, true);
    }
  }

  /** Gives teams their quotas. They are no Pulumi resources: Mesos keeps them itself, and they end with its masters' volumes. */
  async #quotas(): Promise<void> {
    const { cluster, operations } = this.#args;
    const masters = this.#machines("master");
    if (masters.length === 0 || !hasMesos(cluster.config)) return;
    const resource = this.#args.groups.get("master") ?? this.#args.resource;
    const changed = await operations
      .quotas({
        cluster,
        machines: await this.#targets(masters),
        timeoutSeconds: cluster.config.readyTimeoutSeconds,
      })
      .catch((error) => {
        throw new pulumi.ResourceError(messageOf(error), resource, true);
      });
    if (changed.length > 0) await pulumi.log.info(`quotas set: ${changed.join(", ")}`, resource);
  }

  /** Gives Marathon its apps. They are no Pulumi resources: Marathon keeps them itself, and they end with its machines. */
  async #apps(): Promise<void> {
    const { cluster, operations, secrets, cloud, images } = this.#args;
    if (cluster.apps.length === 0) return;
    const resource = this.#args.groups.get("master") ?? this.#args.resource;
    const machines = this.#machines("master");
    const [first] = machines;
    if (!first) throw new Error("there are apps, and no machine with a Marathon");
    const lookUp = await resolved(valuesOf(cluster.apps.map(appImage), secrets, cloud, images));
    await operations
      .apps({
        machines: await this.#targets(machines),
        port: cluster.config.marathonPort,
        loginFile: pathOnMachine(cluster, first, MARATHON_LOGIN),
        apps: renderApps(cluster, lookUp),
        timeoutSeconds: cluster.config.readyTimeoutSeconds,
        report: (line) => void pulumi.log.info(line, resource, undefined, true),
      })
      .catch((error) => {
        throw new pulumi.ResourceError(messageOf(error), resource, true);
      });
  }

  #machines(group: Group): Machine[] {
    return this.#args.cluster.machines.filter((machine) => machine.group === group);
  }

  #targets(machines: readonly Machine[]): Promise<SshTarget[]> {
    return Promise.all(machines.map((machine) => targetOf(machine, this.#args.groups)));
  }
}

const appImage = (app: App): Reference => ({ kind: "image", name: app.image });

/** How SSH reaches a machine, once its server is the one that this update wants. */
export async function targetOf({ name, address, group }: Machine, groups: Groups): Promise<SshTarget> {
  const id = groups.get(group)?.instanceIds.get(name);
  if (id) await resolved(id);
  return { name, address };
}

/** Waits for all promises. The first failure fails the update; every failure is shown at its resource. */
async function allOf(promises: readonly Promise<void>[]): Promise<void> {
  const show = async (failure: unknown): Promise<never> => {
    if (!pulumi.ResourceError.isInstance(failure)) throw failure;
    await pulumi.log.error(failure.message, failure.resource);
    const error = new pulumi.RunError(
      "the cluster is not ready; what exists stays, and the next update goes on from there",
    );
    // Pulumi shows the stack of an error that comes after the last output, even of this kind.
    error.stack = "";
    throw error;
  };
  await Promise.all(promises.map((promise) => promise.catch(show)));
}

/** The value of an output. Waited for outside of a preview only, where every value will be known. */
function resolved<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => void output.apply((value) => resolve(value as T)));
}
