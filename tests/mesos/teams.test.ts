import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { MesosCluster } from "./mesos-cluster.ts";

const TEAMS = { ml: { cpus: 5, memoryMiB: 6144, weight: 2 }, bi: { cpus: 2, memoryMiB: 2048, cpusMax: 3 } };
const teams = (value: object): string => `teams=${JSON.stringify(value)}`;

/** 8 cores on two agents: 5 are guaranteed to one team, 2 (at most 3) to the other, and 1 is free for anyone. */
const cluster = new MesosCluster(await findDocker(), "tw-teams", 9, [
  "architecture=mesos-in-docker",
  ...["masterCount=3", "agentCount=2", "agentCpus=4", "agentMemoryMiB=6144"],
  ...["executorCores=1", "executorMemoryMiB=512", "executorMemoryOverheadMiB=384", "driverMemoryMiB=512"],
  teams(TEAMS),
]);

/** Cores that each role holds, largest amount first. */
async function held(): Promise<Record<string, number>> {
  const active = (await cluster.frameworks()).filter((f) => f.active);
  return Object.fromEntries(active.map((f) => [f.role, f.used_resources.cpus]));
}

async function quotas(): Promise<Record<string, unknown>> {
  const answer = await cluster.operator({ type: "GET_QUOTA" });
  const body = answer.kind === "done" ? (answer.body as QuotaBody) : undefined;
  const configs = body?.get_quota.status.configs ?? [];
  // A role whose quota was taken away stays in Mesos' list, without guarantees and limits.
  const given = configs.filter((q) => q.guarantees || q.limits);
  return Object.fromEntries(given.map((q) => [q.role, [q.guarantees?.cpus?.value, q.limits?.cpus?.value]]));
}
interface QuotaBody {
  get_quota: {
    status: {
      configs?: { role: string; guarantees?: { cpus?: { value: number } }; limits?: { cpus?: { value: number } } }[];
    };
  };
}

const team = (name: string): string[] => [`TRIPLEWIDE_TEAM=${name}`];

