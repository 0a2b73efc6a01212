import { execFile } from "node:child_process";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { pageThatLeadsTo } from "../../cli/notebook.ts";
import { buildProgram, runProgram } from "../../cli/program.ts";
import { describeError, UsageError, UserError } from "../../lib/errors.ts";
import { ROOT } from "../../lib/root.ts";
import { SmokeFailed } from "../../local/smoke.ts";
import { removesOnFailure } from "../../local/up.ts";
import { RolloutError } from "../../machines/rollout.ts";
import { SshError } from "../../machines/ssh-failures.ts";
import { MarathonError } from "../../marathon/apply.ts";
import { CloudError } from "../../openstack/errors.ts";

const NAMES =
  "up down status logs smoke shell notebook users connect certificate plan rotate timeline drain scale doctor backup restore recover image images mesos completion".split(
    " ",
  );

/** Runs the command as a user does. */
function triplewide(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(join(ROOT, "cli", "triplewide"), args, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err });
    });
  });
}

/** Runs the command in this process, which is faster than starting Node for each case. */
async function inProcess(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const out = (text: string): void => {
    said.out += text;
  };
  const err = (text: string): void => {
    said.err += text;
  };
  return { code: (await runProgram(args, { out, err })) ?? 0, ...said };
}

const program = await buildProgram();
/** All commands but the one that shells run for tab completion. */
const commands = program.commands.filter((c) => c.name() !== "complete");
/** Commands below commands, by the words that name them. */
const BELOW = commands.flatMap((above) =>
  above.name() === "completion" ? [] : above.commands.map((c) => `${above.name()} ${c.name()}`),
);

describe("help", () => {
  test("the program lists every command", { timeout: 60_000 }, async () => {
    const { code, out } = await triplewide("--help");
    expect(code).toBe(0);
    for (const name of NAMES) expect(out).toMatch(new RegExp(`^  ${name}\\b`, "m"));
    expect(commands.map((c) => c.name())).toEqual(NAMES);
  });

  test.for([...NAMES, ...BELOW])("%s says its meaning, its options and an example", async (name) => {
    const words = name.split(" ");
    const { code, out, err } = await inProcess(...words, "--help");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const above = commands.find((c) => c.name() === words[0]);
    const command = words.length > 1 ? above?.commands.find((c) => c.name() === words[1]) : above;
    expect(out).toContain(`Usage: triplewide ${name}`);
    expect(out.replace(/\s+/g, " ")).toContain(command?.description());
    for (const option of command?.options ?? []) {
      expect(out).toContain(option.flags);
      expect(out.replace(/\s+/g, " ")).toContain(option.description);
      // Each option's help tells its default: Commander prints it, or the description has it.
      const told = option.defaultValue !== undefined || option.description.includes("(default: ");
      expect(told, `${name} ${option.flags} has a default`).toBe(true);
    }
    expect(out).toMatch(new RegExp(`Examples?:\\n[\\s\\S]*triplewide ${name}`));
  });

  test("every example is a command line that is understood", async () => {
    const lines = await Promise.all(
      [...NAMES, ...BELOW].map(async (name) => {
        const { out } = await inProcess(...name.split(" "), "--help");
        return (
          out
            .split(/Examples?:\n/)[1]
            ?.split("\n")
            .filter((line) => line.includes("triplewide ")) ?? []
        );
      }),
    );
    expect(lines.flat().length).toBeGreaterThan(NAMES.length);
    for (const line of lines.flat()) expect(await misuse(line), line).toBeUndefined();
  });
});

