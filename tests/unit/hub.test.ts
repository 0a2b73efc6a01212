import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Address4 } from "ip-address";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { runProgram } from "../../cli/program.ts";
import { defineCluster } from "../../cluster/define.ts";
import { NOTICE_FILES } from "../../cluster/lifetime.ts";
import { validate } from "../../cluster/load.ts";
import { userBlock } from "../../cluster/services/hub/addresses.ts";
import { hubOrigin } from "../../cluster/services/hub/entrance.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { placeholder, secretsIn } from "../../cluster/values.ts";
import { accessSummary, pages, pageUrl, sshConfig } from "../../components/access.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { checkUserData, renderUserData } from "../../render/cloud-init.ts";
import { publishedLinks, renderCompose } from "../../render/compose.ts";
import { renderService } from "../../render/content.ts";
import { roomForUsers } from "../../render/plan.ts";
import { CLOUD } from "../fixtures/configs.ts";

interface Caddy {
  apps: { http: { servers: { door: { routes: object[] } } } };
}
const checkout = readCheckout();
const USERS = { alice: {}, bob: { admin: true } };
const HUB = { platform: "docker", notebooks: "hub", users: USERS };
const define = (raw: Record<string, unknown>): Cluster => defineCluster(validate(raw, "test"), checkout);
function serviceOf(cluster: Cluster, name: string): Service {
  const service = cluster.services.find((one) => one.name === name);
  if (!service) throw new Error(`no ${name}`);
  return service;
}
function jsonOf(service: Service, path: string): Record<string, unknown> {
  const file = renderService(service, placeholder).files.find((one) => one.path === path);
  return JSON.parse(file?.content ?? "{}");
}

