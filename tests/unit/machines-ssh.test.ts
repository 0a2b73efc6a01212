import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect as connectTo, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hostKey, knownHosts } from "../../cluster/host-keys.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { sshConfig } from "../../components/access.ts";
import { shellQuote } from "../../lib/quote.ts";
import { keyProblem } from "../../machines/keys.ts";
import { waitReady } from "../../machines/readiness.ts";
import { Ssh, type SshOptions } from "../../machines/ssh.ts";
import { SshError } from "../../machines/ssh-failures.ts";
import { CLOUD } from "../fixtures/configs.ts";

/**
 * A script stands in for `ssh`. It records its arguments and configuration, keeps sessions of the
 * bastion open as the real one does, and runs commands here.
 */
const STUB = `#!/bin/bash
[ "$1" != -G ] || exit 0
echo "$*" >> "$STUB/calls"
echo "$(< "$2")" > "$STUB/config"
command="\${@: -1}"
if [ "$command" = "echo open; exec cat" ]; then
  if [ -e "$STUB/bastion-down" ]; then echo "connect to host: Connection refused" >&2; exit 255; fi
  echo $$ >> "$STUB/sessions"
fi
eval "$command"
`;

/** Long timeouts, because a busy machine takes long to start a process. */
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });
const patient = { timeout: 10_000, interval: 5 };

let folder: string;
let ssh: Ssh | undefined;
const before = { PATH: process.env.PATH, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-test-"));
  for (const name of ["bin", "runtime"]) mkdirSync(join(folder, name), { mode: 0o700 });
  writeFileSync(join(folder, "bin", "ssh"), STUB);
  chmodSync(join(folder, "bin", "ssh"), 0o755);
  process.env.PATH = `${join(folder, "bin")}:${before.PATH}`;
  process.env.XDG_RUNTIME_DIR = join(folder, "runtime");
  process.env.STUB = folder;
});
afterEach(async () => {
  await ssh?.close();
  ssh = undefined;
  process.env.PATH = before.PATH;
  if (before.XDG_RUNTIME_DIR === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = before.XDG_RUNTIME_DIR;
  rmSync(folder, { recursive: true, force: true });
});

const bastion = { name: "bastion", address: "198.51.100.9", hostKeyAlias: "lab-bastion" };
const agent = { name: "agent-1", address: "10.72.0.64" };
const KNOWN = "lab-bastion,10.72.0.10 ecdsa-sha2-nistp256 AAAA\n";
const make = (over: Partial<SshOptions> = {}): Ssh => {
  ssh = new Ssh({ user: "debian", bastion, knownHosts: KNOWN, ...over });
  return ssh;
};
const text = (name: string): string => readFileSync(join(folder, name), "utf8");
const calls = (): string[] => text("calls").trim().split("\n");
/** Process ids of the open sessions at the bastion that still run. */
const sessions = (): number[] => {
  const pids = text("sessions").trim().split("\n").map(Number);
  return pids.filter((pid) => {
    try {
      // 0 would mean this process's own group.
      return pid > 1 && process.kill(pid, 0);
    } catch {
      return false;
    }
  });
};
const keyFolders = (): string[] => readdirSync(join(folder, "runtime"));

test("runs a command on a machine: its output, its exit code, its input", async () => {
  const result = await make().run(agent, "cat; echo problem >&2; exit 7", { input: "hello" });
  expect(result).toEqual({ code: 7, stdout: "hello", stderr: "problem\n" });
});

test("goes through one connection to the bastion, and believes only host keys that it was given", async () => {
  const s = make({ olderKnownHostsFile: join(folder, "older") });
  await Promise.all([s.run(agent, "true"), s.run({ ...agent, address: "10.72.0.65" }, "true")]);
  await s.run(bastion, "true");
  const config = text("config");
  expect(config).toContain("HostName 198.51.100.9\nHostKeyAlias lab-bastion\n");
  for (const line of ["BatchMode yes", "StrictHostKeyChecking yes", "ConnectTimeout 10", "User debian"]) {
    expect(config).toContain(`\n${line}\n`);
  }
  const [, given, older] = /\nUserKnownHostsFile "(.*)" "(.*)"\n/.exec(config) ?? [];
  expect(readFileSync(String(given), "utf8")).toBe(KNOWN);
  expect(older).toBe(join(folder, "older"));
  expect(config).not.toContain("IdentityFile");
  expect(calls().filter((line) => line.includes("ControlMaster=yes"))).toHaveLength(1);
  const [hop] = calls().filter((line) => line.endsWith(" -- 10.72.0.64 true"));
  expect(hop).toMatch(/-o HostKeyAlias=10.72.0.64 -o ProxyCommand=ssh -F '.*' -W '\[%h\]:%p' -- triplewide_bastion /);
  expect(calls().at(-1)).toMatch(/-- triplewide_bastion true$/);
});

test("without a bastion goes straight there", async () => {
  ssh = new Ssh({ user: "debian", knownHosts: "", port: 2222 });
  expect((await ssh.run({ name: "a", address: "10.0.0.1", hostKeyAlias: "id-a" }, "echo hi")).stdout).toBe("hi\n");
  expect(calls()).toHaveLength(1);
  expect(calls()[0]).toMatch(/-o HostKeyAlias=id-a -- 10.0.0.1 echo hi$/);
  expect(text("config")).toContain("Port 2222");
});

test("a bastion that is not there yet is no error, and is tried once for all that wait", async () => {
  writeFileSync(join(folder, "bastion-down"), "");
  const s = make();
  const results = await Promise.all([s.run(agent, "true"), s.run(agent, "true"), s.run(agent, "true")]);
  for (const result of results) {
    expect(result).toEqual({ code: 255, stdout: "", stderr: "bastion: connect to host: Connection refused" });
  }
  expect(calls()).toHaveLength(1);
  rmSync(join(folder, "bastion-down"));
  expect((await s.run(agent, "echo back")).stdout).toBe("back\n");
});

test("a connection to the bastion that ended is made again", async () => {
  const s = make();
  await s.run(agent, "true");
  for (const pid of sessions()) process.kill(pid);
  await expect.poll(sessions, patient).toEqual([]);
  const masters = async (): Promise<number> => {
    await s.run(agent, "true");
    return calls().filter((line) => line.includes("ControlMaster=yes")).length;
  };
  await expect.poll(masters, patient).toBe(2);
});

test("the key is a file that only this user reads, and is gone afterwards", async () => {
  const s = make({ privateKey: "-----BEGIN KEY-----\nabc\n-----END KEY-----" });
  await s.run(agent, "true");
  const [name] = keyFolders();
  expect(statSync(join(folder, "runtime", String(name), "key")).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "runtime", String(name))).mode & 0o777).toBe(0o700);
  expect(text(join("runtime", String(name), "key"))).toBe("-----BEGIN KEY-----\nabc\n-----END KEY-----\n");
  expect(text("config")).toMatch(/IdentityFile ".*\/key"\nIdentitiesOnly yes/);
  await s.close();
  expect(keyFolders()).toEqual([]);
});

