import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { projectOf, readSecret } from "../../local/project.ts";
import { Door } from "./door.ts";
import { eventually, TestCluster } from "./harness.ts";
import { Measured } from "./measured.ts";

/** Three masters with ZooKeeper, and HDFS with a pair of namenodes: the services that keep state must not lose it. */
const cluster = new TestCluster(await findDocker(), "tw-state", 1, [
  "agentCount=1",
  "masterCount=3",
  "datanodeCount=3",
  "namenodeCount=2",
  "monitoring=true",
  "tls=own",
]);
const metrics = new Measured(cluster);
const MEMBERS = [1, 2, 3];
const hosts = MEMBERS.map((n) => `10.97.0.${15 + n}`);

async function mode(member: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/${hosts[member - 1]}/2181 && printf srvr >&3 && cat <&3`;
  const { output } = await cluster.exec("client", ["bash", "-c", script]);
  return /Mode: (\w+)/.exec(output)?.[1] ?? "none";
}

async function modes(members = MEMBERS): Promise<string[]> {
  return Promise.all(members.map(mode));
}

/** Runs ZooKeeper commands without a login. */
const zk = (member: number, command: string) =>
  cluster.exec(`master-${member}-zookeeper`, ["zk", "-server", `${hosts[member - 1]}:2181`, ...command.split(" ")]);
/** Runs commands as ZooKeeper's superuser, whose login is in the ensemble's own file. */
const asSuper = (member: number, ...commands: string[]) =>
  cluster.exec(`master-${member}-zookeeper`, [
    "bash",
    "-c",
    `printf '%s\\n' "addauth digest super:$(sed -n 's/^super //p' /etc/zookeeper/owners)" "$@" | zk`,
    "bash",
    ...commands,
  ]);
/** The machine on which HDFS commands run. No test kills a container there. */
const CLIENT = "datanode-1";
const hdfs = (...args: string[]) => cluster.exec(CLIENT, ["hdfs", "dfs", ...args]);

/** The answer of one of the cluster's web servers. */
async function get(host: string | undefined, port: number, path: string): Promise<string> {
  const script = `exec 3<>/dev/tcp/${host}/${port} && printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`;
  return (await cluster.exec("client", ["bash", "-c", script])).output;
}

/** Numbers of the namenodes that report this state. */
async function namenodes(state: "active" | "standby"): Promise<number[]> {
  const path = "/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus";
  const answers = await Promise.all([1, 2].map((n) => get(hosts[n - 1], 20870, path)));
  return [1, 2].filter((n) => answers[n - 1]?.includes(`"State" : "${state}"`));
}

describe("a cluster that keeps state", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    expect(output).toContain("HDFS out of safe mode with 3 datanodes");
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("three ZooKeeper members: one leads, two follow", async () => {
    expect((await modes()).sort()).toEqual(["follower", "follower", "leader"]);
  });

  test("strangers write nothing in ZooKeeper, and read nothing of Spark's and HDFS'", async () => {
    for (const command of [
      "create /stranger x",
      "create /zookeeper/stranger x",
      "setAcl / world:anyone:cdrwa",
      "setquota -n 1 /spark",
      "create /spark/stranger x",
      // The next leading master would deserialize this entry as a Java object.
      "create /spark/master_status/app_stranger x",
      "create /spark/leader_election/stranger x",
      "ls /spark/master_status",
      "create /hadoop-ha/stranger x",
      "delete /hadoop-ha/cluster/ActiveBreadCrumb",
    ]) {
      const { code, output } = await zk(1, command);
      expect(output, command).toMatch(/insufficient permission|NoAuth/i);
      expect(code, command).not.toBe(0);
    }
    const listed = await asSuper(1, "ls /spark/master_status", "getAcl /hadoop-ha/cluster");
    expect(listed.output).toContain("worker_");
    expect(listed.output).not.toMatch(/'world,'anyone\s+: [a-z]*[cdwa]/);
  });

  test("the ensemble loses its leader and keeps its data", async () => {
    expect((await asSuper(1, "create /kept precious")).output).toContain("Created /kept");
    const leader = (await modes()).indexOf("leader") + 1;
    const others = MEMBERS.filter((n) => n !== leader);
    await cluster.kill(`master-${leader}-zookeeper`);
    await eventually(
      "a new leader",
      60,
      () => modes(others),
      (found) => found.includes("leader"),
    );
    await metrics.fires("ZooKeeperMemberDown", `master-${leader}`);
    // Two of three servers are left, which is a majority.
    expect(await metrics.vector("sum(zk_leading) == 1 and sum(zk_serving) == 2")).toHaveLength(1);
    expect(await metrics.vector('ALERTS{alertname="NoQuorum"}')).toEqual([]);
    expect((await zk(others[0] as number, "get /kept")).output).toContain("precious");
    expect((await asSuper(others[1] as number, "create /after too")).output).toContain("Created /after");

    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    expect(output).toContain(`Changed: tw-state-master-${leader}-zookeeper`);
    await eventually(
      "the lost member follows",
      60,
      () => mode(leader),
      (found) => found === "follower",
    );
    expect((await zk(leader, "get /after")).output).toContain("too");
  });

  test("Spark's masters elect another leader, and the worker moves to it; an entry that is not theirs is not read", async () => {
    // An entry that anyone may write, such as an older release without logins left.
    const foreign = "/spark/master_status/app_foreign";
    expect((await asSuper(1, `create ${foreign} x world:anyone:cdrwa`)).output).toContain(`Created ${foreign}`);
    const leading = async (): Promise<number> => {
      const states = await Promise.all(
        MEMBERS.map(async (n) => {
          const output = await get(hosts[n - 1], 19080, "/json/");
          return /"status" : "ALIVE"/.test(output) && /"aliveworkers" : 1/.test(output);
        }),
      );
      return states.indexOf(true) + 1;
    };
    const first = await eventually("a leading master with the worker", 60, leading, (n) => n > 0);
    await cluster.kill(`master-${first}-spark-master`);
    const second = await eventually(
      "another leading master with the worker",
      150,
      leading,
      (n) => n > 0 && n !== first,
    );
    expect(second).not.toBe(first);
    expect(await cluster.logs(`master-${second}-spark-master`)).toContain(
      `${foreign} is not the masters' own: it is not read`,
    );
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
  });

  test("HDFS loses a datanode and keeps its files", async () => {
    expect((await hdfs("-mkdir", "-p", "/data")).code).toBe(0);
    const script =
      "seq 1 200000 > /tmp/numbers && hdfs dfs -put -f /tmp/numbers /data/ && hdfs dfs -setrep -w 3 /data/numbers && md5sum < /tmp/numbers";
    const { code, output } = await cluster.exec(CLIENT, ["bash", "-c", script]);
    expect(code, output).toBe(0);
    const sum = /([0-9a-f]{32}) +-/.exec(output)?.[1];
    await cluster.kill("datanode-2");
    const back = await cluster.exec(CLIENT, ["bash", "-c", "hdfs dfs -cat /data/numbers | md5sum"]);
    expect(back.output).toContain(sum as string);
    const report = () => cluster.exec(CLIENT, ["hdfs", "dfsadmin", "-report", "-dead"]);
    await eventually("the namenode notices", 120, report, (r) => /Dead datanodes \(1\)/.test(r.output));
    await metrics.fires("DatanodeDown", "datanode-2");
    await metrics.until("max(fs_namesystem_num_live_data_nodes) == 2", (series) => series.length === 1);
    await metrics.until("max(fs_namesystem_under_replicated_blocks) > 0", (series) => series.length === 1);
    expect((await cluster.cli("up", ["--no-smoke"])).output).toContain("HDFS out of safe mode with 3 datanodes");
  });

  test("HDFS loses its active namenode, and the other one takes over with every file", async () => {
    const [active = 0] = await eventually(
      "a pair",
      60,
      () => namenodes("active"),
      (found) => found.length === 1,
    );
    await cluster.kill(`master-${active}-namenode`);
    await eventually(
      "the other namenode is active",
      90,
      () => namenodes("active"),
      (found) => found.includes(3 - active),
    );
    expect((await hdfs("-ls", "/data")).output).toContain("/data/numbers");
    expect((await hdfs("-mkdir", "/after")).code).toBe(0);
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
    await eventually(
      "the lost one stands by",
      90,
      () => namenodes("standby"),
      (found) => found.includes(active),
    );
  });

  /** The first line of HDFS' answer to an HTTP request, at its active namenode or a datanode. */
  async function status(method: string, port: number, path: string, ...headers: string[]): Promise<string> {
    const [active = 0] = await namenodes("active");
    const host = port === 9864 ? "127.0.0.1" : hosts[active - 1];
    const lines = [`${method} /webhdfs/v1${path} HTTP/1.0`, `Host: ${host}`, "Content-Length: 0", ...headers, "", ""];
    const script = 'exec 3<>/dev/tcp/$0/$1 && printf %s "$2" >&3 && head -n 1 <&3';
    const { output } = await cluster.exec(CLIENT, [
      "bash",
      "-c",
      script,
      String(host),
      String(port),
      lines.join("\r\n"),
    ]);
    return output.trim();
  }

  test("Spark's user is nobody's superuser in HDFS", async () => {
    const as = (user: string, ...words: string[]) =>
      cluster.exec(CLIENT, ["env", `HADOOP_USER_NAME=${user}`, "hdfs", ...words]);
    const report = await as("spark", "dfsadmin", "-safemode", "enter");
    expect(report.code).not.toBe(0);
    expect(report.output).toMatch(/Superuser privilege is required/);
    expect((await hdfs("-chmod", "700", "/data")).code).toBe(0);
    for (const words of [
      ["-cat", "/data/numbers"],
      ["-rm", "-r", "/data"],
      ["-chown", "spark", "/data/numbers"],
      ["-mv", "/user", "/mine"],
    ]) {
      const { code, output } = await as("spark", "dfs", ...words);
      expect(code, words.join(" ")).not.toBe(0);
      expect(output, words.join(" ")).toMatch(/Permission denied|Superuser privilege/);
    }
    const owner = "/data/numbers?op=SETOWNER&owner=spark&user.name=spark";
    expect(await status("PUT", 20870, owner, "X-XSRF-HEADER: x")).toMatch(/^HTTP\/1.[01] 403/);
    expect((await hdfs("-stat", "%u %a", "/data", "/user", "/user/spark")).output).toMatch(
      /hdfs 700\s+hdfs 755\s+spark 750/,
    );
    expect((await hdfs("-chmod", "755", "/data")).code).toBe(0);
    // Spark's user has a home folder, and may make folders at the top.
    const mine = "hdfs dfs -touchz note && hdfs dfs -mkdir /made && hdfs dfs -ls /user/spark/note";
    const { code, output } = await cluster.exec("client", ["bash", "-c", mine]);
    expect(code, output).toBe(0);
    // Datanodes ask the namenode by HTTP, and serve blocks only to clients that have a token from it.
    expect((await hdfs("-chmod", "700", "/data")).code).toBe(0);
    const [active = 0] = await namenodes("active");
    const { output: addresses } = await cluster.exec(CLIENT, ["hdfs", "getconf", "-nnRpcAddresses"]);
    const rpc = (addresses.match(/^\S+:\d+$/gm) ?? [])[active - 1];
    const open = `/data/numbers?op=OPEN&offset=0&user.name=spark&namenoderpcaddress=${rpc}`;
    expect(await status("GET", 9864, open)).toMatch(/^HTTP\/1.[01] 403/);
    expect((await hdfs("-chmod", "755", "/data")).code).toBe(0);
    expect(await status("GET", 9864, open)).toMatch(/^HTTP\/1.[01] 200/);
    const blocks = await get(
      hosts[((await namenodes("active"))[0] ?? 1) - 1],
      20870,
      "/webhdfs/v1/data/numbers?op=GET_BLOCK_LOCATIONS",
    );
    expect(blocks).toMatch(/"blockToken":\{"urlString":"[\w-]{100,}"/);
  });

  test("a web page of another site changes nothing in HDFS", async () => {
    const make = "/tmp/planted?op=MKDIRS&user.name=spark";
    const append = "/data/numbers?op=APPEND&user.name=hdfs";
    for (const program of ["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "curl/8.1"]) {
      const page = ["Origin: http://evil.example.org", "Content-Type: text/plain", `User-Agent: ${program}`];
      expect(await status("PUT", 20870, make, ...page)).toContain("400 Missing Required Header for CSRF");
      expect(await status("POST", 20870, append, ...page)).toContain("400 Missing Required Header for CSRF");
      expect(await status("POST", 9864, append, ...page)).toContain("400 Missing Required Header for CSRF");
    }
    expect((await hdfs("-ls", "/tmp/planted")).code).not.toBe(0);
    // The request works with this header, which pages of other origins cannot send. So the other requests failed for lack of it.
    expect(await status("PUT", 20870, make, "User-Agent: curl/8.1", "X-XSRF-HEADER: x")).toMatch(/^HTTP\/1.[01] 200/);
    expect(await status("GET", 20870, "/data/numbers?op=GETFILESTATUS")).toMatch(/^HTTP\/1.[01] 200/);
  });

  test("nothing is changed in HDFS through the gateway, which shows the namenode and the master that lead", async () => {
    const door = new Door(cluster);
    await door.trust();
    await door.logIn();
    const made = await door.get("/hdfs/webhdfs/v1/planted?op=MKDIRS&user.name=spark", { method: "PUT" });
    expect(made.status).toBe(405);
    expect((await hdfs("-test", "-e", "/planted")).code).not.toBe(0);
    // Sent by GET: these pages act on such requests as the user that the request names.
    for (const path of [
      "fsck?ugi=hdfs&path=/&delete=1",
      "%66sck?path=/",
      "x/..%2ffsck?path=/",
      "logLevel?log=x&level=OFF",
    ])
      expect(await door.raw(`/hdfs/${path}`), path).toEqual([403, undefined]);
    const leads = (path: string, mark: string) =>
      eventually(
        path,
        60,
        async () => (await door.get(path)).text(),
        (text) => text.includes(mark),
      );
    await leads("/hdfs/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus", '"State" : "active"');
    await leads("/spark/json/", '"status" : "ALIVE"');
  });

  test("the smoke job writes Parquet to HDFS and reads it back", async () => {
    const { output } = await cluster.cli("smoke", ["--json"]);
    const report = JSON.parse(output.slice(output.indexOf("{")));
    expect(report.error).toBe(null);
    expect(report.stages["Parquet to HDFS and back"]).toBeGreaterThan(0);
  });

  test("data that an older release left as Spark's becomes HDFS' own, and none is lost", async () => {
    // In older releases Spark's user was HDFS' superuser and ran its daemons, so everything belonged to it.
    const sum = async () => (await cluster.exec(CLIENT, ["bash", "-c", "hdfs dfs -cat /data/numbers | md5sum"])).output;
    const before = await sum();
    expect((await hdfs("-chown", "-R", "spark", "/")).code).toBe(0);
    expect((await cluster.cli("down")).code).toBe(0);
    await cluster.giveVolumes(/-var-lib-hdfs$/, 1000);
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    expect(await sum()).toBe(before);
    expect((await hdfs("-stat", "%u %a", "/", "/user", "/tmp", "/user/spark", "/data")).output).toMatch(
      /hdfs 1777\s+hdfs 755\s+hdfs 1777\s+spark 750\s+spark 755/,
    );
    const owners = await cluster.exec("datanode-1", ["find", "/var/lib/hdfs", "!", "-user", "hdfs"]);
    expect(owners).toMatchObject({ code: 0, output: "" });
  });

  test("a restart of everything keeps state", async () => {
    await eventually("a leader", 60, modes, (found) => found.includes("leader"));
    expect((await zk(1, "get /kept")).output).toContain("precious");
  });

  const certificate = async () => (await cluster.cli("certificate")).output;

  /** Replaces secrets, among them the gateway's authority. @returns The gateway with a login from before. */
  async function rotated(name: string): Promise<Door> {
    const door = new Door(cluster);
    await door.trust();
    await door.logIn();
    const old = await certificate();
    const { code, output } = await cluster.cli("rotate", [name]);
    expect(code, output).toBe(0);
    expect(await door.handshake(old)).toMatch(/SELF_SIGNED|UNABLE_TO|BAD_SIGNATURE|SIGNATURE_FAILURE/);
    expect(await door.handshake(await certificate())).toBe("TLSv1.3");
    await door.trust();
    return door;
  }

  test("the gateway's authority is replaced: who trusts the old one alone is warned, and logins stay", async () => {
    const door = await rotated("gateway-authority");
    expect((await door.get("/cluster.json")).status).toBe(200);
  });

  test("every secret is replaced, nothing is lost, and the old logins are nobody's", async () => {
    const login = () => readSecret(projectOf(ROOT, cluster.name), "zookeeper-spark");
    const numbers = async () =>
      (await cluster.exec(CLIENT, ["bash", "-c", "hdfs dfs -cat /data/numbers | md5sum"])).output;
    const workers = (password?: string) =>
      cluster.exec("master-1-zookeeper", [
        "bash",
        "-c",
        `printf '%s\\n' "addauth digest spark:$1" "ls /spark/master_status" | zk`,
        "bash",
        password ?? "",
      ]);
    const [old, before] = [login(), await numbers()];
    expect((await workers(old)).output).toContain("worker_");
    const door = await rotated("all");
    expect((await door.get("/cluster.json")).status).toBe(401);
    expect((await door.session((await door.link()).split("#")[1] ?? "")).status).toBe(401);
    expect(login()).not.toBe(old);
    expect((await zk(1, "get /kept")).output).toContain("precious");
    expect(await numbers()).toBe(before);
    expect((await workers(old)).output).toMatch(/insufficient permission|NoAuth/i);
    await eventually(
      "the masters keep their workers by the new login",
      120,
      () => workers(login()),
      (r) => r.output.includes("worker_"),
    );
    const smoke = (await cluster.cli("smoke", ["--json"])).output;
    expect(JSON.parse(smoke.slice(smoke.indexOf("{"))).error).toBe(null);
  });
});
