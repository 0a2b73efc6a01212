import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { onMachines } from "../../machines/operator.ts";
import { drain, reactivate } from "../../mesos/drain.ts";
import { askLeader } from "../../mesos/leader.ts";
import { missing } from "../machine/guests.ts";
import { forMachines } from "../mesos/for-machines.ts";
import { asOneselfAlone } from "./attacks.ts";
import { type HubOnMachines, keepsUsersApart } from "./on-machines.ts";

/** The hub on machines that run the real Mesos that MESOS_SOURCE names: alice in a team, bob in none. */

const { MESOS_SOURCE: source } = process.env;
const reason = source === undefined ? "no Mesos: set MESOS_SOURCE" : await missing();
const ADDRESSES = "10.206";
const NONE = { mesosSource: `file:///mesos.tar.gz#sha256=${"0".repeat(64)}`, archives: undefined, serve: undefined };
const mesos = reason === "" ? await forMachines(source ?? "", `${ADDRESSES}.0.99`) : NONE;

interface Framework {
  framework_info: { id: { value: string }; principal: string; role: string };
  active: boolean;
}

/** Tests of the separation of drivers by Mesos itself. Both users have run a job before. */
function keepsDriversApart({ cluster, guests, at, run }: HubOnMachines): void {
  /** Runs requests as the operator does: by SSH, through the bastion. */
  const operated = async <T>(work: (operator: ReturnType<typeof onMachines>) => Promise<T>): Promise<T> => {
    const ssh = guests.ssh();
    try {
      return await work(onMachines(cluster, ssh));
    } finally {
      await ssh.close();
    }
  };
  const drivers = () =>
    operated(async (operator) => {
      const answer = (await askLeader(operator, { type: "GET_FRAMEWORKS" })) as {
        get_frameworks: { frameworks?: Framework[] };
      };
      return (answer.get_frameworks.frameworks ?? [])
        .filter(({ active }) => active)
        .map(({ framework_info: { id, principal, role } }) => ({ id: id.value, principal, role }));
    });

  test("each user's driver is registered as a principal of its own, in the role of their team", async () => {
    const seen = (await drivers()).map(({ principal, role }) => [principal, role]);
    expect(seen.sort()).toEqual([
      ["user.alice", "ml"],
      ["user.bob", "spark"],
    ]);
  });

  test("Mesos starts their executors in containers on the agent, as Spark's user", async () => {
    const where = `
import os, socket
print(spark.sparkContext.parallelize(range(1), 1).map(lambda n: (os.getuid(), os.path.exists("/.dockerenv"), socket.gethostbyname(socket.gethostname()))).collect())`;
    const { address } = guests.machine("agent-1");
    for (const user of ["alice", "bob"]) expect(await run(user, where)).toBe(`[(1000, True, '${address}')]\n`);
  });

  test("a user registers neither in another's role nor as another, and ends nothing of theirs", async () => {
    const hers = (await drivers()).find(({ principal }) => principal === "user.alice");
    const master = `${guests.machine("master-1").address}:${cluster.config.mesosMasterPort}`;
    const attacks = readFileSync(join(ROOT, "tests/cluster/hub_mesos.py"), "utf8");
    const argv = ["", master, "ml", "user.alice", hers?.id ?? ""];
    const said = await run("bob", `import sys; sys.argv = ${JSON.stringify(argv)}\n${attacks}`);
    expect(JSON.parse(said), said).toEqual(asOneselfAlone("alice", "ml", "bi"));
    expect((await drivers()).map(({ id }) => id)).toContain(hers?.id);
    expect(await run("alice", "print(spark.range(10).count())")).toBe("10\n");
  });

  test("each has their own login alone, in a file that they alone read", async () => {
    const secrets = new Set<string>();
    for (const user of ["alice", "bob"]) {
      const read = `docker exec triplewide-user-${user} bash -c "stat -c '%U %a' /etc/mesos/login && cat /etc/mesos/login"`;
      const [owner, secret = ""] = (await at("client").out(read)).split("\n");
      expect(owner).toBe(`${user} 400`);
      secrets.add(secret);
    }
    expect(secrets.size).toBe(2);
  });

  test("the operator drains the agent by SSH and gives it back, and sessions go on", async () => {
    const executors = () => at("agent-1").out("docker ps --quiet --filter name=^mesos-");
    const sum = "print(spark.sparkContext.parallelize(range(10), 1).sum())";
    expect(await run("alice", sum)).toBe("45\n");
    expect(await executors()).not.toBe("");
    const said: string[] = [];
    const options = {
      agent: "agent-1",
      graceSeconds: 5,
      timeoutSeconds: 120,
      report: (line: string) => said.push(line),
    };
    await operated(async (operator) => {
      try {
        await drain({ ...operator, ...options });
        expect(said.at(-1)).toMatch(/agent-1 is drained after/);
        expect(await executors()).toBe("");
      } finally {
        await reactivate({ ...operator, ...options });
      }
    });
    for (const user of ["alice", "bob"]) expect(await run(user, sum)).toBe("45\n");
  });
}

describe.skipIf(reason !== "")(`the hub on machines with Mesos${reason && ` (skipped: ${reason})`}`, () =>
  keepsUsersApart(
    {
      addresses: ADDRESSES,
      config: {
        architecture: "docker-executors",
        ...{ executorCores: 1, executorMemoryMiB: 512, driverMemoryMiB: 512 },
        teams: { ml: { cpus: 1, memoryMiB: 1024, users: ["alice"] } },
        mesosSource: mesos.mesosSource,
      },
      ...(mesos.archives === undefined ? {} : { archives: mesos.archives, beside: mesos.serve }),
    },
    keepsDriversApart,
  ),
);
