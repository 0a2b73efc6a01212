import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ImageName } from "../../cluster/image-catalogue.ts";
import { localReference } from "../../cluster/images.ts";
import { SECRET_NAMES } from "../../cluster/secret-names.ts";
import { MARATHON_LOGIN } from "../../cluster/services/marathon/marathon.ts";
import { placeholder } from "../../cluster/values.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { shellQuote } from "../../lib/quote.ts";
import { ROOT } from "../../lib/root.ts";
import { throughSsh } from "../../machines/marathon.ts";
import { applyApps } from "../../marathon/apply.ts";
import { pathOnMachine } from "../../render/cloud-init.ts";
import { renderApps } from "../../render/marathon-apps.ts";
import { type Conversation, eventually } from "../containers/harness.ts";
import { type Guest, missing } from "../machine/guests.ts";
import { RESULT } from "../scale/scaled.ts";
import { JOB, JOB_SAYS, MesosOnMachines } from "./for-machines.ts";

/**
 * The real Marathon and the real Mesos on machines as OpenStack has them, from user data. The operator gives Marathon its apps by SSH,
 * through the bastion, as `pulumi up` does.
 */

const MINUTES = 60_000;
const { MESOS_SOURCE: source, MARATHON_SOURCE: marathonSource } = process.env;
const reason =
  source === undefined || marathonSource === undefined
    ? "no Mesos or no Marathon: set MESOS_SOURCE, and MARATHON_SOURCE to docker://…"
    : await missing();

describe.skipIf(reason !== "")(`Marathon on machines${reason && ` (skipped: ${reason})`}`, async () => {
  if (source === undefined || marathonSource === undefined) return;
  const machines = await MesosOnMachines.of(source, "10.208", {
    architecture: "marathon-standalone",
    agentMemoryMiB: 3500,
    marathonSource,
  });
  const { cluster, guests } = machines;
  const { config } = cluster;
  const master = guests.machine("master-1");
  const at = (name: string): Guest => machines.at(name);
  let pushed: ReadonlyMap<ImageName, string> = new Map();
  let session: Conversation | undefined;

  /** Gives Marathon the cluster's apps, as `pulumi up` does. @returns Which of them it had to be given. */
  const apply = async (): Promise<string[]> => {
    const http = throughSsh({
      ssh: machines.ssh,
      machines: cluster.machines.filter(({ group }) => group === "master"),
      port: config.marathonPort,
      loginFile: pathOnMachine(cluster, master, MARATHON_LOGIN),
    });
    const imageOf = (name: ImageName): string => pushed.get(name) ?? `no-such-image/${name}`;
    const apps = renderApps(cluster, (ref) => (ref.kind === "image" ? imageOf(ref.name) : placeholder(ref)));
    const { put, remove } = await applyApps({ http, apps, timeoutSeconds: 1200 });
    return [...put.map(({ id }) => id), ...remove];
  };
  /** The worker's container on an agent, as its Docker names it; empty where there is none. */
  const worker = (agent: string): Promise<string> =>
    at(agent).out(
      `for id in $(docker ps -q); do docker top "$id" | grep -q deploy.worker.Worker && echo "$id"; done; true`,
    );

  beforeAll(async () => {
    const image = localReference("marathon", config, pinnedVersions(ROOT));
    await guests.docker("tag", config.marathonSource.replace("docker://", ""), image);
    await machines.begin({}, async (references) => {
      pushed = references;
      await apply();
    });
  }, 60 * MINUTES);
  afterAll(async () => {
    await session?.end();
    await machines.end();
  }, 5 * MINUTES);

  test("Marathon starts a Spark master and a worker for each agent, and a job runs on them as Spark's user", async () => {
    for (const agent of ["agent-1", "agent-2"]) expect(await worker(agent)).toMatch(/^[0-9a-f]{12}$/);
    expect((await machines.python(JOB)).output).toContain(JOB_SAYS);
  });

  test("apps that Marathon has already are left alone", async () => {
    expect(await apply()).toEqual([]);
  });

  test("nobody gives Marathon apps without its password", async () => {
    const url = `http://${master.address}:${config.marathonPort}/v2/apps`;
    const status = (login: string) => at("client").out(`curl -s -o /dev/null -w '%{http_code}' ${login} ${url}`);
    expect(await status("")).toBe("401");
    expect(await status("-u marathon:guessed")).toBe("401");
    const login = guests.secrets.get(SECRET_NAMES.marathon) ?? "";
    expect(await status(`-u ${shellQuote(`marathon:${login}`)}`)).toBe("200");
  });

  test("workers run as Spark's user, have no capability and gain none", async () => {
    const id = await worker("agent-1");
    const rights = await at("agent-1").out(`docker exec ${id} grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/1/status`);
    expect(rights).toMatch(/^Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1$/);
  });

  test("a worker is killed in mid-job: the job ends right, and Marathon starts another one", async () => {
    session = machines.converse("resting_session.py");
    await session.until("begins");
    const killed = await worker("agent-2");
    await at("agent-2").out(`docker kill ${killed}`);
    await session.until(`first: ${RESULT}`);
    await eventually(
      "another worker on agent-2",
      300,
      () => worker("agent-2"),
      (id) => id !== "" && id !== killed,
    );
  });

  test("an agent that restarts finds its worker again", async () => {
    const before = await worker("agent-1");
    await at("agent-1").out("systemctl restart triplewide-mesos-agent");
    await at("agent-1").ready(300, true);
    await eventually(
      "both agents",
      120,
      () => machines.activeAgents(),
      (found) => found.length === 2,
    );
    expect(await worker("agent-1")).toBe(before);
    expect((await machines.python(JOB)).output).toContain(JOB_SAYS);
  });

  test("Marathon starts again, and its apps run on", async () => {
    const before = [await worker("agent-1"), await worker("agent-2")];
    await at("master-1").out("docker restart triplewide-marathon");
    await at("master-1").ready(300, true);
    expect(await apply()).toEqual([]);
    expect([await worker("agent-1"), await worker("agent-2")]).toEqual(before);
  });
});
