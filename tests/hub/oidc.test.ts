import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { eventually, TestCluster } from "../containers/harness.ts";
import { type Page, Visitor } from "./visitor.ts";

/** The hub without TLS, on a cluster with HDFS, whose users log in by an OpenID provider of another machine: panva's `oidc-provider`, which is certified. */

const d = await findDocker();
const INDEX = 11;
const HUB_PORT = 8000 + 10000 + 1000 * INDEX;
const PROVIDER_PORT = HUB_PORT + 50;
const HUB = `http://127.0.0.1:${HUB_PORT}`;
const ISSUER = `https://10.${98 - INDEX}.0.1:${PROVIDER_PORT}`;
const SECRET = "made-for-this-test-alone-0123456789";
/** The provider's accounts and what it says of each, by login name. */
const PEOPLE: Record<string, object> = {
  "alice@example.org": { email: "alice@example.org", email_verified: true },
  bob: { email: "bob@example.org", email_verified: true },
  mallory: { email: "carol@example.org", email_verified: false, preferred_username: "alice" },
};
const ENDPOINTS = ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"];
const endpoints = (at: string) => Object.fromEntries(ENDPOINTS.map((name) => [name, `${at}/${name}`]));
/** Wrong answers that the provider's host gives to requests for a provider's addresses, by path. */
const LIARS: Record<string, object> = {
  other: { issuer: ISSUER, ...endpoints(ISSUER) },
  plain: { issuer: `${ISSUER}/plain`, ...endpoints(ISSUER), token_endpoint: "http://198.51.100.7/token" },
  half: { issuer: `${ISSUER}/half` },
  right: { issuer: `${ISSUER}/right`, ...endpoints(ISSUER) },
};
/** Asks a provider for its addresses as the hub does. */
const DISCOVER = `
import asyncio, sys
sys.path.insert(0, "/opt/hub")
from triplewide_hub import ByProvider
async def ask():
    try:
        await ByProvider(issuer=sys.argv[1]).discover()
        print("well")
    except Exception as error:
        print(error)
asyncio.run(ask())`;
const folder = mkdtempSync(join(tmpdir(), "triplewide-oidc-"));
let cluster: TestCluster;
let provider: Server;

/** Starts the provider. Its forms for developers log anyone in by name and ask for no password. */
async function startProvider(): Promise<string> {
  const home = join(ROOT, "tests/hub/provider");
  const { code, output } = await captured("npm", ["ci", "--prefix", home, "--no-audit", "--no-fund"]);
  expect(code, output).toBe(0);
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const host = new URL(ISSUER).hostname;
  const names = ["-subj", "/CN=provider", "-addext", `subjectAltName=IP:${host}`, "-days", "2"];
  const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
  execFileSync("openssl", [...make, "-out", certificate, ...names], { stdio: "pipe" });
  const { default: Provider } = await import(pathToFileURL(join(home, "node_modules/oidc-provider/lib/index.js")).href);
  const oidc = new Provider(ISSUER, {
    clients: [{ client_id: "hub", client_secret: SECRET, redirect_uris: [`${HUB}/hub/oauth_callback`] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username"] },
    findAccount: (_: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({ sub, preferred_username: sub, ...PEOPLE[sub] }),
    }),
  });
  const pem = readFileSync(certificate, "utf8");
  const answers = oidc.callback() as RequestListener;
  provider = createServer({ key: readFileSync(key), cert: pem }, (request, response) => {
    const said = LIARS[request.url?.split("/")[1] ?? ""];
    if (said === undefined) answers(request, response);
    else response.end(JSON.stringify(said));
  });
  await new Promise<void>((resolve) => provider.listen(PROVIDER_PORT, resolve));
  setDefaultCACertificates([...getCACertificates("default"), pem]);
  return pem.replace(/-----[A-Z ]+-----|\s/g, "");
}

/** A job of a user's in HDFS. */
const JOB = `
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(1000).repartition(2).write.mode("overwrite").parquet("rows")
spark.sql("create table numbers as select 42 as a")
def owners(folder):
    path = spark._jvm.org.apache.hadoop.fs.Path(folder)
    files = path.getFileSystem(spark._jsc.hadoopConfiguration()).listStatus(path)
    return sorted({one.getOwner() for one in files})
print(spark.read.parquet("rows").count(), spark.table("numbers").first().a, owners("rows"), owners("warehouse/numbers"))
def tried(what):
    try:
        return what()
    except Exception as error:
        return "Permission denied" in str(error)
other = "bob" if owners("rows") == ["alice"] else "alice"
print(tried(lambda: spark.read.parquet(f"/user/{other}/rows").count()), tried(lambda: spark.range(1).write.parquet(f"/user/{other}/mine")))
spark.stop()
`;

/** Goes through the provider's forms. @returns Where that ends. */
async function logIn(visitor: Visitor, login: string): Promise<Page> {
  let page = await visitor.ask("/hub/oauth_login");
  for (const fields of [{ prompt: "login", login, password: "x" }, { prompt: "consent" }]) {
    const action = /action="([^"]+)"/.exec(page.text)?.[1];
    if (action === undefined || !page.url.startsWith(ISSUER)) return page;
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    page = await visitor.ask(action, { method: "POST", headers, body: `${new URLSearchParams(fields)}` });
  }
  return page;
}

const users = (claim: string): string[] => [
  'users={"alice":{"login":"alice@example.org"},"bob":{"admin":true}}',
  `oidcClaim=${claim}`,
];