test.each(["others may write to", "is another user's"])(
  "no key or setting goes into a session's folder that %s",
  async (which) => {
    const runtime = join(folder, "runtime");
    if (which.startsWith("others")) chmodSync(runtime, 0o777);
    // Only root can change a folder's owner. Other users test with a folder of root.
    else if (process.getuid?.() === 0) chownSync(runtime, 65534, 65534);
    else process.env.XDG_RUNTIME_DIR = "/dev/shm";
    const s = make();
    await s.run(agent, "true");
    const config = /^-F (\S+)/.exec(text("calls"))?.[1] ?? "";
    expect(dirname(dirname(config))).toBe(tmpdir());
    expect(keyFolders()).toEqual([]);
  },
);

test("once closed it stays closed, also for those that were waiting", async () => {
  const s = make({ concurrency: 1 });
  const waiting = Promise.all([s.run(agent, "exec sleep 30"), s.run(agent, "true"), s.run(bastion, "true")]);
  await expect.poll(() => existsSync(join(folder, "calls")) && calls().length, patient).toBe(2);
  await s.close();
  const closed = { code: 255, stdout: "", stderr: "the connections were closed" };
  expect((await waiting).slice(1)).toEqual([closed, closed]);
  expect(await s.run(agent, "true")).toEqual(closed);
  await expect(s.forward(agent, 80)).rejects.toThrow("the connections were closed");
  expect(keyFolders()).toEqual([]);
  expect(calls()).toHaveLength(2);
});

