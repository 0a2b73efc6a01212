import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { placeholder } from "../../cluster/values.ts";
import { ROOT } from "../../lib/root.ts";
import { changes } from "../../mesos/quotas.ts";
import { renderService } from "../../render/content.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";

const ml = { cpus: 6, memoryMiB: 12288, weight: 2 };
const bi = { cpus: 2, memoryMiB: 4096, cpusMax: 4, memoryMaxMiB: 8192 };
const sized = { agentCount: 3, agentCpus: 4, agentMemoryMiB: 8192, executorCores: 1 };
const raw = { ...CLOUD, architecture: "docker-executors", ...sized, teams: { ml, bi } };
const found = (more: object) => problems({ ...raw, ...more }).map(({ key, rule, value }) => [key, value, rule]);

describe("teams of a config", () => {
  test("are refused with every reason at once, and what to do", () => {
    expect(found({})).toEqual([]);
    const wrong = {
      spark: { cpus: 1, memoryMiB: 2048 },
      batch: { cpus: 1, memoryMiB: 2048 },
      ml: { cpus: 10, memoryMiB: 1024, cpusMax: 9 },
      bi: { cpus: 2, memoryMiB: 4096 },
    };
    expect(found({ teams: wrong, mesosFrameworks: ["batch"], defaultTeam: "mi" })).toEqual([
      ["teams", "batch", expect.stringContaining("named other than")],
      ["teams", "spark", expect.stringContaining("named other than")],
      ["defaultTeam", "mi", "one of teams (batch, bi, ml, spark)"],
      ["teams", "ml: cpus 10", "with cpusMax (9) no less than cpus"],
      ["teams", 14, "with no more cpus together than the agents have, 12"],
      ["teams", "ml: memoryMiB 1024", "with memoryMiB of at least 2048, what one executor takes"],
    ]);
  });

  test("leave room for an executor of jobs without a team, unless there are none", () => {
    const all = { teams: { ml: { ...ml, cpus: 12 } } };
    expect(found(all)).toEqual([["teams", 12, expect.stringContaining("0 cpus of 12 are left")]]);
    expect(found({ ...all, defaultTeam: "ml" })).toEqual([]);
  });

  test("have users of the hub, each of one team", () => {
    const hub = { platform: "docker", notebooks: "hub", users: { ada: {}, bob: {} } };
    const users = (mine: string[], theirs: string[]) => ({
      teams: { ml: { ...ml, users: mine }, bi: { ...bi, users: theirs } },
    });
    expect(found({ ...hub, ...users(["ada"], ["bob"]) })).toEqual([]);
    expect(found({ ...hub, ...users(["ada", "eve", "ada"], ["bob", "ada"]) })).toEqual([
      ["teams", "ml: ada", "with each user in one team: ada is in bi too"],
      ["teams", "ml: eve", "with people of the key users (ada, bob)"],
      ["teams", "ml: ada", "with each of its users once"],
    ]);
  });

  test("are said to be wrong once, whatever else is wrong", () => {
    const hub = { platform: "docker", notebooks: "hub", users: { ada: {} }, mesosFrameworks: ["spark", "agent"] };
    expect(found({ ...hub, teams: { ml: { ...ml, users: ["eve"] } } })).toEqual([
      ["mesosFrameworks", "spark", expect.stringContaining("other than")],
      ["mesosFrameworks", "agent", expect.stringContaining("other than")],
      ["teams", "ml: eve", "with people of the key users (ada)"],
    ]);
  });

  test("may have agents of their own, which count for them and for nobody else", () => {
    const own = { count: 1, cpus: 4, memoryMiB: 8192, team: "ml" };
    expect(found({ teams: { ml: { ...ml, cpus: 12 }, bi }, agentGroups: { own } })).toEqual([]);
    // 12 cores are everybody's; 10 of what is guaranteed to ml and bi is not met by agents of their own, and 3 more are too many.
    expect(found({ teams: { ml: { ...ml, cpus: 15 }, bi }, agentGroups: { own } })).toEqual([
      ["teams", 13, "with no more cpus together than the agents of no team have, 12"],
    ]);
    expect(found({ teams: { ml, bi: { ...bi, cpusMax: 3 } }, agentGroups: { own: { ...own, team: "bi" } } })).toEqual([
      ["teams", "bi: cpus 2", "with cpusMax (3) no less than the agents have that are kept for it, 4"],
    ]);
    expect(found({ agentGroups: { own: { ...own, team: "hr" } } })).toEqual([
      ["agentGroups", "own: hr", "with a team that is one of teams (bi, ml)"],
    ]);
    expect(found({ architecture: "standalone", teams: {}, agentGroups: { own } })).toEqual([
      ["agentGroups", "own: ml", expect.stringContaining("without a team in architecture standalone")],
    ]);
  });

  test.each(["standalone", "marathon-standalone"])("%s has none: Spark's master knows no teams", (architecture) => {
    const [problem, ...more] = found({ architecture });
    expect(problem?.slice(0, 2)).toEqual(["teams", "bi, ml"]);
    expect(problem?.[2]).toContain(`empty in architecture ${architecture}`);
    expect(more).toEqual([]);
  });

  test.each([
    { ml: { cpus: 0, memoryMiB: 4096 } },
    { ml: { cpus: 1 } },
    { ML: { cpus: 1, memoryMiB: 4096 } },
    { ml: { cpus: 1, memoryMiB: 4096, weight: 0 } },
    { ml: { cpus: 1, memoryMiB: 4096, users: ["ada"] } },
    { "../x": { cpus: 1, memoryMiB: 4096 } },
  ])("%j has another form", (teams) => {
    expect(found({ teams }).map(([key]) => String(key).split(".")[0])).toEqual(["teams"]);
  });
});

