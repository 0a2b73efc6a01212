import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTls } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { eventually } from "../containers/harness.ts";
import { authorityHere, shownHere } from "../fixtures/tls.ts";

/** `images/prometheus/translate`, which makes metrics from the answers of Mesos and ZooKeeper and from servers' certificates. */

const folder = mkdtempSync(join(tmpdir(), "translate-"));
const servers: Server[] = [];
let translator: ChildProcess;
let port = 0;
/** The request that a server got that is not a target. */
let sent = "";

async function listen(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const zookeeper = (answer: string): Promise<string> => listen(createServer((socket) => socket.end(answer)));

/** The answers of a Mesos master. */
const mesos: RequestListener = (request, response) => {
  const right = request.headers.authorization === `Basic ${btoa("viewer:word")}`;
  response.statusCode = right ? 200 : 401;
  response.end(right ? JSON.stringify({ "master/elected": 1, "system/load_1min": 0.5 }) : "");
};

/** Starts a TLS server with a certificate for some days. @returns Begin and end of its validity, in seconds since 1970. */
async function encrypted(name: string, days: number): Promise<number[]> {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=someone", "-days", String(days)];
  execFileSync("openssl", ["req", ...made, "-keyout", key, "-out", cert], { stdio: "ignore" });
  at[name] = await listen(createTls({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => socket.end()));
  const { validFrom, validTo } = new X509Certificate(readFileSync(cert));
  return [validFrom, validTo].map((time) => Date.parse(time) / 1000);
}

const good: Record<string, number[]> = {};
const at: Record<string, string> = {};
const LISTED: readonly (readonly [format: string, name: string, path: string, scheme?: string])[] = [
  ["mesos", "master", "/metrics/snapshot"],
  ["zookeeper", "leader", "mntr"],
  ["zookeeper", "lost", "mntr"],
  ["any", "agent", "/health"],
  ["any", "gone", "/health"],
  ["mesos", "encrypted", "/metrics/snapshot", "https"],
  ["mesos", "foreign", "/metrics/snapshot", "https"],
  ["tcp", "agent", "connection"],
  ["tcp", "gone", "connection"],
  ["tls", "year", "certificate"],
  ["tls", "century", "certificate"],
  ["tls", "agent", "certificate"],
  ["mesos", "sender", "/metrics/snapshot"],
  ["any", "sender", "/health"],
  ["mesos", "liar", "/metrics/snapshot"],
  ["mesos", "talker", "/metrics/snapshot"],
  ["zookeeper", "talker", "mntr"],
];

async function ask(
  format: string,
  target: string,
  path: string,
  scheme: object = {},
): Promise<{ status: number; text: string }> {
  const query = new URLSearchParams({ target, path, ...scheme });
  const answer = await fetch(`http://127.0.0.1:${port}/${format}?${query}`);
  return { status: answer.status, text: await answer.text() };
}

beforeAll(async () => {
  at.master = await listen(createHttp(mesos));
  at.encrypted = await listen(createHttps(shownHere("a"), mesos));
  at.foreign = await listen(createHttps(shownHere("b"), mesos));
  writeFileSync(join(folder, "service-authority.pem"), authorityHere("a"));
  at.leader = await zookeeper(
    "zk_version\t3.9.5-x\nzk_server_state\tleader\nzk_avg_latency\t0.5\nzk_znode_count\t12\n",
  );
  at.lost = await zookeeper("This ZooKeeper instance is not currently serving requests\n");
  at.agent = await listen(createHttp((_, response) => response.writeHead(401).end()));
  at.gone = "127.0.0.1:1";
  // From 2050 on, certificates have years of four digits.
  for (const [name, days] of [
    ["year", 365],
    ["century", 36_500],
  ] as const)
    good[name] = await encrypted(name, days);
  at.stranger = await listen(
    createHttp((request, response) => {
      sent += JSON.stringify(request.headers);
      response.end("{}");
    }),
  );
  at.sender = await listen(
    createHttp((_, response) => response.writeHead(302, { location: `http://${at.stranger}/login` }).end()),
  );
  at.liar = await listen(
    createHttp((_, response) => response.end(JSON.stringify({ a: 1, b: '1\nup{job="agents"} 1', c: true, d: null }))),
  );
  at.talker = await listen(
    createServer((socket) => {
      socket.write("HTTP/1.0 200 OK\r\n\r\n");
      socket.on("error", () => socket.destroy());
      const more = (): void => {
        while (socket.writable && socket.write("x".repeat(1 << 20)));
      };
      socket.on("drain", more);
      more();
    }),
  );
  const targets = LISTED.map(([format, name, path, scheme]) => ({
    targets: ["127.0.0.1:9101"],
    labels: {
      __metrics_path__: `/${format}`,
      __param_target: at[name],
      __param_path: path,
      ...(scheme === undefined ? {} : { __param_scheme: scheme }),
    },
  }));
  writeFileSync(join(folder, "targets.json"), JSON.stringify(targets));
  writeFileSync(join(folder, "mesos-login"), "viewer:word");
  const probe = createServer();
  port = Number((await listen(probe)).split(":")[1]);
  await new Promise((resolve) => probe.close(resolve));
  translator = spawn("python3", [join(ROOT, "images/prometheus/translate"), String(port), folder], {
    stdio: "inherit",
  });
  const answers = () => ask("none", "", "").catch(() => undefined);
  await eventually("it listens", 30, answers, (answer) => answer !== undefined);
});

afterAll(() => {
  translator.kill();
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

test("Mesos' numbers become metrics, by the login of who may look", async () => {
  const { status, text } = await ask("mesos", at.master ?? "", "/metrics/snapshot");
  expect([status, text]).toEqual([200, "mesos_master_elected 1\nmesos_system_load_1min 0.5\n"]);
});

test("they do by HTTPS from who is known, and no login goes to others, nor in plain", async () => {
  const path = "/metrics/snapshot";
  const known = await ask("mesos", at.encrypted ?? "", path, { scheme: "https" });
  expect([known.status, known.text]).toEqual([200, "mesos_master_elected 1\nmesos_system_load_1min 0.5\n"]);
  expect((await ask("mesos", at.foreign ?? "", path, { scheme: "https" })).status).toBe(503);
  expect((await ask("mesos", at.encrypted ?? "", path)).status).toBe(404);
  expect((await ask("mesos", at.master ?? "", path, { scheme: "https" })).status).toBe(404);
});

test("ZooKeeper's lines do, and a member without a leader serves nobody", async () => {
  const leader = await ask("zookeeper", at.leader ?? "", "mntr");
  expect(leader.text).toBe("zk_serving 1\nzk_leading 1\nzk_avg_latency 0.5\nzk_znode_count 12\n");
  expect((await ask("zookeeper", at.lost ?? "", "mntr")).text).toBe("zk_serving 0\nzk_leading 0\n");
});

test("what asks for a login is there, and who does not answer is not", async () => {
  expect(await ask("any", at.agent ?? "", "/health")).toEqual({ status: 200, text: "" });
  expect((await ask("any", at.gone ?? "", "/health")).status).toBe(503);
});

test("what has no metrics takes connections, or does not", async () => {
  expect(await ask("tcp", at.agent ?? "", "connection")).toEqual({ status: 200, text: "" });
  expect((await ask("tcp", at.gone ?? "", "connection")).status).toBe(503);
});

test("from when until when a certificate is good is read off it, whoever issued it", async () => {
  for (const name of ["year", "century"]) {
    const [from, until] = good[name] ?? [];
    const text = `certificate_not_before_timestamp_seconds ${from}\ncertificate_not_after_timestamp_seconds ${until}\n`;
    expect(await ask("tls", at[name] ?? "", "certificate"), name).toEqual({ status: 200, text });
  }
  expect((await ask("tls", at.agent ?? "", "certificate")).status).toBe(503);
});

test("nobody is asked, and sent the login, who is not among the targets", async () => {
  for (const format of ["mesos", "any", "zookeeper", "tcp", "tls"]) {
    expect((await ask(format, at.stranger ?? "", "/metrics/snapshot")).status).toBe(404);
  }
  expect((await ask("mesos", at.master ?? "", "/teardown")).status).toBe(404);
  // A target of another job must not get the login that only masters get.
  expect((await ask("mesos", at.agent ?? "", "/health")).status).toBe(404);
  expect(sent).toBe("");
});

test("nobody is asked, and sent the login, because a target sends there", async () => {
  expect((await ask("mesos", at.sender ?? "", "/metrics/snapshot")).status).toBe(503);
  // A redirect counts as an answer, and is not followed.
  expect(await ask("any", at.sender ?? "", "/health")).toEqual({ status: 200, text: "" });
  expect(sent).toBe("");
});

test("what a target says becomes numbers of its own and no other line, and has an end", async () => {
  expect((await ask("mesos", at.liar ?? "", "/metrics/snapshot")).text).toBe("mesos_a 1\n");
  for (const [format, path] of [
    ["mesos", "/metrics/snapshot"],
    ["zookeeper", "mntr"],
  ] as const) {
    const { status, text } = await ask(format, at.talker ?? "", path);
    expect([status, text]).toEqual([503, `${at.talker}: says too much, or too slowly\n`]);
  }
});