describe("the hub", () => {
  test("is there where it is asked for, beside the notebook server of the cluster's operator", () => {
    const names = (raw: Record<string, unknown>) => define(raw).services.map(({ name }) => name);
    expect(names({ platform: "docker" })).not.toContain("hub");
    expect(names(HUB)).toEqual(expect.arrayContaining(["jupyter", "hub-guard", "hub"]));
  });

  test("knows each user's first password, which nobody else has, and no other secret", () => {
    const cluster = define(HUB);
    const passwords = ["hub-password-alice", "hub-password-bob"];
    expect(secretsIn(serviceOf(cluster, "hub").files)).toEqual(passwords);
    expect(jsonOf(serviceOf(cluster, "hub"), "/etc/hub/hub.json")).toMatchObject({
      names: ["alice", "bob"],
      passwords: { alice: "{{secret:hub-password-alice}}", bob: "{{secret:hub-password-bob}}" },
      admins: ["bob"],
    });
    for (const service of cluster.services.filter(({ name }) => name !== "hub"))
      expect(
        secretsIn([service.files, service.env, service.command]).filter((name) => passwords.includes(name)),
      ).toEqual([]);
  });

  test("has the secret of its OpenID provider's client, and no passwords, where users log in by that", () => {
    const oidc = { oidcIssuer: "https://id.example.org/lab", oidcClientId: "hub", oidcClientSecret: "s3cret" };
    const users = { alice: { login: "alice@example.org" }, bob: { admin: true } };
    const cluster = define({ ...HUB, ...oidc, users, trustedCertificates: [`MII${"A".repeat(400)}`] });
    const service = serviceOf(cluster, "hub");
    expect(jsonOf(service, "/etc/hub/hub.json")).toMatchObject({
      names: ["alice", "bob"],
      admins: ["bob"],
      oidc: {
        issuer: "https://id.example.org/lab",
        clientSecret: "{{secret:oidc-client-secret}}",
        claim: "preferred_username",
        logins: { "alice@example.org": "alice", bob: "bob" },
      },
    });
    expect(secretsIn(service.files)).toEqual(["oidc-client-secret"]);
    expect(service.command.slice(0, 3)).toEqual(["with-trust", "/etc/triplewide/trusted.pem", "/var/lib/hub/trust"]);
    expect(service.env.SSL_CERT_FILE).toBe("/var/lib/hub/trust/ca.pem");
    expect(cluster.secrets.find(({ name }) => name === "oidc-client-secret")?.groups).toEqual(["client"]);
    expect(cluster.secrets.map(({ name }) => name).join()).not.toContain("hub-password");
  });

  test("starts nothing itself: the guard alone has Docker's socket", () => {
    const cluster = define(HUB);
    const nested = cluster.services.filter(({ needs }) => needs?.includes("docker-socket"));
    expect(nested.map(({ name }) => name)).toEqual(["hub-guard"]);
    const { compose } = renderCompose({ cluster, imageOf: (name) => name, secretOf: (name) => name });
    expect(compose.match(/docker\.sock:/g)).toHaveLength(1);
    expect(serviceOf(cluster, "hub").hardening).toBeUndefined();
  });

  test("gives users' drivers nothing that is the operator's", () => {
    const policy = jsonOf(serviceOf(define(HUB), "hub-guard"), "/etc/hub/guard.json");
    expect(policy).toMatchObject({
      users: ["alice", "bob"],
      uidsAbove: 2000,
      addressesAbove: "10.72.192.0",
      most: 1023,
      memoryMiB: 4096,
      cpus: 2,
      image: "{{image:hub}}",
    });
    const files = policy.files as string[];
    expect(files).toContain("/etc/spark/spark-defaults.conf");
    expect(files.join(" ")).not.toMatch(/jupyter-token|guard|hub\.json/);
  });

  test("gives each user a home in the cluster's HDFS", () => {
    const cluster = define({ ...HUB, datanodeCount: 1, historyServer: true });
    const policy = jsonOf(serviceOf(cluster, "hub-guard"), "/etc/hub/guard.json");
    expect(policy).toMatchObject({ hdfs: "hdfs://10.72.0.16:8020", env: { HADOOP_CONF_DIR: "/etc/hadoop" } });
    expect(policy.files).toContain("/etc/hadoop/core-site.xml");
    expect(serviceOf(cluster, "namenode").env.HDFS_FOLDERS).toContain("/user/alice alice 700,/user/bob bob 700");
    const { files } = renderService(serviceOf(cluster, "hub-guard"), placeholder);
    const properties = files.find(({ path }) => path.endsWith("spark-defaults.conf"))?.content;
    // Only Spark's user may write to the folder of event logs, so users' servers write none.
    expect(properties).not.toContain("spark.eventLog");
    const code = `
policy.update({"hdfs": "hdfs://n:8020", "files": [state + "/x"], "properties": state + "/x"})
open(state + "/x", "w").write("spark.a b\\n")
import io, tarfile
print(tarfile.open(fileobj=io.BytesIO(g.files("bob", 2, "10.9.192.2"))).extractfile((state + "/x")[1:]).read().decode())`;
    const said = withGuard(code);
    expect(said).toContain("spark.sql.warehouse.dir hdfs://n:8020/user/bob/warehouse\n");
    expect(said).toContain("spark.triplewide.writeInstead Write to hdfs:///user/bob/results");
  });

  test("has all servers say what ends the cluster, where triplewide scale writes it, and nothing of an earlier start", () => {
    const told = jsonOf(serviceOf(define({ ...HUB }), "hub-guard"), "/etc/hub/guard.json");
    expect(told).toMatchObject({ notice: NOTICE_FILES["hub-guard"] });
    const code = `
g.forget_notice()
print(g.notice())
open(policy["notice"], "w").close()
g.forget_notice()
print(guard.os.listdir(state + "/notice"))`;
    expect(withGuard(code)).toBe("['/host/state/notice:/run/notice:ro']\n[]");
  });

  test("makes once what users' programs trust, and shows it to all", () => {
    const guard = serviceOf(define({ ...HUB, trustedCertificates: [`MII${"A".repeat(400)}`] }), "hub-guard");
    expect(guard.command).toEqual(expect.arrayContaining(["with-trust", "/var/lib/notebooks/trust", "python3"]));
    expect(jsonOf(guard, "/etc/hub/guard.json")).toMatchObject({
      command: ["jupyterhub-singleuser", "--HubOAuth.cache_max_age=10"],
      trust: "/home/spark/work/.trust",
      env: { SSL_CERT_FILE: "/home/spark/work/.trust/ca.pem" },
    });
    const code = `
policy["trust"] = work + "/.trust"
print(g.trust())
guard.os.mkdir(state + "/trust")
g.host_path = lambda path: path.replace(state, "/host/state")
print(g.trust() == ["/host/state/trust:" + work + "/.trust:ro"])`;
    expect(withGuard(code)).toBe("[]\nTrue");
  });

  test("has a port of its own, which is an origin of its own, with and without a gateway", () => {
    for (const gateway of [true, false]) {
      const cluster = define({ ...HUB, gateway, hubPort: 8100 });
      expect(publishedLinks(cluster)).toContainEqual(expect.objectContaining({ service: "hub", port: 8100 }));
    }
  });

  test("has that port by the gateway's TLS where there is one, and what is behind it is published nowhere", () => {
    const cluster = define({ ...HUB, tls: "own", hubPort: 8100, bindAddress: "192.168.1.7" });
    const links = publishedLinks(cluster).filter(({ key }) => key === "hubPort");
    expect(links).toEqual([expect.objectContaining({ service: "gateway", port: 8100, address: "192.168.1.7" })]);
    const gateway = JSON.stringify(jsonOf(serviceOf(cluster, "gateway"), "/etc/gateway/caddy.json"));
    expect(gateway).toContain('"upstreams":[{"dial":"127.0.0.1:8103"}]');
    expect(jsonOf(serviceOf(cluster, "hub"), "/etc/hub/hub.json")).toMatchObject({ port: 8103, behind: ["127.0.0.1"] });
    expect(hubOrigin(cluster.config, "")).toBe("https://192.168.1.7:8100");
    // Where browsers reach the hub's own proxy directly, headers that name the client's address are not trusted.
    const plain = define({ ...HUB, hubPort: 8100 });
    expect(jsonOf(serviceOf(plain, "hub"), "/etc/hub/hub.json")).toMatchObject({ port: 8100, behind: [] });
    expect(hubOrigin(plain.config, "")).toBe("http://127.0.0.1:8100");
    expect(() => define({ ...HUB, tls: "own", hubPort: 8100, jupyterPort: 8103 })).toThrow(/8103/);
  });

  test("is led to by the gateway before its password, which shows its version and nothing else of it", () => {
    for (const tls of ["none", "own"]) {
      const cluster = define({ ...HUB, tls });
      const { apps } = jsonOf(serviceOf(cluster, "gateway"), "/etc/gateway/caddy.json") as unknown as Caddy;
      const about = apps.http.servers.door.routes
        .map((route) => JSON.stringify(route))
        .filter((r) => r.includes('"/hub'));
      expect(about).toEqual([
        expect.stringContaining('["/hub","/hub/"]}],"handle":[{"handler":"static_response","status_code":307'),
        expect.stringContaining('{"path":["/hub/api/"]}'),
      ]);
      expect(jsonOf(serviceOf(cluster, "gateway"), "/etc/gateway/cluster.json").pages).toContainEqual({
        title: "Notebooks of users",
        kind: "hub",
        path: "hub",
        service: "hub",
        status: "/hub/api/",
      });
    }
  });

  test("has its users' folders on every executor, as a volume that Spark's user cannot replace", () => {
    const cluster = define(HUB);
    for (const { name, dirs } of cluster.services.filter((s) => ["spark-worker", "hub-guard"].includes(s.name)))
      expect(
        dirs.map(({ path }) => path),
        name,
      ).toContain("/home/spark/work/users");
    expect(serviceOf(define({ platform: "docker" }), "spark-worker").dirs.map(({ path }) => path)).not.toContain(
      "/home/spark/work/users",
    );
  });
});

