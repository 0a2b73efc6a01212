import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NOTICE_FILES } from "../../cluster/lifetime.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { docker, findDocker } from "../../local/docker.ts";
import { eventually, TestCluster } from "../containers/harness.ts";
import { Measured } from "../containers/measured.ts";
import { nothingOfHers } from "./attacks.ts";
import { type Page, Visitor } from "./visitor.ts";

/** JupyterHub on a cluster of its own, by TLS: two users at work at the same time, and one of them against the other. */

const d = await findDocker();
const HUB_PORT = 8000 + 16000;
const SPARK_UI_PORT = 4040 + 16000;
const HUB = `https://127.0.0.1:${HUB_PORT}`;
const settings = [
  `hubPort=${HUB_PORT}`,
  "agentCount=2",
  "agentCpus=1",
  "notebooks=hub",
  "tls=own",
  "monitoring=true",
  "notebookMemoryMiB=2048",
  "notebookCpus=1",
];
const both = ['users={"alice":{},"bob":{}}'];
const cluster = new TestCluster(d, "tw-hub", 6, settings);
const metrics = new Measured(new TestCluster(d, cluster.name, 6, [...settings, ...both]));
const { door } = metrics;
const [alice, bob] = [new Visitor(HUB, "alice"), new Visitor(HUB, "bob")];
const passwords: Record<string, string> = {};
const kernels: Record<string, (code: string) => Promise<string>> = {};
const inside = (user: string, command: string[]) =>
  captured(d.client, ["exec", `${cluster.name}-client-user-${user}`, ...command]);
const inspect = async (user: string) =>
  JSON.parse(await docker(d, ["inspect", `${cluster.name}-client-user-${user}`]))[0] as {
    Config: { User: string };
    HostConfig: { Memory: number; MemorySwap: number; NanoCpus: number; CapDrop: string[]; Binds: string[] };
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  };
const addressOf = async (user: string) =>
  Object.values((await inspect(user)).NetworkSettings.Networks)[0]?.IPAddress ?? "";
const allowedIn = ({ status, path }: Page): boolean => status === 200 && !path.startsWith("/hub/login");

/** A job that an executor holds until a file of the user's is there, so that two jobs run at the same time. */
const JOB = `
import os, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.cores.max", "1").getOrCreate()
def held(_):
    open(f"{folder}/begun", "w").close()
    while not os.path.exists(f"{folder}/go"):
        time.sleep(0.2)
folder = os.getcwd()
spark.sparkContext.parallelize([0], 1).map(held).collect()
for _ in range(2):
    spark.range(1000).write.mode("overwrite").parquet("rows")
print("ROWS", spark.read.parquet("rows").count(), spark.sparkContext.master)
`;
/** Tries to end another user's job by the request that the button on its driver's page sends. */
const KILL = `
import sys, urllib.request
try:
    print(urllib.request.urlopen(f"http://{sys.argv[1]}/jobs/job/kill/?id=0", b"", timeout=20).status)
except OSError as error:
    print(error)
`;

beforeAll(async () => {
  await cluster.cli("down", ["--volumes"], both);
  const { code, output } = await cluster.cli("up", ["--no-smoke"], both);
  expect(code, output).toBe(0);
  await door.trust();
  const { output: said } = await cluster.cli("users", [], both);
  expect(said).toContain(`${HUB}/`);
  for (const [, name = "", password = ""] of said.matchAll(/^ {2}(\S+) +(\S+)$/gm)) passwords[name] = password;
});
afterAll(async () => {
  await cluster.cli("down", ["--volumes"], both);
});

test("nobody is let in without the password of a user, nor with another one's", async () => {
  expect(Object.keys(passwords)).toEqual(["alice", "bob"]);
  const stranger = new Visitor(HUB, "alice");
  for (const path of [
    "/",
    "/hub/home",
    "/hub/spawn",
    "/hub/change-password",
    "/user/alice/lab",
    "/user/alice/api/status",
  ])
    expect(allowedIn(await stranger.ask(path)), path).toBe(false);
  for (const wrong of ["", "x", passwords.bob ?? ""]) expect((await stranger.logIn(wrong)).status, wrong).toBe(403);
  for (const name of ["root", "spark", "hub", "carol"])
    expect((await new Visitor(HUB, name).logIn(passwords.alice ?? "")).status, name).toBe(403);
  expect((await fetch(`${HUB}/hub/signup`)).status).toBe(404);
});

