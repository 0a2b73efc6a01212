import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { docker, findDocker } from "../../local/docker.ts";
import { eventually, TestCluster } from "../containers/harness.ts";

/** The gateway gets a certificate from an ACME server: Pebble, the test server of Let's Encrypt, with its own DNS server. */

const PEBBLE = "github.com/letsencrypt/pebble/v2/cmd";
const PEBBLE_VERSION = "v2.10.3";
/** Loopback address for the gateway's ports, port 80 among them, so that the test takes no port of another address. */
const ADDRESS = "127.86.0.1";
const DOMAIN = "spark.door.test";

const d = await findDocker();
const folder = mkdtempSync(join(tmpdir(), "triplewide-acme-"));
const running: ChildProcess[] = [];

/** Starts one of Pebble's programs, which runs until the tests end. Resolves when it has printed `said`. */
async function start(name: string, args: string[], said: string): Promise<void> {
  const child = spawn(join(folder, name), args, { cwd: folder, env: { ...process.env, PEBBLE_VA_NOSLEEP: "1" } });
  running.push(child);
  let text = "";
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const listen = (chunk: Buffer): void => {
    text += chunk.toString();
    if (text.includes(said)) resolve();
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  child.on("exit", () => reject(new Error(`${name} ended: ${text}`)));
  await promise;
}

const openssl = (line: string): void => void execFileSync("openssl", line.split(" "), { cwd: folder, stdio: "pipe" });
const EC = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/** Makes the certificates of the ACME server itself. @returns The certificate of its authority, in the config's form. */
function certificates(address: string): string {
  openssl(`req -x509 ${EC} -keyout ca.key -out ca.pem -days 2 -subj /CN=pebble`);
  openssl(`req ${EC} -keyout server.key -out server.csr -subj /CN=pebble`);
  writeFileSync(join(folder, "names"), `subjectAltName=IP:${address}\n`);
  openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.pem -extfile names -set_serial 5 -days 2");
  return readFileSync(join(folder, "ca.pem"), "utf8").replace(/^-.*$|\n/gm, "");
}

const ports = { acme: 14_086, management: 15_086, dns: 18_086 };
const cluster = new TestCluster(d, "tw-acme", 12, ["agentCount=1"]);
const gatewayPort = 8090 + 22_000;

interface Answer {
  status: number | undefined;
  headers: http.IncomingHttpHeaders;
}

/** Sends a request to the gateway, as a browser does after looking the name up. @param ca The trusted authority. */
const ask = (url: string, ca = ""): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { protocol, hostname, port, pathname } = new URL(url);
    const options = { host: ADDRESS, port: port || 80, path: pathname, headers: { Host: new URL(url).host } };
    const answered = (answer: http.IncomingMessage): void =>
      resolve({ status: answer.resume().statusCode, headers: answer.headers });
    const request =
      protocol === "https:"
        ? https.get({ ...options, ca, servername: hostname }, answered)
        : http.get(options, answered);
    request.on("error", reject);
  });

/** The root certificate of those that Pebble issues. */
let root = "";
let orders = 0;

beforeAll(async () => {
  const env = { ...process.env, GOBIN: folder };
  for (const name of ["pebble", "pebble-challtestsrv"])
    execFileSync("go", ["install", `${PEBBLE}/${name}@${PEBBLE_VERSION}`], { env, stdio: "pipe" });
  const trusted = certificates(cluster.gateway);
  const pebble = {
    listenAddress: `0.0.0.0:${ports.acme}`,
    managementListenAddress: `127.0.0.1:${ports.management}`,
    certificate: "server.pem",
    privateKey: "server.key",
    httpPort: 80,
    tlsPort: 443,
  };
  writeFileSync(join(folder, "pebble.json"), JSON.stringify({ pebble }));
  const dns = `127.0.0.1:${ports.dns}`;
  const none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", ""];
  const names = ["-defaultIPv4", ADDRESS, "-dnsserver", dns, "-management", "127.0.0.1:18087"];
  await start("pebble-challtestsrv", [...names, ...none], "Starting challenge servers");
  await start("pebble", ["-config", "pebble.json", "-dnsserver", dns], "ACME directory available");
  running[1]?.stdout?.on("data", (chunk: Buffer) => {
    orders += chunk.toString().match(/Added order/g)?.length ?? 0;
  });
  await cluster.cli("down", ["--volumes"]);
  cluster.settings.push(
    ...["tls=acme", `domain=${DOMAIN}`, `bindAddress=${ADDRESS}`, "acmeEmail=me@door.test"],
    ...[`acmeDirectory=https://${cluster.gateway}:${ports.acme}/dir`, `trustedCertificates=${trusted}`],
  );
  const { code, output } = await cluster.cli("up", ["--no-smoke"]);
  expect(code, output).toBe(0);
  const answer = await eventually(
    "Pebble's root",
    10,
    () => captureRoot(),
    (pem) => pem.includes("CERTIFICATE"),
  );
  root = answer;
});

afterAll(async () => {
  await cluster.cli("down", ["--volumes"]);
  for (const child of running) {
    const ended = once(child, "exit");
    child.kill();
    await ended;
  }
  rmSync(folder, { recursive: true });
});

/** Fetches the root certificate from Pebble's management interface. */
const captureRoot = (): Promise<string> =>
  new Promise((resolve, reject) => {
    const ca = readFileSync(join(folder, "ca.pem"));
    const options = {
      host: "127.0.0.1",
      port: ports.management,
      path: "/roots/0",
      ca,
      checkServerIdentity: () => undefined,
    };
    https
      .get(options, (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        answer.on("end", () => resolve(text));
      })
      .on("error", reject);
  });

const health = `https://${DOMAIN}:${gatewayPort}/health`;
const notYet = (error: Error): Answer => ({ status: 0, headers: { location: error.message } });

test("the gateway gets its certificate by itself, and says that the name is for HTTPS alone", async () => {
  const answer = await eventually(
    "a certificate",
    90,
    () => ask(health, root).catch(notYet),
    ({ status }) => status === 200,
  );
  expect(answer.headers["strict-transport-security"]).toBe("max-age=31536000");
});

test("port 80 leads to HTTPS and to nothing else", async () => {
  for (const path of ["/", "/login", "/jupyter/lab", "/.well-known/acme-challenge/x"]) {
    const { status, headers } = await ask(`http://${DOMAIN}${path}`);
    expect([status, headers.location], path).toEqual([308, `https://${DOMAIN}:${gatewayPort}${path}`]);
  }
});

test("a restart asks for no other certificate", async () => {
  const before = orders;
  expect(before).toBeGreaterThan(0);
  await docker(d, ["restart", `${cluster.name}-client-gateway`]);
  const answer = await eventually(
    "the gateway",
    60,
    () => ask(health, root).catch(notYet),
    ({ status }) => status === 200,
  );
  expect(answer.status).toBe(200);
  expect(orders).toBe(before);
});