beforeAll(async () => {
  const trusted = await startProvider();
  cluster = new TestCluster(d, "tw-oidc", INDEX, [
    `hubPort=${HUB_PORT}`,
    "agentCount=1",
    "datanodeCount=1",
    "notebooks=hub",
    "notebookMemoryMiB=2048",
    "notebookCpus=1",
    `oidcIssuer=${ISSUER}`,
    "oidcClientId=hub",
    `oidcClientSecret=${SECRET}`,
    `trustedCertificates=["${trusted}"]`,
  ]);
  await cluster.cli("down", ["--volumes"], users("sub"));
  const { code, output } = await cluster.cli("up", ["--no-smoke"], users("sub"));
  expect(code, output).toBe(0);
});
afterAll(async () => {
  await cluster?.cli("down", ["--volumes"], users("sub"));
  provider?.closeAllConnections();
  provider?.close();
  rmSync(folder, { recursive: true });
});

test("users log in by the provider, and there are no passwords", async () => {
  const { output } = await cluster.cli("users", [], users("sub"));
  expect(output).toContain(`${ISSUER}, which sends them to ${HUB}/hub/oauth_callback`);
  expect(output).toMatch(/^ {2}alice +alice@example\.org$/m);
  const { code } = await cluster.cli("users", ["--renew", "alice"], users("sub"));
  expect(code).toBe(2);
  const alice = new Visitor(HUB, "alice");
  expect((await alice.ask("/hub/login")).text).toContain(new URL(ISSUER).host);
  const { status, path } = await logIn(alice, "alice@example.org");
  expect([status, path.startsWith("/hub/login")]).toEqual([200, false]);
  await eventually(
    "alice's server",
    180,
    () => alice.hasServer(),
    (there) => there,
  );
  expect(await (await alice.kernel())("import os; print(os.getcwd())")).toBe("/home/spark/work/users/alice\n");
  expect((await alice.ask("/hub/change-password")).status).toBe(404);
  expect((await alice.ask("/hub/admin")).status).toBe(403);
  const bob = new Visitor(HUB, "bob");
  expect((await logIn(bob, "bob")).status).toBe(200);
  expect((await bob.ask("/hub/admin")).status).toBe(200);
});

test("each user has a home in HDFS, in which their jobs are that user, and the other's jobs are not", async () => {
  for (const [name, login] of [
    ["alice", "alice@example.org"],
    ["bob", "bob"],
  ] as const) {
    const visitor = new Visitor(HUB, name);
    await logIn(visitor, login);
    await eventually(
      `${name}'s server`,
      180,
      () => visitor.hasServer(),
      (there) => there,
    );
    const said = await (await visitor.kernel())(JOB);
    expect(said).toBe(`1000 42 ['${name}'] ['${name}']\nTrue True\n`);
  }
});

test("nobody is let in by the provider who is no user, or by an answer that is not the provider's", async () => {
  for (const login of ["mallory", "alice", "root", "bob@example.org"]) {
    const page = await logIn(new Visitor(HUB, login), login);
    expect([page.status, page.text.includes("you are no user of this hub")], login).toEqual([403, true]);
  }
  // Callbacks with no state, with the state of another browser's login, and with an error.
  const state = /[?&]state=([^&]+)/.exec((await new Visitor(HUB, "x").ask("/hub/oauth_login")).url)?.[1] ?? "x";
  for (const query of ["code=x", `code=x&state=${state}`, "error=access_denied"])
    expect((await new Visitor(HUB, "x").ask(`/hub/oauth_callback?${query}`)).status, query).toBeGreaterThanOrEqual(400);
  // Logging in by a password is not possible.
  const { status, path } = await new Visitor(HUB, "alice").logIn("");
  expect(status !== 200 || path.startsWith("/hub/login")).toBe(true);
  const config = await cluster.exec("client", ["cat", "/etc/hub/hub.json"]);
  expect(config.code).not.toBe(0);
});

test("another provider's word, plain HTTP or a certificate of nobody's is refused", async () => {
  const discover = async (path: string, ...env: string[]) => {
    const argv = ["exec", ...env, `${cluster.name}-client-hub`, "python3", "-c", DISCOVER, `${ISSUER}/${path}`];
    return (await captured(d.client, argv)).output;
  };
  expect(await discover("right")).toMatch(/^well$/m);
  for (const path of ["other", "plain"]) expect(await discover(path), path).toMatch(/HTTP 503: .*another provider/);
  expect(await discover("half")).toMatch(/HTTP 503: .*does not say how to log in/);
  // The two messages come on two streams, whose order is not fixed.
  const untrusted = await discover("right", "--env", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt");
  expect(untrusted).toContain("CERTIFICATE_VERIFY_FAILED");
  expect(untrusted).toContain("HTTP 503");
});

test("an address of e-mail that the provider has not verified is nobody's", async () => {
  PEOPLE.mallory = { email: "bob", email_verified: false };
  const { code, output } = await cluster.cli("up", ["--no-smoke"], users("email"));
  expect(code, output).toBe(0);
  const mallory = await logIn(new Visitor(HUB, "mallory"), "mallory");
  expect([mallory.status, mallory.text.includes("not verified")]).toEqual([403, true]);
  expect((await logIn(new Visitor(HUB, "alice"), "alice@example.org")).status).toBe(200);
});