test("the hub is at the gateway's address by TLS, as another origin, and its users need no password of the gateway's", async () => {
  const sent = await fetch(`${door.address}/hub`, { redirect: "manual" });
  expect([sent.status, sent.headers.get("location")]).toEqual([307, `${HUB}/`]);
  const plain = await fetch(`${HUB.replace("https", "http")}/hub/login?a=b`, { redirect: "manual" });
  expect([plain.status, plain.headers.get("location")]).toEqual([308, `${HUB}/hub/login?a=b`]);
  const page = await fetch(`${HUB}/hub/login`);
  expect(page.headers.getSetCookie().filter((line) => !/; *secure/i.test(line))).toEqual([]);

  await door.logIn();
  const { pages } = (await (await door.get("/cluster.json")).json()) as { pages: { kind: string; status: string }[] };
  const [shown] = pages.filter(({ kind }) => kind === "hub");
  expect(await (await door.get(shown?.status ?? "")).json()).toHaveProperty("version");
  // The gateway serves no page that users can write: such a page would have the gateway's origin.
  for (const path of ["/hub/login", "/hub/home", "/user/alice/lab"])
    expect((await door.get(path)).status, path).toBe(404);
});

test("each user has a notebook server of their own, with limits, a number and rights of their own", async () => {
  for (const visitor of [alice, bob]) {
    const { status, path } = await visitor.logIn(passwords[visitor.name] ?? "");
    expect([status, path.startsWith("/hub/login")]).toEqual([200, false]);
  }
  const started = (visitor: Visitor) =>
    eventually(
      `${visitor.name}'s server`,
      180,
      () => visitor.hasServer(),
      (there) => there,
    );
  await Promise.all([started(alice), started(bob)]);
  for (const visitor of [alice, bob]) kernels[visitor.name] = await visitor.kernel();

  const seen = await Promise.all(["alice", "bob"].map(inspect));
  expect(new Set(seen.map(({ Config }) => Config.User)).size).toBe(2);
  for (const { Config, HostConfig } of seen) {
    expect(Config.User).toMatch(/^20\d\d:20\d\d$/);
    expect(HostConfig).toMatchObject({
      Memory: 2048 * 2 ** 20,
      MemorySwap: 2048 * 2 ** 20,
      NanoCpus: 1e9,
      CapDrop: ["ALL"],
    });
    expect(HostConfig.Binds.join(" ")).not.toMatch(/docker\.sock|\/run\/hub/);
  }
});

test("the hub is measured, and shows its metrics to nobody else", async () => {
  await metrics.until('up{job="hub"} == 1', (series) => series.length === 1);
  // JupyterHub counts servers twice for a while if they start at the same time.
  await metrics.until("jupyterhub_running_servers >= 2", (series) => series.length === 1);
  const paths = ["metrics", "/metrics", "api/metrics", "./metrics", "%6detrics", "metrics/", "metrics?x", "metrics;x"];
  for (const path of paths) {
    const { status, text } = await alice.ask(`/hub/${path}`);
    expect([status >= 400, text.includes("jupyterhub_running_servers")], path).toEqual([true, false]);
  }
  // Prometheus reads these metrics without a login.
  const client = cluster.gateway.replace(/\.1$/, ".11");
  const asked = `import urllib.request as u; u.urlopen("http://${client}:9090/-/healthy", timeout=20)`;
  expect((await inside("bob", ["python3", "-c", asked])).output).toContain("Connection refused");
});

test("every user is told when the cluster is to end, and takes that back for nobody", async () => {
  const file = NOTICE_FILES["hub-guard"];
  const notice = JSON.stringify({ lastUp: "2026-11-20T08:00:00.000Z", ends: "2026-11-23T08:00:00.000Z" });
  const script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"';
  await cluster.exec("client-hub-guard", ["sh", "-c", script, "sh", file, notice], "0");
  try {
    for (const user of ["alice", "bob"]) {
      const { code } = await inside(user, ["rm", "-f", NOTICE_FILES.jupyter]);
      expect(code, user).not.toBe(0);
      const { output } = await inside(user, ["python3", "-c", "import triplewide_watch as w; print(w.notice_text())"]);
      expect(output, user).toContain("this cluster ends on Mon 23 Nov 08:00 UTC");
    }
  } finally {
    await cluster.exec("client-hub-guard", ["rm", "-f", file], "0");
  }
});