describe("a hub on machines of OpenStack", () => {
  const raw = { ...CLOUD, platform: "openstack", notebooks: "hub", users: USERS, sharedStorage: "none" };
  const open = { tls: "own", userCidrs: ["198.51.100.0/24"] };

  test("has each user's server on a network of its own, and executors reach their drivers by ports of the client", () => {
    const cluster = define(raw);
    const guard = serviceOf(cluster, "hub-guard");
    expect(jsonOf(guard, "/etc/hub/guard.json")).toMatchObject({
      most: 128,
      addressesAbove: "10.72.192.0",
      executorsShare: false,
      container: { MACHINE: "triplewide", SELF: "triplewide-hub-guard" },
      networks: { prefix: "tw-user", host: "10.72.0.11", portsFrom: 20000, ports: 32 },
    });
    const to = cluster.firewall.filter(({ first }) => first === 20000);
    expect(to.map(({ group, last, fromGroup }) => [group, last, fromGroup])).toEqual([
      ["client", 28191, "master"],
      ["client", 28191, "agent"],
    ]);
    // No other machine reaches the hub's ports: users come by SSH to the client, and users' servers by networks on the client.
    const hub = cluster.firewall.filter(({ group, first }) => group === "client" && first >= 8000 && first <= 8003);
    expect(hub.map(({ first, last, fromGroup }) => [first, last, fromGroup])).toEqual([]);
    expect(() => define({ ...raw, hubDriverPort: 7000 })).toThrow(/hubDriverPort/);
  });

  test("has walls around those networks before the guard makes one", () => {
    const cluster = define({ ...raw, ...open });
    const client = cluster.machines.find(({ name }) => name === "client");
    if (!client) throw new Error("no client");
    const userData = renderUserData(cluster, client, checkout, placeholder);
    expect(userData).toContain("path: /usr/local/sbin/triplewide-users");
    expect(userData).toMatch(
      /ExecStartPre=\+\/usr\/local\/sbin\/triplewide-users tw-user 10\.72\.0\.11 8003 1002 10\.72\.192\.0 20000 64 128\n(.*\n)*? *ExecStart=.*triplewide-container hub-guard/,
    );
    // The unit makes the folder again and removes nothing, so that users' servers go on while the guard restarts.
    expect(userData).toMatch(/install -d -m 0711 -o 0 -g 0 \S+\/hub-guard\/home\/spark\/work\/users\n/);
    checkUserData(cluster, checkout);
    expect(userData).not.toContain("hub-password-carol");
  });

  test("has users' folders on agents, mounted where nobody but root puts a link", () => {
    const cluster = define({ ...raw, sharedStorage: "nfs" });
    const textOf = (name: string) => {
      const machine = cluster.machines.find((one) => one.name === name);
      return machine ? renderUserData(cluster, machine, checkout, placeholder) : "";
    };
    const at = "/var/lib/triplewide/users";
    const client = textOf("client");
    expect(client.match(/^ +Path = \S+;$/gm)?.map((line) => line.trim())).toEqual([
      "Path = /home/spark/work;",
      `Path = ${at};`,
    ]);
    expect(client).toContain(`mount --bind /var/lib/triplewide/data/hub-guard/home/spark/work/users ${at}"`);
    expect(client).not.toMatch(/mount --bind \S+ \/home\/spark\/work\/users/);
    const agent = textOf("agent-1");
    expect(agent).toContain(`SHARED_FURTHER=(${at})`);
    expect(agent).toContain(`ExecStartPre=/usr/bin/mountpoint -q ${at}\n`);
    expect(agent).toContain(`type=bind,source=${at},target=/home/spark/work/users`);
    expect(jsonOf(serviceOf(cluster, "hub-guard"), "/etc/hub/guard.json")).toMatchObject({ executorsShare: true });
    // Without a hub there are no further mounts.
    expect(
      define({ ...CLOUD, platform: "openstack" }).services.flatMap(({ dirs }) => dirs.map((dir) => dir.at)),
    ).not.toContain(at);
  });

  test("is opened at the bastion, by the tunnel or at the client itself, as the gateway is", () => {
    const opened = (more: object) => {
      const cluster = define({ ...raw, ...more });
      const page = pages(cluster).find(({ port }) => port === 8000);
      return page && `${page.name} ${pageUrl(cluster, page, "198.51.100.1")}`;
    };
    expect(opened(open)).toBe("hub https://198.51.100.1:8000");
    expect(opened({ ...open, domain: "spark.example.org" })).toBe("hub https://spark.example.org:8000");
    expect(opened({ tls: "own" })).toBe("hub https://localhost:8000");
    expect(opened({})).toBe("hub http://localhost:8000");
    expect(opened({ gateway: false })).toBe("hub http://localhost:8000");
    const cluster = define({ ...raw, ...open });
    const forward = JSON.stringify(serviceOf(cluster, "gateway-forward").files);
    expect(forward).toContain("listen hub\\n  bind :8000\\n  server client 10.72.0.11:8000");
    const people = cluster.firewall.filter(({ fromCidr, first }) => fromCidr !== undefined && first === 8000);
    expect(people.map(({ group, fromCidr }) => [group, fromCidr])).toEqual([["bastion", "198.51.100.0/24"]]);
    expect(sshConfig(define({ ...raw, tls: "own" }), "198.51.100.1")).toContain("LocalForward 8000 10.72.0.11:8000");
    expect(accessSummary(cluster, "production", "")).toContain("npx triplewide users --env production");
  });

  test("is planned with how many servers the client has memory for", () => {
    const flavor = (ramMiB: number) => ({ clientFlavor: "big", flavorSizes: { big: { vcpus: 8, ramMiB } } });
    expect(roomForUsers(define(raw))).toEqual([expect.stringContaining("what m1.medium has is not in flavorSizes")]);
    expect(roomForUsers(define({ ...raw, ...flavor(32768) }))).toEqual([
      expect.stringMatching(/for 6 at a time beside all that its services may take$/),
    ]);
    expect(roomForUsers(define({ ...raw, ...flavor(8192) }))).toEqual([
      expect.stringMatching(/for 0 at a time beside all .*, of 2: set clientFlavor to a larger one/),
    ]);
    expect(roomForUsers(define(HUB))).toEqual([]);
  });
});

