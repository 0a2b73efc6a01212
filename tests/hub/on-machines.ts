import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { authorityOf } from "../../cluster/services/gateway/tls.ts";
import { SHARED_FOLDER, usersFolder } from "../../cluster/shared-storage.ts";
import type { Cluster } from "../../cluster/types.ts";
import { fill } from "../../cluster/values.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import type { MesosArchive } from "../../mesos/archive.ts";
import { eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { type Guest, Guests, imageName } from "../machine/guests.ts";
import { nothingOfHers } from "./attacks.ts";
import { Visitor } from "./visitor.ts";

/**
 * The hub on machines as OpenStack has them: from user data, with the client's firewall between users, and drivers that executors reach by
 * ports of the client. What the cloud itself adds (security groups, volumes) is not here.
 */

const MINUTES = 60_000;

/** A job in which driver and executors fetch blocks of each other's. */
const JOB = `
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.cores.max", "1").getOrCreate()
sent = spark.sparkContext.broadcast(bytes(5 << 20))
sizes = spark.sparkContext.parallelize(range(2), 2).map(lambda n: bytes(len(sent.value) + n)).collect()
print("JOB", [len(one) for one in sizes], spark.range(1000).selectExpr("sum(id) s").toPandas().s[0])
print("UI", spark.sparkContext.uiWebUrl)`;

/** The machines of a cluster with a hub, and its users alice and bob. */
export interface HubOnMachines {
  cluster: Cluster;
  guests: Guests;
  /** A machine, once it has booted. */
  at(name: string): Guest;
  /** Runs a cell in a user's kernel. @returns What it prints. */
  run(user: string, code: string): Promise<string>;
}

/** The cluster's config, and what its machines need beside the guests' network. */
interface Beginning {
  /** The first two numbers of all addresses of the cluster. No other test uses them. */
  addresses: string;
  config: RawConfig;
  /** The Mesos that images are to hold, by its source. */
  archives?: ReadonlyMap<string, MesosArchive>;
  /** Starts further servers on the machines' network once it exists. */
  beside?: (guests: Guests) => Promise<void>;
}

/**
 * Tests of the separation of users of a hub on machines, for both Spark's master and Mesos.
 *
 * @param more Further tests, run after both users have run a job.
 */
export function keepsUsersApart(
  { addresses, config, archives, beside }: Beginning,
  more: (hub: HubOnMachines) => void = () => {},
): void {
  const cluster = describeCluster(
    validate(
      {
        ...SMALL_CLOUD,
        networkCidr: `${addresses}.0.0/16`,
        agentCount: 1,
        datanodeCount: 1,
        agentCpus: 2,
        agentMemoryMiB: 3000,
        executorMemoryOverheadMiB: 400,
        dataVolumes: false,
        tls: "own",
        userCidrs: ["198.51.100.0/24"],
        notebooks: "hub",
        users: { alice: {}, bob: {} },
        notebookMemoryMiB: 2048,
        notebookCpus: 1,
        ...config,
      },
      "env",
    ),
  );
  const { hubDriverPort, hubPort, jupyterPort, gatewayPort, sparkUiPort } = cluster.config;
  const guests = new Guests(cluster);
  let booted = new Map<string, Guest>();
  const at = (name: string): Guest => booted.get(name) as Guest;
  const hub = `https://${guests.machine("bastion").address}:${hubPort}`;
  const [alice, bob] = [new Visitor(hub, "alice"), new Visitor(hub, "bob")];
  const kernels: Record<string, (code: string) => Promise<string>> = {};
  const run = (user: string, code: string): Promise<string> => kernels[user]?.(code) ?? Promise.reject(new Error(user));
  const addressOf = (user: string) =>
    at("client").out(
      `docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' triplewide-user-${user}`,
    );

  // Guests have this machine's kernel, which may be unable to mount NFS: the folders that the client serves are volumes of this machine's.
  const [work, users] = ["work", "users"].map((what) => `hub-machine-test-${process.pid}-${what}`);
  const OPTIONS: Record<string, string[]> = {
    client: [
      ...["--volume", `${work}:/var/lib/triplewide/jupyter${SHARED_FOLDER}`],
      ...["--volume", `${users}:/var/lib/triplewide/hub-guard${SHARED_FOLDER}/users`],
    ],
    "agent-1": ["--volume", `${work}:${SHARED_FOLDER}`, "--volume", `${users}:${usersFolder.at}`],
  };
  const answers = (from: string, to: string, user = "0") =>
    at(from).sh(`timeout 5 bash -c 'exec 3<>/dev/tcp/${to.replace(":", "/")}'`, "", user);

  beforeAll(async () => {
    await guests.prepare();
    await beside?.(guests);
    booted = await guests.bootAll(OPTIONS, archives);
    const { address } = guests.machine("bastion");
    const authority = authorityOf(cluster);
    if (!authority) throw new Error("no authority");
    const pem = fill(authority, ({ kind, name }) => (kind === "cloud" ? address : (guests.secrets.get(name) ?? "")));
    setDefaultCACertificates([...getCACertificates("default"), pem]);
  }, 60 * MINUTES);

  afterAll(async () => {
    await guests.cleanUp();
    await guests.docker("volume", "rm", "--force", `${work}`, `${users}`);
  }, 5 * MINUTES);

  test("users log in at the bastion by HTTPS, and have servers on networks of their own", async () => {
    expect((await new Visitor(hub, "alice").logIn("wrong")).status).toBe(403);
    for (const visitor of [alice, bob]) {
      const { status, path } = await visitor.logIn(guests.secrets.get(`hub-password-${visitor.name}`) ?? "");
      expect([status, path.startsWith("/hub/login")]).toEqual([200, false]);
      await eventually(
        `${visitor.name}'s server`,
        180,
        () => visitor.hasServer(),
        (there) => there,
      );
      kernels[visitor.name] = await visitor.kernel();
    }
    expect(await Promise.all(["alice", "bob"].map(addressOf))).toEqual([`${addresses}.192.6`, `${addresses}.192.10`]);
  });

  test("two users' drivers exchange blocks with executors, and show their pages to their own user", async () => {
    const said = await Promise.all(["alice", "bob"].map((user) => run(user, JOB)));
    for (const [i, user] of ["alice", "bob"].entries()) {
      expect(said[i]).toContain("JOB [5242880, 5242881] 499500");
      const ui = `${await addressOf(user)}:${sparkUiPort}`;
      expect(said[i]).toContain(`UI http://${ui}`);
      const visitor = user === "alice" ? alice : bob;
      expect(await visitor.ask(`/user/${user}/proxy/${ui}/api/v1/applications`)).toMatchObject({ status: 200 });
    }
  });

  more({ cluster, guests, at, run });

  test("what a user's job writes is in their folder or their home in HDFS, and nobody else's", async () => {
    const write = `
import os
folder = f"file://{os.getcwd()}/rows"
for place in ("rows", folder, folder):
    spark.range(1000).write.mode("overwrite").parquet(place)
spark.range(10).write.mode("overwrite").saveAsTable("numbers")
print(spark.read.parquet("rows").count(), spark.read.parquet(folder).count(), spark.table("numbers").count())
try:
    spark.range(1).write.parquet("/user/alice/taken")
    print("written")
except Exception as error:
    print("AccessControlException" in str(error))`;
    expect(await run("bob", write)).toBe("1000 1000 10\nTrue\n");
    expect(await run("alice", write)).toBe("1000 1000 10\nwritten\n");
    expect(await run("bob", 'import os\nprint(os.access("/home/spark/work/users/alice", os.R_OK))')).toBe("False\n");
    expect(
      await at("client").out(`stat -c '%a %u %g' /var/lib/triplewide/hub-guard${SHARED_FOLDER}/users{,/alice}`),
    ).toBe("711 0 0\n1770 2001 1000");
  });

  test("a user reaches no other's server or driver, nothing of the client but the hub, and no metadata", async () => {
    // Stands for the cloud's metadata service, at the same address.
    const metadata = "169.254.169.254:80";
    await guests.runAside(
      "metadata",
      ...["--cap-add", "NET_ADMIN", "--user", "0", imageName("plain"), "bash", "-c"],
      "ip address add 169.254.169.254/32 dev eth0; exec python3 -m http.server 80",
    );
    await at("client").out("ip route add 169.254.169.254 dev eth0");
    const client = guests.machine("client").address;
    expect(await run("alice", "open('secret', 'w').write('x'); open('/home/alice/secret', 'w').write('x')")).toBe("");
    const hers = await addressOf("alice");
    const server = [8888, sparkUiPort, hubDriverPort].map((port) => `${hers}:${port}`);
    const drivers = [hubDriverPort, hubDriverPort + 32].map((port) => `${client}:${port}`);
    const pages = [22, jupyterPort, gatewayPort, hubPort].map((port) => `${client}:${port}`);
    // Each of these addresses answers a request that is allowed, so that a failure below means a refusal.
    const ways: [string, string[], string?][] = [
      ["client", server, "1002"],
      ["client", [metadata]],
      ["agent-1", [...drivers, ...pages]],
    ];
    for (const [from, to, user] of ways)
      for (const one of to) expect([one, (await answers(from, one, user)).code]).toEqual([one, 0]);
    // Her server answers nobody but the hub: not the operator's Jupyter, and no other machine that sends its packets there.
    await at("agent-1").out(`ip route add ${addresses}.192.0/22 via ${client}`);
    for (const one of server) {
      expect([one, (await answers("client", one, "1000")).code]).not.toEqual([one, 0]);
      expect([one, (await answers("agent-1", one)).code]).not.toEqual([one, 0]);
    }
    // The firewall between users covers IPv4 alone, so IPv6 may exist on the loopback interface only.
    const six =
      'import os\nprint([one.split()[-1] for one in open("/proc/net/if_inet6")] if os.path.exists("/proc/net/if_inet6") else [])';
    expect(await run("bob", six)).toMatch(/^\[('lo')?\]\n$/);
    const closed = [
      ...[...server, ...drivers, ...pages, metadata],
      ...[hubPort + 1, hubPort + 2].map((port) => `${client}:${port}`),
      // The client's address in the user's own network.
      ...[22, jupyterPort, hubPort, hubPort + 3].map((port) => `${addresses}.192.9:${port}`),
    ];
    const attacks = readFileSync(join(ROOT, "tests/cluster/hub_attacks.py"), "utf8");
    const argv = ["", "alice", hers, `${client}:${hubPort + 3}`, ...closed];
    const said = await run("bob", `import sys; sys.argv = ${JSON.stringify(argv)}\n${attacks}`);
    expect(JSON.parse(said), said).toEqual({
      ...nothingOfHers("not reached"),
      closed: Object.fromEntries(closed.map((one) => [one, expect.stringMatching(/Error$/)])),
    });
  });

  test("users go on while the guard and the Docker daemon start anew, and the walls stand", async () => {
    const client = at("client");
    for (const one of ["docker", "triplewide-hub-guard"]) {
      await client.out(`systemctl restart ${one}.service`);
      await client.ready(300);
    }
    expect(await run("alice", "print(open('secret').read())")).toBe("x\n");
    const hers = await addressOf("alice");
    const knock = `
import socket
for port in (8888, ${sparkUiPort}):
    try:
        print(socket.create_connection(("${hers}", port), timeout=5))
    except OSError as error:
        print(type(error).__name__)`;
    // Our firewall refuses the connection; Docker's own rules, where they come first, let it time out.
    expect(await run("bob", knock)).toMatch(/^((ConnectionRefused|Timeout)Error\n){2}$/);
    expect((await answers("agent-1", `${hers}:8888`)).code).not.toBe(0);
    expect(await run("alice", `spark.stop()\n${JOB}`)).toContain("JOB [5242880, 5242881] 499500");
    expect(await client.out("iptables -S | grep -c -- '-j TRIPLEWIDE'")).toBe("4");
  });

  test("after a reboot of the client users find their homes, and their servers start again", async () => {
    await guests.docker("restart", guests.container("client"));
    await at("client").ready(600);
    await eventually(
      "alice's server",
      180,
      () => alice.hasServer().catch(() => false),
      (there) => there,
    );
    kernels.alice = await alice.kernel();
    expect(await run("alice", "print(open('secret').read(), open('/home/alice/secret').read())")).toBe("x x\n");
    expect(await addressOf("alice")).toBe(`${addresses}.192.6`);
    expect(await at("client").out("iptables -S | grep -c -- '-j TRIPLEWIDE'")).toBe("4");
  });
}
