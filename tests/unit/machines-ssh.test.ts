import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { shellQuote } from "../../lib/quote.ts";
import { Ssh, SshError, type SshOptions } from "../../machines/ssh.ts";

/**
 * `ssh` is played by a script: it writes down how it was called and with which configuration, keeps sessions of the
 * bastion open as the real one does, and runs commands here.
 */
const STUB = `#!/bin/bash
echo "$*" >> "$STUB/calls"
echo "$(< "$2")" > "$STUB/config"
command="\${@: -1}"
if [ "$command" = "echo open; exec cat" ]; then
  if [ -e "$STUB/bastion-down" ]; then echo "connect to host: Connection refused" >&2; exit 255; fi
  echo $$ >> "$STUB/sessions"
fi
eval "$command"
`;

/** A busy machine takes long to start a process. */
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });
const patient = { timeout: 10_000, interval: 5 };

let folder: string;
let ssh: Ssh | undefined;
const before = { PATH: process.env.PATH, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-test-"));
  for (const name of ["bin", "runtime"]) mkdirSync(join(folder, name));
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

const bastion = { name: "bastion", address: "198.51.100.9", serverId: "id-b" };
const agent = { name: "agent-1", address: "10.72.0.64", serverId: "id-a" };
const make = (over: Partial<SshOptions> = {}): Ssh => {
  ssh = new Ssh({ user: "debian", bastion, knownHostsFile: join(folder, "hosts", "known_hosts"), ...over });
  return ssh;
};
const text = (name: string): string => readFileSync(join(folder, name), "utf8");
const calls = (): string[] => text("calls").trim().split("\n");
/** Sessions held open at the bastion: their processes, as far as they live. */
const sessions = (): number[] => {
  const pids = text("sessions").trim().split("\n").map(Number);
  return pids.filter((pid) => {
    try {
      // 0 would be this very group of processes.
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

test("goes through one connection to the bastion, and knows each server by its id", async () => {
  const s = make();
  await Promise.all([s.run(agent, "true"), s.run({ ...agent, address: "10.72.0.65" }, "true")]);
  await s.run(bastion, "true");
  const config = text("config");
  expect(config).toContain("HostName 198.51.100.9\nHostKeyAlias id-b\n");
  for (const line of ["BatchMode yes", "StrictHostKeyChecking accept-new", "ConnectTimeout 10", "User debian"]) {
    expect(config).toContain(`\n${line}\n`);
  }
  expect(config).toContain(`UserKnownHostsFile "${join(folder, "hosts", "known_hosts")}"`);
  expect(config).not.toContain("IdentityFile");
  expect(calls().filter((line) => line.includes("ControlMaster=yes"))).toHaveLength(1);
  const [hop] = calls().filter((line) => line.endsWith(" -- 10.72.0.64 true"));
  expect(hop).toMatch(/-o HostKeyAlias=id-a -o ProxyCommand=ssh -F '.*' -W '\[%h\]:%p' -- triplewide_bastion /);
  expect(calls().at(-1)).toMatch(/-- triplewide_bastion true$/);
});

test("without a bastion goes straight there", async () => {
  ssh = new Ssh({ user: "debian", knownHostsFile: join(folder, "known_hosts"), port: 2222 });
  expect((await ssh.run({ name: "a", address: "10.0.0.1" }, "echo hi")).stdout).toBe("hi\n");
  expect(calls()).toHaveLength(1);
  expect(calls()[0]).toMatch(/-o HostKeyAlias=10.0.0.1 -- 10.0.0.1 echo hi$/);
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
    const ssh = new Ssh(${JSON.stringify({ user: "u", privateKey: "k", bastion, knownHostsFile: join(folder, "kh") })});
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
  // Ended, or ended and not yet collected by whoever inherited it.
  const state = () => spawnSync("ps", ["-o", "stat=", "-p", text("hop").trim()]).stdout.toString();
  await vi.waitFor(() => expect(state()).toMatch(/^(Z|$)/), patient);
  expect(result).toEqual({ code: 255, stdout: "started\n", stderr: "no answer within 1 s\n" });
});

test("only so many commands run at once, and all of them run", async () => {
  const s = make({ concurrency: 4 });
  const command = (n: number) => `echo >> "$STUB/started"; until [ -e "$STUB/go" ]; do sleep 0.01; done; echo ${n}`;
  const results = Promise.all(Array.from({ length: 12 }, (_, n) => s.run(agent, command(n))));
  const started = (): number => (existsSync(join(folder, "started")) ? text("started").length : 0);
  await expect.poll(started, patient).toBe(4);
  await new Promise((done) => setTimeout(done, 50));
  expect(started()).toBe(4);
  writeFileSync(join(folder, "go"), "");
  expect((await results).map((r) => r.stdout)).toEqual(Array.from({ length: 12 }, (_, n) => `${n}\n`));
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
  test("leads from a free port through the bastion, on a connection of its own, until it is stopped", async () => {
    const forward = await make().forward({ name: "registry", address: "10.72.0.12" }, 5000);
    expect(forward.port).toBeGreaterThan(1023);
    expect(calls()).toHaveLength(1);
    expect(calls()[0]).toContain(
      `-o ControlPath=none -o ExitOnForwardFailure=yes -L 127.0.0.1:${forward.port}:10.72.0.12:5000 -- triplewide_bastion`,
    );
    expect(sessions()).toHaveLength(1);
    await forward.stop();
    expect(sessions()).toEqual([]);
    await forward.stop();
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
      /^no tunnel from port \d+ of this machine to agent-1 port 5000: connect to host: Connection refused$/,
    );
  });
});

/** OpenSSH's server, where this machine has one that this user may run: root's needs a folder that its package makes. */
const MAY_RUN = process.getuid?.() !== 0 || existsSync("/run/sshd");
const SSHD = MAY_RUN && [process.env.SSHD, "/usr/sbin/sshd"].find((path) => path && existsSync(path));

describe.skipIf(!SSHD)("with a real OpenSSH", () => {
  test("commands, tunnel, host keys and the bastion's one connection work", async () => {
    process.env.PATH = before.PATH;
    const keygen = (file: string) =>
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, file)]);
    for (const file of ["host", "host-2", "user"]) keygen(file);
    const port = 20_000 + Math.floor(Math.random() * 20_000);
    const serve = async (hostKey: string) => {
      const config = [
        `Port ${port}`,
        "ListenAddress 127.0.0.1",
        "ListenAddress 127.0.0.2",
        `HostKey ${join(folder, hostKey)}`,
        `AuthorizedKeysFile ${join(folder, "user.pub")}`,
        "StrictModes no",
        "PidFile none",
        "LogLevel VERBOSE",
        "PermitRootLogin yes",
        // Here, one server plays all machines.
        "MaxStartups 100:30:100",
      ];
      writeFileSync(join(folder, "sshd_config"), config.join("\n"));
      const child = spawn(SSHD as string, ["-D", "-e", "-f", join(folder, "sshd_config")]);
      let log = "";
      child.stderr.on("data", (chunk) => (log += chunk));
      await expect.poll(() => log, patient).toContain("Server listening on 127.0.0.2");
      return { child, log: () => log };
    };
    let server = await serve("host");
    const echo = createServer((socket) => socket.pipe(socket));
    try {
      const s = new Ssh({
        user: userInfo().username,
        privateKey: text("user"),
        bastion: { name: "bastion", address: "127.0.0.1", serverId: "b" },
        knownHostsFile: join(folder, "known_hosts"),
        port,
      });
      ssh = s;
      const machine = { name: "agent-1", address: "127.0.0.2", serverId: "a" };
      const results = await Promise.all(Array.from({ length: 8 }, (_, n) => s.run(machine, `echo ${n}; exit ${n}`)));
      expect(results.map((r) => r.code)).toEqual(Array.from({ length: 8 }, (_, n) => n));
      // One login at the bastion for all of them.
      expect(server.log().match(/Accepted publickey/g)).toHaveLength(9);

      await new Promise<void>((done) => echo.listen(0, "127.0.0.1", done));
      const { port: echoPort } = echo.address() as { port: number };
      const forward = await s.forward({ name: "x", address: "127.0.0.1" }, echoPort);
      const socket = connect(forward.port, "127.0.0.1");
      socket.write("ping");
      expect(String((await once(socket, "data"))[0])).toBe("ping");
      socket.destroy();
      await forward.stop();
      await s.close();

      // A new server with a new key at the same address: refused under the old id, trusted under its own.
      server.child.kill();
      await once(server.child, "exit");
      server = await serve("host-2");
      const direct = new Ssh({
        user: userInfo().username,
        privateKey: text("user"),
        knownHostsFile: join(folder, "known_hosts"),
        port,
      });
      const changed = await direct.run(machine, "true");
      expect(changed.code).toBe(255);
      expect(changed.stderr).toContain("IDENTIFICATION HAS CHANGED");
      const replaced = await direct.run({ ...machine, serverId: "new" }, "echo trusted");
      await direct.close();
      expect(replaced.stdout).toBe("trusted\n");
    } finally {
      server.child.kill();
      echo.close();
    }
  }, 60_000);
});