describe("a hub on Mesos", () => {
  const TEAMS = { ml: { cpus: 2, memoryMiB: 4096, users: ["alice"] } };
  const MESOS = { ...HUB, mesosFrameworks: ["batch"], teams: TEAMS };

  test.each(["vanilla", "docker-executors", "mesos-in-docker"])(
    "%s: each user is a principal that registers in their team's role, or Spark's, and runs tasks as Spark's user",
    (architecture) => {
      const cluster = define({ ...MESOS, architecture });
      const acls = jsonOf(serviceOf(cluster, "mesos-master"), "/etc/mesos/acls.json") as Record<string, object[]>;
      const only = (value: string) => ({ values: [value] });
      for (const [user, role] of [
        ["alice", "ml"],
        ["bob", "spark"],
      ] as const) {
        const principals = only(`user.${user}`);
        expect(acls.register_frameworks).toContainEqual({ principals, roles: only(role) });
        expect(acls.run_tasks).toContainEqual({ principals, users: only("spark") });
        expect(JSON.stringify(acls).split(`"user.${user}"`)).toHaveLength(3);
        expect(cluster.secrets.find((s) => s.name === `mesos-user.${user}`)?.groups).toEqual(["client", "master"]);
      }
      const nobody = { principals: { type: "ANY" }, roles: { type: "NONE" } };
      expect(acls.register_frameworks?.at(-1)).toEqual(nobody);
      expect(acls.run_tasks?.at(-1)).toEqual({ principals: { type: "ANY" }, users: { type: "NONE" } });
    },
  );

  test("the guard alone on the client has users' logins, and no other login of Mesos", () => {
    const cluster = define({ ...MESOS, architecture: "docker-executors" });
    const guard = serviceOf(cluster, "hub-guard");
    const logins = (service: Service) =>
      secretsIn([service.files, service.env]).filter((name) => name.startsWith("mesos-"));
    expect(logins(guard).sort()).toEqual(["mesos-user.alice", "mesos-user.bob"]);
    expect(new Set(logins(serviceOf(cluster, "jupyter")))).toEqual(new Set(["mesos-spark", "mesos-ml", "mesos-batch"]));
    expect(logins(serviceOf(cluster, "hub"))).toEqual([]);
    const policy = jsonOf(guard, "/etc/hub/guard.json") as { files: string[]; env: Record<string, string> };
    expect(policy).toMatchObject({
      mesos: {
        teams: true,
        logins: { alice: { role: "ml", principal: "user.alice", secret: "{{secret:mesos-user.alice}}" } },
      },
      env: { SPARK_USER: "spark", SPARK_LOCAL_DIRS: "/tmp" },
    });
    expect(policy.files.join(" ")).not.toMatch(/etc\/mesos/);
    // A user's server has an address of its own, so it does not get the client's.
    expect(policy.env).not.toHaveProperty("LIBPROCESS_IP");
    const { files } = renderService(guard, placeholder);
    const told = files.filter(({ path }) => /spark-(defaults\.conf|env\.sh)$/.test(path)).map(({ content }) => content);
    expect(told).toHaveLength(2);
    expect(told.join()).not.toMatch(/LIBPROCESS_IP|spark\.mesos\.(role|principal|secret)/);
  });

  test("drivers without a team are in defaultTeam's role, users of the hub as well", () => {
    const teams = { ...TEAMS, bi: { cpus: 1, memoryMiB: 2048 } };
    const guard = serviceOf(define({ ...MESOS, architecture: "vanilla", teams, defaultTeam: "bi" }), "hub-guard");
    expect(jsonOf(guard, "/etc/hub/guard.json")).toMatchObject({
      mesos: { logins: { alice: { role: "ml" }, bob: { role: "bi" } } },
    });
  });

  test("is as in standalone where Spark's own master runs on Marathon", () => {
    const raw = { ...MESOS, architecture: "marathon-standalone", teams: {} };
    const cluster = define(raw);
    const guard = serviceOf(cluster, "hub-guard");
    expect(jsonOf(guard, "/etc/hub/guard.json")).not.toHaveProperty("mesos");
    expect(secretsIn([guard.files, guard.env])).toEqual(["spark-auth"]);
    expect(cluster.secrets.map(({ name }) => name).filter((name) => name.startsWith("mesos-user"))).toEqual([]);
    expect(cluster.apps.flatMap(({ folders }) => folders)).toContain("/home/spark/work/users");
  });

  test.each(["docker-executors", "mesos-in-docker", "marathon-standalone"])(
    "%s on machines: executors have users' folders, and the client ports for each user's drivers",
    (architecture) => {
      const machines = { ...CLOUD, ...MESOS, platform: "openstack", architecture, tls: "own" };
      const cluster = define(architecture === "marathon-standalone" ? { ...machines, teams: {} } : machines);
      const agent = serviceOf(cluster, "mesos-agent");
      const policy = jsonOf(agent, "/etc/mesos/docker-policy.json");
      if (Object.keys(policy).length > 0)
        expect(policy.volumes).toHaveProperty(["/home/spark/work/users"], {
          mode: "rw",
          at: "/var/lib/triplewide/users",
        });
      const { networks } = jsonOf(serviceOf(cluster, "hub-guard"), "/etc/hub/guard.json") as {
        networks: { each: number };
      };
      expect(networks.each).toBe(architecture === "marathon-standalone" ? 64 : 96);
      const to = cluster.firewall.filter(({ first }) => first === 20000);
      expect(to.map(({ group, last, fromGroup }) => [group, last, fromGroup])).toEqual([
        ["client", 20000 + 128 * networks.each - 1, "master"],
        ["client", 20000 + 128 * networks.each - 1, "agent"],
      ]);
      checkUserData(cluster, checkout);
    },
  );

  test("the guard gives a user's container that user's login alone", () => {
    const code = `
policy.update({"files": [state + "/x"], "properties": state + "/x", "mesos": {"teams": True, "logins": {
    "alice": {"role": "ml", "principal": "user.alice", "secret": "hers"}, "bob": {"role": "spark", "principal": "user.bob", "secret": "his"}}}})
open(state + "/x", "w").write("spark.a b\\n")
g.answer({"ask": "start", "user": "bob", "env": {}})
made = next(body for method, path, body in docker.asked if path.startswith("/containers/create"))
import io, tarfile
tar = tarfile.open(fileobj=io.BytesIO(next(body for method, path, body in docker.asked if "archive" in path)))
login = tar.getmember("etc/mesos/login")
texts = {member.name: tar.extractfile(member).read().decode() for member in tar}
print(json.dumps([made["Env"], [login.uid, oct(login.mode)], texts["etc/mesos/login"], texts[(state + "/x")[1:]], "hers" in str(texts) + str(made)]))`;
    const [env, owner, login, properties, hers] = JSON.parse(withGuard(code));
    expect(env).toEqual(
      expect.arrayContaining([
        "LIBPROCESS_IP=10.9.192.1",
        "DRIVER_PRINCIPAL=user.bob",
        "DRIVER_SECRET_FILE=/etc/mesos/login",
        "DRIVER_ROLE=spark",
      ]),
    );
    expect([owner, login, hers]).toEqual([[2001, "0o400"], "his", false]);
    expect(properties).toContain("spark.mesos.role spark\nspark.mesos.principal user.bob\n");
    expect(properties).toContain("spark.mesos.secret.file /etc/mesos/login\n");
    expect(properties).not.toContain("his");
  });
});