describe("bad usage exits with 2 and one clear message", () => {
  test.for([
    [["drian"], "triplewide: unknown command 'drian'\n(Did you mean drain?)\nSee: triplewide --help\n"],
    [
      ["plan", "local", "--picture", "--json"],
      "triplewide: option '--picture' cannot be used with option '--json'\nSee: triplewide plan --help\n",
    ],
    [["plan"], "triplewide: missing required argument 'environment'\nSee: triplewide plan --help\n"],
    [["drain", "local"], "triplewide: missing required argument 'agent'\nSee: triplewide drain --help\n"],
    [["mesos", "chekc"], "triplewide: unknown command 'chekc'\n(Did you mean check?)\nSee: triplewide mesos --help\n"],
    [["mesos", "use"], "triplewide: missing required argument 'source'\nSee: triplewide mesos use --help\n"],
    [["recover"], "triplewide: missing required argument 'environment'\nSee: triplewide recover --help\n"],
    [
      ["plan", "local", "--jsno"],
      "triplewide: unknown option '--jsno'\n(Did you mean --json?)\nSee: triplewide plan --help\n",
    ],
    [
      ["drain", "local", "agent-1", "--grace", "soon"],
      "triplewide: option '--grace <seconds>' argument 'soon' is invalid. Give whole seconds, such as 60.\nSee: triplewide drain --help\n",
    ],
    [
      ["up", "down"],
      "triplewide: too many arguments for 'up'. Expected 0 arguments but got 1: down.\nSee: triplewide up --help\n",
    ],
    [
      ["completion", "tcsh"],
      "triplewide: command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are zsh, bash, fish, powershell.\nSee: triplewide completion --help\n",
    ],
  ] as const)("%j", async ([args, message]) => {
    expect(await inProcess(...args)).toEqual({ code: 2, out: "", err: message });
  });

  test("so does the program itself, and what it calls", { timeout: 60_000 }, async () => {
    expect(await triplewide("drian")).toMatchObject({ code: 2, out: "" });
    expect(await triplewide("images", "nope")).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^images\/build\.sh: no image is called nope; there are: /),
    });
  });

  test("without a command the help is the message", async () => {
    const { code, out, err } = await inProcess();
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("Usage: triplewide");
  });

  test("a config that cannot be used, and an environment that is not there", async () => {
    const config = await inProcess("plan", "local", "--set", "agentCount=lots");
    expect(config).toMatchObject({ code: 2, out: "" });
    expect(config.err).toContain("agentCount");
    const environment = await inProcess("up", "--env", "nowhere");
    expect(environment).toMatchObject({ code: 2, out: "" });
    expect(environment.err).toContain("there is no Pulumi.nowhere.yaml");
  });
});

