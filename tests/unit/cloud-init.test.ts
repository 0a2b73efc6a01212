import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { hasMesos } from "../../cluster/architectures/index.ts";
import { HOST_KEY, HOST_KEY_BYTES, hostKey, withHostKey } from "../../cluster/host-keys.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { SECRET_NAMES } from "../../cluster/secret-names.ts";
import type { Cluster, Machine } from "../../cluster/types.ts";
import { type LookUp, placeholder } from "../../cluster/values.ts";
import { ARCHITECTURES, type Architecture } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { shellWord } from "../../lib/quote.ts";
import { packLock } from "../../render/cloud-init/lock.ts";
import { MAX_PACKED_BYTES, packUserData } from "../../render/cloud-init/pack.ts";
import { dockerEnvFile, environmentFile, execLine } from "../../render/cloud-init/systemd.ts";
import { checkUserData, renderUserData as render, renderGates, userDataReferences } from "../../render/cloud-init.ts";
import { CLOUD, HIGHLY_AVAILABLE, mesosOf } from "../fixtures/configs.ts";

const checkout = readCheckout();
const renderUserData = (cluster: Cluster, machine: Machine, parts = checkout, lookUp: LookUp = placeholder): string =>
  render(cluster, machine, parts, lookUp);
/** Names of the secrets whose places a text shows. */
const secretsIn = (text: string): string[] => [...text.matchAll(/\{\{secret:([a-z0-9-]+)\}\}/g)].map((m) => m[1] ?? "");

const GUEST = join(import.meta.dirname, "../../render/cloud-init/guest");

function clusterOf(architecture: Architecture, more: RawConfig = {}): Cluster {
  const raw: RawConfig = { ...CLOUD, ...HIGHLY_AVAILABLE, architecture, ...mesosOf(architecture), ...more };
  return describeCluster(validate(raw, "env"));
}

/** The largest cluster of each architecture, with every option switched on. */
function fullCluster(architecture: Architecture): Cluster {
  return clusterOf(architecture, { historyServer: true, dynamicAllocation: true, monitoring: true });
}

const all: Cluster[] = ARCHITECTURES.flatMap((a) => [
  clusterOf(a),
  fullCluster(a),
  clusterOf(a, { zookeeperPlacement: "own", namenodeCount: 1 }),
  clusterOf(a, { masterCount: 1, datanodeCount: 0, namenodeCount: 1 }),
  clusterOf(a, { registry: "registry.example.org/team", registryUser: "robot" }),
]);

function machineOf(cluster: Cluster, name: string): Machine {
  const machine = cluster.machines.find((m) => m.name === name);
  if (!machine) throw new Error(`no machine ${name}`);
  return machine;
}

/** Rendered once: the first machine of every group, because machines of a group are alike. */
const rendered = all.flatMap((cluster) =>
  [...Map.groupBy(cluster.machines, (m) => m.group).values()].map((machines) => {
    const machine = machines[0] as Machine;
    const text = renderUserData(cluster, machine);
    return { cluster, machine, text, data: read(text) };
  }),
);

interface UserData {
  hostname: string;
  write_files: { path: string; permissions: string; content: string; encoding?: string }[];
  runcmd: string[][];
  ssh_keys: Record<string, string>;
}

function read(text: string): UserData {
  return parse(text, { version: "1.1" }) as UserData;
}

/** The file of a machine's user data. */
function fileOf(cluster: Cluster, machine: string, path: string): string {
  const file = read(renderUserData(cluster, machineOf(cluster, machine))).write_files.find((f) => f.path === path);
  if (!file) throw new Error(`${machine} has no ${path}`);
  return file.content;
}

describe("golden files", () => {
  // Scripts and lock stand for themselves in the repository; here they would bury what differs from machine to machine.
  const parts = {
    versions: { JAVA_VERSION: "17", PYTHON_VERSION: "3.11" },
    requirements: `numpy==1.26.4 \\\n    --hash=sha256:${"ab".repeat(32)}\n`,
    root: "",
    script: (name: string) => (name.startsWith("render/") ? `(${name})\n` : checkout.script(name)),
  };
  /** Machines that do not depend on the architecture. */
  const ANYWHERE = new Set(["bastion", "registry", "datanode"]);

  for (const architecture of ARCHITECTURES) {
    const cluster = fullCluster(architecture);
    const groups = Map.groupBy(cluster.machines, (m) => m.group);
    for (const [group, machines] of groups) {
      if (hasMesos({ architecture }) && ANYWHERE.has(group)) continue;
      test(`${architecture} ${group}`, async () => {
        const text = renderUserData(cluster, machines[0] as Machine, parts);
        await expect(text).toMatchFileSnapshot(`../golden/cloud-init/${architecture}-${group}.yaml`);
      });
    }
  }

  test("gates", async () => {
    const text = ARCHITECTURES.map(
      (a) => `# ${a}\n${renderGates(clusterOf(a), "master")}${renderGates(clusterOf(a), "client")}`,
    ).join("");
    await expect(text).toMatchFileSnapshot("../golden/cloud-init/gates.txt");
  });
});

