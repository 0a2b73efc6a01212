import { expect, test } from "vitest";
import { Door } from "../containers/door.ts";
import { eventually } from "../containers/harness.ts";
import { type MesosCluster, measured } from "./mesos-cluster.ts";

/** A framework beside Spark. */
export const OTHER = "batch";

/** Settings of a cluster that can lose any one of its parts: three masters with ZooKeeper beside them, two agents. */
export const REDUNDANT = ["masterCount=3", "agentCount=2", `mesosFrameworks=["${OTHER}"]`];

/** Tests that several of Spark's drivers, each a framework, share a real Mesos. The cluster is up, made with `REDUNDANT`. */
export function sharesMesos(cluster: MesosCluster): void {
  test("two jobs and another framework at once", async () => {
    const [one, two, other] = [cluster.job(12), cluster.job(12), cluster.otherFramework(OTHER, OTHER)];
    expect((await other).output).toContain("TASK_FINISHED");
    expect((await one.done).output).toContain(one.says);
    expect((await two.done).output).toContain(two.says);
  });

  test("a driver with a wrong secret is refused", async () => {
    const framework = await cluster.job(1, { "spark.mesos.secret": "guessed" }).done;
    expect(framework.output).not.toContain("sum is");
    expect(framework.code).not.toBe(0);
  });
}

async function upAgain(cluster: MesosCluster): Promise<void> {
  const { code, output } = await cluster.cli("up", ["--no-smoke"]);
  expect(code, output).toBe(0);
}

/** Tests that a job succeeds while another master takes the lead. The cluster has three masters and two agents, and is up before and after. */
export function losesLeadingMaster(cluster: MesosCluster): void {
  test("the leading master is killed in mid-job", async () => {
    const job = cluster.jobOnEveryAgent(40);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    const [leader = 0] = await cluster.leadingMasters();
    await cluster.kill(`master-${leader}-mesos-master`);
    await measured("another leading master with both agents", 120, () => cluster.agentsAtLeader(2));
    expect(await cluster.leadingMasters()).not.toContain(leader);
    expect((await job.done).output).toContain(job.says);
    await upAgain(cluster);
  });
}

/**
 * Tests on a real Mesos for every architecture: unauthenticated masters and agents are refused, and a job during which a part is
 * lost succeeds. The cluster was made with `REDUNDANT`, and is up before and after.
 */