describe("what a cluster with teams holds", () => {
  test("agents of a team offer what they have to its role alone", () => {
    const agentGroups = { own: { count: 1, cpus: 4, memoryMiB: 8192, team: "ml" } };
    const { services } = describeCluster(validate({ ...raw, agentGroups }, "test"));
    // Masters allow agents to register with these reservations.
    const acls = JSON.parse(files("mesos-master").get("/etc/mesos/acls.json") ?? "");
    expect(acls.reserve_resources).toEqual([{ principals: { values: ["agent"] }, roles: { values: ["bi", "ml"] } }]);
    const roleOf = (machine: string) =>
      services.find((s) => s.machine === machine && s.name === "mesos-agent")?.env?.MESOS_default_role;
    expect([roleOf("agent-1"), roleOf("agent-own-1")]).toEqual([undefined, "ml"]);
  });

  const cluster = describeCluster(validate(raw, "test"));
  const files = (name: string) => {
    const service = cluster.services.find((s) => s.name === name);
    return new Map((service ? renderService(service, placeholder).files : []).map((f) => [f.path, f.content] as const));
  };

  test("each team has a login that registers in its own role alone, and runs tasks as Spark's user", () => {
    const acls = JSON.parse(files("mesos-master").get("/etc/mesos/acls.json") ?? "");
    for (const team of ["ml", "bi"]) {
      const only = { values: [team] };
      expect(acls.register_frameworks).toContainEqual({ principals: only, roles: only });
      expect(acls.run_tasks).toContainEqual({ principals: only, users: { values: ["spark"] } });
      expect(files("jupyter").get(`/etc/mesos/teams/${team}`)).toBe(`{{secret:mesos-${team}}}`);
      expect(cluster.secrets.find((s) => s.name === `mesos-${team}`)?.groups).toEqual(["client", "master"]);
    }
    expect(acls.register_frameworks.at(-1)).toEqual({ principals: { type: "ANY" }, roles: { type: "NONE" } });
  });

  test("no number of a team is in what a machine holds: another number replaces none", () => {
    const other = describeCluster(validate({ ...raw, teams: { ml: { ...ml, cpus: 3, weight: 9 }, bi } }, "test"));
    expect(other.services).toEqual(cluster.services);
    expect(other.spark).toEqual(cluster.spark);
  });

  test("the login is no property of the file, which would win over what the driver is told", () => {
    expect(Object.keys(cluster.spark.conf).filter((key) => /mesos\.(role|principal|secret)/.test(key))).toEqual([]);
    const without = describeCluster(validate({ ...raw, teams: {} }, "test"));
    expect(without.spark.conf["spark.mesos.role"]).toBe("spark");
  });
});

