import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { projectOf, readSecret } from "../../local/project.ts";
import { eventually } from "../containers/harness.ts";
import type { MesosCluster } from "./mesos-cluster.ts";

/** A process and all that it has started. */
function family(pid: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): [number, number][] => {
      try {
        const [, parent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8")) ?? [];
        return [[Number(name), Number(parent)]];
      } catch {
        // It has ended.
        return [];
      }
    });
  const below = (of: number): number[] => [
    of,
    ...parents.flatMap(([one, parent]) => (parent === of ? below(one) : [])),
  ];
  return below(pid);
}

/** Tests of replacing logins on a running cluster. The cluster is up, made with `REDUNDANT`. */
export function rotatesLogins(cluster: MesosCluster): void {
  const { mesosMasterPort, mesosAgentPort } = cluster.cluster.config;
  const secret = (name: string): string => readSecret(projectOf(ROOT, cluster.name), name) ?? "";

  /** Whether ZooKeeper lets a login write to the node where Mesos' masters elect their leader. */
  async function writes(login: string): Promise<boolean> {
    const text = `t${process.hrtime.bigint()}`;
    const commands = [`addauth digest ${login}`, `set /mesos ${text}`, "get /mesos"];
    const script = ["bash", "-c", `printf '%s\\n' "$@" | zk`, "bash", ...commands];
    const { output } = await cluster.exec("master-1-zookeeper", script);
    return new RegExp(`\\] ${text}$`, "m").test(output);
  }

  async function reads(machine: string, port: number, login: string): Promise<boolean> {
    const headers = { Authorization: `Basic ${Buffer.from(login).toString("base64")}` };
    const { status } = await fetch(`http://${cluster.address(machine)}:${port}/metrics/snapshot`, { headers });
    expect([200, 401]).toContain(status);
    return status === 200;
  }

  /** For each secret, whether a value of it is accepted as a login. */
  const LOGINS: Readonly<Record<string, (value: string) => Promise<boolean>>> = {
    "zookeeper-mesos": (value) => writes(`mesos:${value}`),
    "zookeeper-super": (value) => writes(`super:${value}`),
    "mesos-admin": (value) => reads("master-1", mesosMasterPort, `admin:${value}`),
    "mesos-viewer": (value) => reads("master-1", mesosMasterPort, `viewer:${value}`),
    "mesos-agent-http": (value) => reads("agent-1", mesosAgentPort, `admin:${value}`),
    "mesos-spark": async (value) => {
      const job = cluster.job(2, { "spark.mesos.secret": value });
      return (await job.done).output.includes(job.says);
    },
    // The current secret is tested by the cluster's own agents: a further agent with it would register and stay.
    "mesos-agent": async (value) =>
      value === secret("mesos-agent")
        ? cluster.agentsAtLeader(2)
        : !/refused authentication/i.test((await cluster.strangeAgent(undefined, value)).output),
  };

  const valuesOf = (names: readonly string[]) => new Map(names.map((name) => [name, secret(name)]));

  async function loginsAreOthers(before: ReadonlyMap<string, string>): Promise<void> {
    for (const [name, old] of before) {
      expect(secret(name), name).toMatch(/^[A-Za-z0-9]{32}$/);
      expect(await LOGINS[name]?.(old), `the old ${name}`).toBe(false);
      expect(await LOGINS[name]?.(secret(name)), `the new ${name}`).toBe(true);
    }
  }

  /** The state that a rotation must not change: of the masters, and of the shared folder. */
  async function kept() {
    const { slaves } = JSON.parse(await cluster.state()) as { slaves: { id: string; active: boolean }[] };
    return {
      leaders: [(await cluster.leadingZookeepers()).length, (await cluster.leadingMasters()).length],
      agents: slaves.map(({ id, active }) => `${id} ${active}`).sort(),
      weights: JSON.stringify(await cluster.operator({ type: "GET_WEIGHTS" })),
      file: (await cluster.onClient(["cat", "/home/spark/work/kept.txt"])).output,
    };
  }

  /** The expected containers of two agents that were started again from scratch. */
  const TWO = Array(2).fill(expect.stringMatching(/ true$/));

  async function keep(): Promise<Awaited<ReturnType<typeof kept>>> {
    // The weight is set for a role that the config names: `up` resets the weights of all others.
    const weights = [{ role: "spark", weight: 3.5 }];
    const set = await cluster.operator({ type: "UPDATE_WEIGHTS", update_weights: { weight_infos: weights } });
    expect(set.kind).toBe("done");
    await cluster.onClient(["bash", "-c", "echo precious > /home/spark/work/kept.txt"]);
    const now = await kept();
    expect(now).toMatchObject({ leaders: [1, 1], file: "precious\n", weights: expect.stringContaining("3.5") });
    return now;
  }

  test.each(["zookeeper-mesos", "mesos-agent", "mesos-spark"])(
    "%s is replaced, and masters keep what they know",
    async (name) => {
      const [before, values] = [await keep(), valuesOf([name])];
      const { code, output } = await cluster.cli("rotate", [name]);
      expect(code, output).toBe(0);
      const agents = name === "mesos-agent" ? TWO : before.agents;
      expect(await kept()).toEqual({ ...before, agents });
      await loginsAreOthers(values);
    },
  );

  test("every secret is replaced, though the one who does it is killed in the middle: up goes on", async () => {
    const [before, values] = [await keep(), valuesOf(Object.keys(LOGINS))];
    const running = new Set(await cluster.allContainers());
    const rotation = cluster.start("rotate", ["all"]);
    const ended = new Promise((resolve) => rotation.once("close", resolve));
    await eventually(
      "another container",
      120,
      () => cluster.allContainers(),
      (now) => now.some((id) => !running.has(id)),
    );
    for (const pid of family(rotation.pid ?? 0)) process.kill(pid, "SIGKILL");
    await ended;
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
    expect(await kept()).toEqual({ ...before, agents: TWO });
    await loginsAreOthers(values);
  });
}