test.each(["exit", "SIGTERM"])("nothing is left when the program ends by %s without closing", async (how) => {
  const program = `
    import { Ssh } from ${JSON.stringify(join(import.meta.dirname, "../../machines/ssh.ts"))};
    const ssh = new Ssh(${JSON.stringify({ user: "u", privateKey: "k", bastion, knownHosts: "" })});
    await ssh.run(${JSON.stringify(agent)}, "true");
    ${how === "exit" ? "process.exit(3);" : "console.log('ready'); setInterval(() => {}, 1000);"}`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (how === "SIGTERM") {
    await once(child.stdout, "data");
    expect(keyFolders()).toHaveLength(1);
    child.kill("SIGTERM");
  }
  const [code, signal] = await once(child, "exit");
  expect(how === "exit" ? code : signal).toBe(how === "exit" ? 3 : "SIGTERM");
  expect(keyFolders()).toEqual([]);
});

test("a command that does not end is given up, with whatever the client started to get there", async () => {
  // As the hop through the bastion does, the one in the background keeps the client's pipes open.
  const command = 'sleep 300 & echo $! >"$STUB/hop"; echo started; wait';
  const result = await make().run(agent, command, { timeoutSeconds: 1 });
  // The process has ended, or is a zombie that its new parent has not collected yet.
  const state = () => spawnSync("ps", ["-o", "stat=", "-p", text("hop").trim()]).stdout.toString();
  await vi.waitFor(() => expect(state()).toMatch(/^(Z|$)/), patient);
  expect(result).toEqual({ code: 255, stdout: "started\n", stderr: "no answer within 1 s\n" });
});

test("only so many commands run at once, and all of them run", async () => {
  const s = make({ concurrency: 4 });
  // None ends before four of them run.
  const command = (n: number) =>
    `echo begin >> "$STUB/log"; until [ "$(grep -c begin "$STUB/log")" -ge 4 ]; do sleep 0.01; done; echo end >> "$STUB/log"; echo ${n}`;
  const results = await Promise.all(Array.from({ length: 12 }, (_, n) => s.run(agent, command(n))));
  expect(results.map((r) => r.stdout)).toEqual(Array.from({ length: 12 }, (_, n) => `${n}\n`));
  let running = 0;
  const atOnce = text("log")
    .trim()
    .split("\n")
    .map((line) => (running += line === "begin" ? 1 : -1));
  expect(Math.max(...atOnce)).toBe(4);
});

test("a machine without ssh is told to have one", async () => {
  process.env.PATH = join(folder, "runtime");
  await expect(make().run(agent, "true")).rejects.toThrow("install OpenSSH's client");
});

test("quotes survive any shell", () => {
  const word = `it's "$HOME" \`x\` \\ %h`;
  expect(execFileSync("sh", ["-c", `printf %s ${shellQuote(word)}`], { encoding: "utf8" })).toBe(word);
});

describe("a tunnel", () => {
  test("leads from a free port to the machine itself, on a connection of its own, until it is stopped", async () => {
    const s = make();
    const forward = await s.forward({ name: "registry", address: "10.72.0.12" }, 5001, 0, "127.0.0.1");
    expect(forward.port).toBeGreaterThan(1023);
    // The first call checks whether the bastion answers.
    expect(calls()).toHaveLength(2);
    expect(calls()[1]).toContain(
      `-o ControlPath=none -o ExitOnForwardFailure=yes -L 127.0.0.1:${forward.port}:127.0.0.1:5001 -o HostKeyAlias=10.72.0.12 -o ProxyCommand=ssh -F `,
    );
    expect(calls()[1]).toMatch(/ -o ControlPath=none -W '\[%h\]:%p' -- triplewide_bastion -- 10\.72\.0\.12 /);
    expect(sessions()).toHaveLength(2);
    await forward.stop();
    expect(sessions()).toHaveLength(1);
    await forward.stop();
    await s.close();
    expect(sessions()).toEqual([]);
  });

  test("says that its port is taken, or that the bastion is not there", async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
    const { port } = other.address() as { port: number };
    const taken = make().forward(agent, 5000, port);
    await expect(taken).rejects.toThrow(SshError);
    await expect(taken).rejects.toThrow(`port ${port} of this machine (127.0.0.1) is taken by another program`);
    other.close();
    writeFileSync(join(folder, "bastion-down"), "");
    await expect(make().forward(agent, 5000)).rejects.toThrow(
      /^no tunnel from port \d+ of this machine to agent-1 port 5000: bastion: connect to host: Connection refused$/,
    );
  });
});

