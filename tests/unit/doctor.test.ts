import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { writeBundle } from "../../cli/bundle.ts";
import { examine } from "../../cli/doctor.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { scrubber, secretsIn } from "../../config/scrub.ts";
import { checksText, ok, problem, warning } from "../../lib/checks.ts";
import { ROOT } from "../../lib/root.ts";
import { checkNode } from "../../local/checks.ts";
import { type DockerFacts, judgeDocker } from "../../local/docker-checks.ts";
import { cloudChecks } from "../../openstack/checks.ts";
import { Cloud } from "../../openstack/cloud.ts";
import { contentsOf, type Wanted } from "../../openstack/image-contents.ts";
import { FakeOpenStack } from "../fakes/openstack.ts";
import { CLOUD } from "../fixtures/configs.ts";

const GIB = 1024 ** 3;
const local = describeCluster(
  validate({ platform: "docker", architecture: "standalone", agentMemoryMiB: 4096 }, "lab"),
);
const remote = describeCluster(validate({ ...CLOUD, architecture: "standalone", masterFlavor: "m1.small" }, "lab"));

test("the list says for each line whether it holds, and how it is mended", () => {
  const checks = [ok("Node", "22.20.0"), warning("memory", "little", "fewer agents"), problem("networkCidr", "taken")];
  expect(checksText(checks)).toBe(
    [
      "  ok       Node         22.20.0",
      "  warning  memory       little. Fix: fewer agents",
      "  problem  networkCidr  taken",
      "1 problem: an up would fail here.",
      "",
    ].join("\n"),
  );
  expect(checksText(checks.slice(0, 2))).toContain("Nothing was found that stops an up here (1 warning).");
});

test("Node is compared with what package.json asks for", () => {
  expect(checkNode(ROOT, "22.18.0").state).toBe("ok");
  expect(checkNode(ROOT, "24.0.0").state).toBe("ok");
  expect(checkNode(ROOT, "22.17.9")).toMatchObject({ state: "problem", fix: expect.stringContaining("make packages") });
});

