import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { stringify } from "yaml";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";

/** A stack of this program on the real engine, with its own backend in a temporary folder. */

const MAIN = join(ROOT, "cli", "main.ts");

/** A step of an operation on one resource. Steps are in the order in which the engine began them. */
export interface Step {
  /** `create`, `update`, `delete`, `same`, `create-replacement`, `delete-replaced`, … */
  op: string;
  type: string;
  name: string;
  /** Properties whose change replaces the resource. */
  keys: readonly string[];
}

export interface Outcome {
  code: number;
  /** Standard output and error. */
  text: string;
  /** Steps that changed something, as `create Instance demo-agent-1`, in the order in which they began. */
  changes: string[];
  /** For each replaced resource, by name, the properties that caused the replacement. */
  replaced: ReadonlyMap<string, readonly string[]>;
  /** Number of resources that stayed as they were. */
  same: number;
  seconds: number;
}

export interface StackOptions {
  config: RawConfig;
  /** Environment of the program and its providers: OS_* and the like. */
  env: Readonly<Record<string, string>>;
}

export class Stack {
  readonly folder = mkdtempSync(join(tmpdir(), "triplewide-engine-"));
  /** Further environment of the engine and of commands that call it. */
  readonly environment: NodeJS.ProcessEnv;
  #config: RawConfig;
  #events = 0;

  constructor(options: StackOptions) {
    this.#config = options.config;
    mkdirSync(join(this.folder, "state"));
    const project = readFileSync(join(ROOT, "Pulumi.yaml"), "utf8");
    writeFileSync(join(this.folder, "Pulumi.yaml"), `main: ${ROOT}\n${project}`);
    this.environment = {
      ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("OS_"))),
      // The engine uses the first `node` on PATH, which must be this repository's.
      PATH: `${join(ROOT, "node_modules", ".bin")}${delimiter}${process.env.PATH}`,
      PULUMI_BACKEND_URL: `file://${join(this.folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "made-up",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // Enables --event-log.
      PULUMI_DEBUG_COMMANDS: "true",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      ...options.env,
    };
  }

  /** Makes the stack. @throws Error if the engine does not work on this machine. */
  async init(): Promise<this> {
    await this.#must("stack", "init", "test");
    this.configure({});
    return this;
  }

  /** Changes settings; the next operation uses them. */
  configure(changes: RawConfig): void {
    this.#config = { ...this.#config, ...changes };
    const file = join(this.folder, "Pulumi.test.yaml");
    const salt = existsSync(file) ? (/^encryptionsalt:.*$/m.exec(readFileSync(file, "utf8"))?.[0] ?? "") : "";
    const config = Object.fromEntries(Object.entries(this.#config).map(([key, value]) => [`triplewide:${key}`, value]));
    writeFileSync(file, `${salt}\n${stringify({ config })}`);
  }

  preview(...args: string[]): Promise<Outcome> {
    return this.#operation("preview", args);
  }

  up(...args: string[]): Promise<Outcome> {
    return this.#operation("up", ["--yes", "--skip-preview", ...args]);
  }

  /** Runs `destroy` with its preview, which refuses protected resources before anything is changed. */
  destroy(...args: string[]): Promise<Outcome> {
    return this.#operation("destroy", ["--yes", ...args]);
  }

  /** Starts an update or a destroy, and returns its process, for tests that kill it. */
  start(verb: "up" | "destroy" = "up"): ChildProcess {
    const log = openSync(join(this.folder, "run.log"), "w");
    return spawn("pulumi", [verb, "--yes", "--skip-preview", "--non-interactive", "--stack", "test"], {
      cwd: this.folder,
      env: this.environment,
      stdio: ["ignore", log, log],
      // In a process group of its own, so that the engine's children can be killed with it, as when a machine loses power.
      detached: true,
    });
  }

  /** The output of the last process of `start`. */
  log(): string {
    return readFileSync(join(this.folder, "run.log"), "utf8");
  }

  /** Kills an update and all of its processes, as when a machine loses power; then runs `triplewide recover`. @returns Its output. */
  async killAndRecover(update: ChildProcess): Promise<string> {
    const ended = once(update, "exit");
    process.kill(-(update.pid ?? 0), "SIGKILL");
    await ended;
    // Removes the lock of the killed process.
    await this.#must("cancel", "--yes");
    return this.recover();
  }

  /** Runs `triplewide recover`. @returns Its output. */
  async recover(...flags: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#runs(process.execPath, [MAIN, "recover", "test", ...flags]);
    if (code !== 0) throw new Error(`triplewide recover: ${stdout}${stderr}`);
    return stdout;
  }

  /** Runs a command of this program in the folder of the stack's project. */
  async program(...words: string[]): Promise<{ code: number; text: string }> {
    const { code, stdout, stderr } = await this.#runs(process.execPath, [MAIN, ...words]);
    return { code, text: stdout + stderr };
  }

  /** The state as the backend has it, secrets encrypted. */
  async state(): Promise<{ deployment: { resources?: StateResource[]; pending_operations?: unknown[] } }> {
    return JSON.parse(await this.#must("stack", "export"));
  }

  async outputs(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.#must("stack", "output", "--json", "--show-secrets"));
  }

  async pulumi(...args: string[]): Promise<{ code: number; text: string }> {
    const { code, stdout, stderr } = await this.#run(args);
    return { code, text: stdout + stderr };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #operation(verb: string, args: string[]): Promise<Outcome> {
    const events = join(this.folder, `events-${this.#events++}.json`);
    const began = performance.now();
    const common = ["--non-interactive", "--color", "never", "--suppress-progress", "--event-log", events];
    const { code, stdout, stderr } = await this.#run([verb, ...common, ...args]);
    const steps = existsSync(events) ? stepsOf(readFileSync(events, "utf8")) : [];
    return {
      code,
      text: stdout + stderr,
      changes: steps.filter((s) => s.op !== "same").map((s) => `${s.op} ${s.type} ${s.name}`),
      replaced: new Map(steps.filter((s) => s.op === "replace").map((s) => [`${s.type} ${s.name}`, s.keys])),
      same: steps.filter((s) => s.op === "same").length,
      seconds: Math.round((performance.now() - began) / 1000),
    };
  }

  async #must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run(args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  #run(args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const stack = args[0] === "stack" && args[1] === "init" ? [] : ["--stack", "test"];
    return this.#runs("pulumi", [...args, ...stack]);
  }

  #runs(program: string, args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        cwd: this.folder,
        env: this.environment,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (chunk) => (stdout += chunk));
      child.stderr.on("data", (chunk) => (stderr += chunk));
      child.once("error", reject);
      child.once("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
    });
  }
}

export interface StateResource {
  urn: string;
  type: string;
  id?: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
}

interface EngineEvent {
  resourcePreEvent?: { metadata: { op: string; urn: string; type: string; keys?: string[] } };
}

function stepsOf(log: string): Step[] {
  return log
    .split("\n")
    .filter(Boolean)
    .flatMap((line) => {
      const metadata = (JSON.parse(line) as EngineEvent).resourcePreEvent?.metadata;
      // Components and providers are not resources of the cloud.
      if (!metadata || /^(triplewide|pulumi):/.test(metadata.type)) return [];
      const [op, type = "", name = ""] = [
        metadata.op,
        metadata.type.split(":").at(-1),
        metadata.urn.split("::").at(-1),
      ];
      return [{ op, type, name, keys: metadata.keys ?? [] }];
    });
}
