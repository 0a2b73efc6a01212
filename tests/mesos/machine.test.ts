import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { agentsOnMachines, scaleSite } from "../../cli/scale.ts";
import { PROCESSES } from "../../cluster/limits.ts";
import { describeCluster } from "../../cluster/load.ts";
import { withAgents } from "../../cluster/scaling.ts";
import { EXECUTORS, libprocessEnv, libprocessTrust } from "../../cluster/services/mesos/libprocess.ts";
import { ADMIN_LOGIN } from "../../cluster/services/mesos/mesos.ts";
import { shellQuote } from "../../lib/quote.ts";
import { ROOT } from "../../lib/root.ts";
import { drain, reactivate } from "../../mesos/drain.ts";
import { type Conversation, eavesdropped, eventually } from "../containers/harness.ts";
import { canHaveVolumes, type Guest, missing } from "../machine/guests.ts";
import { RESULT } from "../scale/scaled.ts";
import { JOB, JOB_SAYS, JUPYTER, MesosOnMachines } from "./for-machines.ts";

/**
 * The real Mesos on machines as OpenStack has them, from user data: `vanilla` with `mesosTls`, whose operator comes by SSH. Agents come and go
 * here as the test boots them: what the cloud does is not here.
 */

const MINUTES = 60_000;
const { MESOS_SOURCE: source } = process.env;
const reason = source === undefined ? "no Mesos: set MESOS_SOURCE" : await missing();
const volumes = canHaveVolumes();
describe.skipIf(reason !== "")(`Mesos with TLS on machines${reason && ` (skipped: ${reason})`}`, async () => {
  if (source === undefined) return;
  const machines = await MesosOnMachines.of(source, "10.207", {
    architecture: "vanilla",
    agentsMin: 1,
    agentsMax: 2,
    idleMinutes: 0,
    dataVolumes: volumes,
    ...{ registryVolumeGb: 3, clientVolumeGb: 1, masterVolumeGb: 1 },
  });
  const { cluster, guests } = machines;
  const clusterOf = (agents: number) => describeCluster(withAgents(cluster.config, agents));
  const at = (name: string): Guest => machines.at(name);
  const activeAgents = () => machines.activeAgents();
  const master = guests.machine("master-1");
  let session: Conversation;

  beforeAll(() => machines.begin(), 60 * MINUTES);
  afterAll(async () => {
    await session?.end();
    await machines.end();
  }, 5 * MINUTES);

  test("nobody reads what a driver and Mesos say to each other, and a job runs as Spark's user on the agents", async () => {
    const [plain, hidden] = ["plain-word-on-the-wire", "mesos.internal."];
    const listener = ["exec", "-i", guests.container("client"), "python3"];
    const seen = await eavesdropped("docker", listener, [plain, hidden], async () => {
      expect((await machines.python(JOB)).output).toContain(JOB_SAYS);
      const zookeeper = `/dev/tcp/${master.address}/${cluster.config.zookeeperClientPort}`;
      await at("client").out(`exec 3<>${zookeeper} && echo ${plain} >&3`);
    });
    expect(seen).toEqual([plain]);
  });

  test("who speaks without TLS is heard by no master and no agent", async () => {
    const forge = readFileSync(join(ROOT, "tests/cluster/forged_message.py"), "utf8");
    const { mesosMasterPort, mesosAgentPort } = cluster.config;
    const own = `nobody@${guests.machine("agent-1").address}:1`;
    for (const to of [
      `master@${master.address}:${mesosMasterPort}`,
      `slave(1)@${guests.machine("agent-2").address}:${mesosAgentPort}`,
    ]) {
      const words = ["-", own, to, "UnregisterSlaveMessage", "S0"].map(shellQuote).join(" ");
      const said = await at("agent-1").sh(`python3 ${words}`, forge);
      expect(said.output, to).toMatch(/RemoteDisconnected|ConnectionResetError/);
    }
  });

  test("keys are their service's alone to read", async () => {
    const keys = "stat -c '%n %U %a' /etc/libprocess/*key.pem";
    expect(await at("master-1").out(keys)).toBe("/etc/libprocess/key.pem root 600");
    expect(await at("agent-1").out(keys)).toBe(
      "/etc/libprocess/executor-key.pem spark 600\n/etc/libprocess/key.pem root 600",
    );
  });

  describe("tasks of two drivers on one agent", () => {
    const sessions: Conversation[] = [];
    /** Starts a session whose executors run commands. @returns Its framework id, and a function that returns a command's output by machine. */
    const open = async (name: string, cores: number) => {
      const one = machines.converse("task_shell.py", name, String(cores));
      sessions.push(one);
      let lines = 0;
      const tasks = async (command: string): Promise<Map<string, string>> => {
        lines += 1;
        one.say(command);
        const said = await one.until(`${name} ${lines} ends`);
        const found = said.matchAll(new RegExp(`^${name} ${lines}: (\\S+) (.*)$`, "gm"));
        return new Map([...found].map(([, host = "", text = ""]) => [host.replace(`${cluster.name}-`, ""), text]));
      };
      const id = new RegExp(`^${name} is (\\S+)$`, "m").exec(await one.until(`${name} begins`))?.[1] ?? "";
      return { id, tasks };
    };
    let first: Awaited<ReturnType<typeof open>>;
    let second: Awaited<ReturnType<typeof open>>;
    /** The machine that has an executor of each session. */
    let both = "";
    /** The output of a command in a task of the second driver there. */
    const attack = async (command: string): Promise<string> => (await second.tasks(command)).get(both) ?? "nothing";
    /** The process id on the machine of an executor of the first driver there. */
    const victim = () => at(both).out(`pgrep -nu 1000 -f -- '--app-id ${first.id}'`);

    beforeAll(async () => {
      first = await open("first", 1);
      both = [...(await first.tasks("true")).keys()][0] ?? "";
      second = await open("second", 3);
    }, 10 * MINUTES);
    afterAll(() => Promise.all(sessions.map((one) => one.end())));

    test("see no process of each other, and signal none", async () => {
      const pid = await victim();
      const seen = await attack("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
      expect(seen).toContain(second.id);
      expect(seen).not.toContain(first.id);
      // Root on the machine sees the processes of both.
      const all = await at(both).out("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
      for (const { id } of [first, second]) expect(all).toContain(id);
      expect(await attack(`kill -9 ${pid}`)).toMatch(/No such process/);
      expect(await attack(`ls /proc/${pid}`)).toMatch(/No such file/);
      expect((await at(both).sh(`kill -0 ${pid}`, "", "1000")).code).toBe(0);
    });

    test("have no memory of System V in common", async () => {
      await first.tasks("ipcmk -M 1000");
      expect((await first.tasks("ipcs -m")).get(both)).toMatch(/ 1000 /);
      expect(await attack("ipcs -m")).not.toMatch(/ 1000 /);
    });

    test("have no capability, and no program gives them one", async () => {
      const rights = await attack("grep -E '^(Uid|Cap|NoNewPrivs)' /proc/self/status");
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(rights).toContain(`${set}:\t0000000000000000`);
      expect(rights).toContain("NoNewPrivs:\t1");
      const program = "/usr/local/bin/who-is-root";
      await at(both).out(`cp /usr/bin/id ${program} && chmod 4755 ${program}`);
      // This setuid program makes its caller root, if the caller may gain privileges.
      expect((await at(both).sh(`${program} -u`, "", "1000")).output).toBe("0");
      expect(await attack(`${program} -u`)).toBe("1000");
    });

    test("leave the machine processes, however many they start", async () => {
      const limit = "/sys/fs/cgroup/pids/mesos/pids.max";
      expect(await at(both).out(`cat ${limit}`)).toBe(String(PROCESSES));
      // The program ends all processes that it has started.
      const starts =
        "perl -e 'for (1..100) { my $p = fork // last; sleep 60 unless $p; push @p, $p } kill 9, @p; print scalar @p, qq( started: $!)'";
      await at(both).out(`echo $(($(cat ${limit.replace("max", "current")}) + 30)) >${limit}`);
      try {
        expect(await attack(starts)).toMatch(/^[0-9]{1,2} started: Resource temporarily unavailable/);
        expect(await at(both).out(starts)).toMatch(/^100 started/);
      } finally {
        await at(both).out(`echo ${PROCESSES} >${limit}`);
      }
    });

    test("come back to an agent that restarts under them", async () => {
      await at(both).out("systemctl restart triplewide-mesos-agent");
      await at(both).ready(300, true);
      expect([...(await first.tasks("echo here")).values()]).toEqual(["here"]);
    });
  });

  /** Runs `mesos-execute` on agent-1 as a framework of Spark's principal, by a user and with the libprocess key that executors have. */
  const execute = (...flags: string[]) => {
    const environment = Object.entries(libprocessEnv(cluster.config, EXECUTORS)).map((pair) => pair.join("="));
    const words = [
      ...["env", ...environment, "timeout", "300", "/opt/mesos/bin/mesos-execute", "--principal=spark"],
      `--master=${master.address}:${cluster.config.mesosMasterPort}`,
      `--secret=${guests.secrets.get("mesos-spark")}`,
      `--role=${cluster.config.mesosRole}`,
      ...flags,
    ];
    return at("agent-1").sh(words.map(shellQuote).join(" "), "", "1000");
  };

  test("a task that asks for the agent's processes is refused", async () => {
    const task = {
      ...{ name: "shares", task_id: { value: "shares" }, agent_id: { value: "" }, command: { value: "ps -e" } },
      resources: ["cpus", "mem"].map((name, i) => ({ name, type: "SCALAR", scalar: { value: [0.1, 32][i] } })),
      container: { type: "MESOS", linux_info: { share_pid_namespace: true } },
    };
    const said = await execute(`--task=${JSON.stringify(task)}`);
    expect(said.output).toContain("Sharing agent pid namespace with top-level container is not allowed");
  });

  test("a task of a framework that has agents write its tasks down outlives its agent", async () => {
    const command = "sleep 987";
    const done = execute("--checkpoint", "--name=lasts", "--resources=cpus:0.1;mem:32", `--command=${command}`);
    /** The agent on which the task runs, and its process id; undefined where it runs nowhere. */
    const find = async () => {
      for (const name of ["agent-1", "agent-2"]) {
        const { output } = await at(name).sh(`pgrep -u 1000 -fx '${command}'`);
        if (output !== "") return { name, pid: output };
      }
      return undefined;
    };
    const before = await eventually("it runs", 60, find, (found) => found !== undefined);
    const agent = at(before?.name ?? "");
    await agent.out("systemctl restart triplewide-mesos-agent");
    await eventually("the master has both again", 60, activeAgents, (found) => found.length === 2);
    expect(await find()).toEqual(before);
    // When the framework ends, Mesos ends its task.
    await at("agent-1").out("pkill -u 1000 -x mesos-execute");
    await done;
    await eventually("it is gone", 60, find, (found) => found === undefined);
  });

  test("the operator drains an agent by SSH, and gives it back", async () => {
    const said: string[] = [];
    const options = { agent: "agent-2", graceSeconds: 5, timeoutSeconds: 120, report: (s: string) => said.push(s) };
    await drain({ ...machines.operator(), ...options });
    expect(said.at(-1)).toMatch(/agent-2 is drained after/);
    expect(await activeAgents()).toHaveLength(1);
    await reactivate({ ...machines.operator(), ...options });
    expect(await activeAgents()).toHaveLength(2);
  });

  test("scale by SSH: no agent at work goes, one goes when the session rests, and comes again for what waits", async () => {
    session = machines.converse("resting_session.py");
    let there = 2;
    const scaled = async (dryRun = false): Promise<string> => {
      const said: string[] = [];
      const site = {
        cluster: clusterOf(there),
        ...agentsOnMachines(clusterOf(there), machines.ssh),
        apply: async (agents: number) => {
          if (agents < there) await guests.discard("agent-2");
          else await machines.bootAgain("agent-2");
          there = agents;
        },
      };
      await scaleSite(site, { now: new Date(), dryRun, report: (line) => said.push(line) });
      return said.join("\n");
    };
    await session.until("begins");
    await eventually(
      "tasks on agent-2",
      180,
      () => scaled(true),
      (said) => /agent-2 stays: .*tasks? runs? on it/.test(said),
    );
    expect(await scaled()).toContain("2 agents, and that is right");
    await session.until(`first: ${RESULT}`);
    await eventually(
      "nothing runs",
      240,
      () => scaled(true),
      (said) => !said.includes("stays"),
    );
    expect(await scaled()).toContain("2 agents, should be 1");
    expect((await activeAgents()).map(({ host }) => host)).toEqual([guests.machine("agent-1").address]);

    session.say("again");
    const said = await eventually(
      "it waits",
      180,
      () => scaled(),
      (text) => text.includes("jobs wait for executors"),
    );
    expect(said).toContain("1 agent, should be 2");
    await session.until(`again: ${RESULT}`);
    // The cores of one agent may have been sufficient, so wait for both.
    await eventually("both agents", 60, activeAgents, (found) => found.length === 2);
  });

  test.skipIf(!volumes)(
    "every secret is replaced, as `rotate all` has it: data stays, and old logins open nothing",
    async () => {
      const { mesosMasterPort } = cluster.config;
      const { authorityFile } = libprocessTrust(cluster.config);
      /** The master's answer to a request with the operator's login. */
      const asOperator = (secret: string) =>
        at("master-1").sh(
          `curl -s -o /dev/null -w '%{http_code}' --cacert ${authorityFile} -K - https://${master.address}:${mesosMasterPort}/metrics/snapshot`,
          `user = "admin:${secret}"`,
        );
      const admin = guests.secrets.get("mesos-admin") ?? "";
      expect(await at("master-1").out(`cat ${ADMIN_LOGIN}`)).toBe(`admin:${admin}`);
      expect((await asOperator(admin)).output).toBe("200");
      await session.end();
      await at("client").out(`docker exec ${JUPYTER} bash -c 'echo kept >/home/spark/work/kept'`);

      await machines.renew();
      expect(await activeAgents()).toHaveLength(2);
      expect((await asOperator(admin)).output).toBe("401");
      expect((await asOperator(`new${admin}`)).output).toBe("200");
      expect(await at("client").out(`docker exec ${JUPYTER} cat /home/spark/work/kept`)).toBe("kept");
      expect((await machines.python(JOB)).output).toContain(JOB_SAYS);
    },
  );
});
