import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** Scripts of the machines, with stand-ins for the programs that they call. Tests with real machines are in tests/machine. */

const folder = mkdtempSync(join(tmpdir(), "triplewide-guest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(script: string, args: string[], programs: Record<string, string>): { code: number | null; said: string } {
  for (const [name, content] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/bash\n${content}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const { status, stdout, stderr } = spawnSync("bash", [join(ROOT, "render/cloud-init/guest", script), ...args], {
    env: { PATH: `${folder}:${process.env.PATH}` },
    encoding: "utf8",
  });
  return { code: status, said: `${stdout}${stderr}`.trim() };
}

test.for([
  [1450, { mtu: 1450, "live-restore": true }],
  [1500, { "live-restore": true }],
  [9000, { "live-restore": true }],
] as const)("Docker's networks follow an interface with an MTU of %i", ([mtu, settings]) => {
  const file = join(folder, "daemon.json");
  writeFileSync(file, JSON.stringify({ "live-restore": true }, null, 2));
  const boot = readFileSync(join(ROOT, "render/cloud-init/guest/boot"), "utf8");
  const [body = ""] = /^fit_mtu\(\) \{\n[\s\S]*?\n\}$/m.exec(boot) ?? [];
  writeFileSync(join(folder, "fit"), `set -Eeuo pipefail\n${body}\nfit_mtu ${file}\nfit_mtu ${file}\n`);
  const ip = `case "$*" in
    "-4 route show default") echo "default via 10.0.0.1 dev ens3 proto dhcp src 10.0.0.9 metric 100";;
    "-o link show ens3") echo "2: ens3: <BROADCAST,UP> mtu ${mtu} qdisc fq_codel state UP mode DEFAULT group default";;
    *) exit 1;; esac`;
  writeFileSync(join(folder, "ip"), `#!/bin/bash\n${ip}\n`);
  chmodSync(join(folder, "ip"), 0o755);
  const { status, stderr } = spawnSync("bash", [join(folder, "fit")], {
    env: { PATH: `${folder}:${process.env.PATH}` },
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(settings);
});

describe("triplewide-executor-image", () => {
  const check = (docker: string, python = "3.11", pull = "exit 0") =>
    run("executor-image", ["registry/image@sha256:1", python], { docker, "triplewide-pull": pull });

  test("an image with Spark and the drivers' Python will do", () => {
    expect(check("echo 3.11")).toEqual({ code: 0, said: "" });
    expect(check("echo WARNING: no swap limit >&2; echo 3.11")).toEqual({ code: 0, said: "" });
  });

  test("an image without Spark, or without Python, is refused with what it lacks", () => {
    expect(check("echo 'it holds no Spark at /opt/spark' >&2; exit 1")).toEqual({
      code: 1,
      said: "no executor can start in registry/image@sha256:1: it holds no Spark at /opt/spark",
    });
    expect(check("echo one; echo '/bin/sh: 2: exec: /opt/venv/bin/python3: not found' >&2; exit 127")).toEqual({
      code: 1,
      said: "no executor can start in registry/image@sha256:1: /bin/sh: 2: exec: /opt/venv/bin/python3: not found",
    });
  });

  test("another version of Python is refused, unless nobody knows the drivers'", () => {
    expect(check("echo 3.12")).toEqual({
      code: 1,
      said: "no executor can start in registry/image@sha256:1: it holds Python 3.12, and drivers have 3.11",
    });
    expect(check("echo 3.12", "")).toEqual({ code: 0, said: "" });
  });

  test("an image that cannot be pulled is not looked into", () => {
    expect(check("echo looked", "3.11", "echo cannot pull; exit 1")).toEqual({ code: 1, said: "cannot pull" });
  });
});

describe("a machine's control groups", () => {
  /** Runs `fit_cgroups` on a machine with a version of control groups and a Mesos whose library holds these words. */
  function groupsOf(boots: 1 | 2, words: string, wanted = ""): string {
    const home = mkdtempSync(join(folder, "mesos-"));
    mkdirSync(join(home, "lib"));
    writeFileSync(join(home, "lib", "libmesos.so"), words);
    writeFileSync(join(home, "agent"), "#!/bin/sh\necho mesos 1.11.0\n", { mode: 0o755 });
    const text = readFileSync(join(ROOT, "render/cloud-init/guest/mesos"), "utf8");
    const script = [
      text
        .slice(text.indexOf("fit_cgroups() {"))
        .replaceAll("/etc/default", home)
        .replaceAll("/var/lib/triplewide", home),
      `MESOS=${home} MESOS_AGENT=${home}/agent MESOS_CGROUPS=${wanted}`,
      `stat() { echo ${boots === 2 ? "cgroup2fs" : "tmpfs"}; }`,
      'die() { echo "died: $1"; exit 1; }; say() { echo "$1"; }; update-grub() { :; }; sleep() { exit; }',
      'systemctl() { echo "systemctl $*"; }',
      "fit_cgroups; echo as it is",
    ];
    const { stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", script.join("\n")], {
      encoding: "utf8",
      // Standard input is no socket: Debian's bash would take one for a network login, and read /etc/bash.bashrc.
      stdio: ["ignore", "pipe", "pipe"],
    });
    return `${stdout}${stderr}`.trim();
  }
  const [one, two] = ["cpu.cfs_quota_us", "cgroup.subtree_control"];
  const reboots = /rebooting with them\nsystemctl reboot$/;

  test("follow what Mesos has code for: only one that knows version 1 alone makes a machine reboot", () => {
    expect(groupsOf(2, one)).toMatch(reboots);
    for (const words of [two, `${one} ${two}`, "neither"]) expect(groupsOf(2, words)).toBe("as it is");
    for (const words of [one, two]) expect(groupsOf(1, words)).toBe("as it is");
  });

  test("are version 1 in any case, or version 2 and nothing else, where the config says so", () => {
    expect(groupsOf(2, `${one} ${two}`, "1")).toMatch(reboots);
    expect(groupsOf(1, one, "1")).toBe("as it is");
    expect(groupsOf(2, two, "2")).toBe("as it is");
    expect(groupsOf(2, one, "2")).toBe("died: mesosCgroups: 2, and mesos 1.11.0 has code for version 1 alone");
    expect(groupsOf(1, two, "2")).toBe(
      "died: mesosCgroups: 2, and this guest image boots with control groups version 1",
    );
  });
});

test("nobody but root may write where an archive's Mesos was put, whatever its modes were", () => {
  const home = mkdtempSync(join(folder, "archive-"));
  const sbin = join(home, "fetched", "tree", "prefix", "sbin");
  mkdirSync(sbin, { recursive: true });
  const agent = join(sbin, "mesos-agent");
  writeFileSync(agent, "#!/bin/sh\necho mesos 1.11.0\n");
  chmodSync(agent, 0o6777);
  chmodSync(sbin, 0o777);
  const text = readFileSync(join(ROOT, "render/cloud-init/guest/mesos"), "utf8");
  const script = [
    text
      .replaceAll("/opt/mesos", join(home, "mesos"))
      .replaceAll("/var/cache/triplewide/mesos", join(home, "fetched"))
      .replaceAll("/etc/ld.so.conf.d", home),
    'packages() { :; }; ldconfig() { :; }; missing_libraries() { :; }; say() { echo "$1"; }; die() { echo "$1"; exit 1; }',
    `install_mesos; find ${join(home, "mesos")} -perm /6022`,
  ];
  const { stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", script.join("\n")], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  expect(`${stdout}${stderr}`).toBe("mesos 1.11.0 installed\n");
});

test("triplewide-users leads ports of each user to their server alone, and puts each wall up once", () => {
  const args = ["tw-user", "10.72.0.11", "8003", "1002", "10.72.192.0", "20000", "64", "128"];
  const walls = join(folder, "walls");
  writeFileSync(walls, "");
  // Like iptables, -C fails for a rule that -I has not added.
  const iptables = `what="$3 \${*:5}"
if [[ $4 == -C ]]; then grep -qxF -- "$what" ${walls}; else echo "$what" >>${walls}; fi`;
  const programs = { "iptables-restore": "cat", iptables };
  const { code, said } = run("users", args, programs);
  expect([code, run("users", args, programs).said]).toEqual([0, said]);
  const rules = said.split("\n");
  expect(rules.filter((rule) => rule.includes("DNAT --to"))).toHaveLength(128);
  expect(rules).toContain("-A TRIPLEWIDE-USERS -p tcp --dport 20000:20063 -j DNAT --to-destination 10.72.192.6");
  expect(rules).toContain("-A TRIPLEWIDE-USERS -p tcp --dport 28128:28191 -j DNAT --to-destination 10.72.194.2");
  // The first rule refuses connections between users' servers, before any rule that accepts.
  expect(rules.filter((rule) => rule.startsWith("-A TRIPLEWIDE-USERS -") && !rule.includes("DNAT --to"))[0]).toBe(
    "-A TRIPLEWIDE-USERS -i tw-user+ -o tw-user+ -j REJECT",
  );
  expect(rules.filter((rule) => rule.startsWith("-A TRIPLEWIDE-USERS-IN"))).toEqual([
    "-A TRIPLEWIDE-USERS-IN -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "-A TRIPLEWIDE-USERS-IN -d 10.72.0.11 -p tcp --dport 8003 -j ACCEPT",
    "-A TRIPLEWIDE-USERS-IN -j REJECT",
  ]);
  expect(readFileSync(walls, "utf8").trim().split("\n")).toEqual([
    "nat PREROUTING -d 10.72.0.11 -p tcp --dport 20000:28191 -j TRIPLEWIDE-USERS",
    "filter INPUT -i tw-user+ -j TRIPLEWIDE-USERS-IN",
    "filter OUTPUT -o tw-user+ -j TRIPLEWIDE-USERS-OUT",
    "filter DOCKER-USER -i tw-user+ -j TRIPLEWIDE-USERS",
    "filter DOCKER-USER -o tw-user+ -j TRIPLEWIDE-USERS",
  ]);
});

describe("triplewide-shared", () => {
  /** Runs the script with a folder of this test as the machine's. */
  const mount = (programs: Record<string, string>, further = "") => {
    const env = join(folder, "machine.env");
    writeFileSync(env, `SHARED_SOURCE=10.254.0.5:/shares/1\nSHARED_FOLDER=${folder}/work\nSHARED_UID=1000\n${further}`);
    const script = readFileSync(join(ROOT, "render/cloud-init/guest/shared"), "utf8");
    writeFileSync(join(folder, "shared"), script.replace("/etc/triplewide/machine.env", env));
    for (const name of ["mountpoint", "timeout", "mount", "stat", "chown", "chmod", "umount"]) {
      const say = `echo ${name} "$@" >>${folder}/calls`;
      writeFileSync(join(folder, name), `#!/bin/bash\n${say}\n${programs[name] ?? "true"}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    writeFileSync(join(folder, "calls"), "");
    const { status, stdout } = spawnSync("bash", [join(folder, "shared")], {
      env: { PATH: `${folder}:${process.env.PATH}` },
      encoding: "utf8",
    });
    const calls = readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
    return { status, said: stdout.trim(), calls: calls.map((line) => line.replaceAll(folder, "")) };
  };
  const first = { mountpoint: "exit 1" };

  test("waits for the share's own server, mounts it, and leaves what it has to its owner", () => {
    const { status, said, calls } = mount({ ...first, stat: "echo 1000" });
    expect([status, said.replaceAll(folder, "")]).toEqual([0, "10.254.0.5:/shares/1 is mounted at /work"]);
    expect(calls).toEqual([
      "mountpoint -q /work",
      "timeout 5 bash -c exec 3<>/dev/tcp/10.254.0.5/2049",
      "mount -t nfs4 -o hard,noatime,nosuid,nodev 10.254.0.5:/shares/1 /work",
      "stat -c %u /work",
    ]);
  });

  test("mounts further folders after it, each where its server has it", () => {
    const { status, calls } = mount({ ...first, stat: "echo 1000" }, `SHARED_FURTHER=(${folder}/users)\n`);
    expect(status).toBe(0);
    expect(calls.slice(-2)).toEqual([
      "timeout 5 bash -c exec 3<>/dev/tcp/10.254.0.5/2049",
      "mount -t nfs4 -o hard,noatime,nosuid,nodev 10.254.0.5:/users /users",
    ]);
  });

  test("gives a new share to Spark's user", () => {
    const { status, calls } = mount({ ...first, stat: "echo 0" });
    expect(status).toBe(0);
    expect(calls.slice(-2)).toEqual(["chown 1000:1000 /work", "chmod 0700 /work"]);
  });

  test("says what to set where root may not, and leaves nothing mounted that Spark's user cannot write to", () => {
    const { status, said, calls } = mount({ ...first, stat: "echo 65534", chown: "exit 1" });
    expect([status, calls.at(-1)]).toEqual([1, "umount /work"]);
    expect(said).toMatch(/root squash\): name another shareType, or set sharedStorage to nfs$/);
  });
});

test("an agent of Mesos starts once its machine's shuffle service listens", async () => {
  const bin = mkdtempSync(join(folder, "agent-"));
  const program = (name: string, content: string): string => {
    writeFileSync(join(bin, name), `#!/bin/bash\n${content}\n`, { mode: 0o755 });
    return join(bin, name);
  };
  program("sleep", "echo waits; exec /bin/sleep 0.05");
  const agent = program("mesos-agent", "echo agent");
  const server = createServer();
  const listen = (port: number) =>
    new Promise<number>((resolve) =>
      server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)),
    );
  const port = await listen(0);
  await new Promise((resolve) => server.close(resolve));

  const script = join(ROOT, "cluster/services/mesos/agent.sh");
  const env = { PATH: `${bin}:${process.env.PATH}` };
  const child = spawn("bash", [script, `127.0.0.1/${port}`, "", "", agent, bin], { env });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (!server.listening && !said.includes("agent")) void listen(port);
  });
  await new Promise((resolve) => child.on("close", resolve));
  server.close();
  expect(said).toMatch(/^(waits\n)+agent\n$/);
  // Without a shuffle service there is nothing to wait for.
  const other = spawnSync("bash", [script, "", "", "", agent, bin], { encoding: "utf8" });
  expect(other.stdout).toBe("agent\n");
});

test("the shuffle service's Spark holds no device, no pipe and no set-user-id program, whatever is in the tarball that root unpacks", () => {
  const home = mkdtempSync(join(folder, "bring-"));
  const source = join(home, "source", "spark-3.5");
  mkdirSync(join(source, "bin"), { recursive: true });
  writeFileSync(join(source, "bin", "spark-class"), "#!/bin/sh\n");
  chmodSync(join(source, "bin", "spark-class"), 0o6777);
  // A pipe in place of a device, which root alone can make.
  spawnSync("mkfifo", ["-m", "0666", join(source, "disk")]);
  spawnSync("tar", ["czf", join(home, "spark.tgz"), "-C", join(home, "source"), "spark-3.5"]);
  const target = join(home, "spark");
  const script = join(ROOT, "cluster/services/mesos/bring-spark.sh");
  const { status, stderr } = spawnSync("bash", [script, `file://${join(home, "spark.tgz")}`, target, "false"], {
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const found = spawnSync("find", [target, "-mindepth", "1", "-printf", "%P %y %m\n"], { encoding: "utf8" });
  expect(found.stdout.trim().split("\n").sort()).toEqual(["bin d 755", "bin/spark-class f 755"]);
});

test.each([
  ["of version 1 bound all tasks together", "300", "pids", "cpu,cgroups/pids", "300\n"],
  ["of version 2 have no isolator for that", "300", "", "cpu", undefined],
  ["of a laptop are not the agent's", "", "pids", "cpu", undefined],
])("an agent's control groups %s", (_, processes, there, isolation, bound) => {
  const groups = mkdtempSync(join(folder, "groups-"));
  mkdirSync(join(groups, there), { recursive: true });
  const agent = join(groups, "mesos-agent");
  writeFileSync(agent, '#!/bin/bash\necho "$MESOS_isolation"\n', { mode: 0o755 });
  const script = join(ROOT, "cluster/services/mesos/agent.sh");
  const env = { ...process.env, CGROUPS: groups, MESOS_isolation: "cpu" };
  const { stdout } = spawnSync("bash", [script, "", "", processes, agent, groups], { encoding: "utf8", env });
  expect(stdout).toBe(`${isolation}\n`);
  const limit = join(groups, "pids/mesos/pids.max");
  expect(existsSync(limit) ? readFileSync(limit, "utf8") : undefined).toBe(bound);
});

test("an agent that starts in a container removes the containers of tasks that the last one left, and those of no other machine", () => {
  const home = mkdtempSync(join(folder, "left-"));
  writeFileSync(join(home, "container"), "SELF=a1\nMACHINE=c-agent-1\nPROJECT=triplewide-c\n");
  writeFileSync(join(home, "agent"), "#!/bin/sh\necho agent\n", { mode: 0o755 });
  const docker = '#!/bin/bash\necho "$*" >>"$CALLS"\n[[ $1 != ps ]] || printf "%s" "$LEFT"\n';
  writeFileSync(join(home, "docker"), docker, { mode: 0o755 });
  const starts = (container: string, left: string, launcher = join(home, "launcher")): string[] => {
    const calls = join(mkdtempSync(join(home, "calls-")), "calls");
    writeFileSync(calls, "");
    const env = { PATH: `${home}:${process.env.PATH}`, CALLS: calls, LEFT: left, CONTAINER: join(home, container) };
    const script = join(ROOT, "cluster/services/mesos/agent.sh");
    const { stdout, stderr } = spawnSync("bash", [script, "", launcher, "", join(home, "agent"), home], {
      encoding: "utf8",
      env,
    });
    expect({ stdout, stderr }).toEqual({ stdout: "agent\n", stderr: "" });
    return readFileSync(calls, "utf8").split("\n").slice(0, -1);
  };
  const looks = "ps --all --quiet --filter label=triplewide.machine=c-agent-1 --filter label=triplewide.tasks";
  expect(starts("container", "t1\nt2\n")).toEqual([looks, "rm --force --volumes t1 t2"]);
  expect(starts("container", "")).toEqual([looks]);
  // Containers are removed only where the agent runs in a container and its tasks are containers: on a machine, executors outlive their agent.
  expect(starts("none", "t1\n")).toEqual([]);
  expect(starts("container", "t1\n", "")).toEqual([]);
});

test("what stopped a first boot is said, however much the log says after it", () => {
  const log = join(folder, "cloud-init-output.log");
  const after = ["ci-info: | ssh-ed25519 |", "<14>Nov 27 10:05:10 cloud-init: ###", ...Array(40).fill("downloading")];
  writeFileSync(log, ["triplewide    9s failed: mesosSource: another digest", ...after, ""].join("\n"));
  const text = readFileSync(join(ROOT, "render/cloud-init/guest/ready"), "utf8");
  const functions = ["last_lines", "of_first_boot"].map(
    (name) => new RegExp(`^${name}\\(\\) \\{(?:.*\\}$|\\n[^]*?\\n\\}$)`, "m").exec(text)?.[0] ?? `no ${name}`,
  );
  writeFileSync(join(folder, "said"), `LINES_SHOWN=20 log=${log}\n${functions.join("\n")}\nof_first_boot\n`);
  const { stdout } = spawnSync("bash", [join(folder, "said")], { encoding: "utf8" });
  const lines = stdout.trimEnd().split("\n");
  expect(lines).toHaveLength(20);
  expect(lines.at(-1)).toBe("    triplewide    9s failed: mesosSource: another digest");
  expect(stdout).not.toMatch(/ci-info|<14>/);
});