describe("a hub is refused", () => {
  test.each([
    ["without users", { ...HUB, users: {} }, /users.*set while notebooks is hub/s],
    ["users without it", { platform: "docker", users: USERS }, /users.*empty while notebooks is single/s],
    [
      "with a share of the cloud's",
      { ...CLOUD, ...HUB, platform: "openstack", sharedStorage: "manila" },
      /sharedStorage.*nfs or none while notebooks is hub/s,
    ],
    [
      "with folders that executors on machines do not have",
      { ...CLOUD, ...HUB, platform: "openstack", architecture: "vanilla" },
      /sharedStorage.*none while notebooks is hub in vanilla on openstack: executors have no container/s,
    ],
    ["with an HDFS of others", { ...HUB, existingNamenodes: ["10.9.9.9"] }, /notebooks.*an HDFS that was there/s],
    ["with HDFS' superuser", { ...HUB, users: { hdfs: {} } }, /users/],
    ["in a network without room", { ...HUB, networkCidr: "10.9.0.0/25" }, /networkCidr.*large enough for 2 users/s],
    ["without memory for a driver", { ...HUB, driverMemoryMiB: 4096 }, /notebookMemoryMiB.*at least 4608/s],
    ["with a user of the image's", { ...HUB, users: { root: {} } }, /users/],
    [
      "with half an OpenID provider",
      { ...HUB, oidcIssuer: "https://id.example.org" },
      /oidcClientId.*oidcClientSecret.*set together with the other oidc keys/s,
    ],
    [
      "with an OpenID provider without encryption",
      { ...HUB, oidcIssuer: "http://id.example.org" },
      /oidcIssuer: .*an https address/,
    ],
    [
      "with two users who are one to the provider",
      {
        ...HUB,
        users: { alice: { login: "bob" }, bob: {} },
        oidcIssuer: "https://id.example.org",
        oidcClientId: "hub",
        oidcClientSecret: "x",
      },
      /users.*alice and bob are both bob/s,
    ],
    [
      "with a login but no provider",
      { ...HUB, users: { alice: { login: "a" } } },
      /users.*without login \(alice has one\)/s,
    ],
    ["with a name that is a path", { ...HUB, users: { "../x": {} } }, /users/],
  ])("%s", (_, raw, message) => {
    expect(() => validate(raw, "test")).toThrow(message);
  });
});

test("triplewide users says what to set where there is no hub", async () => {
  let said = "";
  const code = await runProgram(["users"], { out: () => {}, err: (text) => (said += text) });
  expect(code).toBe(2);
  expect(said).toMatch(/"local" has no users: notebooks is single/);
});

describe("triplewide users of a stack", () => {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-users-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const settings = { ...CLOUD, architecture: "standalone", notebooks: "hub", users: USERS, tls: "own" };
  writeFileSync(join(folder, "Pulumi.yaml"), "name: triplewide\n");
  writeFileSync(
    join(folder, "Pulumi.production.yaml"),
    stringify({
      config: Object.fromEntries(Object.entries(settings).map(([key, value]) => [`triplewide:${key}`, value])),
    }),
  );
  /** Runs `triplewide users`. @param uis The stack's output `uis`. */
  function users(uis: object, ...args: string[]) {
    const passwords = JSON.stringify({ alice: "first-of-alice", bob: "first-of-bob" });
    const program = `#!/bin/bash
case "$*" in
  "stack output uis --show-secrets --stack production") echo '${JSON.stringify(uis)}';;
  "stack output hubPasswords --show-secrets --stack production") echo '${passwords}';;
  *) exit 1;;
esac\n`;
    writeFileSync(join(folder, "pulumi"), program, { mode: 0o755 });
    const argv = [join(ROOT, "cli/triplewide"), "users", "--env", "production", ...args];
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
    return spawnSync(argv[0] ?? "", argv.slice(1), { cwd: folder, env, encoding: "utf8" });
  }

  test("prints where its hub is, and each user's first password", () => {
    const { stdout, stderr } = users({ hub: "https://198.51.100.1:8000" });
    expect(stdout, stderr).toMatch(
      /^https:\/\/198.51.100.1:8000\/\n {2}alice +first-of-alice\n {2}bob +first-of-bob\n$/,
    );
  });

  test("says what to do where the stack has none yet, and renews no password", () => {
    expect(users({}).stderr).toContain("stack production has no hub yet. Fix: pulumi up --stack production");
    const { status, stderr } = users({ hub: "https://198.51.100.1:8000" }, "--renew", "alice");
    expect([status, stderr]).toEqual([2, expect.stringContaining("--renew is for this machine's Docker")]);
    expect(stderr).toContain("Fix: pulumi up --stack production --replace '**hub-password-alice'");
  });
});