describe("Docker", () => {
  const facts: DockerFacts = {
    info: {
      ServerVersion: "28.0.0",
      OperatingSystem: "Debian",
      Architecture: "x86_64",
      DockerRootDir: "/var/lib/docker",
      CgroupVersion: "2",
      MemTotal: 64 * GIB,
      SecurityOptions: ["name=seccomp,profile=default", "name=cgroupns"],
    },
    client: "/usr/bin/docker",
    endpoint: "unix:///var/run/docker.sock",
    compose: "Docker Compose version v2.39.1",
    root: "/home/me/triplewide",
    home: "/home/me",
    freeBytes: 100 * GIB,
    built: ["spark-python"],
    toBuild: ["spark-python"],
    networks: [{ name: "bridge", cidr: "172.17.0.0/16" }],
    running: false,
    proxies: undefined,
  };
  const bad = (over: Partial<DockerFacts>, cluster: typeof local | undefined = local): string[] =>
    judgeDocker(cluster, { ...facts, ...over })
      .filter((c) => c.state !== "ok")
      .map((c) => `${c.state} ${c.what}: ${c.found}`);
  const info = (over: Partial<DockerFacts["info"]>) => ({ info: { ...facts.info, ...over } });

  test("that can hold the cluster is ok throughout, whichever config there is", () => {
    for (const cluster of [local, remote, undefined]) expect(bad({}, cluster)).toEqual([]);
  });

  test("another daemon, another machine, a full disk, little memory, networks that overlap", () => {
    expect(bad({ info: {} })).toEqual([expect.stringMatching(/^problem Docker: .*Podman/)]);
    expect(bad({ endpoint: "ssh://build@host" })).toEqual([expect.stringMatching(/^problem Docker context: ssh:/)]);
    expect(bad({ freeBytes: 5 * GIB })).toEqual([expect.stringMatching(/^problem disk: 5 GiB free.*about 12$/)]);
    expect(bad({ freeBytes: 5 * GIB, toBuild: [] })).toEqual([]);
    expect(bad({ freeBytes: undefined })).toEqual([]);
    expect(bad(info({ MemTotal: 4 * GIB }))).toEqual([expect.stringMatching(/^warning memory: Docker has 4096 MiB/)]);
    const networks = [{ name: "office", cidr: "10.72.128.0/20" }];
    expect(bad({ networks })).toEqual([
      "problem networkCidr: 10.72.0.0/16 overlaps 10.72.128.0/20 of Docker's network office",
    ]);
    expect(bad({ networks, running: true })).toEqual([]);
    expect(bad({ networks }, remote)).toEqual([]);
  });

  test("with a proxy in its own config is warned of where that would hide the cluster", () => {
    const httpProxy = "http://me:secret@proxy.example.org:3128";
    expect(bad({ proxies: { httpProxy, noProxy: "localhost, .example.org" } })).toEqual([
      "warning Docker's proxy: Docker's config.json gives containers a proxy, by which programs would also look for 127.0.0.1, 10.72.0.0/16",
    ]);
    expect(bad({ proxies: { httpsProxy: httpProxy } })).toHaveLength(1);
    expect(bad({ proxies: { httpProxy, noProxy: "localhost,127.0.0.1,10.72.0.0/16" } })).toEqual([]);
    expect(bad({ proxies: { noProxy: "localhost" } })).toEqual([]);
    expect(bad({ proxies: { httpProxy } }, remote)).toEqual([]);
  });

  test("from snap, rootless, with SELinux, Docker Desktop", () => {
    const client = "/snap/docker/2976/bin/docker";
    expect(bad({ client })).toEqual([expect.stringMatching(/^warning Docker from snap: /)]);
    expect(bad({ client, root: "/srv/triplewide" })).toEqual([expect.stringMatching(/^problem Docker from snap: /)]);
    expect(bad({ client, root: "/home/me/.cache/t" })).toEqual([expect.stringMatching(/^problem Docker from snap: /)]);
    expect(bad(info({ SecurityOptions: ["name=rootless"] }))).toEqual([expect.stringMatching(/^warning rootless/)]);
    const mesosSource = `https://example.org/m.tar.gz#sha256=${"0".repeat(64)}`;
    const agents = { platform: "docker", architecture: "docker-executors", mesosSource, agentMemoryMiB: 4096 };
    const socket = describeCluster(validate(agents, "lab"));
    expect(bad(info({ SecurityOptions: ["name=rootless"] }), socket)).toEqual([
      expect.stringMatching(/^problem rootless Docker: .*docker\.sock/),
    ]);
    expect(bad(info({ SecurityOptions: ["name=selinux"] }))).toEqual([expect.stringMatching(/^warning SELinux/)]);
    // Images are pushed through a tunnel on this machine's loopback interface, which Docker in a virtual machine does not reach.
    const desktop = info({ OperatingSystem: "Docker Desktop" });
    expect(bad(desktop)).toEqual([]);
    expect(bad(desktop, remote)).toEqual([
      expect.stringMatching(/^problem Docker context: Docker Desktop does not reach/),
    ]);
    expect(bad({ ...desktop, built: [], toBuild: [] }, remote)).toEqual([]);
  });
});

/** Asks for no packages in an image, so that none is missing. */
const ANY: Wanted = { packages: [], environment: "lab" };