test("a browser is led to JupyterLab by a file of this user, and no command line holds the token", () => {
  const folder = mkdtempSync(join(tmpdir(), "notebook-"));
  try {
    symlinkSync("/etc/hostname", join(folder, "notebook.html"));
    const address = pageThatLeadsTo("http://127.0.0.1:8888/lab?token=secret&x=1", folder);
    expect(address).toBe(pathToFileURL(join(folder, "notebook.html")).href);
    expect(address).not.toContain("secret");
    const path = fileURLToPath(address);
    expect(lstatSync(path).isFile()).toBe(true);
    expect((lstatSync(path).mode & 0o777).toString(8)).toBe("600");
    expect(readFileSync(path, "utf8")).toContain("url=http://127.0.0.1:8888/lab?token=secret&amp;x=1");
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(readFileSync(join(ROOT, "cli", "notebook.ts"), "utf8")).not.toMatch(/xdg-open", \[url/);
});

test.for(["https://me:hunter2@example.org/m.tar.gz", "https://example.org/m.tar.gz?X-Amz-Signature=hunter2"])(
  "a password is not written into an environment's file: %s",
  async (source) => {
    const before = readFileSync(join(ROOT, "Pulumi.local.yaml"), "utf8");
    const { code, out, err } = await inProcess("mesos", "use", source);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("Fix: triplewide mesos check it, then pulumi config set --secret triplewide:mesosSource");
    expect(err).not.toContain("hunter2");
    expect(readFileSync(join(ROOT, "Pulumi.local.yaml"), "utf8")).toBe(before);
  },
);

test.for([
  ["up", "pulumi up --stack standalone"],
  ["down", "pulumi destroy --stack standalone"],
  ["status", "pulumi stack output --stack standalone"],
  ["smoke", "triplewide-client sudo docker exec triplewide-jupyter smoke"],
  ["shell", "triplewide-client -t sudo docker exec -it triplewide-jupyter ipython"],
  ["backup /tmp/none", "openstack volume snapshot create --volume triplewide-master-1-data"],
  ["restore /tmp/none", "openstack volume snapshot create --volume triplewide-master-1-data"],
  ["notebook", "pulumi stack output jupyterUrl --stack standalone"],
])("%s says what to do for an environment of OpenStack", async ([command = "", advice]) => {
  const { code, out, err } = await inProcess(
    ...command.split(" "),
    "--env",
    "standalone",
    "--set",
    "clusterName=triplewide",
  );
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toContain('environment "standalone" is for OpenStack');
  expect(err).toContain(advice);
});

test("recover: nothing on this machine's Docker; without Pulumi's command it says so", async () => {
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  try {
    expect(await inProcess("recover", "local")).toEqual({ code: 0, out: "", err: "" });
    expect(write.mock.calls.join()).toContain("Nothing to recover: local is for this machine's Docker.");
  } finally {
    write.mockRestore();
  }
  vi.stubEnv("PATH", join(ROOT, "docs"));
  try {
    const { code, err } = await inProcess("recover", "standalone");
    expect(code).toBe(1);
    expect(err).toMatch(/^there is no `pulumi` on PATH: install the Pulumi CLI/);
  } finally {
    vi.unstubAllEnvs();
  }
});

describe("completion", () => {
  /** The output of the completion's library, which uses `console.log` and not Commander. */
  async function printed(...args: string[]): Promise<string> {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    try {
      expect(await runProgram(args)).toBeUndefined();
      return log.mock.calls.flat().join("\n");
    } finally {
      log.mockRestore();
    }
  }

  test.for(["bash", "zsh", "fish", "powershell"])("a script for %s", async (shell) => {
    expect(await printed("completion", shell)).toMatch(/triplewide complete '?--/);
  });

  test.for([
    ["", NAMES],
    ["plan ", ["local", "standalone"]],
    ["up --env ", ["local", "standalone"]],
    ["down --v", ["--volumes"]],
    ["up --set agentC", ["agentCount="]],
  ] as const)("%j", async ([line, words]) => {
    const offered = (await printed("complete", "--", ...line.split(" ")))
      .split("\n")
      .map((text) => text.split("\t")[0]);
    expect(offered).toEqual(expect.arrayContaining([...words]));
  });

  test("the script for bash completes in a shell", { timeout: 60_000 }, async () => {
    // The script uses only this function of the package bash-completion, which not every machine has.
    const script = `
      _get_comp_words_by_ref() { words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]} prev=; }
      compopt() { :; }
      source <(triplewide completion bash)
      COMP_WORDS=(triplewide plan stand) COMP_CWORD=2
      __triplewide_complete && echo "\${COMPREPLY[@]}"`;
    const env = { ...process.env, PATH: `${join(ROOT, "cli")}:${process.env.PATH}` };
    const { stdout } = await promisify(execFile)("bash", ["-c", script], { env });
    expect(stdout).toBe("standalone\n");
  });
});

describe("errors", () => {
  test("a user's error is its message; any other is shown with its stack", () => {
    expect(describeError(new UserError("no disk"))).toEqual({ text: "no disk", exitCode: 1 });
    expect(describeError(new UsageError("no such key"))).toEqual({ text: "no such key", exitCode: 2 });
    const ours = new Error("never");
    expect(describeError(ours)).toEqual({ text: ours.stack, exitCode: 1 });
    expect(describeError("text")).toEqual({ text: "text", exitCode: 1 });
  });

  test.for([CloudError, SshError, MarathonError, RolloutError])("%o is a user's", (Kind) => {
    expect(describeError(new Kind("nobody answers"))).toEqual({ text: "nobody answers", exitCode: 1 });
  });

  test("a failed smoke job leaves a new cluster running; whatever else fails removes it, whatever its words", () => {
    const words = "the cluster is up, but the smoke job failed";
    expect(removesOnFailure(true, new SmokeFailed(words))).toBe(false);
    expect(removesOnFailure(true, new UserError(words))).toBe(true);
    expect(removesOnFailure(true, new DOMException("", "AbortError"))).toBe(true);
    expect(removesOnFailure(false, new UserError("no disk"))).toBe(false);
  });
});

test("lib/ imports nothing of the project, and what is below the command line does not import it", () => {
  const imports = (folder: string): string[] =>
    readdirSync(join(ROOT, folder)).flatMap((file) =>
      [...readFileSync(join(ROOT, folder, file), "utf8").matchAll(/(?:from|import\() ?"(\.[^"]+)"/g)].map(
        (m) => m[1] ?? "",
      ),
    );
  expect(imports("lib").filter((path) => path.startsWith(".."))).toEqual([]);
  expect([...imports("local"), ...imports("mesos")].filter((path) => path.startsWith("../cli/"))).toEqual([]);
  expect(imports("mesos").filter((path) => path.startsWith("../local/"))).toEqual([]);
});

/**
 * Checks a shell line that calls something of this repository: a Make target, an npm script, a command of
 * `triplewide`, an option of `images/build.sh`.
 *
 * @returns The error; undefined if the line is correct or calls nothing of this repository.
 */
async function misuse(line: string): Promise<string | undefined> {
  const makefile = readFileSync(join(ROOT, "Makefile"), "utf8");
  const targets = new Set([...makefile.matchAll(/^([a-z][a-z -]*):/gm)].flatMap((m) => (m[1] ?? "").split(" ")));
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  for (const part of commandsOf(line)) {
    const [word, ...args] = part;
    if (word === "make") {
      for (const target of args.filter((arg) => !arg.startsWith("-") && !arg.includes("=")))
        if (!targets.has(target)) return `there is no Make target ${target}`;
    } else if (word === "npm" && args[0] === "run") {
      const [script = "", ...rest] = args.slice(1).filter((arg) => arg !== "-s" && arg !== "--silent");
      if (scripts[script] === undefined) return `there is no npm script ${script}`;
      const [, own] = /^node cli\/main\.ts (.*)$/.exec(scripts[script]) ?? [];
      const wrong = own === undefined ? undefined : unknown([own, ...rest.filter((arg) => arg !== "--")]);
      if (wrong) return wrong;
    } else if (word === "triplewide") {
      const wrong = unknown(args);
      if (wrong) return wrong;
    } else if (word?.endsWith("images/build.sh")) {
      const usage = readFileSync(join(ROOT, "images", "build.sh"), "utf8");
      for (const option of args.filter((arg) => arg.startsWith("--")))
        if (!usage.includes(`\n  ${option} `)) return `images/build.sh has no option ${option}`;
    }
  }
  return undefined;
}

/** Command lines in a line of shell, in words; without comments, variables before a program, and `npx`. */
function commandsOf(line: string): string[][] {
  return line
    .replace(/(^|\s)#\s.*$/, "")
    .split(/&&|[;|]|<\(|\$\(|\)/)
    .map((text) => text.match(/(?:"[^"]*"|<[a-z][^>]*>|[^\s"<>])+/g) ?? [])
    .map((words) =>
      words.slice(
        Math.max(
          0,
          words.findIndex((word) => !/^[A-Z_]+=/.test(word)),
        ),
      ),
    )
    .map((words) => (words[0] === "npx" ? words.slice(1) : words))
    .map((words) =>
      words[0] === "npm" && words[1] === "exec" ? words.slice(2).filter((word) => word !== "--") : words,
    );
}

/** The part of a command line that `triplewide` does not know. */
function unknown([name = "", ...args]: string[]): string | undefined {
  const known = ["--help", "-h"];
  if (name === "" || name.startsWith("-"))
    return ["", "--version", ...known].includes(name) ? undefined : `triplewide has no option ${name}`;
  const above = commands.find((c) => c.name() === name);
  if (!above) return `triplewide has no command ${name}`;
  const below = above.commands.find((c) => c.name() === args[0]);
  if (above.commands.length > 0 && !below && !args[0]?.startsWith("-"))
    return `triplewide ${name} has no command ${args[0]}`;
  const command = below ?? above;
  const options = [...known, ...command.options.flatMap((option) => [option.long, option.short])];
  const strange = args.find((arg) => /^--?[a-z]/.test(arg) && !options.includes(arg.split("=")[0]));
  return strange === undefined ? undefined : `triplewide ${name} has no option ${strange}`;
}

describe("the documents name commands that exist", () => {
  const files = [
    "README.md",
    "Pulumi.README.md",
    "CONTRIBUTING.md",
    "images/README.md",
    "bench/README.md",
    ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).map((file) => `docs/${file}`),
  ].filter((file) => file.endsWith(".md") && (file !== "CONTRIBUTING.md" || readdirSync(ROOT).includes(file)));

  /** Lines of code blocks, and texts in backticks. */
  function code(text: string): string[] {
    const blocks = [...text.matchAll(/^```[a-z]*\n([\s\S]*?)^```/gm)].flatMap((m) => (m[1] ?? "").split("\n"));
    const spans = [...text.replace(/^```[\s\S]*?^```/gm, "").matchAll(/`([^`]+)`/g)].map((m) => m[1] ?? "");
    return [...blocks, ...spans, ...text.split("\n").filter((line) => line.startsWith("    "))];
  }

  test.for(files)("%s", async (file) => {
    const wrong: string[] = [];
    for (const line of code(readFileSync(join(ROOT, file), "utf8"))) {
      const what = await misuse(line);
      if (what !== undefined) wrong.push(`${line.trim()}: ${what}`);
    }
    expect(wrong).toEqual([]);
  });

  test("the check sees them, and what is wrong with them", async () => {
    const readme = code(readFileSync(join(ROOT, "README.md"), "utf8")).flatMap(commandsOf);
    for (const start of ["make up", "npm run recover", "triplewide completion", "images/build.sh base"])
      expect(
        readme.map((words) => words.join(" ")).some((text) => text.startsWith(start)),
        start,
      ).toBe(true);
    expect(await misuse("make up && make supper")).toBe("there is no Make target supper");
    expect(await misuse("npm run -s recovr -- <environment>")).toBe("there is no npm script recovr");
    expect(await misuse("triplewide mesos use file:///m.tar.gz --evn local")).toBe(
      "triplewide mesos has no option --evn",
    );
    expect(await misuse("triplewide mesos lisst")).toBe("triplewide mesos has no command lisst");
    expect(await misuse("npm run plan -- local --jsn")).toBe("triplewide plan has no option --jsn");
    expect(await misuse("npx triplewide dwon --volumes")).toBe("triplewide has no command dwon");
    expect(await misuse("A=b npm exec triplewide -- down --volume")).toBe("triplewide down has no option --volume");
    expect(await misuse("source <(triplewide competion bash)")).toBe("triplewide has no command competion");
    expect(await misuse("images/build.sh --lst")).toBe("images/build.sh has no option --lst");
  });
});