describe("user data", () => {
  test("is a cloud-config whose files have absolute paths, modes as text and content as text", () => {
    for (const { machine, text, data } of rendered) {
      expect(text.startsWith("#cloud-config\n")).toBe(true);
      expect(data.hostname).toBe(`env-${machine.name}`);
      expect(data.runcmd).toEqual([["/usr/local/sbin/triplewide-boot"]]);
      for (const file of data.write_files) {
        expect(file.path).toMatch(/^\/[A-Za-z0-9/.:_-]+$/);
        expect(file.permissions).toMatch(/^0[0-7]{3}$/);
        expect(typeof file.content).toBe("string");
      }
      expect(new Set(data.write_files.map((f) => f.path)).size).toBe(data.write_files.length);
    }
  });

  test("fits into what Nova takes, with everything switched on", () => {
    const most = ARCHITECTURES.map((architecture) =>
      clusterOf(architecture, {
        historyServer: true,
        dynamicAllocation: true,
        monitoring: true,
        sparkConnect: true,
        tls: "own",
      }),
    );
    const largest = most.flatMap((cluster) => cluster.machines.map((machine) => ({ cluster, machine })));
    for (const { cluster, machine } of [...rendered, ...largest]) {
      const filled = renderUserData(cluster, machine, checkout, ({ kind, name }) =>
        kind === "secret"
          ? "x".repeat(name === HOST_KEY ? HOST_KEY_BYTES : 32)
          : `10.72.0.12:5000/triplewide/${name}@sha256:${"0".repeat(64)}`,
      );
      // Leaves room for later additions.
      expect(packUserData(filled).length, machine.name).toBeLessThanOrEqual(MAX_PACKED_BYTES * 0.75);
      expect(gunzipSync(Buffer.from(packUserData(filled), "base64")).toString()).toBe(filled);
    }
  });

  test("packs to the same bytes on every computer", () => {
    const text = Array.from({ length: 500 }, (_, n) => `line ${n ** 2}`).join("\n");
    expect(createHash("sha256").update(packUserData(text)).digest("hex")).toBe(
      "52a8a5d2d36640db82b62979d24279412addc314ba8a9d61ea50ccc568608600",
    );
  });

  test("has its host key, which is as long as is reckoned with", () => {
    for (const { data } of rendered) expect(data.ssh_keys).toEqual({ ecdsa_private: "{{secret:ssh-host-key}}" });
    for (const name of ["bastion", "agent-1000"]) {
      expect(hostKey("x".repeat(64), name).privateKey.length).toBe(HOST_KEY_BYTES);
    }
  });

  test("that does not fit is refused by machine, with what takes the room", () => {
    const cluster = clusterOf("vanilla");
    const hash = (n: number): string => `    --hash=sha256:${createHash("sha256").update(String(n)).digest("hex")}`;
    const many = Array.from({ length: 2000 }, (_, n) => `package${n}==1 \\\n${hash(n)}\n`).join("");
    const parts = { ...checkout, requirements: many };
    expect(() => checkUserData(cluster, parts)).toThrow(
      /user data of agent-1 takes \d+ bytes, compressed and in base64, and a machine can have 65535\. Largest: \/etc\/triplewide\/python-lock \(\d+\)/,
    );
  });

  test("is the same for the same input", () => {
    for (const a of ARCHITECTURES) {
      const [one, two] = [fullCluster(a), fullCluster(a)];
      for (const [i, machine] of one.machines.entries()) {
        expect(renderUserData(two, two.machines[i] as Machine)).toBe(renderUserData(one, machine));
      }
    }
  });

  test("of a machine does not change when agents or datanodes come and go: it would be replaced", () => {
    for (const a of ARCHITECTURES) {
      const before = clusterOf(a, { agentCount: 5, datanodeCount: 4 });
      const after = clusterOf(a, { agentCount: 6, datanodeCount: 5, removedAgents: ["agent-5"] });
      for (const machine of before.machines.filter((m) => m.name !== "agent-5")) {
        expect(renderUserData(after, machineOf(after, machine.name)), `${a} ${machine.name}`).toBe(
          renderUserData(before, machine),
        );
      }
    }
  });

  // cloud-init reads with PyYAML, which ends lines at U+0085, U+2028 and U+2029 and refuses control characters.
  test.each([
    [`a"b'c\\d: #{e} %s $HOME \`id\` &*!|>`, false],
    ["é 雪 \u{1f600}", false],
    ["a\u2028runcmd: [reboot]", true],
    ["a\u2029runcmd: [reboot]", true],
    ["a\u0085runcmd: [reboot]", true],
    ["a\x7f\x01", true],
    ["  a", true],
  ])("keeps the password %j as it is", (odd, encoded) => {
    const cluster = clusterOf("standalone", { registry: "registry.example.org/team", registryUser: "robot" });
    const text = renderUserData(
      cluster,
      machineOf(cluster, "agent-1"),
      checkout,
      withHostKey("agent-1", () => odd),
    );
    expect(text).not.toMatch(/[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ufffd\u{10000}-\u{10ffff}]/u);
    const file = read(text).write_files.find((f) => f.path === "/etc/triplewide/pull-password");
    expect(file?.encoding).toBe(encoded ? "b64" : undefined);
    expect(Buffer.from(file?.content ?? "", encoded ? "base64" : "utf8").toString()).toBe(odd);
  });
});