describe("a cloud", () => {
  let fake: FakeOpenStack;
  beforeEach(async () => {
    fake = await FakeOpenStack.start();
  });
  afterEach(() => fake.stop());
  const lines = async (cluster = remote, home = "/nowhere", wanted = ANY): Promise<string[]> => {
    const cloud = Cloud.fromEnvironment({ env: fake.env }, { retryDelayMs: 1, retries: 1 });
    return (await cloudChecks(cluster, cloud, { home, wanted })).map(
      (c) => `${c.state} ${c.what}: ${c.found}${c.fix && ` | ${c.fix}`}`,
    );
  };

  test("that holds the cluster says who we are there, and what it found", async () => {
    expect(await lines()).toEqual([
      "ok credentials: project demo, region RegionOne, roles member, reader",
      "ok clock: agrees with the cloud's",
      expect.stringMatching(/^ok image: debian-12 is /),
      expect.stringMatching(/^ok flavors: .*m1\.large \(4 vCPUs, 8192 MiB\)/),
      "ok network: public leads outside",
      expect.stringMatching(/^ok quota: /),
    ]);
  });

  test("whose image was made before the config needed more says what it lacks, and what makes another", async () => {
    const [image] = fake.state.images;
    const held = ["docker.io", "nfs-common"];
    Object.assign(image ?? {}, Object.fromEntries(contentsOf(held)));
    const wants = (...packages: string[]) => lines(remote, undefined, { packages, environment: "lab" });
    expect(await wants("docker.io")).toEqual(await lines());
    expect(await wants("rsyslog", ...held, "chrony")).toContain(
      "warning image: debian-12 was made without rsyslog, chrony; each new machine installs what is missing at its first boot, which takes longer and needs a way to a mirror | triplewide image lab makes another",
    );
  });

  test("with other time, and with credentials that may only read", async () => {
    fake.state.aheadSeconds = 600;
    fake.state.roles = ["reader"];
    const found = await lines();
    expect(found).toContainEqual(
      expect.stringMatching(/^problem credentials: their only role in demo is reader \| ask for the role member/),
    );
    expect(found).toContainEqual(
      expect.stringMatching(
        /^warning clock: this machine is (599|600) s behind the cloud; .* \| timedatectl set-ntp true$/,
      ),
    );
    expect(found.some((line) => line.startsWith("ok clock"))).toBe(false);
  });

  test("whose key pair SSH cannot use says so at once", { timeout: 60_000 }, async () => {
    const home = mkdtempSync(join(tmpdir(), "triplewide-keys-"));
    vi.stubEnv("SSH_AUTH_SOCK", "");
    try {
      const file = join(home, ".ssh", "id_ed25519");
      mkdirSync(join(home, ".ssh"));
      const make = (path: string, passphrase: string): string => {
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-C", "me", "-f", path]);
        return readFileSync(`${path}.pub`, "utf8");
      };
      const config = { ...CLOUD, architecture: "standalone", masterFlavor: "m1.small", keyPair: "mine" };
      const named = describeCluster(validate(config, "lab"));
      const said = async (): Promise<string | undefined> =>
        (await lines(named, home)).find((line) => line.includes(" keyPair: "));
      const mine = { name: "mine", public_key: make(file, "") };
      fake.state.keyPairs.push(mine);
      expect(await said()).toBe("ok keyPair: SSH has its private key");
      mine.public_key = make(join(home, "other"), "");
      expect(await said()).toMatch(
        /^problem keyPair: its private key is neither held by an SSH agent .* \| ssh-add <its file>/,
      );
      writeFileSync(join(home, ".ssh", "config"), `Host *-bastion\nIdentityFile ~/other\n`);
      expect(await said()).toBe("ok keyPair: SSH has its private key");
      rmSync(join(home, ".ssh", "config"));
      rmSync(file);
      rmSync(`${file}.pub`);
      mine.public_key = make(file, "secret phrase");
      expect(await said()).toBe(
        `problem keyPair: its private key ${file} has a passphrase, and no agent holds it | ssh-add ${file}`,
      );
      // An SSH agent that holds the key, by an `ssh-add` that lists it.
      const agent = mkdtempSync(join(home, "agent-"));
      writeFileSync(join(agent, "ssh-add"), `#!/bin/sh\necho "${mine.public_key.trim()}"\n`);
      chmodSync(join(agent, "ssh-add"), 0o755);
      vi.stubEnv("PATH", `${agent}:${process.env.PATH}`);
      expect(await said()).toBe("ok keyPair: SSH has its private key");
    } finally {
      vi.unstubAllEnvs();
      rmSync(home, { recursive: true });
    }
  });

  test("each problem has its key and its fix", async () => {
    fake.state.flavors = fake.state.flavors.filter((f) => f.name !== "m1.large");
    expect(await lines()).toContainEqual(
      expect.stringMatching(/^problem agentFlavor: "m1\.large": there is no such flavor \| use m1/),
    );
  });
});

test("a config that is wrong is a problem among the others", async () => {
  const found = await examine(ROOT, "local", ["agentCount=lots", "networkCidr=mars"]);
  expect(found.filter((c) => c.state === "problem").map((c) => c.what)).toEqual(
    expect.arrayContaining(["agentCount", "networkCidr"]),
  );
  expect(found.map((c) => c.what)).toEqual(expect.arrayContaining(["Node", "Docker"]));
});

describe("secrets", () => {
  const SECRET = 'pa"ss wörd/1+';
  const scrub = scrubber([SECRET, "a", "-----BEGIN KEY-----\nline-of-a-key\n-----END KEY-----"]);

  test("are taken out in every form that logs have", () => {
    const forms = [
      SECRET,
      JSON.stringify({ x: SECRET }),
      encodeURIComponent(SECRET),
      Buffer.from(SECRET).toString("base64"),
      ...["u:", "us:", "use:"].map((user) => Buffer.from(user + SECRET).toString("base64")),
      "see line-of-a-key here",
    ];
    for (const form of forms) {
      const out = scrub(`before ${form} after`);
      expect(out).toMatch(/^before .*\(secret\).* after$|^see/);
      expect(out).not.toContain(SECRET);
      for (const part of out.split(/[^A-Za-z0-9+/=]/))
        expect(Buffer.from(part, "base64").toString()).not.toContain("wörd");
    }
  });

  test("are taken out by their names, and what is none stays", () => {
    for (const text of [
      "password=hunter22",
      "fs.s3a.encryption.key=hunter22",
      "Authorization: Basic aHVudGVyMjI=",
      '"api_token": "hunter22"',
      "https://me:hunter22@example.org/",
      "GET /lab?token=hunter22 HTTP",
      "-----BEGIN RSA PRIVATE KEY-----\nhunter22\n-----END RSA PRIVATE KEY-----",
      "-----BEGIN PRIVATE KEY-----\nhunter22",
    ]) {
      expect(scrub(text), text).not.toMatch(/hunter22|aHVudGVyMjI/);
    }
    const plain = "2026-01-01 INFO BlockManager: Registered 10.72.0.3:7200 with a key=value";
    expect(scrub(plain)).toBe(plain);
  });

  test("are known by their names and by Pulumi's mark", () => {
    const mark = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270" };
    const state = {
      a: { ...mark, plaintext: '"one"' },
      b: [{ ...mark, plaintext: '{"k":"two"}' }],
      password: "three",
      c: "d",
    };
    expect(secretsIn(state)).toEqual(["one", "two", "three"]);
  });
});

