import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pinnedVersions } from "../../lib/checkout.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { type Docker, docker, dockerLines } from "../../local/docker.ts";

/** A running program that reads lines and prints words. */
export interface Conversation {
  /** Resolves when the program has printed that word. */
  /** Waits for a word. @returns The whole output so far. */
  until: (word: string) => Promise<string>;
  /** Sends it a line. */
  say: (line: string) => void;
  /** Closes its input and waits until it has ended. */
  end: () => Promise<void>;
}

/** A test's cluster on this machine's Docker. It has its own name, network and ports, so that it does not touch a user's cluster. */
export class TestCluster {
  readonly name: string;
  readonly settings: string[];
  /** This machine's own address on the cluster's network. */
  readonly gateway: string;
  private readonly d: Docker;

  /**
   * @param index Makes network and ports differ between clusters.
   * @param settings Further `key=value` texts.
   */
  constructor(d: Docker, name: string, index: number, settings: string[]) {
    this.d = d;
    this.name = name;
    this.gateway = `10.${98 - index}.0.1`;
    const shift = 10000 + 1000 * index;
    const ports = {
      gatewayPort: 8090,
      jupyterPort: 8888,
      sparkMasterPort: 7077,
      sparkMasterUiPort: 8080,
      sparkUiPort: 4040,
      mesosMasterPort: 5050,
      namenodeUiPort: 9870,
    };
    this.settings = [
      `clusterName=${name}`,
      `networkCidr=10.${98 - index}.0.0/16`,
      ...Object.entries(ports).map(([key, port]) => `${key}=${port + shift}`),
      ...settings,
    ];
  }

  /** Runs the command line as `make` does, of this checkout or of another one. */
  cli(verb: string, args: string[] = [], extra: string[] = [], root = ROOT): Promise<{ code: number; output: string }> {
    return captured(process.execPath, this.argv(verb, args, extra, root));
  }

  /** Runs the command line with all of its words. */
  program(words: readonly string[]): Promise<{ code: number; output: string }> {
    return captured(process.execPath, [join(ROOT, "cli", "main.ts"), ...words]);
  }

  /** Starts the command line, for tests that interrupt it. */
  start(verb: string, args: string[] = []): ChildProcess {
    return spawn(process.execPath, this.argv(verb, args), { stdio: ["ignore", "pipe", "pipe"] });
  }

  private argv(verb: string, args: string[], extra: string[] = [], root = ROOT): string[] {
    const sets = [...this.settings, ...extra].flatMap((text) => ["--set", text]);
    return [join(root, "cli", "main.ts"), verb, "--env", "local", ...sets, ...args];
  }

  /** Name of a container of this cluster: a machine's only one, or `machine-service`. For the client it is Jupyter's, where users work. */
  container(machine: string): string {
    return `${this.name}-${machine === "client" ? "client-jupyter" : machine}`;
  }

  /** Runs a command in a container. @param user @default the container's own user */
  exec(machine: string, command: string[], user?: string): Promise<{ code: number; output: string }> {
    const as = user === undefined ? [] : ["--user", user];
    return captured(this.d.client, ["exec", ...as, this.container(machine), ...command]);
  }

  /** Starts a program in a container. The test can wait for its output and send it lines; it ends when its input does. */
  converse(machine: string, command: string[]): Conversation {
    return conversation(this.d.client, ["exec", "-i", this.container(machine), ...command]);
  }

  /** Copies programs of `tests/cluster` to the client's `/tmp`. */
  async bring(...programs: readonly string[]): Promise<void> {
    for (const program of programs)
      await docker(this.d, ["cp", join(ROOT, "tests/cluster", program), `${this.container("client")}:/tmp/`]);
  }

  /** The log of a container. */
  async logs(machine: string): Promise<string> {
    return (await captured(this.d.client, ["logs", this.container(machine)])).output;
  }

