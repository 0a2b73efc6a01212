import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { shellQuote } from "../lib/quote.ts";
import {
  DENIED,
  type Failure,
  impostor,
  lastLine,
  notInstalled,
  SshError,
  type SshResult,
  UNREACHABLE,
  unreached,
} from "./ssh-failures.ts";
import { cleanUpAtExit, collect, opened, signal, stop } from "./ssh-process.ts";
import { type OwnSettings, ownSettings } from "./ssh-settings.ts";

export { type SshResult, UNREACHABLE } from "./ssh-failures.ts";

/**
 * The cluster's machines by SSH, with the system's own client: it knows agents, hardware keys and every cipher. All
 * connections go through one connection to the bastion, so that asking 1,000 agents costs the bastion one login.
 */

/** A machine to reach by SSH. */
export interface SshTarget {
  /** Machine name, for messages. */
  name: string;
  address: string;
  /**
   * Name under which its host key is known.
   * @default the address
   */
  hostKeyAlias?: string;
}

export interface SshOptions {
  /** Login user of every machine. */
  user: string;
  /** Private key (its text); default: the keys that the user's own agent, settings and `~/.ssh` have. */
  privateKey?: string;
  /** Machine through which all others are reached; default: they are reached directly. */
  bastion?: SshTarget;
  /** Host keys, as lines of `known_hosts`. A machine that shows another one is not connected to. */
  knownHosts: string;
  /**
   * One more file with host keys, which may be missing.
   * @default none
   */
  olderKnownHostsFile?: string;
  /** Commands at the same time; default 32. */
  concurrency?: number;
  /** Seconds to connect; default 10. */
  connectTimeoutSeconds?: number;
  /** SSH port of every machine; default 22. */
  port?: number;
  /** Folder with the user's `.ssh`; default: that of the account, as OpenSSH has it. */
  home?: string;
}

export interface RunOptions {
  /** Seconds after which the command is given up with code 255; default 60. */
  timeoutSeconds?: number;
  /** Text for the command's standard input; default none. */
  input?: string;
}

export interface Forward {
  /** Port on 127.0.0.1 of this machine. */
  port: number;
  /** Resolves when the connection is gone, whoever ended it. */
  ended: Promise<unknown>;
  stop(): Promise<void>;
}

/** Name of the bastion in the client's configuration: no host can have it. */
const BASTION = "triplewide_bastion";
/** Prints a line when the session is open, then runs until its standard input ends, which is when this program ends. */
const HOLD = "echo open; exec cat";
const CLOSED = "the connections were closed";

/**
 * Runs commands on a cluster's machines. Of the user's own `~/.ssh/config` the jump host before the bastion and the keys count, and
 * nothing else: whom to trust is the stack's to say.
 */
export class Ssh {
  readonly #options: SshOptions;
  readonly #children = new Set<ChildProcess>();
  readonly #waiting: (() => void)[] = [];
  #free: number;
  #folder: string | undefined;
  #closed = false;
  /** Of the user's settings, what counts for the bastion; empty without one. */
  #settings: { keys: string[]; way: string[] } = { keys: [], way: [] };
  /** What the user's settings say of a machine, by its address. */
  readonly #own = new Map<string, Promise<OwnSettings>>();
  /** The connection to the bastion that all others go through; why there is none, where there is none. */
  #master: Promise<Failure | undefined> | undefined;

  constructor(options: SshOptions) {
    this.#options = options;
    this.#free = options.concurrency ?? 32;
  }

  /**
   * Runs a shell command. An unreachable machine is no error: that is code 255.
   *
   * @throws SshError when this machine has no `ssh`.
   */
  async run(target: SshTarget, command: string, options: RunOptions = {}): Promise<SshResult> {
    await this.#slot();
    try {
      const error = await this.#openBastion();
      if (error) return unreached("", error);
      const route = await this.#route(target);
      const result = await this.#spawn([...route, command], options);
      const failure = result.code === UNREACHABLE ? await this.#explain(target, result.stderr) : undefined;
      return failure ? unreached(result.stdout, failure) : result;
    } finally {
      this.#free++;
      this.#waiting.shift()?.();
    }
  }