/** Whether this user may run OpenSSH's server. As root it needs a folder that its package makes. */
const MAY_RUN = process.getuid?.() !== 0 || existsSync("/run/sshd");
const SSHD = MAY_RUN && [process.env.SSHD, "/usr/sbin/sshd"].find((path) => path && existsSync(path));

describe.skipIf(!SSHD)("with a real OpenSSH", () => {
  const cluster = describeCluster(validate({ ...CLOUD, architecture: "standalone", clusterName: "lab" }, "env"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const machine = { name: "agent-1", address: "127.0.0.2", hostKeyAlias: "lab-agent-1" };
  const gate = { name: "bastion", address: "127.0.0.1", hostKeyAlias: "lab-bastion" };
  const servers: ChildProcess[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.kill();
  });

  /** Starts a machine's SSH server at an address, with a host key. @returns A function that returns its log. */
  async function serve(address: string, privateKey: string, users = "user.pub"): Promise<() => string> {
    const name = (file: string): string => join(folder, `${address}-${file}`);
    writeFileSync(name("key"), privateKey, { mode: 0o600 });
    const config = [
      `Port ${port}`,
      `ListenAddress ${address}`,
      `HostKey ${name("key")}`,
      `AuthorizedKeysFile ${join(folder, users)}`,
      "StrictModes no",
      "PidFile none",
      "LogLevel VERBOSE",
      "PermitRootLogin yes",
      "MaxStartups 100:30:100",
    ];
    writeFileSync(name("config"), config.join("\n"));
    const child = spawn(SSHD as string, ["-D", "-e", "-f", name("config")]);
    servers.push(child);
    let log = "";
    child.stderr.on("data", (chunk) => (log += chunk));
    await expect.poll(() => log, patient).toContain(`Server listening on ${address}`);
    return () => log;
  }

  const optionsOf = (seed: string) => ({
    user: userInfo().username,
    bastion: gate,
    knownHosts: knownHosts(cluster, seed),
    port,
  });
  const connect = (seed: string, over: Partial<SshOptions> = {}): Ssh => {
    ssh = new Ssh({ ...optionsOf(seed), privateKey: text("user"), ...over });
    return ssh;
  };
  const keygen = (file: string, type: string): string => {
    execFileSync("ssh-keygen", ["-q", "-t", type, "-N", "", "-f", join(folder, file)]);
    return text(file);
  };
  beforeEach(() => {
    process.env.PATH = before.PATH;
    keygen("user", "ed25519");
  });

  test("commands, tunnel and the bastion's one connection work, with the host keys of the stack", async () => {
    const log = await serve("127.0.0.1", hostKey("seed", "bastion").privateKey);
    const inner = await serve("127.0.0.2", hostKey("seed", "agent-1").privateKey);
    const s = connect("seed");
    const results = await Promise.all(Array.from({ length: 8 }, (_, n) => s.run(machine, `echo ${n}; exit ${n}`)));
    expect(results.map((r) => r.code)).toEqual(Array.from({ length: 8 }, (_, n) => n));
    // One login at the bastion for all of them.
    expect(log().match(/Accepted publickey/g)).toHaveLength(1);
    expect(inner().match(/Accepted publickey/g)).toHaveLength(8);

    const echo = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((done) => echo.listen(0, "127.0.0.1", done));
    const { port: echoPort } = echo.address() as { port: number };
    const forward = await s.forward(machine, echoPort, 0, "127.0.0.1");
    const socket = connectTo(forward.port, "127.0.0.1");
    socket.write("ping");
    expect(String((await once(socket, "data"))[0])).toBe("ping");
    // One login at the bastion, not shared with other connections, and one at the machine, where the tunnel ends.
    expect(log().match(/Accepted publickey/g)).toHaveLength(2);
    expect(inner().match(/Accepted publickey/g)).toHaveLength(9);
    socket.destroy();
    await forward.stop();
    echo.close();
  }, 60_000);

  describe.each([
    ["another key", () => hostKey("another seed", "agent-1").privateKey],
    ["the key of another machine of the cluster", () => hostKey("seed", "agent-2").privateKey],
    ["a key of another kind", () => keygen("impostor", "ed25519")],
  ])("a machine with %s", (_, key) => {
    const names = /is not the one that the stack gave it|no host key of this kind is known/;

    test("gets no command, and fails the wait in seconds", async () => {
      await serve("127.0.0.1", hostKey("seed", "bastion").privateKey);
      const log = await serve("127.0.0.2", key());
      const s = connect("seed");
      const result = await s.run(machine, `touch ${join(folder, "ran")}`);
      expect(result).toMatchObject({ code: 255, refused: true, stdout: "" });
      const waiting = waitReady({ machines: [machine], ssh: s, timeoutSeconds: 600, clusterGate: false });
      await expect(waiting).rejects.toThrow(/^1 machine is not ready \(agent-1 is not trusted\):\n {2}agent-1: /);
      await expect(waiting).rejects.toThrow(names);
      expect(existsSync(join(folder, "ran"))).toBe(false);
      await expect(s.forward(machine, 5001)).rejects.toThrow(names);
      expect(log()).not.toContain("Accepted publickey");
    });

    test("in the bastion's place gets no command and no tunnel", async () => {
      const log = await serve("127.0.0.1", key());
      await serve("127.0.0.2", hostKey("seed", "agent-1").privateKey);
      const s = connect("seed");
      expect(await s.run(machine, "true")).toMatchObject({
        code: 255,
        refused: true,
        stderr: expect.stringMatching(names),
      });
      await expect(s.forward(machine, 5000)).rejects.toThrow(names);
      expect(log()).not.toContain("Accepted publickey");
    });
  });

  test("a machine that an older release made is known by its server, where its key was kept", async () => {
    await serve("127.0.0.2", keygen("older", "ed25519"));
    writeFileSync(join(folder, "older_hosts"), `id-a ${text("older.pub")}`);
    const there = { ...machine, hostKeyAlias: "id-a" };
    const s = new Ssh({
      user: userInfo().username,
      privateKey: text("user"),
      knownHosts: knownHosts(cluster, "seed"),
      olderKnownHostsFile: join(folder, "older_hosts"),
      port,
    });
    ssh = s;
    expect((await s.run(there, "echo known")).stdout).toBe("known\n");
    await s.close();
    rmSync(join(folder, "older_hosts"));
    expect((await connect("seed", { bastion: gate }).run(there, "true")).code).toBe(255);
  });

  describe("by the user's own settings", () => {
    /** The account's home, with these settings, a jump host and the keys that it knows. */
    const settings = (...lines: string[]): string => {
      const home = join(folder, "home");
      mkdirSync(join(home, ".ssh"), { recursive: true });
      const jump = [
        "Host jump also",
        "HostName 127.0.0.3",
        `Port ${port}`,
        `IdentityFile ${join(folder, "user")}`,
        `UserKnownHostsFile ${join(folder, "jump-known")}`,
      ];
      // Only the jump host and the keys may be taken from these settings.
      const others = ["Host *", "StrictHostKeyChecking no", "UserKnownHostsFile /dev/null", "Port 1", "User nobody"];
      writeFileSync(join(home, ".ssh", "config"), [...lines, ...jump, ...others].join("\n"));
      return home;
    };
    async function jumpHost(users?: string): Promise<() => string> {
      const log = await serve("127.0.0.3", keygen("jump", "ed25519"), users);
      writeFileSync(join(folder, "jump-known"), `[127.0.0.3]:${port} ${text("jump.pub")}`);
      return log;
    }
    const me = `User ${userInfo().username}`;

    test.each([
      ["the bastion's name", ["Host lab-bastion", "ProxyJump jump", "Host jump", me]],
      ["its address", ["Host 127.0.0.1", "ProxyJump jump", "Host jump", me]],
      ["several of them", ["Host lab-bastion", "ProxyJump jump,also", "Host jump also", me]],
      ["a command", ["Host lab-bastion", "ProxyCommand ssh -F %d/.ssh/config -W %h:%p jump", "Host jump", me]],
    ])("a jump host before the bastion, said for %s", async (what, lines) => {
      const home = settings(...lines.map((line) => line.replace("%d", join(folder, "home"))));
      const jump = await jumpHost();
      const gateway = await serve("127.0.0.1", hostKey("seed", "bastion").privateKey);
      const inner = await serve("127.0.0.2", hostKey("seed", "agent-1").privateKey);
      const s = connect("seed", { home });
      expect(await s.run(machine, "echo in")).toMatchObject({ code: 0, stdout: "in\n" });
      expect(await s.run(gate, "echo at the gate")).toMatchObject({ code: 0, stdout: "at the gate\n" });
      const logins = what === "several of them" ? 2 : 1;
      expect(jump().match(/Accepted publickey/g)).toHaveLength(logins);
      expect(gateway().match(/Accepted publickey/g)).toHaveLength(1);
      const forward = await s.forward(machine, port);
      const socket = connectTo(forward.port, "127.0.0.1");
      expect(String((await once(socket, "data"))[0])).toMatch(/^SSH-2.0/);
      expect(inner().match(/Accepted publickey/g)).toHaveLength(2);
      socket.destroy();
      await forward.stop();
    });

    test("whoever is behind the jump host has to show the stack's key all the same", async () => {
      await jumpHost();
      await serve("127.0.0.1", hostKey("another seed", "bastion").privateKey);
      const s = connect("seed", { home: settings("Host lab-bastion", "ProxyJump jump", "Host jump", me) });
      expect(await s.run(machine, "true")).toMatchObject({
        refused: true,
        stderr: expect.stringMatching("not the one"),
      });
    });

    test("a jump host that lets nobody in, or shows another key, is named; one that is not there is waited for", async () => {
      keygen("stranger", "ed25519");
      const log = await jumpHost("stranger.pub");
      const home = settings("Host lab-bastion", "ProxyJump jump", "Host jump", me);
      const said = async () => {
        const { code, denied, stderr } = await connect("seed", { home }).run(machine, "true");
        await ssh?.close();
        return `${code} ${denied} ${stderr}`;
      };
      expect(await said()).toMatch(
        /^255 true bastion: not reached by the jump host jump of your SSH settings: .*Permission denied \(/,
      );
      expect(log()).not.toContain("Accepted publickey");
      writeFileSync(join(folder, "jump-known"), `[127.0.0.3]:${port} ${text("stranger.pub")}`);
      // The settings say `StrictHostKeyChecking no`, which lets a new key pass and not a changed one.
      expect(await said()).toMatch(/^255 true bastion: not reached by the jump host jump of your SSH settings: /);
      for (const server of servers.splice(0)) {
        server.kill();
        await once(server, "exit");
      }
      expect(await said()).toMatch(
        /^255 undefined bastion: not reached by the jump host jump of your SSH settings: .*Connection refused/,
      );
    });

    test("a private key where the settings say, and one with a passphrase in the agent that they name", async () => {
      await serve("127.0.0.1", hostKey("seed", "bastion").privateKey);
      const inner = await serve("127.0.0.2", hostKey("seed", "agent-1").privateKey, "kept.pub");
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "a phrase", "-f", join(folder, "kept")]);
      writeFileSync(join(folder, "ask"), "#!/bin/sh\necho a phrase\n", { mode: 0o755 });
      const socket = join(folder, "agent socket");
      const agent = spawn("ssh-agent", ["-D", "-a", socket]);
      servers.push(agent);
      await expect.poll(() => existsSync(socket), patient).toBe(true);
      const env = {
        ...process.env,
        SSH_AUTH_SOCK: socket,
        SSH_ASKPASS: join(folder, "ask"),
        SSH_ASKPASS_REQUIRE: "force",
      };
      execFileSync("ssh-add", ["-q", join(folder, "kept")], { env, stdio: "ignore" });
      const lines = ["Host lab-bastion", `IdentityFile ${join(folder, "user")}`, `IdentityAgent "${socket}"`];
      ssh = new Ssh({ ...optionsOf("seed"), home: settings(...lines) });
      expect(await ssh.run(machine, "echo in")).toMatchObject({ code: 0, stdout: "in\n" });
      expect(inner()).toContain("Accepted publickey");
      const theirs = text("kept.pub");
      expect(await keyProblem(theirs, "lab-bastion", join(folder, "home"))).toBeUndefined();
      expect(await keyProblem(text("user.pub"), "lab-bastion", join(folder, "home"))).toBeUndefined();
      execFileSync("ssh-add", ["-q", "-D"], { env, stdio: "ignore" });
      expect(await keyProblem(theirs, "lab-bastion", join(folder, "home"))).toMatchObject({
        fix: expect.stringContaining("IdentityFile <its file> under Host lab-bastion"),
      });
    });

    test("settings that OpenSSH does not understand are said to be so", async () => {
      const s = connect("seed", { home: settings("Host lab-bastion", "ProxyJumpp jump") });
      await expect(s.run(machine, "true")).rejects.toThrow(
        /^SSH does not understand your own settings: .*line 2: Bad config/s,
      );
    });
  });

  test("a key that a machine, or the bastion, does not take is said at once, with what to mend", async () => {
    keygen("stranger", "ed25519");
    await serve("127.0.0.1", hostKey("seed", "bastion").privateKey);
    await serve("127.0.0.2", hostKey("seed", "agent-1").privateKey, "stranger.pub");
    const said = /^agent-1: SSH does not let \S+ in \(.*Permission denied \(publickey.*\)\. sshUser has to be /;
    expect(await connect("seed").run(machine, "true")).toMatchObject({
      denied: true,
      stderr: expect.stringMatching(said),
    });
    await ssh?.close();
    const stranger = connect("seed", { privateKey: text("stranger") });
    expect(await stranger.run(machine, "true")).toMatchObject({
      denied: true,
      stderr: expect.stringMatching(/^bastion: SSH does not/),
    });
    await expect(stranger.forward(machine, 5000)).rejects.toThrow("bastion: SSH does not let");
  });

  test("people's own ssh connects to the cluster's machines, and to no others", async () => {
    await serve("127.0.0.1", hostKey("seed", "bastion").privateKey);
    writeFileSync(join(folder, "known"), knownHosts(cluster, "seed"));
    const settings = sshConfig(cluster, "127.0.0.1")
      .replaceAll("~/.ssh/lab-known-hosts", join(folder, "known"))
      .replaceAll("~/.ssh/lab", join(folder, "user"))
      .replace(/^ {2}LocalForward (?!8090 ).*\n/gm, "")
      .replace(/LocalForward 8090 [\d.]+:8090/, `LocalForward ${port + 1} 127.0.0.2:${port}`)
      // The client is at an address of this machine, with its own port for its pages.
      .replace(/(Host lab-pages\n {2}HostName) [\d.]+\n/, `$1 127.0.0.2\n  HostKeyAlias lab-client\n`)
      .replace("User debian", `User ${userInfo().username}\n  Port ${port}\n  BatchMode yes`);
    writeFileSync(join(folder, "people"), settings);
    const reach = () =>
      spawnSync("ssh", ["-F", join(folder, "people"), "lab-bastion", "echo in"], { encoding: "utf8" });
    expect(reach()).toMatchObject({ status: 0, stdout: "in\n" });
    const client = await serve("127.0.0.2", hostKey("seed", "client").privateKey);
    const tunnel = spawn("ssh", ["-N", "-F", join(folder, "people"), "lab-pages"]);
    // The connection that forwards is the client's own, not the bastion's.
    await expect.poll(client, patient).toContain("Accepted publickey");
    const page = () =>
      new Promise<string>((told) => {
        const socket = connectTo(port + 1, "127.0.0.1", () => socket.once("data", (data) => told(String(data))));
        socket.once("error", () => told("")).once("data", () => socket.destroy());
      });
    await expect.poll(page, patient).toMatch(/^SSH-2.0/);
    tunnel.kill();
    await once(tunnel, "exit");
    for (const server of servers.splice(0)) {
      server.kill();
      await once(server, "exit");
    }
    const log = await serve("127.0.0.1", hostKey("another seed", "bastion").privateKey);
    expect(reach()).toMatchObject({ status: 255, stderr: expect.stringContaining("Host key verification failed") });
    expect(log()).not.toContain("Accepted publickey");
  });
});
