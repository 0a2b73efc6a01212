import { setTimeout as sleep } from "node:timers/promises";
import { never } from "../lib/promises.ts";
import { throughSsh } from "../machines/marathon.ts";
import { asRoot, onMachines } from "../machines/operator.ts";
import { waitReady } from "../machines/readiness.ts";
import { Ssh, type SshTarget } from "../machines/ssh.ts";
import { applyApps } from "../marathon/apply.ts";
import type { Operator } from "../mesos/leader.ts";
import { applyQuotas } from "../mesos/quotas.ts";
import type { Cloud } from "../openstack/cloud.ts";
import { type ExistingMachine, existingMachines, faultOf } from "../openstack/inventory.ts";
import { accessKeys } from "../openstack/object-store.ts";
import { findTwins, namesOf } from "../openstack/pending.ts";
import type { Access, AppsRequest, MadeResource, Operations, QuotasRequest, ReadyRequest } from "./operations.ts";

export interface LiveOptions {
  cloud: Cloud;
  clusterName: string;
  /** What the cloud held before the update. */
  existing: ReadonlyMap<string, ExistingMachine>;
  /** Login user of every machine. */
  user: string;
  /** File with host keys, by server id, of machines that an older release made. */
  olderKnownHostsFile: string;
}

/** Shortest time between two requests for the list of servers, however many groups are waited for. */
const VIEW_MS = 10_000;

/** Operations on a real cloud, with machines that are reached by SSH. */
export class LiveOperations implements Operations {
  readonly waits = true;
  readonly existing: ReadonlyMap<string, ExistingMachine>;
  readonly #options: LiveOptions;
  readonly #ssh = Promise.withResolvers<Ssh>();
  #closed = false;
  #view: Promise<ReadonlyMap<string, ExistingMachine>> | undefined;
  #viewedAt = 0;
  readonly #known = new Map<string, Promise<ReadonlyMap<string, string>>>();

  constructor(options: LiveOptions) {
    this.#options = options;
    this.existing = options.existing;
  }