describe("secrets", () => {
  test("of a machine are those of its group, and agents have none of a master's", () => {
    for (const { cluster, machine, text } of rendered) {
      const shared = cluster.secrets.filter((s) => s.groups.includes(machine.group)).map((s) => s.name);
      const held = [...shared, SECRET_NAMES.hostKeys];
      const found = new Set(secretsIn(text));
      expect(found.delete(HOST_KEY)).toBe(true);
      found.add(SECRET_NAMES.hostKeys);
      expect([...found].filter((name) => !held.includes(name))).toEqual([]);
      const asked = userDataReferences(cluster, machine).flatMap((r) => (r.kind === "secret" ? [r.name] : []));
      // The machine has a certificate made from the seed of the services' authority, but not the seed.
      if (cluster.secrets.some((s) => s.name === SECRET_NAMES.serviceAuthority)) {
        expect(found.has(SECRET_NAMES.serviceAuthority)).toBe(false);
        if (text.includes("{{certificate:")) found.add(SECRET_NAMES.serviceAuthority);
      }
      expect(asked.toSorted()).toEqual([...found].sort());
      if (machine.group !== "agent") continue;
      for (const name of ["mesos-admin", "mesos-spark", "mesos-marathon", "zookeeper-mesos", "marathon-http"]) {
        expect(found.has(name), `${cluster.architecture} ${name}`).toBe(false);
      }
    }
  });

  test("stand in files of root's alone, and in no command", () => {
    for (const { data } of rendered) {
      for (const file of data.write_files) {
        if (/\{\{(secret|key):/.test(file.content))
          expect(`${file.path} ${file.permissions}`).toBe(`${file.path} 0600`);
      }
      expect(JSON.stringify({ ...data, write_files: [], ssh_keys: {} })).not.toContain("{{secret:");
    }
  });

  test("to pull images are with the machines that pull, and no others", () => {
    const cluster = clusterOf("vanilla", { zookeeperPlacement: "own", namenodeCount: 1 });
    expect(cluster.secrets.find((s) => s.name === "registry")?.groups).toEqual([
      "client",
      "datanode",
      "master",
      "registry",
      "zookeeper",
    ]);
    const given = clusterOf("docker-executors", { registry: "registry.example.org/team", registryUser: "robot" });
    expect(given.secrets.find((s) => s.name === "registry-password")?.groups).toContain("agent");
    expect(fileOf(given, "agent-1", "/etc/triplewide/machine.env")).toContain(
      "REGISTRY=registry.example.org\nREGISTRY_USER=robot\n",
    );
    expect(fileOf(given, "agent-1", "/etc/docker/daemon.json")).not.toContain("bip");
    const trusting = (c: Cluster, name: string) =>
      read(renderUserData(c, machineOf(c, name))).write_files.filter(({ path }) =>
        path.startsWith("/etc/docker/certs.d/"),
      );
    expect(trusting(given, "agent-1")).toEqual([]);
    const moved = clusterOf("standalone", { dockerCidr: "10.200.0.0/24" });
    expect(JSON.parse(fileOf(moved, "agent-1", "/etc/docker/daemon.json"))).toMatchObject({ bip: "10.200.0.1/24" });
    for (const name of ["master-1", "agent-1", "client"]) {
      expect(fileOf(moved, name, "/etc/docker/daemon.json")).not.toContain("insecure-registries");
      expect(trusting(moved, name)).toMatchObject([
        { path: "/etc/docker/certs.d/10.72.0.12:5000/ca.crt", content: "{{certificate:service-authority}}" },
      ]);
    }
    const named = (key: string) =>
      moved.machines.filter((m) => renderUserData(moved, m).includes(key)).map((m) => m.name);
    expect(named("{{key:registry-registry}}")).toEqual(["registry"]);
  });
});

describe("services", () => {
  test("in containers have files of their own unless they are alike", () => {
    const cluster = clusterOf("standalone");
    const paths = read(renderUserData(cluster, machineOf(cluster, "master-1"))).write_files.map((f) => f.path);
    expect(paths).toContain("/etc/triplewide/spark-master/etc/spark/spark-defaults.conf");
    expect(paths.filter((p) => p.endsWith("/hdfs-site.xml"))).toHaveLength(1);
  });

  test("keep their data on the volume, and only where there is one", () => {
    const unit = "/etc/systemd/system/triplewide-zookeeper.service";
    const data = "/var/lib/triplewide/data/zookeeper/var/lib/zookeeper";
    expect(fileOf(clusterOf("standalone"), "master-1", unit)).toContain(`source=${data},target=/var/lib/zookeeper`);
    const without = fileOf(clusterOf("standalone", { dataVolumes: false }), "master-1", unit);
    expect(without).toContain("source=/var/lib/triplewide/zookeeper/var/lib/zookeeper,");
    expect(without).not.toContain("triplewide-volume");
  });

  test.each(ARCHITECTURES)(
    "%s: agents with a scratch volume leave shuffles there, and never on an empty mount point",
    (architecture) => {
      const cluster = clusterOf(architecture, { scratchGb: 50 });
      const { write_files: files } = read(renderUserData(cluster, machineOf(cluster, "agent-1")));
      const env = files.find((f) => f.path === "/etc/triplewide/machine.env")?.content;
      expect(env).toContain("VOLUME_GB=50\nVOLUME_LABEL=triplewide-temp\nVOLUME_MOUNT=/var/lib/spark/work\n");
      expect(files.map((f) => f.path)).toContain("/usr/local/sbin/triplewide-volume");
      const starts = cluster.services.find(
        (s) => s.machine === "agent-1" && /^(spark-worker|mesos-agent)$/.test(s.name),
      );
      const unit = files.find((f) => f.path === `/etc/systemd/system/triplewide-${starts?.name}.service`)?.content;
      expect(unit).toContain("RequiresMountsFor=/var/lib/spark/work");
      expect(unit).toContain("mountpoint -q /var/lib/spark/work");
      const master = read(renderUserData(cluster, machineOf(cluster, "master-1"))).write_files;
      expect(master.find((f) => f.path === "/etc/triplewide/machine.env")?.content).not.toContain(
        "/var/lib/spark/work",
      );
    },
  );

  test("are probed on the machine, where their files lie elsewhere", () => {
    expect(renderGates(clusterOf("mesos-in-docker"), "master")).toContain(
      "/etc/triplewide/mesos-master/etc/mesos/admin",
    );
    expect(renderGates(clusterOf("vanilla"), "master")).toContain("base64 -w0 /etc/mesos/admin");
  });

  test("without Docker leave Docker out", () => {
    const agent = read(renderUserData(clusterOf("vanilla"), machineOf(clusterOf("vanilla"), "agent-1")));
    expect(agent.write_files.map((f) => f.path)).not.toContain("/etc/docker/daemon.json");
  });
});

/** Parses a command line as systemd does. Written from its manual, independently of the code under test. */
function systemdWords(line: string): string[] {
  const argv: string[] = [];
  let current: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const c = line[i] as string;
    if (c === ";" && current === undefined && (line[i + 1] ?? " ") === " ") throw new Error("a second command");
    if (c === " ") {
      if (current !== undefined) argv.push(current);
      current = undefined;
    } else if (c === '"' || c === "'") {
      current ??= "";
      for (i++; line[i] !== c; i++) {
        if (i >= line.length) throw new Error("quotes are not closed");
        if (line[i] !== "\\") current += line[i];
        else if (line[++i] === "x") {
          current += String.fromCharCode(Number.parseInt(line.slice(i + 1, i + 3), 16));
          i += 2;
        } else if (line[i] === "\\" || line[i] === '"') current += line[i];
        else throw new Error(`unknown escape \\${line[i]}`);
      }
    } else if (c === "\\") throw new Error("an escape outside of quotes");
    else current = (current ?? "") + c;
  }
  if (current !== undefined) argv.push(current);
  return argv.map((word) =>
    word.replace(/%(.)|\$(.)|[%$]/g, (_, percent?: string, dollar?: string) => {
      if (percent === "%") return "%";
      if (dollar === "$") return "$";
      throw new Error(`${word} has a specifier or a variable`);
    }),
  );
}

describe("quoting", () => {
  const text = fc.string({ unit: fc.constantFrom(..."aZ09 \t\n\r\x01\x7f%$\"'\\`;#&|<>(){}[]*?!~=:,@é雪") });

  test("systemd reads back the arguments of a command line", () => {
    fc.assert(
      fc.property(fc.array(text), (args) => {
        const line = execLine(["/usr/bin/program", ...args]);
        expect(line).not.toMatch(/[\n\r]/);
        expect(systemdWords(line)).toEqual(["/usr/bin/program", ...args]);
      }),
    );
    expect(execLine(["/bin/x", ";"])).toBe('/bin/x ";"');
    expect(execLine(["/bin/x", ""])).toBe('/bin/x ""');
    expect(execLine(["/bin/x", "100%", "$HOME"])).toBe('/bin/x "100%%" "$$HOME"');
  });

  test("a program is an absolute path that needs no quotes", () => {
    for (const program of ["docker", "", "/bin/a b", "/bin/$x", "-/bin/x", "@/bin/x"]) {
      expect(() => execLine([program])).toThrow("not the absolute path of a program");
    }
  });

  test("bash reads back the words of a script", () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (args) => {
        const script = `printf '%s\\0' ${args.map(shellWord).join(" ")}`;
        const { stdout } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
        expect(stdout.split("\0").slice(0, -1)).toEqual(args);
      }),
      { numRuns: 30 },
    );
  });

  test("environment files hold one line for each variable", () => {
    expect(environmentFile({ B: 'a "b" $c \\d `e`', A: "" })).toBe('A=""\nB="a \\"b\\" \\$c \\\\d \\`e\\`"\n');
    expect(dockerEnvFile({ B: 'a "b" $c', A: "" })).toBe('A=\nB=a "b" $c\n');
    expect(() => dockerEnvFile({ A: "one\ntwo" })).toThrow("the value of A has more than one line");
  });
});

describe("the lock of the Python packages", () => {
  const unpack = (packed: string): string =>
    spawnSync("python3", [join(GUEST, "unpack-lock")], { input: packed, encoding: "utf8" }).stdout;

  test("comes back as it was, without its comments", () => {
    const { requirements } = checkout;
    const essence = (text: string): string =>
      text
        .split("\n")
        .filter((line) => !/^\s*(#|$)/.test(line))
        .map((line) => line.replace(/ \\$/, ""))
        .join("\n");
    expect(unpack(packLock(requirements)).trim()).toBeTruthy();
    expect(essence(unpack(packLock(requirements)))).toBe(essence(requirements));
    expect(packLock(requirements).length).toBeLessThan(requirements.length * 0.65);
  });

  test("a package without a hash is refused", () => {
    expect(() => packLock("numpy==1.26.4\n")).toThrow("numpy==1.26.4 has no hash");
  });
});

test("the guest's scripts are good bash", () => {
  const scripts = readdirSync(GUEST).filter((name) => name !== "unpack-lock");
  for (const name of scripts) {
    const { status, stderr } = spawnSync("bash", ["-n", join(GUEST, name)], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(readFileSync(join(GUEST, name), "utf8")).not.toMatch(/\{\{(secret|image):/);
  }
});