/** Runs Python code with the guard imported, as root. A list of requests stands in for Docker. */
function withGuard(code: string): string {
  const program = `
import json, sys, tempfile
sys.path.insert(0, ${JSON.stringify(join(ROOT, "images/hub"))})
import guard
class Docker:
    asked = []
    networks = {}
    def ask(self, method, path, body=None, fine=()):
        self.asked.append((method, path, body))
        if path == "/containers/c-client/json":
            return {"NetworkSettings": {"Networks": {"net": {}}}}
        if path == "/containers/c-client-hub-guard/json":
            return {"Mounts": [{"Destination": state, "Source": "/host/state"}, {"Destination": work + "/users", "Source": "/host/users"}]}
        if path.startswith("/containers/create"):
            return {"Id": "1"}
        if path.startswith("/networks/"):
            return self.networks.get(path.split("/")[2])
state, work = tempfile.mkdtemp(), tempfile.mkdtemp()
guard.os.fchown = lambda *_: None
policy = {"users": ["alice", "bob"], "most": 3, "addressesAbove": "10.9.192.0", "uidsAbove": 2000, "sparkGid": 1000, "image": "hub@sha256:1",
    "command": ["jupyterhub-singleuser"], "memoryMiB": 2048, "cpus": 1, "processes": 100, "shmMiB": 64, "shared": work, "notice": state + "/notice/notice.json", "executorsShare": True, "files": [], "properties": "", "environment": "", "own": {}, "env": {"TZ": "UTC", "JUPYTERHUB_HOST": "ours"}}
docker = Docker()
g = guard.Guard(policy, docker, {"MACHINE": "c-client", "SELF": "c-client-hub-guard", "PROJECT": "p"}, state)
def refused(question):
    try:
        return g.answer(question)
    except guard.Refused as error:
        return str(error)
${code}`;
  const { stdout, stderr } = spawnSync("python3", ["-c", program], { encoding: "utf8" });
  return stdout.trim() || stderr;
}