describe("what Mesos is told", () => {
  const c = validate({ ...raw, mesosFrameworks: ["batch"] }, "test");
  const scalar = (value: number) => ({ value });
  const mlQuota = { role: "ml", guarantees: { mem: scalar(12288), cpus: scalar(6) } };
  const biQuota = {
    role: "bi",
    guarantees: { cpus: scalar(2), mem: scalar(4096) },
    limits: { cpus: scalar(4), mem: scalar(8192) },
  };
  const answers = (configs: object[], weights: object[]) =>
    [{ get_quota: { status: { configs } } }, { get_weights: { weight_infos: weights } }] as const;

  test("all of it at first, and nothing where all is so", () => {
    const first = changes(c, ...answers([], []));
    expect(first.quotas.map((q) => q.role).sort()).toEqual(["bi", "ml"]);
    expect(first.quotas).toContainEqual(biQuota);
    expect(first.weights).toEqual([{ role: "ml", weight: 2 }]);
    const again = changes(c, ...answers([mlQuota, biQuota], [{ role: "ml", weight: 2 }]));
    expect(again).toEqual({ quotas: [], weights: [] });
    // A role whose quota was taken away stays in Mesos' list, without guarantees and limits.
    const after = changes(c, ...answers([mlQuota, biQuota, { role: "old" }], [{ role: "ml", weight: 2 }]));
    expect(after).toEqual({ quotas: [], weights: [] });
  });

  test("a team that is gone loses its quota and weight, and what an operator gave to another framework stays", () => {
    const gone = { ...biQuota, role: "old" };
    const other = { ...mlQuota, role: "batch" };
    const weights = [
      { role: "ml", weight: 2 },
      { role: "old", weight: 5 },
      { role: "spark", weight: 3 },
    ];
    const told = changes(c, ...answers([mlQuota, biQuota, gone, other], weights));
    expect(told).toEqual({ quotas: [{ role: "old" }], weights: [{ role: "old", weight: 1 }] });
  });

  test("only what differs is told", () => {
    const less = { ...mlQuota, guarantees: { ...mlQuota.guarantees, cpus: scalar(5) } };
    const told = changes(c, ...answers([less, biQuota], [{ role: "ml", weight: 1.5 }]));
    expect(told.quotas.map((q) => q.role)).toEqual(["ml"]);
    expect(told.weights).toEqual([{ role: "ml", weight: 2 }]);
  });
});