export function survivesFaults(cluster: MesosCluster): void {
  test("a framework registers in no role but its own", async () => {
    const { output } = await cluster.otherFramework(OTHER, "spark");
    expect(output).toMatch(/not authorized to register framework/i);
    expect(output).not.toContain("TASK_FINISHED");
  });

  test("wrong credentials are refused: agents' and people's", async () => {
    const agent = await cluster.strangeAgent();
    expect(agent.output).toMatch(/refused authentication/i);
    expect(agent.code).not.toBe(0);
    const { mesosMasterPort } = cluster.cluster.config;
    expect((await fetch(`http://127.0.0.1:${mesosMasterPort}/state`)).status).toBe(401);
  });

  test("neither another framework nor people at the gateway change what masters log, which Mesos does for a GET", async () => {
    const toggle = "/logging/toggle?level=9&duration=1hrs";
    const { output: login } = await cluster.onClient(["cat", `/etc/mesos/frameworks/${OTHER}.json`]);
    const { principal, secret } = JSON.parse(login) as { principal: string; secret: string };
    const [leader = 0] = await cluster.leadingMasters();
    const master = `http://${cluster.address(`master-${leader}`)}:${cluster.cluster.config.mesosMasterPort}`;
    const status = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", `${principal}:${secret}`];
    expect((await cluster.onClient([...status, master + toggle])).output).toBe("403");
    expect((await cluster.onClient([...status, `${master}/metrics/snapshot`])).output).toBe("200");
    const door = new Door(cluster);
    await door.trust();
    await door.logIn();
    expect(await door.raw(`/mesos${toggle}`)).toEqual([403, undefined]);
  });

  test("an agent's own login, which tasks on a laptop can read, starts no program there", async () => {
    const program = `
import base64, json, sys, urllib.error, urllib.request
login = json.load(open("/etc/mesos/http-credentials.json"))["credentials"][0]
known = base64.b64encode(f"{login['principal']}:{login['secret']}".encode()).decode()
headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": f"Basic {known}"}
def status(call):
    try:
        return urllib.request.urlopen(urllib.request.Request(f"http://{sys.argv[1]}/api/v1", json.dumps(call).encode(), headers)).status
    except urllib.error.HTTPError as refused:
        return refused.code
container = {"container_id": {"value": "planted"}, "command": {"value": "true", "user": "root"}}
print(status({"type": "LAUNCH_CONTAINER", "launch_container": container}), status({"type": "GET_CONTAINERS"}))`;
    const agent = `${cluster.address("agent-1")}:${cluster.cluster.config.mesosAgentPort}`;
    const { output } = await cluster.exec(cluster.part("agent-1", "mesos-agent"), ["python3", "-c", program, agent]);
    expect(output).toBe("403 200\n");
  });

  test("strangers write nothing where Mesos and Marathon keep what they know in ZooKeeper", async () => {
    const kept = cluster.cluster.apps.length > 0 ? ["/mesos", "/marathon"] : ["/mesos"];
    for (const path of kept) {
      for (const command of [
        ["create", `${path}/stranger`, "x"],
        ["set", path, "x"],
        ["setAcl", path, "world:anyone:r"],
      ]) {
        const { code, output } = await cluster.exec("master-1-zookeeper", ["zk", ...command]);
        expect(output, `${command.join(" ")}`).toMatch(/insufficient permission|NoAuth/i);
        expect(code).not.toBe(0);
      }
    }
  });

  losesLeadingMaster(cluster);

  test("the leading ZooKeeper is killed in mid-job", async () => {
    const job = cluster.jobOnEveryAgent(40);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    const [leader = 0] = await cluster.leadingZookeepers();
    await cluster.kill(`master-${leader}-zookeeper`);
    await measured("another leading ZooKeeper", 60, async () => {
      const found = await cluster.leadingZookeepers();
      return found.length > 0 && !found.includes(leader);
    });
    await measured("a leading master with both agents", 120, () => cluster.agentsAtLeader(2));
    expect((await job.done).output).toContain(job.says);
    await upAgain(cluster);
  });

  test("an executor is killed in mid-job", async () => {
    const job = cluster.jobOnEveryAgent(90);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    await cluster.killExecutor("agent-2");
    await measured("another executor after one was killed", 120, () => cluster.hasExecutor("agent-2"));
    expect((await job.done).output).toContain(job.says);
  });

  test("an agent is lost in mid-job, and comes back", async () => {
    const job = cluster.jobOnEveryAgent(30);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    await cluster.killAgent("agent-2");
    expect((await job.done).output).toContain(job.says);
    await upAgain(cluster);
    await measured("both agents after one was lost", 120, () => cluster.agentsAtLeader(2));
  });

  test("an agent is drained by name in mid-job, and given back", async () => {
    const job = cluster.jobOnEveryAgent(40);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    const drained = await cluster.drain("agent-2", "--grace", "5");
    expect(drained.output).toMatch(/agent-2 is drained after [\d.]+ s/);
    expect(drained.code).toBe(0);
    expect(await cluster.hasExecutor("agent-2")).toBe(false);
    expect((await job.done).output).toContain(job.says);
    expect((await cluster.drain("agent-2", "--back")).output).toContain("agent-2 takes tasks again");
  });

  test("a restart of everything keeps state", async () => {
    const weights = [{ role: "spark", weight: 2.5 }];
    const set = await cluster.operator({ type: "UPDATE_WEIGHTS", update_weights: { weight_infos: weights } });
    expect(set.kind).toBe("done");
    expect((await cluster.cli("down")).code).toBe(0);
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
    expect(JSON.stringify(await cluster.operator({ type: "GET_WEIGHTS" }))).toContain('"weight":2.5');
  });
}