describe("the guard", () => {
  test("numbers users once, and gives a number of somebody who left to nobody", () => {
    const code = `
print([g.number(user) for user in ("alice", "bob", "alice")])
policy["users"] = ["bob", "carol"]
print(g.number("carol"), g.number("alice"), g.address(3), g.uid(3))
try:
    g.number("dave")
except guard.Refused as error:
    print(error)`;
    expect(withGuard(code).split("\n")).toEqual([
      "[1, 2, 1]",
      "3 1 10.9.192.3 2003",
      "the hub had 3 users already, those that left included; there are no more addresses for others",
    ]);
  });

  test.each([
    ["a user of nobody's", '{"ask": "start", "user": "carol", "env": {}}', "no such user"],
    ["a path as a user", '{"ask": "end", "user": "../../images/hub"}', "no such user"],
    ["another question", '{"ask": "exec", "user": "alice"}', "no such question"],
    [
      "a variable of the loader",
      '{"ask": "start", "user": "alice", "env": {"LD_PRELOAD": "x"}}',
      "variables other than",
    ],
    [
      "a variable that is none",
      '{"ask": "start", "user": "alice", "env": {"JUPYTERHUB_X": ["y"]}}',
      "variables other than",
    ],
    [
      "a line end in a name",
      '{"ask": "start", "user": "alice", "env": {"JUPYTERHUB_X\\\\n": "y"}}',
      "variables other than",
    ],
  ])("refuses %s, and asks Docker nothing", (_, question, reason) => {
    expect(withGuard(`print(refused(json.loads('${question}')), docker.asked)`)).toMatch(
      new RegExp(`^${reason}.*\\[\\]$`),
    );
  });

  test("starts what the policy says, whatever else the hub would like", () => {
    const code = `
g.answer({"ask": "start", "user": "bob", "env": {"JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_HOST": "theirs"}, "image": "x", "Privileged": True})
made = next(body for method, path, body in docker.asked if path.startswith("/containers/create"))
print(json.dumps(made))`;
    const made = JSON.parse(withGuard(code));
    expect(made).toMatchObject({ Image: "hub@sha256:1", User: "2001:2001", Cmd: ["jupyterhub-singleuser"] });
    expect(made.Env).toEqual(
      expect.arrayContaining(["JUPYTERHUB_API_TOKEN=t", "JUPYTERHUB_HOST=ours", "HOME=/home/bob"]),
    );
    expect(made.HostConfig).toMatchObject({ CapDrop: ["ALL"], NetworkMode: "net", Memory: 2048 * 2 ** 20 });
    expect(made.HostConfig.Binds).toEqual([
      "/host/state/homes/bob:/home/bob",
      expect.stringMatching(/^\/host\/users\/bob:\/.*\/users\/bob$/),
      "/host/state/notice:/run/notice:ro",
    ]);
    expect(made.HostConfig).not.toHaveProperty("Privileged");
  });

  test("puts each server on a network of its own on a machine, with ports of the machine for its drivers", () => {
    const code = `
policy.update({"addressesAbove": "10.72.192.0", "networks": {"prefix": "tw-user", "host": "10.72.0.11", "portsFrom": 20000, "each": 64, "ports": 32}, "files": [state + "/x"], "properties": state + "/x", "executorsShare": False})
open(state + "/x", "w").write("spark.a b\\n")
guard.mtu_of = lambda address: 1450
g.number("alice")
print(json.dumps(g.answer({"ask": "where"})), json.dumps(g.answer({"ask": "start", "user": "bob", "env": {}})))
print(json.dumps([body for method, path, body in docker.asked if path == "/networks/create"]))
import io, tarfile
files = next(body for method, path, body in docker.asked if "archive" in path)
print(tarfile.open(fileobj=io.BytesIO(files)).extractfile((state + "/x")[1:]).read().decode())
made = next(body for method, path, body in docker.asked if path.startswith("/containers/create"))
print(made["HostConfig"]["NetworkMode"], made["HostConfig"].get("PortBindings"), json.dumps(made["NetworkingConfig"]))
docker.networks["tw-user2"] = {"IPAM": {"Config": [{"Subnet": "10.0.0.0/8", "Gateway": "10.0.0.1"}]}}
print(refused({"ask": "start", "user": "bob", "env": {}}))`;
    const said = withGuard(code);
    expect(said).toContain('{"targets": {"alice": "10.72.192.6:8888", "bob": "10.72.192.10:8888"}}');
    expect(said).toContain('{"address": "10.72.192.10", "port": 8888}');
    expect(said).toContain('[{"Subnet": "10.72.192.8/30", "Gateway": "10.72.192.9"}]');
    expect(said).toContain('"com.docker.network.driver.mtu": "1450"');
    expect(said).toContain("spark.driver.host 10.72.0.11\n");
    expect(said).toContain("spark.driver.bindAddress 10.72.192.10\n");
    expect(said).toContain("spark.driver.port 20064\nspark.driver.blockManager.port 20096\n");
    // Executors cannot see the user's folder here, so the driver has no setting that says they can.
    expect(said).not.toMatch(/sharedFolders|PYTHONUSERBASE/);
    expect(said).toContain(
      'tw-user2 None {"EndpointsConfig": {"tw-user2": {"IPAMConfig": {"IPv4Address": "10.72.192.10"}}}}',
    );
    expect(said).toContain("the network tw-user2 is another than this cluster's");
  });

  test("tells drivers on Mesos, behind a port of the machine, to say that they are at the machine's address", () => {
    const code = `
policy.update({"addressesAbove": "10.72.192.0", "networks": {"prefix": "tw-user", "host": "10.72.0.11", "portsFrom": 20000, "each": 96, "ports": 32}, "files": [state + "/x"], "environment": state + "/x"})
policy["mesos"] = {"teams": False, "logins": {"bob": {"role": "spark", "principal": "user.bob", "secret": "his"}}}
open(state + "/x", "w").write("export A=b\\n")
guard.mtu_of = lambda address: 1450
g.number("alice")
g.answer({"ask": "start", "user": "bob", "env": {}})
made = next(body for method, path, body in docker.asked if path.startswith("/containers/create"))
print(json.dumps([one for one in made["Env"] if one.startswith(("LIBPROCESS", "DRIVER_ROLE"))]))
import io, tarfile
files = next(body for method, path, body in docker.asked if "archive" in path)
print(tarfile.open(fileobj=io.BytesIO(files)).extractfile((state + "/x")[1:]).read().decode(), g.ports(2))`;
    expect(withGuard(code)).toBe(
      [
        '["LIBPROCESS_IP=10.72.192.10", "LIBPROCESS_ADVERTISE_IP=10.72.0.11"]',
        "export A=b",
        "LIBPROCESS_PORT=$(/opt/hub/free-port 20160 32) || exit",
        "export LIBPROCESS_PORT",
        " {'spark.driver.host': '10.72.0.11', 'spark.driver.port': '20096', 'spark.driver.blockManager.port': '20128'}",
      ].join("\n"),
    );
  });

  test("a driver takes a port at which no other one listens, and says so where there is none", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const taken = (server.address() as AddressInfo).port;
    const free = (first: number, count: number) =>
      spawnSync(join(ROOT, "images/hub/free-port"), [`${first}`, `${count}`], {
        encoding: "utf8",
        env: { ...process.env, LIBPROCESS_IP: "127.0.0.1" },
      });
    const none = free(taken, 1);
    expect([none.status, none.stdout]).toEqual([1, ""]);
    expect(none.stderr).toContain("all 1 ports by which Mesos reaches your drivers are taken: end a session");
    for (let i = 0; i < 10; i++) {
      const { stdout } = free(taken - 1, 2);
      expect(Number(stdout)).toBe(taken - 1);
    }
    server.close();
  });

  test("gives nobody a folder that is a link to another one", () => {
    const code = `
import os
os.makedirs(state + "/homes"); os.makedirs(work + "/users"); os.symlink("/etc", work + "/users/bob")
try:
    g.answer({"ask": "start", "user": "bob", "env": {}})
except OSError as error:
    print(type(error).__name__, [path for method, path, body in docker.asked])`;
    expect(withGuard(code)).toBe("NotADirectoryError []");
  });

  test("makes of a user's folder one in which executors replace nothing, and folders for programs that are the user's alone", () => {
    const code = `
import os
given = []
guard.os.fchown = lambda handle, uid, gid: given.append((uid, gid))
guard.os.chown = lambda name, uid, gid, **_: given.append((name, uid, gid))
of = guard.os.stat
owner = 1000
guard.os.stat = lambda path, **how: type("There", (), {"st_uid": owner}) if how.get("dir_fd") and of(path, **how) else of(path, **how)
os.makedirs(work + "/users/bob/.python/planted")
g.folders("bob", 1)
print(oct(os.stat(work + "/users/bob").st_mode), given[-3:])
print(sorted(name.split("-2")[0].split("-1")[0] for name in os.listdir(work + "/users/bob")), os.listdir(work + "/users/bob/.python"))
owner = 2001
os.makedirs(work + "/users/bob/.python/hers")
g.folders("bob", 1)
print(os.listdir(work + "/users/bob/.python"))`;
    expect(withGuard(code).split("\n")).toEqual([
      "0o41770 [('.python', 2001, 2001), ('.ivy2', 2001, 2001), (2001, 1000)]",
      "['.ivy2', '.python', '.python-of-others'] []",
      "['hers']",
    ]);
  });
});