describe("the team of a driver", () => {
  const folder = mkdtempSync(join(tmpdir(), "teams-"));
  const servers: Server[] = [];
  afterAll(() => {
    rmSync(folder, { recursive: true });
    for (const server of servers) server.close();
  });
  const logins = join(folder, "logins");
  mkdirSync(logins);
  for (const name of ["spark", "ml", "bi"]) writeFileSync(join(logins, name), `secret-${name}`);
  const script = join(folder, "team.sh");
  const text = readFileSync(join(ROOT, "cluster/services/client/team.sh"), "utf8");
  writeFileSync(script, text.replace("logins=/etc/mesos/teams", `logins=${logins}`));

  async function choose(team: string | undefined, ...program: string[]): Promise<string> {
    const { TRIPLEWIDE_TEAM: _, ...env } = process.env;
    const run = promisify(execFile)("bash", [script, "pool", ...program], {
      env: { ...env, ...(team !== undefined ? { TRIPLEWIDE_TEAM: team } : {}) },
    });
    return (await run).stdout.trim();
  }
  const options = (role: string, principal: string) =>
    `-Dspark.mesos.role=${role} -Dspark.mesos.principal=${principal} -Dspark.mesos.secret.file=${logins}/${principal}`;

  test.each([
    [undefined, "pool", "spark"],
    ["", "pool", "spark"],
    ["spark", "pool", "spark"],
    ["ml", "ml", "ml"],
  ])("%j: registers in its role, with its own secret in no command line", async (team, role, principal) => {
    const said = await choose(team);
    expect(said).toBe(options(role, principal));
    expect(said).not.toContain("secret-");
  });

  test("a user of the hub has a login already, and chooses none", async () => {
    const own = { DRIVER_PRINCIPAL: "user.ada", DRIVER_ROLE: "ml", DRIVER_SECRET_FILE: "/etc/mesos/login" };
    Object.assign(process.env, own);
    try {
      for (const team of [undefined, "", "ml"]) {
        expect(await choose(team)).toBe("");
        expect(await choose(team, "echo", "more")).toBe("more");
      }
      const stderr = expect.stringMatching(/^TRIPLEWIDE_TEAM=bi: your jobs are in the role ml, and in no other/);
      await expect(choose("bi", "echo", "more")).rejects.toMatchObject({ code: 1, stdout: "", stderr });
      writeFileSync(join(folder, "login"), "secret-user.ada");
      process.env.DRIVER_SECRET_FILE = join(folder, "login");
      const share = join(ROOT, "images/client/fair-share");
      expect(await choose(undefined, "bash", share, "mesos", "1", await master("user.ada"))).toBe(
        "-Dspark.cores.max=7",
      );
    } finally {
      for (const name of Object.keys(own)) delete process.env[name];
    }
  });

  test.each(["mll", "../ml", "ml bi", "-x", "."])(
    "%j is no team: the driver does not start, and is told which there are",
    async (team) => {
      await expect(choose(team)).rejects.toMatchObject({
        code: 1,
        stdout: "",
        stderr: expect.stringContaining("there is no such team. There are: bi ml"),
      });
    },
  );

  /** A leading master with 16 cores and guarantees for teams, which accepts one login. */
  async function master(
    principal: string,
    more: Record<string, unknown> = {},
    answer = (body: string): string => body,
  ): Promise<string> {
    const quota = (role: string, what: string, value: number) => [
      `allocator/mesos/quota/roles/${role}/resources/cpus/${what}`,
      value,
    ];
    const metrics = Object.fromEntries([
      ["master/cpus_total", 16],
      ...[quota("ml", "guarantee", 6), quota("bi", "guarantee", 2), quota("bi", "limit", 4)],
      ...[quota("bi", "offered_or_allocated", 1), ["allocator/mesos/quota/roles/ml/resources/mem/guarantee", 9000]],
    ]);
    const login = `Basic ${Buffer.from(`${principal}:secret-${principal}`).toString("base64")}`;
    const server = createServer(({ headers }, response) => {
      const body = {
        "master.elected": 1,
        "master.slaves_active": 2,
        "master.slaves_inactive": 0,
        "master.cpus_total": 16,
        ...metrics,
        ...more,
      };
      if (headers.authorization === login) response.end(answer(JSON.stringify(body)));
      else response.writeHead(401).end();
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test.each([
    ["ml", 7, "half of what other teams have no guarantee for"],
    ["bi", 2, "half of its limit"],
    [undefined, 4, "half of what no team has a guarantee for"],
  ])("a job of %s takes %i cores by itself: %s", async (team, cores, _) => {
    const share = join(ROOT, "images/client/fair-share");
    const said = await choose(team, "bash", share, "mesos", "1", await master(team ?? "spark"));
    expect(said.split(" ").at(-1)).toBe(`-Dspark.cores.max=${cores}`);
  });

  test("what is no number in a master's answer is no command, and counts for nothing", async () => {
    const share = join(ROOT, "images/client/fair-share");
    const planted = join(folder, "planted");
    const value = `agents[$(touch ${planted})]`;
    const of = (role: string, what: string) => `allocator/mesos/quota/roles/${role}/resources/cpus/${what}`;
    const hostile = { [of("x", "guarantee")]: 0, [of("spark", "limit")]: 0 };
    const answer = (body: string) => body.replaceAll(/("[^"]*(?:x|spark)\/resources[^"]*"):0/g, `$1:${value}`);
    const said = await choose(undefined, "bash", share, "mesos", "1", await master("spark", hostile, answer));
    expect(said.split(" ").at(-1)).toBe("-Dspark.cores.max=4");
    expect(existsSync(planted)).toBe(false);
  });
});

test("a session that waits is told what teams have to do with it", async () => {
  const logins = mkdtempSync(join(tmpdir(), "teams-"));
  for (const name of ["spark", "ml", "bi"]) writeFileSync(join(logins, name), "");
  const told = async (folder: string, team: string, more: Record<string, string> = {}): Promise<string> => {
    const ask = `import triplewide_cluster as c; c.TEAM_LOGINS = ${JSON.stringify(folder)}; print(c.of_team(), end="")`;
    const env = {
      ...process.env,
      PYTHONPATH: join(ROOT, "images/client"),
      PYTHONDONTWRITEBYTECODE: "1",
      TRIPLEWIDE_TEAM: team,
      ...more,
    };
    return (await promisify(execFile)("python3", ["-c", ask], { env })).stdout;
  };
  expect(await told(join(logins, "none"), "ml")).toBe("");
  expect(await told(logins, "ml")).toContain("is of team ml, which may be at its limit");
  expect(await told(logins, "")).toContain("is of no team (bi, ml; %env TRIPLEWIDE_TEAM=... before it starts)");
  // The hub gives its users' drivers a role.
  expect(await told(join(logins, "none"), "", { DRIVER_ROLE: "ml" })).toContain("is in the role ml, which may be");
  rmSync(logins, { recursive: true });
});