describe("teams share a Mesos", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("up gives each its quota, once", async () => {
    expect(await quotas()).toEqual({ ml: [5, undefined], bi: [2, 3] });
    const again = await cluster.cli("up", ["--no-smoke"]);
    expect(again.output).toContain("Nothing to change");
  });

  test("jobs of two teams and one without a team each get their share, though each asks for all", async () => {
    const all = { "spark.cores.max": "8", "spark.dynamicAllocation.initialExecutors": "8" };
    // The job without a team starts first, and must leave the cores free that teams are guaranteed.
    const jobs = [cluster.job(40, all)];
    await eventually("a core without a team", 180, held, ({ spark = 0 }) => spark >= 1);
    jobs.push(cluster.job(60, all, team("ml")), cluster.job(60, all, team("bi")));
    const shares = await eventually("both teams' cores", 240, held, ({ ml = 0, bi = 0 }) => ml >= 5 && bi >= 2);
    console.log("measured: cores that each role holds, of 8:", JSON.stringify(shares));
    expect(shares).toEqual({ ml: 5, bi: 2, spark: 1 });
    for (const job of jobs) expect((await job.done).output).toContain(job.says);
  });

  test("a team registers in its own role with its own principal, and no job passes its limit", async () => {
    const all = { "spark.cores.max": "8", "spark.dynamicAllocation.initialExecutors": "8" };
    const job = cluster.job(60, all, team("bi"));
    await eventually("its limit", 180, held, ({ bi = 0 }) => bi >= 3);
    expect((await cluster.frameworks()).filter((f) => f.active).map((f) => [f.role, f.principal])).toEqual([
      ["bi", "bi"],
    ]);
    expect((await job.done).output).toContain(job.says);
  });

  test("a team cannot register in another team's role, nor with another's name", async () => {
    const role = await cluster.job(1, { "spark.mesos.role": "bi" }, team("ml"), 120).done;
    expect(role.output).toMatch(/not authorized to register/i);
    expect(role.output).not.toContain("sum is");
    const name = await cluster.job(1, { "spark.mesos.principal": "bi" }, team("ml"), 120).done;
    expect(name.output).not.toContain("sum is");
    expect(name.code).not.toBe(0);
  });

  test("a team cannot change quotas, its own neither", async () => {
    const { mesosMasterPort } = cluster.cluster.config;
    const [leader = 0] = await cluster.leadingMasters();
    const update = { role: "ml", guarantees: { cpus: { value: 8 } } };
    const body = JSON.stringify({ type: "UPDATE_QUOTA", update_quota: { force: true, quota_configs: [update] } });
    const script = [
      "import base64, urllib.request",
      "login = b'ml:' + open('/etc/mesos/teams/ml', 'rb').read()",
      "headers = {'Content-Type': 'application/json', 'Authorization': 'Basic ' + base64.b64encode(login).decode()}",
      `request = urllib.request.Request('http://${cluster.address(`master-${leader}`)}:${mesosMasterPort}/api/v1', b'${body}', headers)`,
      "urllib.request.urlopen(request)",
    ].join("\n");
    expect((await cluster.onClient(["python3", "-c", script])).output).toContain("403");
    expect(await quotas()).toEqual({ ml: [5, undefined], bi: [2, 3] });
  });

  test("a team that does not exist is said at once", async () => {
    const job = await cluster.job(1, {}, team("m1")).done;
    expect(job.output).toContain("TRIPLEWIDE_TEAM=m1: there is no such team. There are: bi ml");
    expect(job.code).not.toBe(0);
  });

  test("quotas outlive the leading master", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    await cluster.kill(`master-${leader}-mesos-master`);
    await eventually(
      "another leader",
      120,
      () => cluster.leadingMasters(),
      (found) => found.length > 0 && !found.includes(leader),
    );
    expect(await quotas()).toEqual({ ml: [5, undefined], bi: [2, 3] });
    await cluster.cli("up", ["--no-smoke"]);
  });

  test("agents of a team are its own, whatever the others ask for and however full the cluster is", async () => {
    const group = { own: { count: 1, cpus: 2, memoryMiB: 3072, team: "bi" } };
    const up = await cluster.cli("up", ["--no-smoke"], [`agentGroups=${JSON.stringify(group)}`]);
    expect(up.code, up.output).toBe(0);
    const own = "agent-own-1-mesos-agent";
    const all = { "spark.cores.max": "10", "spark.dynamicAllocation.initialExecutors": "10" };
    // bi's own agent meets its guarantee. Of the 8 cores of the other agents, 5 stay free for ml, and anyone may have the other 3.
    const jobs = [cluster.job(60, all)];
    await eventually("all cores that are nobody's", 240, held, ({ spark = 0 }) => spark >= 3);
    expect(await cluster.hasExecutor(own)).toBe(false);
    jobs.push(cluster.job(40, all, team("bi")));
    const there = () => cluster.hasExecutor(own);
    await eventually("a job of the team on its own agent", 240, there, (runs) => runs);
    expect((await held()).spark).toBe(3);
    for (const job of jobs) expect((await job.done).output).toContain(job.says);
    await cluster.cli("up", ["--no-smoke"]);
  });

  test("another number changes no container; a team that is taken out loses its quota", async () => {
    const more = await cluster.cli("up", ["--no-smoke"], [teams({ ...TEAMS, ml: { ...TEAMS.ml, cpus: 4 } })]);
    expect(more.output).toContain("Changed: quota of ml");
    expect(await quotas()).toEqual({ ml: [4, undefined], bi: [2, 3] });
    const out = await cluster.cli("up", ["--no-smoke"], [teams({ ml: TEAMS.ml })]);
    expect(out.output).toMatch(/Changed: .*quota of bi/);
    expect(await quotas()).toEqual({ ml: [5, undefined] });
    const none = await cluster.cli("up", ["--no-smoke"], [teams({})]);
    expect(none.output).toMatch(/Changed: .*quota of ml/);
    expect(await quotas()).toEqual({});
  });
});