test("a password that a user chose holds until it is changed, or the operator makes another first one", () => {
  const code = `
import sys, tempfile
sys.path.insert(0, ${JSON.stringify(join(ROOT, "images/hub"))})
from passwords import Passwords
path = tempfile.mkdtemp() + "/passwords.json"
def known(first, *tried):
    there = Passwords(path, first)
    return [there.right(name, password) for name, password in tried]
print(known({"alice": "first"}, ("alice", "first"), ("alice", "x"), ("alice", ""), ("bob", ""), ("bob", "first")))
Passwords(path, {"alice": "first"}).choose("alice", "mine")
print(known({"alice": "first"}, ("alice", "mine"), ("alice", "first")), "mine" in open(path).read())
print(known({"alice": "second"}, ("alice", "mine"), ("alice", "second")))
print(known({"alice": "first"}, ("alice", "mine"), ("alice", "first")))
def renewed(first, accept):
    there = Passwords(path, {"bob": first})
    said = there.renewed("bob")
    if accept: there.accept("bob")
    return said
print([renewed(first, accept) for first, accept in (("first", False), ("first", True), ("first", False), ("second", False), ("second", True), ("second", False))])
Passwords(path, {"bob": "second"}).choose("bob", "mine")
print(renewed("second", False), renewed("third", False), renewed("third", True), renewed("third", False))`;
  const { stdout, stderr } = spawnSync("python3", ["-c", code], { encoding: "utf8" });
  expect(stdout.trim().split("\n"), stderr).toEqual([
    "[True, False, False, False, False]",
    "[True, False] False",
    "[False, True]",
    "[False, True]",
    "[False, False, False, True, True, False]",
    "False True True False",
  ]);
});

test("who guesses at names and passwords is heard a few times at a time, and not told by a wait whose name is a user's", () => {
  const code = `
import asyncio, json, sys, time
sys.path.insert(0, ${JSON.stringify(join(ROOT, "images/hub"))})
from passwords import Busy, Guesses
class Slow:
    looked = now = most = 0
    def right(self, name, password):
        self.looked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.01)
        self.now -= 1
        return (name, password) == ("alice", "hers")
async def main():
    slow = Slow()
    guesses = Guesses(slow, 5, 60)
    for name in ("alice", "nobody"):
        before = slow.looked
        said = [await guesses.right(name, "x", "one") for _ in range(8)]
        print(name, any(said), slow.looked - before)
    print(await guesses.right("alice", "hers", "one"), await guesses.right("alice", "hers", "another"))
    before = slow.looked
    many = [guesses.right(f"name{i}", "x", f"from{i % 20}") for i in range(200)] + [guesses.right(f"name{i}", "x", "one") for i in range(20)]
    said = await asyncio.gather(*many, return_exceptions=True)
    print("looked at", slow.looked - before, "busy", sum(isinstance(one, Busy) for one in said), "at a time", slow.most)
    said = await asyncio.gather(*[guesses.right(f"other{i}", "x", "one") for i in range(60)], return_exceptions=True)
    print("of one address", sum(one is False for one in said), guesses.asking)
    gone = asyncio.create_task(guesses.right("somebody", "x", "two"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    print("while it goes on", guesses.asking)
    guesses.seconds = 0
    guesses.forget()
    print("kept", guesses.failures)
    print(await guesses.right("n" * 10000, "x", "three"), guesses.failures)
asyncio.run(main())`;
  const { stdout, stderr } = spawnSync("python3", ["-c", code], { encoding: "utf8" });
  expect(stdout.trim().split("\n"), stderr).toEqual([
    "alice False 5",
    "nobody False 5",
    "False True",
    "looked at 66 busy 154 at a time 2",
    "of one address 40 {}",
    "while it goes on {'two': 1}",
    "kept {}",
    "False {}",
  ]);
});

test("pages of users' servers and drivers are shown neither by the gateway nor by the operator's Jupyter", () => {
  const cluster = define(HUB);
  expect(serviceOf(cluster, "jupyter").env).toMatchObject({ JUPYTER_PROXY_EXCEPT: "8000-8003" });
  const hub = define({ ...HUB, tls: "own" }).services.filter(({ name }) => name.startsWith("hub"));
  for (const { port } of hub.flatMap(({ ports }) => ports)) expect([8001, 8002, 8003]).toContain(port);
  // The operator's Jupyter forwards to no other machine.
  expect(serviceOf(cluster, "jupyter").env).not.toHaveProperty("JUPYTER_PROXY_HOSTS");
  const { addressesAbove } = jsonOf(serviceOf(cluster, "hub-guard"), "/etc/hub/guard.json") as {
    addressesAbove: string;
  };
  expect(new Address4(addressesAbove).isInSubnet(new Address4(userBlock(cluster.config.networkCidr)))).toBe(true);
  const caddy = JSON.stringify(jsonOf(serviceOf(cluster, "gateway"), "/etc/gateway/caddy.json"));
  expect(caddy).toContain(
    '{"match":[{"path":["/spark/proxy/*","/proxy/*"]}],"handle":[{"handler":"static_response","status_code":404',
  );
});

test.each([
  [{ sharedStorage: "none" }, "sharedStorage"],
  [{ networkCidr: "10.72.0.0/24", agentCount: 127, removedAgents: ["agent-1", "agent-2"] }, "networkCidr"],
])("with %j it is refused at %s", (raw, key) => {
  expect(() => define({ ...HUB, ...raw })).toThrow(new RegExp(`^ {2}${key}: `, "m"));
});
