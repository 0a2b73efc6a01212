import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Cloud, CloudError, type CloudOptions } from "../../openstack/cloud.ts";
import { findCredentials } from "../../openstack/credentials.ts";
import { FakeOpenStack, IDS } from "../fakes/openstack.ts";

let fake: FakeOpenStack;
let folder: string;

beforeEach(async () => {
  fake = await FakeOpenStack.start();
  folder = mkdtempSync(join(tmpdir(), "triplewide-test-"));
});
afterEach(async () => {
  vi.useRealTimers();
  await fake.stop();
  rmSync(folder, { recursive: true });
});

const quick = { retryDelayMs: 1 };
const cloudOf = (env: Record<string, string> = {}, options: CloudOptions = {}): Cloud =>
  Cloud.fromEnvironment({ env: { ...fake.env, ...env }, folder, home: folder }, { ...quick, ...options });
const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "succeeded",
    (error: unknown) => {
      expect(error).toBeInstanceOf(CloudError);
      return (error as Error).message;
    },
  );
const write = (name: string, content: unknown): void =>
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
const withFile = (env: Record<string, string> = { OS_CLOUD: "demo" }) =>
  findCredentials({ env, folder, home: join(folder, "home") });

describe("credentials", () => {
  test("clouds.yaml is looked for in the order that every OpenStack tool has, and secure.yaml is merged in", () => {
    const cloud = (username: string) => ({ clouds: { demo: { auth: { auth_url: "http://c:5000", username } } } });
    mkdirSync(join(folder, "home/.config/openstack"), { recursive: true });
    write("home/.config/openstack/clouds.yaml", cloud("of-home"));
    write("home/.config/openstack/secure.yaml", { clouds: { demo: { auth: { password: 1234 } } } });
    expect(withFile().auth).toMatchObject({ username: "of-home", password: "1234" });
    write("clouds.yaml", cloud("of-folder"));
    expect(withFile().auth).toMatchObject({ username: "of-folder", password: "1234" });
    write("named.yaml", cloud("of-variable"));
    const named = { OS_CLOUD: "demo", OS_CLIENT_CONFIG_FILE: join(folder, "named.yaml") };
    expect(withFile(named).auth.username).toBe("of-variable");
  });

  test("a profile's values are below the entry's own", () => {
    write("clouds-public.yaml", {
      "public-clouds": {
        vendor: { auth: { auth_url: "http://vendor:5000" }, region_name: "R1", interface: "internal" },
      },
    });
    write("clouds.yaml", { clouds: { demo: { profile: "vendor", region_name: "R2", auth: { username: "u" } } } });
    const found = withFile();
    expect(found.auth.auth_url).toBe("http://vendor:5000");
    expect([found.region, found.interface]).toEqual(["R2", "internal"]);
  });

  test.each([
    [
      { user_domain_id: "a", user_domain_name: "A" },
      { user_domain_id: "a", project_domain_id: "default" },
    ],
    [{ domain_name: "A" }, { user_domain_name: "A", project_domain_name: "A" }],
    [
      { project_domain_name: "P", domain_id: "d" },
      { user_domain_id: "d", project_domain_name: "P" },
    ],
    [{}, { user_domain_id: "default", project_domain_id: "default" }],
  ])("a domain is given by id or by name, never by both: %o", (given, expected) => {
    write("clouds.yaml", { clouds: { demo: { auth: { auth_url: "http://c", username: "u", ...given } } } });
    const domains = Object.entries(withFile().auth).filter(([key]) => key.includes("domain"));
    expect(Object.fromEntries(domains)).toEqual(expected);
  });

  test("a secret may come from the environment, but another user's id may not contradict the file", () => {
    write("clouds.yaml", { clouds: { demo: { auth: { auth_url: "http://c", username: "u" } } } });
    const { auth } = withFile({ OS_CLOUD: "demo", OS_PASSWORD: "p", OS_USER_ID: "someone-else" });
    expect(auth.password).toBe("p");
    expect(auth.user_id).toBeUndefined();
  });

  test("region and certificates of the environment win, as they do for Pulumi's provider", () => {
    write("ca.pem", "of the environment");
    write("clouds.yaml", { clouds: { demo: { region_name: "R1", verify: false, cacert: join(folder, "none.pem") } } });
    const env = { OS_CLOUD: "demo", OS_REGION_NAME: "R2", OS_CACERT: join(folder, "ca.pem"), OS_INSECURE: "false" };
    const { region, tls } = withFile(env);
    expect({ region, tls }).toEqual({ region: "R2", tls: { verify: true, ca: "of the environment" } });
  });

  test("certificates and keys may be texts instead of files", () => {
    const key = "-----BEGIN EC PRIVATE KEY-----\nmade-up\n-----END EC PRIVATE KEY-----\n";
    const { tls } = findCredentials({
      env: { ...fake.env, OS_CACERT: "-----BEGIN CERTIFICATE-----", OS_KEY: key },
      folder,
    });
    expect(tls).toEqual({ verify: true, ca: "-----BEGIN CERTIFICATE-----", key });
  });

  test("a way to log in that is not supported is refused, wherever it is named", () => {
    const env = { ...fake.env, OS_AUTH_TYPE: "v3oidcpassword" };
    expect(() => findCredentials({ env, folder })).toThrow(
      "OS_AUTH_TYPE: v3oidcpassword is not supported; use password or v3applicationcredential",
    );
  });

  test("what is missing is named", () => {
    const message = (env: Record<string, string>): string => {
      try {
        withFile(env);
        return "found";
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(message({})).toContain("set OS_CLOUD");
    expect(message({ OS_CLOUD: "demo" })).toContain("no clouds.yaml");
    write("clouds.yaml", { clouds: { one: {}, two: { auth_type: "v3oidcpassword" } } });
    expect(message({})).toContain("set OS_CLOUD to one of one, two");
    expect(message({ OS_CLOUD: "demo" })).toMatch(/demo, but .*clouds.yaml has only one, two/);
    expect(message({ OS_CLOUD: "two" })).toContain("v3oidcpassword is not supported");
    write("clouds.yaml", "clouds: {demo: {auth: {password: secret\n  x");
    expect(message({ OS_CLOUD: "demo" })).toContain("not valid YAML");
    expect(message({ OS_CLOUD: "demo" })).not.toContain("secret");
  });

  test.each([
    ["OS_AUTH_URL", "set OS_CLOUD"],
    ["OS_USERNAME", "OS_USERNAME is not set"],
    ["OS_PASSWORD", "OS_PASSWORD is not set"],
    ["OS_PROJECT_NAME", "OS_PROJECT_NAME is not set"],
  ])("without %s: %s", (name, message) => {
    expect(() => cloudOf({ [name]: "" })).toThrow(message);
  });
});

describe("authentication", () => {
  test("by password, in the project's scope, once for many requests", async () => {
    const cloud = cloudOf();
    await Promise.all([cloud.projectId(), cloud.list("compute", "/flavors/detail", "flavors")]);
    expect(await cloud.projectId()).toBe(IDS.project);
    expect(fake.logins).toEqual([
      {
        auth: {
          identity: {
            methods: ["password"],
            password: { user: { name: "demo", domain: { id: "default" }, password: "right" } },
          },
          scope: { project: { name: "demo", domain: { id: "default" } } },
        },
      },
    ]);
  });

  test("by application credential, which has a project of its own", async () => {
    const cloud = cloudOf({
      OS_PROJECT_NAME: "",
      OS_APPLICATION_CREDENTIAL_ID: "abc",
      OS_APPLICATION_CREDENTIAL_SECRET: "right",
    });
    expect(await cloud.projectId()).toBe(IDS.project);
    expect(fake.logins).toEqual([
      {
        auth: {
          identity: { methods: ["application_credential"], application_credential: { id: "abc", secret: "right" } },
        },
      },
    ]);
  });

  test("a token that was revoked is replaced without anybody noticing", async () => {
    const cloud = cloudOf();
    await cloud.list("compute", "/flavors/detail", "flavors");
    fake.revokeTokens();
    expect(await cloud.list("compute", "/flavors/detail", "flavors")).toHaveLength(3);
    expect(fake.logins).toHaveLength(2);
  });

  test("a token is renewed before it ends", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    fake.state.tokenSeconds = 3600;
    const cloud = cloudOf();
    await cloud.projectId();
    vi.advanceTimersByTime(3530_000);
    await cloud.projectId();
    expect(fake.logins).toHaveLength(1);
    vi.advanceTimersByTime(20_000);
    await cloud.projectId();
    expect(fake.logins).toHaveLength(2);
  });

  test("a failure says which setting is wrong", async () => {
    expect(await failure(cloudOf({ OS_PASSWORD: "wrong" }).projectId())).toBe(
      `OS_PASSWORD wrong for user demo (domain default) at ${fake.env.OS_AUTH_URL}, or there is no such user`,
    );
    expect(await failure(cloudOf({ OS_PROJECT_NAME: "other" }).projectId())).toContain(
      "OS_PROJECT_NAME wrong: user demo has no role in project other (domain default)",
    );
    expect(await failure(cloudOf({ OS_AUTH_URL: `${fake.url}/nothing` }).projectId())).toContain(
      "OS_AUTH_URL wrong: no identity service",
    );
    const closed = new URL(fake.url);
    closed.port = "1";
    expect(await failure(cloudOf({ OS_AUTH_URL: closed.href }).projectId())).toMatch(
      /connection refused; check OS_AUTH_URL/,
    );
    fake.state.regions = ["north", "south"];
    expect(await failure(cloudOf({ OS_REGION_NAME: "" }).projectId())).toContain(
      "OS_REGION_NAME is not set, and the cloud has several: north, south",
    );
    expect(await failure(cloudOf({ OS_REGION_NAME: "east" }).projectId())).toContain("no region east");
  });

  test("says what only the cloud knows: a password that has run out, a second factor, another address", async () => {
    const body = { error: { code: 401, message: "The password is expired and needs to be changed for user: 7." } };
    fake.fault(/tokens/, { status: 401, body }, 2);
    expect(await failure(cloudOf().projectId())).toMatch(/^OS_PASSWORD wrong .*\. It says: The password is expired/);
    fake.fault(/tokens/, { status: 401, headers: { "openstack-auth-receipt": "made-up" } });
    expect(await failure(cloudOf().projectId())).toMatch(
      /asks for a second factor as well: make an application credential/,
    );
    fake.fault(/tokens/, { status: 301, headers: { location: "https://cloud.example.org/v3/auth/tokens" } });
    expect(await failure(cloudOf().projectId())).toMatch(
      /OS_AUTH_URL wrong.*; it sends everybody on to https:\/\/cloud/,
    );
  });

  test("of what is not quite a cloud is said what it lacks", async () => {
    fake.fault(/tokens/, { status: 201, headers: { "x-subject-token": "t" }, body: "<html>Log in</html>" });
    expect(await failure(cloudOf().projectId())).toMatch(/^OS_AUTH_URL wrong: what answers at .* is no Keystone v3/);
    for (const body of [[], {}, "<html>"]) {
      fake.fault(/flavors/, { status: 200, body });
      const said = await failure(cloudOf().list("compute", "/flavors/detail", "flavors"));
      expect(said).toMatch(
        /^the compute service answered \/flavors\/detail with (something other than JSON|no list of flavors)$/,
      );
    }
    fake.fault(/flavors/, { status: 200, body: { flavors: null } });
    expect(await cloudOf().list("compute", "/flavors/detail", "flavors")).toEqual([]);
    fake.state.services = [];
    expect(await failure(cloudOf().projectId())).toMatch(/lists no services for project demo$/);
  });

  test("the setting is named as it stands in clouds.yaml", async () => {
    write("clouds.yaml", {
      clouds: {
        demo: { auth: { auth_url: `${fake.url}/identity/v3/`, username: "demo", password: "x", project_name: "demo" } },
      },
    });
    const cloud = Cloud.fromEnvironment({ env: { OS_CLOUD: "demo" }, folder }, quick);
    expect(await failure(cloud.projectId())).toContain(
      `auth.password of cloud demo in ${join(folder, "clouds.yaml")} wrong for user demo`,
    );
  });

  test("a failed attempt is not remembered", async () => {
    const cloud = cloudOf();
    fake.state.password = "changed";
    await failure(cloud.projectId());
    fake.state.password = "right";
    expect(await cloud.projectId()).toBe(IDS.project);
  });
});

describe("requests", () => {
  test("all pages of a list are read, by the query of the link alone", async () => {
    fake.state.pageSize = 3;
    for (let n = 1; n <= 10; n++) fake.addServer("lab", `agent-${n}`);
    fake.state.images = Array.from({ length: 8 }, (_, n) => ({ id: `i${n}`, name: "x", status: "active" }));
    const cloud = cloudOf();
    expect(await cloud.list("compute", "/servers/detail", "servers")).toHaveLength(10);
    expect(await cloud.list("image", "/images", "images")).toHaveLength(8);
    expect(fake.count(/servers/)).toBe(4);
    expect(fake.count(/images/)).toBe(3);
  });

  test("a cloud that repeats a page is not followed for ever", async () => {
    const links = [{ rel: "next", href: "http://x/?marker=same" }];
    fake.fault(/servers/, { status: 200, body: { servers: [], servers_links: links } }, 100);
    expect(await failure(cloudOf().list("compute", "/servers/detail", "servers"))).toContain("repeats a page");
  });

  test.each([
    ["429", { status: 429, headers: { "retry-after": "0" } }],
    ["502", { status: 502, body: "<html>" }],
    ["503", { status: 503 }],
    ["a cut connection", "reset"],
  ] as const)("is asked again after %s, and the answer then counts", async (_, what) => {
    fake.fault(/flavors/, what, 3);
    fake.fault(/tokens/, what, 1);
    expect(await cloudOf().list("compute", "/flavors/detail", "flavors")).toHaveLength(3);
    expect(fake.count(/flavors/)).toBe(4);
  });

  test("is asked again when the cloud says, not before", async () => {
    const cloud = cloudOf();
    await cloud.projectId();
    fake.fault(/flavors/, { status: 429, headers: { "retry-after": "0.2" } });
    const start = performance.now();
    await cloud.list("compute", "/flavors/detail", "flavors");
    expect(performance.now() - start).toBeGreaterThan(140);
  });

  test("is asked again at the time that the cloud says", async () => {
    const cloud = cloudOf();
    await cloud.projectId();
    const until = Date.now() + 1500;
    fake.fault(/flavors/, { status: 429, headers: { "retry-after": new Date(until).toUTCString() } });
    const start = performance.now();
    await cloud.list("compute", "/flavors/detail", "flavors");
    // Dates have whole seconds.
    expect(performance.now() - start).toBeGreaterThan(300);
  });

  test("of a service that takes no token of ours says so; a proxy's page is not shown", async () => {
    fake.fault(/flavors/, { status: 401 }, 2);
    expect(await failure(cloudOf().get("compute", "/flavors/detail"))).toMatch(/access rules without it: 401$/);
    fake.fault(/flavors/, { status: 503, body: "<html><h1>Busy</h1></html>" }, 100);
    expect(await failure(cloudOf().get("compute", "/flavors/detail"))).toMatch(/but it did not: 503$/);
  });

  test("an address of an older version is not taken for the newer one", async () => {
    fake.volumeVersion = "v2";
    expect(await cloudOf().has("volume")).toBe(false);
    fake.volumeVersion = "v3";
    expect(await cloudOf().has("volume")).toBe(true);
  });

  test("is not asked for ever, nor again after an answer that will not change", async () => {
    fake.fault(/flavors/, { status: 503, body: { computeFault: { message: "try later" } } }, 100);
    expect(await failure(cloudOf().get("compute", "/flavors/detail"))).toMatch(/compute service.*503 try later/);
    expect(fake.count(/flavors/)).toBe(5);
    fake.fault(/limits/, { status: 403, body: { forbidden: { message: "Policy doesn't allow it" } } });
    expect(await failure(cloudOf().get("compute", "/limits"))).toMatch(/project demo may not: 403 Policy doesn't/);
    expect(fake.count(/limits/)).toBe(1);
  });

  test("to delete something is asked once more where the answer is lost, for it may be gone; no oftener", async () => {
    fake.fault(/os-server-groups/, "reset");
    await cloudOf().remove("compute", "/os-server-groups/gone");
    expect(fake.count(/os-server-groups/)).toBe(2);
    fake.fault(/os-server-groups/, "reset", 5);
    expect(await failure(cloudOf().remove("compute", "/os-server-groups/there"))).toContain("connection reset");
    expect(fake.count(/os-server-groups/)).toBe(4);
  });

  test("ends after its time", async () => {
    fake.fault(/tokens/, "hang");
    expect(await failure(cloudOf({}, { timeoutMs: 50 }).get("compute", "/flavors/detail"))).toContain(
      "no answer in time; the service is overloaded",
    );
  });

  test("what does not exist is undefined, and a missing service is not taken for it", async () => {
    const cloud = cloudOf();
    expect(await cloud.find("network", "/networks/none")).toBeUndefined();
    fake.state.services = ["compute"];
    const without = cloudOf();
    expect(await without.has("volume")).toBe(false);
    expect(await failure(without.find("network", "/networks/none"))).toContain("has no network service (networks)");
  });

  test("another interface's address is not used silently", async () => {
    const message = await failure(cloudOf({ OS_INTERFACE: "admin" }).get("compute", "/limits"));
    expect(message).toContain("only public in RegionOne, internal in RegionOne: change OS_INTERFACE");
    expect(() => cloudOf({ OS_INTERFACE: "outside" })).toThrow("must be public, internal or admin");
  });
});

test("a cloud's own certificate authority is trusted when named, and only then", async () => {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
      ...["-keyout", key, "-out", cert, "-subj", "/CN=cloud", "-addext", "subjectAltName=IP:127.0.0.1"],
    ],
    { stdio: "ignore" },
  );
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) => {
    response.writeHead(401).end("{}");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  try {
    const env = { OS_AUTH_URL: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
    expect(await failure(cloudOf(env).projectId())).toMatch(/certificate is not trusted.*set OS_CACERT/);
    expect(await failure(cloudOf({ ...env, OS_CACERT: cert }).projectId())).toContain("OS_PASSWORD wrong");
    expect(await failure(cloudOf({ ...env, OS_INSECURE: "true" }).projectId())).toContain("OS_PASSWORD wrong");
    expect(() => cloudOf({ ...env, OS_CACERT: join(folder, "none.pem") })).toThrow(
      /OS_CACERT.*none.pem cannot be read/,
    );
  } finally {
    server.close();
  }
});