test("two users' jobs run at the same time, and each has what theirs wrote", async () => {
  const jobs = [kernels.alice, kernels.bob].map((run) => run?.(JOB));
  for (const user of ["alice", "bob"])
    await eventually(
      `${user}'s job`,
      180,
      () => inside(user, ["ls", "begun"]),
      ({ code }) => code === 0,
    );
  // The driver's page answers, but ends no job.
  const page = `${await addressOf("alice")}:${SPARK_UI_PORT}`;
  expect((await inside("bob", ["python3", "-c", KILL, page])).output).toMatch(/405|404|200/);
  for (const user of ["alice", "bob"]) await inside(user, ["touch", "go"]);
  for (const said of await Promise.all(jobs)) expect(said).toMatch(/^ROWS 1000 spark:/m);
});

test("a job of one user replaces nothing of another's folder, and none of the programs that start there", async () => {
  const hers = "/home/spark/work/users/alice";
  const PLANT = `
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.cores.max", "1").getOrCreate()
def plant(_):
    import os
    os.chdir("${hers}")
    said = []
    site = ".python/lib/python3.11/site-packages"
    for what in (
        lambda: os.rename(".python", "moved"),
        lambda: open(site + "/planted.pth", "w").write("import os; open(os.path.expanduser('~/planted'), 'w')\\n"),
        lambda: os.rename(".ivy2", "moved"),
        lambda: os.makedirs(".ivy2/jars"),
        lambda: os.rename("hers.ipynb", "moved"),
        lambda: open("hers.ipynb", "w"),
        lambda: open("written", "w").write("x"),
    ):
        try:
            what()
            said.append("done")
        except OSError as error:
            said.append(type(error).__name__)
    return said
print("PLANTED", spark.sparkContext.parallelize([0], 1).flatMap(plant).collect())
spark.stop()`;
  expect(await kernels.alice?.("open('hers.ipynb', 'w').write('x')")).toBe("");
  const refused = Array(6).fill("'PermissionError'").join(", ");
  // Files that jobs write are there nevertheless.
  expect(await kernels.bob?.(PLANT)).toContain(`PLANTED [${refused}, 'done']`);
});

test("the operator's Jupyter and the gateway show no page of a user's, nor of what runs on an agent, under their own name", async () => {
  await door.logIn();
  const { workers } = (await (await door.get("/spark/json/")).json()) as { workers: { id: string; host: string }[] };
  const [worker] = workers;
  const client = cluster.gateway.replace(/\.1$/, ".11");
  const hub = `${HUB_PORT + 3}/user/bob/lab`;
  for (const at of [
    `${worker?.host}:8081/`,
    hub,
    `0${hub}`,
    `localhost:${hub}`,
    `127.0.0.1:${hub}`,
    `${client}:${hub}`,
  ])
    expect(await door.raw(`/jupyter/proxy/${at}`), at).toEqual([403, undefined]);
  expect((await door.raw(`/spark/proxy/${worker?.id}/`))[0]).toBe(404);
  expect((await door.raw(`/spark/proxy;x/${worker?.id}/`))[0]).toBe(400);
  // Pages of the operator's own services are proxied.
  expect(await door.raw("/jupyter/proxy/127.0.0.1:9090/-/healthy")).toEqual([200, undefined]);
});

test("a user reads nothing of another's, stops nothing of theirs, and is not taken for them", async () => {
  expect(await kernels.alice?.("open('secret', 'w').write('x'); open('/home/alice/secret', 'w').write('x')")).toBe("");
  const attacks = readFileSync(join(ROOT, "tests/cluster/hub_attacks.py"), "utf8");
  const client = cluster.gateway.replace(/\.1$/, ".11");
  const argv = ["", "alice", await addressOf("alice"), `${client}:${HUB_PORT + 3}`];
  const said = await kernels.bob?.(`import sys; sys.argv = ${JSON.stringify(argv)}\n${attacks}`);
  expect(JSON.parse(said ?? "{}"), said).toEqual(nothingOfHers("refused"));
  // The same by a browser, with the cookies of bob's own login.
  for (const path of ["/user/alice/lab", "/user/alice/api/kernels", "/user/alice/files/secret"])
    expect((await bob.ask(path)).status, path).not.toBe(200);
  expect((await bob.ask("/hub/admin")).status).toBe(403);
  expect(await alice.hasServer()).toBe(true);
  expect(await kernels.alice?.("print(open('secret').read())")).toBe("x\n");
});