  /**
   * Captures all packets that a machine sends and receives while `during` runs, as root of the machine.
   *
   * @returns The words that the packets held.
   */
  async eavesdrop(machine: string, words: readonly string[], during: () => Promise<unknown>): Promise<string[]> {
    const client = this.container(machine);
    const { output: image } = await captured(this.d.client, ["inspect", "--format", "{{.Image}}", client]);
    const network = ["--network", `container:${client}`, "--cap-add", "NET_RAW", "--user", "0"];
    const python = ["run", "--rm", "-i", ...network, "--entrypoint", "python3", image.trim()];
    return eavesdropped(this.d.client, python, words, during);
  }

  /** Changes the owner of all files in some of the cluster's volumes. */
  async giveVolumes(names: RegExp, uid: number): Promise<void> {
    const project = `triplewide-${this.name}_`;
    const all = await dockerLines(this.d, ["volume", "ls", "--format", "{{.Name}}", "--filter", `name=${project}`]);
    const mounts = all.filter((name) => names.test(name)).flatMap((name, i) => ["--volume", `${name}:/given/${i}`]);
    const versions = pinnedVersions(ROOT);
    const image = `triplewide/base:${versions.TRIPLEWIDE_VERSION}`;
    await docker(this.d, ["run", "--rm", "--user", "0", ...mounts, image, "chown", "-R", `${uid}:${uid}`, "/given"]);
  }

  kill(machine: string): Promise<string> {
    return docker(this.d, ["kill", this.container(machine)]);
  }

  /** Everything in Docker that carries this cluster's name. */
  async traces(): Promise<string[]> {
    const project = `triplewide-${this.name}`;
    const lists = await Promise.all([
      dockerLines(this.d, ["ps", "-a", "--format", "{{.Names}}", "--filter", `name=${this.name}-`]),
      dockerLines(this.d, ["network", "ls", "--format", "{{.Name}}", "--filter", `name=${project}`]),
      dockerLines(this.d, ["volume", "ls", "--format", "{{.Name}}", "--filter", `name=${project}`]),
    ]);
    return lists.flat();
  }
}

/** Starts a program with which the test exchanges lines. */
export function conversation(program: string, words: readonly string[]): Conversation {
  const child = spawn(program, words, { stdio: "pipe" });
  let said = "";
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const until = (word: string) =>
    new Promise<string>((resolve, reject) => {
      const look = (): void => {
        if (said.includes(word)) resolve(said);
      };
      look();
      child.stdout.on("data", look);
      void ended.then(() => reject(new Error(`it never said ${word}: ${said.slice(-2000)}`)));
    });
  const end = async (): Promise<void> => {
    child.stdin.end();
    await ended;
  };
  const say = (line: string): void => void child.stdin.write(`${line}\n`);
  return { until, say, end };
}

/**
 * Captures the packets of a network while `during` runs. Returns which of the words they hold.
 *
 * @param python Docker's arguments for running Python in that network as root; the program is appended.
 */
export async function eavesdropped(
  docker: string,
  python: readonly string[],
  words: readonly string[],
  during: () => Promise<unknown>,
): Promise<string[]> {
  const program = readFileSync(join(ROOT, "tests/cluster/eavesdrop.py"), "utf8");
  const listener = spawn(docker, [...python, "-c", program, ...words], { stdio: ["pipe", "pipe", "inherit"] });
  let said = "";
  const ended = new Promise((resolve) => listener.on("close", resolve));
  const listening = new Promise<void>((resolve) => {
    listener.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("listening\n")) resolve();
    });
  });
  await Promise.race([listening, ended]);
  try {
    await during();
  } finally {
    listener.stdin.end();
    await ended;
  }
  if (!said.startsWith("listening\n")) throw new Error(`nothing listened: ${said}`);
  return said.split("\n").slice(1).filter(Boolean);
}

/** Repeats until the check holds. @throws Error with the last value after the timeout. */
export async function eventually<T>(
  what: string,
  seconds: number,
  read: () => Promise<T>,
  holds: (value: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (Date.now() > deadline)
      throw new Error(`not within ${seconds} s: ${what}; last: ${JSON.stringify(value).slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