describe("a bundle", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "triplewide-doctor-"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  const bundle = async (environment: string, set: string[] = []): Promise<{ text: string; files: string[] }> => {
    const path = join(folder, "bundle.tar.gz");
    const files = await writeBundle({ folder: ROOT, environment, set, checks: [ok("Node", "22")], path });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    return { text: execFileSync("tar", ["-xzOf", path], { encoding: "utf8" }), files };
  };

  test("of this machine's cluster has no secret of it, nor of this user", async () => {
    const name = `doctor-${process.pid}`;
    const home = join(ROOT, ".triplewide", name);
    mkdirSync(home, { recursive: true });
    try {
      writeFileSync(join(home, "secrets.json"), JSON.stringify({ "jupyter-token": "PlantedTokenOne" }));
      const compose = "services:\n  a:\n    environment: {X: PlantedTokenOne, Y: PlantedCloudPassword, Z: kept}\n";
      writeFileSync(join(home, "compose.yaml"), compose);
      vi.stubEnv("OS_PASSWORD", "PlantedCloudPassword");
      // A file of an earlier version, which everyone may read.
      writeFileSync(join(folder, "bundle.tar.gz"), "earlier", { mode: 0o644 });
      const { text, files } = await bundle("local", [
        `clusterName=${name}`,
        "s3Endpoint=https://s3.example.org",
        "s3AccessKey=PlantedAccess",
        "s3SecretKey=PlantedSecretKey",
      ]);
      expect(files).toEqual(expect.arrayContaining(["checks.json", "versions.json", "plan.json", "compose.yaml"]));
      expect(text).toContain("Z: kept");
      expect(text).toContain("SPARK_VERSION");
      expect(text).not.toContain("Planted");
    } finally {
      rmSync(home, { recursive: true });
    }
  });

  test("of a stack has state and logs of every machine, and no secret", async () => {
    const mark = '"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"';
    const state = (value: string): string =>
      `{"deployment": {"resources": [{"id": "kept-id", "x": {${mark}, ${value}}}]}}`;
    writeFileSync(join(folder, "plain.json"), state('"plaintext": "\\"PlantedState\\""'));
    writeFileSync(join(folder, "hidden.json"), state('"ciphertext": "v1:abc"'));
    program(
      "pulumi",
      `case "$*" in *export*--show*) cat ${folder}/plain.json;; *export*) cat ${folder}/hidden.json;; *) echo '{}';; esac`,
    );
    program("ssh", 'echo "journal of a machine: PlantedState, password=PlantedInLog, and more"');
    vi.stubEnv("PATH", `${folder}:${process.env.PATH}`);
    const set = Object.entries({ ...CLOUD, clusterName: "lab" }).map(
      ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
    );
    const { text, files } = await bundle("standalone", set);
    expect(files).toEqual(
      expect.arrayContaining(["state.json", "logs/master-1/journal.txt", "logs/agent-2/ready.txt"]),
    );
    expect(text).toContain("kept-id");
    expect(text).toContain("journal of a machine: (secret), password=(secret), and more");
    expect(text).not.toContain("Planted");
  });

  test("is not written where a stack's secrets cannot be read", async () => {
    program("pulumi", "echo 'error: passphrase must be set' >&2; exit 255");
    vi.stubEnv("PATH", `${folder}:${process.env.PATH}`);
    await expect(bundle("standalone")).rejects.toThrow(/passphrase must be set/);
    expect(() => readFileSync(join(folder, "bundle.tar.gz"))).toThrow();
  });

  function program(name: string, body: string): void {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
  }
});