  reach(access: Access): void {
    const { user, olderKnownHostsFile } = this.#options;
    const { privateKey, bastion } = access;
    // Machines that this update has not replaced yet may have other keys: the cloud knows those by their servers.
    const others = [...this.existing.values()].flatMap(({ serverId, hostKey }) =>
      serverId && hostKey ? [`${serverId} ${hostKey}\n`] : [],
    );
    this.#ssh.resolve(
      new Ssh({
        user,
        knownHosts: access.knownHosts + others.join(""),
        olderKnownHostsFile,
        ...(privateKey ? { privateKey } : {}),
        ...(bastion ? { bastion } : {}),
      }),
    );
  }

  async fault(machine: string): Promise<string> {
    const { cloud, clusterName } = this.#options;
    // The provider's own error is shown in any case; this only adds the reason.
    return faultOf(cloud, clusterName, machine).catch(() => "");
  }

  async known(type: string, name: string): Promise<string | undefined> {
    // Asked for once, before the first of the type is made: what this update makes is not among them.
    const known = this.#known.get(type) ?? namesOf(this.#options.cloud, type);
    this.#known.set(type, known);
    return (await known).get(name);
  }

  async twins(resource: MadeResource): Promise<string[]> {
    const found = await findTwins(this.#options.cloud, [resource], new Set([resource.id]));
    return found.map(({ id }) => id);
  }

  async accessKeys(): Promise<readonly string[] | undefined> {
    return accessKeys(this.#options.cloud).catch(() => undefined);
  }

  async ready(request: ReadyRequest): Promise<void> {
    const ssh = await this.#ssh.promise;
    const run: Ssh["run"] = (target, command, options) => {
      if (this.#closed) throw new Error("the update has ended; no machine is waited for any more");
      return ssh.run(target, command, { ...options, input: request.gates });
    };
    await waitReady({
      machines: request.machines,
      ssh: { run },
      timeoutSeconds: request.timeoutSeconds,
      clusterGate: request.gates !== "",
      enough: request.enough,
      report: request.report,
      status: () => this.servers(request.machines),
    }).catch((error) => {
      // Another group has failed the update in the meantime; only its error is shown.
      if (this.#closed) return never();
      throw error;
    });
  }

  async apps({ machines, port, loginFile, apps, timeoutSeconds, report }: AppsRequest): Promise<void> {
    const http = throughSsh({ ssh: await this.#ssh.promise, machines, port, loginFile });
    await applyApps({ http, apps, timeoutSeconds, report });
  }

  async quotas({ cluster, machines, timeoutSeconds }: QuotasRequest): Promise<string[]> {
    const ssh = await this.#ssh.promise;
    const operator = onMachines(cluster, ssh);
    // As the stack knows it.
    const targetOf = (name: string): SshTarget | undefined => machines.find((machine) => machine.name === name);
    const run: Operator["run"] = (master, command) => asRoot(ssh, targetOf(master.name) ?? master, command);
    return applyQuotas({ ...operator, run, timeoutSeconds });
  }

  async forward(machine: SshTarget, address: string, port: number): Promise<void> {
    const ssh = await this.#ssh.promise;
    await ssh.forward(machine, port, port, address);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const ssh = await Promise.race([this.#ssh.promise, undefined]);
    await ssh?.close();
    this.#options.cloud.close();
  }

  /** Status of each of these machines' servers, as the cloud gives it. */
  protected async servers(machines: readonly SshTarget[]): Promise<ReadonlyMap<string, Seen>> {
    if (!this.#view || Date.now() - this.#viewedAt > VIEW_MS) {
      this.#viewedAt = Date.now();
      this.#view = existingMachines(this.#options.cloud, this.#options.clusterName);
    }
    const view = await this.#view;
    return new Map(machines.map(({ name }) => [name, view.get(name) ?? GONE] as const).map(explainGone));
  }
}

/**
 * Operations on a cloud whose machines run nothing: a server that is ACTIVE counts as ready. For tests against an
 * OpenStack without hypervisors, by TRIPLEWIDE_READINESS=api; not for a cluster that is meant to be used.
 */
export class ApiOnlyOperations extends LiveOperations {
  override reach(): void {}

  override async ready(request: ReadyRequest): Promise<void> {
    const until = Date.now() + request.timeoutSeconds * 1000;
    for (;;) {
      // A failed request says nothing about the servers: the API may be busy while machines boot.
      const servers = await this.servers(request.machines).catch(
        () => new Map(request.machines.map(({ name }) => [name, NOT_SEEN])),
      );
      const waiting = [...servers].filter(([, server]) => server.status !== "ACTIVE");
      const broken = waiting.filter(([, server]) => server.status === "ERROR");
      if (broken.length > 0) throw new Error(broken.map(([name, { fault }]) => `${name}: ${fault}`).join("\n"));
      if (waiting.length === 0) return;
      request.report(`${waiting.length} of ${servers.size} not active yet`);
      if (Date.now() > until) throw new Error(`not active: ${waiting.map(([name]) => name).join(", ")}`);
      await sleep(2000);
    }
  }

  /** Does nothing: no Marathon runs. */
  override async apps(): Promise<void> {}

  /** Does nothing: no Mesos runs. */
  override async quotas(): Promise<string[]> {
    return [];
  }

  override async forward(): Promise<void> {
    throw new Error(
      "TRIPLEWIDE_READINESS=api: no machine can be reached, so no image can be pushed; give prebuiltImages",
    );
  }
}

type Seen = Pick<ExistingMachine, "status" | "fault">;

const NOT_SEEN: Seen = { status: "" };
const GONE: Seen = { status: "MISSING" };

/** A server that was removed by hand stays in Pulumi's state until a refresh; without one an update does not replace it. */
function explainGone([name, seen]: readonly [string, Seen]): [string, Seen] {
  if (seen.status !== "MISSING") return [name, seen];
  return [name, { status: "ERROR", fault: "the cloud has no such server; `pulumi up --refresh` makes it again" }];
}