test("the guard starts servers of users alone, for the hub alone, and takes only the hub's variables", async () => {
  const ask = async (question: object, user = "hub", container = "client-hub") => {
    const code = `import json, socket
s = socket.socket(socket.AF_UNIX)
s.connect("/run/hub/guard.sock")
s.sendall(json.dumps(${JSON.stringify(question)}).encode() + b"\\n")
print(s.makefile().readline())`;
    const argv = ["exec", "--user", user, `${cluster.name}-${container}`, "python3", "-c", code];
    return (await captured(d.client, argv)).output.trim();
  };
  expect(await ask({ ask: "look", user: "alice" })).toBe('{"running": true}');
  for (const question of [
    { ask: "start", user: "carol", env: {} },
    { ask: "look", user: "../hub" },
    { ask: "start", user: "alice", env: { LD_PRELOAD: "x" } },
    { ask: "start", user: "alice", env: { JUPYTERHUB_USER: ["x"] } },
    { ask: "exec", user: "alice" },
  ])
    expect(await ask(question), JSON.stringify(question)).toContain('"refused"');
  expect(await ask({ ask: "look", user: "alice" }, "1000")).toMatch(/^$|BrokenPipeError|ConnectionResetError/);
  expect(await inside("alice", ["python3", "-c", "print(1)"])).toMatchObject({ code: 0 });
});

test("no server of a user's is sent the cookie of who is logged in at the gateway", async () => {
  await kernels.alice?.(`import http.server, threading
class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(str(self.headers).encode())
threading.Thread(target=http.server.HTTPServer(("127.0.0.1", 9999), Echo).serve_forever, daemon=True).start()`);
  const { status, text } = await alice.ask(
    "/user/alice/proxy/9999/",
    {},
    `triplewide-${cluster.name}=session; other=1`,
  );
  expect(status, text).toBe(200);
  expect(text).toContain("other=1");
  expect(text).not.toContain("session;");
  expect(text).not.toContain(`triplewide-${cluster.name}`);
});

test("a hub that starts anew finds its users logged in, and their kernels as they left them", async () => {
  await kernels.alice?.("kept = 42");
  await docker(d, ["kill", `${cluster.name}-client-hub`]);
  await docker(d, ["start", `${cluster.name}-client-hub`]);
  const answers = () => alice.api("status").catch(() => ({ status: 0 }));
  await eventually("the hub", 120, answers, ({ status }) => status === 200);
  expect(await kernels.alice?.("print(kept)")).toBe("42\n");
  expect((await alice.ask("/hub/home")).text).toContain("alice");
});

test("a user chooses another password, and who logged in with the first one is logged out", async () => {
  const other = new Visitor(HUB, "alice");
  await other.logIn(passwords.alice ?? "");
  const change = (old: string, fresh: string) => alice.post("/hub/change-password", { old, new: fresh, again: fresh });
  expect((await change("wrong", "a password of mine")).text).toContain("This is not your password");
  expect((await change(passwords.alice ?? "", "short")).text).toContain("12 to 200 are needed");
  expect((await change(passwords.alice ?? "", "a password of mine")).text).toContain("Your password is changed");
  expect(allowedIn(await alice.ask("/hub/home"))).toBe(true);
  expect(allowedIn(await other.ask("/hub/home"))).toBe(false);
  expect((await other.logIn(passwords.alice ?? "")).status).toBe(403);
  expect(allowedIn(await other.logIn("a password of mine"))).toBe(true);
});

test("a logout ends all logins of the user, copies of cookies too, and no program's token", async () => {
  const [leaving, other] = [new Visitor(HUB, "bob"), new Visitor(HUB, "bob")];
  for (const visitor of [leaving, other]) {
    await visitor.logIn(passwords.bob ?? "");
    expect((await visitor.api("status")).status).toBe(200);
  }
  const made = await leaving.ask("/hub/api/users/bob/tokens", { method: "POST" });
  const headers = { Authorization: `token ${/"token": *"([^"]+)"/.exec(made.text)?.[1]}` };
  const copy = leaving.copy();
  expect(allowedIn(await copy.ask("/hub/home"))).toBe(true);

  await leaving.ask("/hub/logout");
  for (const visitor of [leaving, copy, other]) expect(allowedIn(await visitor.ask("/hub/home"))).toBe(false);
  // Bob's server keeps the hub's answer about who somebody is for ten seconds.
  for (const visitor of [copy, other])
    await eventually(
      "the end of the login at his server",
      60,
      () => visitor.api("status"),
      (page) => !allowedIn(page),
    );
  expect((await fetch(`${HUB}/hub/api/user`, { headers })).status).toBe(200);
  expect(await kernels.bob?.("print(6 * 7)").catch(String)).not.toBe("42\n");
  expect(allowedIn(await bob.logIn(passwords.bob ?? ""))).toBe(true);
  expect(await kernels.bob?.("print(6 * 7)")).toBe("42\n");
});

