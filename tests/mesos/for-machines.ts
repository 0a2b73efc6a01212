import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { onMachines } from "../../machines/operator.ts";
import type { Ssh } from "../../machines/ssh.ts";
import { fetchSource, type MesosArchive } from "../../mesos/archive.ts";
import { askLeader } from "../../mesos/leader.ts";
import { readAgents } from "../../mesos/state.ts";
import { type Conversation, conversation } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { type Guest, Guests, imageName } from "../machine/guests.ts";

/** The notebook's container on the client. */
export const JUPYTER = "triplewide-jupyter";

/** A job that prints the users that its tasks ran as. */
export const JOB = `
import os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("JOB", set(spark.sparkContext.parallelize(range(8), 8).map(lambda n: os.getuid()).collect()), spark.range(1000).selectExpr("sum(id) s").toPandas().s[0])`;
/** Its output if they ran as Spark's user. */
export const JOB_SAYS = "JOB {1000} 499500";

/** The real Mesos, and a server from which a test's machines fetch it. */
export interface MesosForMachines {
  /** The value for the machines' config. */
  mesosSource: string;
  archives: ReadonlyMap<string, MesosArchive>;
  /** Serves it on the machines' network. */
  serve: (guests: Guests) => Promise<void>;
}

/**
 * @param source The value of MESOS_SOURCE. This fetches it.
 * @param address An address of the machines' network that no machine has.
 */
export async function forMachines(source: string, address: string): Promise<MesosForMachines> {
  const { client: docker } = await findDocker();
  const archive = await fetchSource(source, { root: ROOT, docker, signal: new AbortController().signal });
  const file = basename(archive.path);
  const mesosSource = `http://${address}:8000/${file}#sha256=${archive.sha256}`;
  return {
    mesosSource,
    archives: new Map([[mesosSource, { ...archive, id: archive.sha256 }]]),
    serve: (guests) =>
      guests.runAside(
        "mesos",
        ...["--ip", address, "--volume", `${archive.path}:/srv/${file}:ro`, imageName("plain")],
        ...["python3", "-m", "http.server", "--directory", "/srv", "8000"],
      ),
  };
}

type Options = Readonly<Record<string, readonly string[]>>;
type Meanwhile = Parameters<Guests["bootAll"]>[2];

/** The machines of a cluster that runs the real Mesos, with two agents. Its operator comes by SSH. */
export class MesosOnMachines {
  readonly cluster: Cluster;
  readonly guests: Guests;
  readonly #mesos: MesosForMachines;
  readonly #booted = new Map<string, Guest>();
  #ssh: Ssh | undefined;

  /**
   * @param source As MESOS_SOURCE has it; it is fetched.
   * @param addresses The first two numbers of all addresses of the cluster. No other test uses them.
   * @param more The architecture, and what else its config has.
   */
  static async of(source: string, addresses: string, more: RawConfig): Promise<MesosOnMachines> {
    return new MesosOnMachines(await forMachines(source, `${addresses}.0.99`), addresses, more);
  }

  private constructor(mesos: MesosForMachines, addresses: string, more: RawConfig) {
    this.#mesos = mesos;
    const config = validate(
      {
        ...SMALL_CLOUD,
        networkCidr: `${addresses}.0.0/16`,
        // Guests have this machine's kernel, which may be unable to mount NFS.
        sharedStorage: "none",
        agentCount: 2,
        ...{ agentCpus: 2, agentMemoryMiB: 3000, executorMemoryMiB: 512, executorMemoryOverheadMiB: 384 },
        dataVolumes: false,
        mesosTls: true,
        mesosSource: mesos.mesosSource,
        ...(process.env.PIP_INDEX_URL ? { pythonIndex: process.env.PIP_INDEX_URL } : {}),
        ...more,
      },
      "env",
    );
    this.cluster = describeCluster(config);
    this.guests = new Guests(this.cluster);
  }

  /** Prepares what machines need, and boots them. @param options, meanwhile As for `bootAll`. */
  async begin(options: Options = {}, meanwhile?: Meanwhile): Promise<void> {
    await this.guests.prepare();
    await this.#mesos.serve(this.guests);
    await this.#boot(options, meanwhile);
  }

  /** Replaces every machine by one with other secrets, which has the volumes of the one before. */
  async renew(): Promise<void> {
    await this.#ssh?.close();
    this.#ssh = undefined;
    await this.guests.renew();
    await this.#boot();
  }

  async #boot(options: Options = {}, meanwhile?: Meanwhile): Promise<void> {
    const booted = await this.guests.bootAll(options, this.#mesos.archives, meanwhile);
    for (const [name, guest] of booted) this.#booted.set(name, guest);
  }

  /** A machine, once it has booted. */
  at(name: string): Guest {
    return this.#booted.get(name) as Guest;
  }

  /** Boots an agent that was taken away, and waits for it. */
  async bootAgain(name: string): Promise<void> {
    const guest = await this.guests.boot(name, "with-docker", this.guests.userData(name, String));
    this.#booted.set(name, guest);
    await guest.ready(1800, true);
  }

  /** The machines by SSH, through the bastion. */
  get ssh(): Ssh {
    this.#ssh ??= this.guests.ssh();
    return this.#ssh;
  }

  operator(): ReturnType<typeof onMachines> {
    return onMachines(this.cluster, this.ssh);
  }

  /** Agents that the leading master gives tasks to. */
  async activeAgents(): Promise<ReturnType<typeof readAgents>> {
    const agents = readAgents(await askLeader(this.operator(), { type: "GET_AGENTS" }));
    return agents.filter(({ state }) => state === "active");
  }

  /** Runs Python on the client, as a notebook does. */
  python(script: string): ReturnType<Guest["sh"]> {
    return this.at("client").sh(`docker exec -i ${JUPYTER} python3 -`, script);
  }

  /** Runs a program of tests/cluster on the client, and talks with it. */
  converse(program: string, ...args: string[]): Conversation {
    const text = readFileSync(join(ROOT, "tests/cluster", program), "utf8");
    const inside = ["docker", "exec", "-i", JUPYTER, "python3", "-c", text, ...args];
    return conversation("docker", ["exec", "-i", this.guests.container("client"), ...inside]);
  }

  async end(): Promise<void> {
    await this.#ssh?.close();
    await this.guests.cleanUp();
  }
}