  /**
   * Opens a port on this machine that leads to a port of a machine. SSH encrypts up to that machine, not to the bastion alone.
   *
   * @param remotePort Port as the machine itself reaches it, at `remoteAddress`.
   * @param localPort Port on 127.0.0.1; 0 (the default): any free one.
   * @param remoteAddress Default: the machine's address.
   * @throws SshError when the port is taken, or the machine or the bastion cannot be reached.
   */
  async forward(
    target: SshTarget,
    remotePort: number,
    localPort = 0,
    remoteAddress = target.address,
  ): Promise<Forward> {
    if (this.#closed) throw new SshError(`no tunnel to ${target.name}: ${CLOSED}`);
    const port = await freePort(localPort);
    const tunnel = `127.0.0.1:${port}:${bracketed(remoteAddress)}:${remotePort}`;
    const none = (why: string) =>
      new SshError(`no tunnel from port ${port} of this machine to ${target.name} port ${remotePort}: ${why}`);
    // The bastion first: what is said of both looks the same.
    const failure = await this.#openBastion();
    if (failure) throw none(failure.why);
    // A connection of its own, through the bastion as well: gigabytes of images shall not delay the commands.
    const route = await this.#route(target, "-o ControlPath=none ");
    const child = this.#start([
      ...["-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes", "-L", tunnel],
      ...route,
      HOLD,
    ]);
    const error = await opened(child);
    if (error) throw none(((await this.#explain(target, error)) ?? { why: `${target.name}: ${error}` }).why);
    const ended = child.exitCode === null && child.signalCode === null ? once(child, "close") : Promise.resolve();
    return { port, ended, stop: () => stop(child) };
  }

  /** Ends every connection, for good, and removes the key from the disk. Happens at the program's end, too. */
  async close(): Promise<void> {
    this.#closed = true;
    const children = [...this.#children];
    for (const child of children) signal(child, "SIGTERM");
    await Promise.all(children.map(stop));
    this.#remove();
  }

  async #slot(): Promise<void> {
    while (this.#free <= 0) await new Promise<void>((go) => this.#waiting.push(go));
    this.#free--;
  }

  /** Opens the connection to the bastion once for all callers. Returns why that failed, where it did. */
  #openBastion(): Promise<Failure | undefined> {
    if (this.#closed) return Promise.resolve({ why: CLOSED });
    if (!this.#options.bastion) return Promise.resolve(undefined);
    if (!this.#master) {
      const attempt = this.#connectBastion(this.#options.bastion, () => {
        if (this.#master === attempt) this.#master = undefined;
      });
      this.#master = attempt;
    }
    return this.#master;
  }

  async #connectBastion(bastion: SshTarget, ended: () => void): Promise<Failure | undefined> {
    try {
      const route = await this.#route(bastion);
      if (this.#closed) return { why: CLOSED };
      const child = this.#start(["-o", "ControlMaster=yes", ...route, HOLD]);
      child.once("exit", ended);
      child.once("error", ended);
      const error = await opened(child);
      return error ? ((await this.#explain(bastion, error)) ?? { why: `${bastion.name}: ${error}` }) : undefined;
    } catch (error) {
      ended();
      throw error;
    }
  }

  /**
   * Arguments that lead to a machine: by the bastion where there is one, and to the bastion as the user's own settings say.
   *
   * @param toBastion Options for the connection to the bastion, with a space at their end. @default it is the one that all share
   */
  async #route(target: SshTarget, toBastion = ""): Promise<string[]> {
    const { bastion, privateKey } = this.#options;
    const first = bastion ?? target;
    const own = await this.#settingsOf(first);
    const keys = privateKey ? [] : own.keys;
    const way = own.way === undefined ? [] : [`ProxyCommand ${complainingTo(this.#complaints(first), own.way)}`];
    const alias = `HostKeyAlias=${target.hostKeyAlias ?? target.address}`;
    if (!bastion) return [...["-o", alias], ...[...keys, ...way].flatMap((line) => ["-o", line]), "--", target.address];
    this.#settings = { keys, way };
    if (bastion.address === target.address) return ["--", BASTION];
    const proxy = `ssh -F ${shellQuote(this.#configFile())} ${toBastion}-W '[%h]:%p' -- ${BASTION}`;
    return ["-o", alias, "-o", `ProxyCommand=${proxy}`, "--", target.address];
  }

  /** What the user's own settings say of a machine: asked once. */
  #settingsOf({ address, hostKeyAlias }: SshTarget): Promise<OwnSettings> {
    const known = this.#own.get(address);
    if (known) return known;
    const asked = ownSettings(hostKeyAlias ?? address, address, this.#options.home).catch((error) => {
      throw notInstalled(error);
    });
    this.#own.set(address, asked);
    return asked;
  }

  /** File for what the way to a machine complains of, which is not what the machine says. */
  #complaints({ address }: SshTarget): string {
    return join(this.#ownFolder(), `way-${address.replace(/[^\w.-]/g, "_")}`);
  }

  /** Why a machine was not reached, where that is for a person to mend; `undefined` where it may just not be up yet. */
  async #explain(target: SshTarget, stderr: string): Promise<Failure | undefined> {
    const { bastion, user } = this.#options;
    const first = bastion ?? target;
    const { wayName } = await this.#settingsOf(first);
    if (wayName && this.#folder) {
      const said = read(this.#complaints(first));
      const why = `${first.name}: not reached by the ${wayName} of your SSH settings: ${lastLine(said)}`;
      if (/Host key verification failed|host key check failure/.test(said) || DENIED.test(said))
        return { why, denied: true };
      if (said !== "") return { why };
    }
    const refusal = impostor(target.name, stderr);
    if (refusal || !DENIED.test(stderr)) return refusal;
    const why = `${target.name}: SSH does not let ${user} in (${lastLine(stderr)}). sshUser has to be the image's login user, and SSH needs the private key of keyPair (ssh-add, or IdentityFile in ~/.ssh/config)`;
    return { why, denied: true };
  }

  #start(args: string[]): ChildProcess {
    // A process group of its own, so that a signal also reaches the proxy that ssh starts, which would keep the pipes open.
    const child = spawn("ssh", ["-F", this.#configFile(), ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    this.#children.add(child);
    child.once("close", () => this.#children.delete(child));
    child.once("error", () => this.#children.delete(child));
    // A client that ends before it has read its input is seen by its exit code.
    child.stdin?.on("error", () => {});
    return child;
  }

  #spawn(args: string[], options: RunOptions): Promise<SshResult> {
    const seconds = options.timeoutSeconds ?? 60;
    return new Promise((resolvePromise, reject) => {
      const child = this.#start(args);
      const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        signal(child, "SIGKILL");
      }, seconds * 1000);
      child.stdin?.end(options.input ?? "");
      child.once("error", (error) => {
        clearTimeout(timer);
        reject(notInstalled(error));
      });
      child.once("close", (code) => {
        clearTimeout(timer);
        const note = late ? `no answer within ${seconds} s\n` : "";
        resolvePromise({ code: late ? UNREACHABLE : (code ?? UNREACHABLE), stdout: stdout(), stderr: stderr() + note });
      });
    });
  }

  /** A folder that only this user can read, and that ends with the connections. */
  #ownFolder(): string {
    if (!this.#folder) {
      this.#folder = mkdtempSync(join(privateFolder(), "triplewide-"));
      cleanUpAtExit.add(this.#atExit);
    }
    return this.#folder;
  }

  /** Writes key and configuration. */
  #configFile(): string {
    const folder = this.#ownFolder();
    const file = join(folder, "config");
    if (!existsSync(file)) {
      const o = this.#options;
      const key = join(folder, "key");
      // Without its last line end, OpenSSH calls a key invalid.
      if (o.privateKey) writeFileSync(key, `${o.privateKey.trimEnd()}\n`, { mode: 0o600 });
      const knownHosts = join(folder, "known_hosts");
      writeFileSync(knownHosts, o.knownHosts, { mode: 0o600 });
      const older = o.olderKnownHostsFile === undefined ? [] : [resolve(o.olderKnownHostsFile)];
      const lines = [
        ...(o.bastion
          ? [
              `Host ${BASTION}`,
              `HostName ${o.bastion.address}`,
              `HostKeyAlias ${o.bastion.hostKeyAlias ?? o.bastion.address}`,
              `ControlPath ${quoted(join(folder, "bastion"))}`,
              ...this.#settings.way,
            ]
          : []),
        "Host *",
        `User ${o.user}`,
        `Port ${o.port ?? 22}`,
        ...(o.privateKey ? [`IdentityFile ${quoted(key)}`, "IdentitiesOnly yes"] : this.#settings.keys),
        `UserKnownHostsFile ${[knownHosts, ...older].map(quoted).join(" ")}`,
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "BatchMode yes",
        "PreferredAuthentications publickey",
        `ConnectTimeout ${o.connectTimeoutSeconds ?? 10}`,
        "ServerAliveInterval 15",
        "ServerAliveCountMax 4",
        "LogLevel ERROR",
      ];
      writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
    }
    return file;
  }

  readonly #atExit = (): void => {
    for (const child of this.#children) signal(child, "SIGKILL");
    this.#remove();
  };

  #remove(): void {
    cleanUpAtExit.delete(this.#atExit);
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }
}

/**
 * A folder in memory that ends with the login session, where the system has one; otherwise the temporary folder. Whose the folder is, or
 * may write to it, could put another configuration in place of ours, and a configuration names commands: after `su` or `sudo` the variable
 * may still be of another user.
 */
function privateFolder(): string {
  const runtime = process.env.XDG_RUNTIME_DIR;
  const found = runtime ? statSync(runtime, { throwIfNoEntry: false }) : undefined;
  const own = found?.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
  return runtime && own ? runtime : tmpdir();
}

/** A path in the client's configuration, where `%` begins a token. */
function quoted(path: string): string {
  return `"${path.replaceAll("%", "%%")}"`;
}

/** A command for `ProxyCommand` whose complaints go to a file. Through `sh`, because the user's shell may be any. */
const complainingTo = (file: string, command: string): string =>
  `sh -c ${shellQuote(`exec 2>${shellQuote(file.replaceAll("%", "%%"))}; exec ${command}`)}`;

/** A file's text; empty where there is none. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function freePort(wanted: number): Promise<number> {
  return new Promise((resolvePromise, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "EADDRINUSE"
          ? new SshError(
              `port ${wanted} of this machine (127.0.0.1) is taken by another program: stop that program (ss -ltnp shows it), or use another port`,
            )
          : new SshError(`port ${wanted} of this machine cannot be used: ${error.message}`),
      ),
    );
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolvePromise(port));
    });
  });
}