test("a login takes over no session that somebody else may know", async () => {
  const visitor = new Visitor(HUB, "bob");
  const known = "jupyterhub-session-id=known";
  const page = await visitor.ask("/hub/login", {}, known);
  const _xsrf = /name="_xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? "";
  const body = `${new URLSearchParams({ username: "bob", password: passwords.bob ?? "", _xsrf })}`;
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  await visitor.ask("/hub/login", { method: "POST", headers, body }, known);
  expect(visitor.cookie("jupyterhub-session-id")).toMatch(/^[0-9a-f]{32}$/);
  expect(allowedIn(await visitor.ask("/hub/home"))).toBe(true);
});

test("who guesses at a password waits", async () => {
  const guesser = new Visitor(HUB, "bob");
  for (let i = 0; i < 5; i++) expect((await guesser.logIn(`guess ${i}`)).status).toBe(403);
  expect((await guesser.logIn(passwords.bob ?? "")).status).toBe(403);
  // A header that claims to come from another address does not get around the limit.
  for (const header of ["X-Forwarded-For", "X-Real-Ip", "Forwarded"]) {
    const other = new Visitor(HUB, "bob", { [header]: header === "Forwarded" ? "for=198.51.100.7" : "198.51.100.7" });
    expect((await other.logIn(passwords.bob ?? "")).status, header).toBe(403);
  }
});

test("who is taken out of the config is nobody, and what was theirs becomes nobody else's", async () => {
  const number = (await inspect("bob")).Config.User;
  const without = ['users={"alice":{},"carol":{}}'];
  const { code, output } = await cluster.cli("up", ["--no-smoke"], without);
  expect(code, output).toBe(0);
  expect(await cluster.traces()).not.toContain(`${cluster.name}-client-bob`);
  expect(allowedIn(await bob.ask("/hub/home"))).toBe(false);
  expect((await bob.logIn(passwords.bob ?? "")).status).toBe(403);
  // Alice's server kept running.
  expect(await kernels.alice?.("print(kept)")).toBe("42\n");

  const { output: said } = await cluster.cli("users", [], without);
  const carol = new Visitor(HUB, "carol");
  await carol.logIn(/carol +(\S+)/.exec(said)?.[1] ?? "");
  await eventually(
    "carol's server",
    180,
    () => carol.hasServer(),
    (there) => there,
  );
  expect((await inspect("carol")).Config.User).not.toBe(number);
});

test("a password that the operator makes anew ends the logins of the one before, and no server", async () => {
  const others = ['users={"alice":{},"carol":{}}'];
  expect((await cluster.cli("users", ["--renew", "bob"], others)).output).toContain('no user "bob"');
  const { output: renewed } = await cluster.cli("users", ["--renew", "alice"], others);
  expect(renewed).toMatch(/^ {2}alice +made by the next `make up`$/m);
  expect(allowedIn(await alice.ask("/hub/home"))).toBe(true);
  const token = /"token": *"([^"]+)"/.exec(
    (await alice.ask("/hub/api/users/alice/tokens", { method: "POST" })).text,
  )?.[1];
  const withToken = () =>
    fetch(`${HUB}/user/alice/api/status`, { headers: { Authorization: `token ${token}` } }).then(
      ({ status }) => status,
    );
  expect(await withToken()).toBe(200);

  const { code, output } = await cluster.cli("up", ["--no-smoke"], others);
  expect(code, output).toBe(0);
  expect(allowedIn(await alice.ask("/hub/home"))).toBe(false);
  // Alice's server keeps the hub's answer about who somebody is for ten seconds.
  await eventually("the end of the token", 60, withToken, (status) => status === 403);
  await eventually(
    "the end of the login at her server",
    60,
    () => alice.api("status"),
    (page) => !allowedIn(page),
  );
  expect(await inside("alice", ["pgrep", "-f", "ipykernel"])).toMatchObject({ code: 0 });
  expect((await alice.logIn("a password of mine")).status).toBe(403);
  const { output: said } = await cluster.cli("users", [], others);
  expect(allowedIn(await alice.logIn(/alice +(\S+)/.exec(said)?.[1] ?? ""))).toBe(true);
  expect(await kernels.alice?.("print(kept)")).toBe("42\n");
});
