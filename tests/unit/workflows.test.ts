import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ROOT } from "../../lib/root.ts";

/** What a pull request's code can access, and what a fork can make the project's bot write. */

interface Step {
  name?: string;
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
}
interface Job {
  permissions?: Record<string, string>;
  environment?: string;
  needs?: string | string[];
  steps: Step[];
}
interface Workflow {
  on: string | Record<string, unknown>;
  permissions?: Record<string, string>;
  jobs: Record<string, Job>;
}

const FOLDER = join(ROOT, ".github", "workflows");
const GITHUB = join(ROOT, ".github");
const files = readdirSync(FOLDER);
const workflows = files.map((name) => {
  const text = readFileSync(join(FOLDER, name), "utf8");
  return { name, text, workflow: parse(text) as Workflow };
});
const jobs = workflows.flatMap(({ name, workflow }) =>
  Object.entries(workflow.jobs).map(([job, body]) => ({ name: `${name} ${job}`, workflow, job: body })),
);
const workflowOf = (name: string): Workflow => {
  const found = workflows.find((w) => w.name === name);
  if (!found) throw new Error(`no workflow ${name}`);
  return found.workflow;
};
const eventsOf = ({ on }: Workflow): string[] => (typeof on === "string" ? [on] : Object.keys(on));
/** The permissions of a job. If a set is given, missing keys mean no permission. */
const permissionsOf = (workflow: Workflow, job: Job): Record<string, string> | undefined =>
  job.permissions ?? workflow.permissions;
/** Whether a step runs code of the repository. */
const runsCode = ({ uses, run }: Step): boolean => uses?.startsWith("./") === true || run !== undefined;
const checkouts = (job: Job): Step[] => job.steps.filter(({ uses }) => uses?.startsWith("actions/checkout@"));

describe("every workflow", () => {
  const lines = [
    ...workflows.map(({ text }) => text),
    readFileSync(join(GITHUB, "actions/pulumi/action.yml"), "utf8"),
  ].flatMap((text) => text.split("\n"));
  const used = lines.filter((line) => /^\s*(- )?uses:/.test(line));

  test("takes packages of npm by the digests in the lock file alone, and runs nothing of theirs", () => {
    const installs = lines.filter((line) => /\bnpm (i|ci|install|add|exec)\b|\bnpx\b/.test(line));
    expect(installs.length).toBeGreaterThan(2);
    for (const line of installs) expect(line).toContain("npm ci --ignore-scripts ");
    for (const folder of ["", "site/"]) {
      const { packages } = JSON.parse(readFileSync(join(ROOT, `${folder}package-lock.json`), "utf8"));
      const { "": _, ...all } = packages as Record<string, { integrity?: string; resolved?: string; link?: boolean }>;
      // A package with its own address would come from there.
      const other = ([, { integrity, resolved, link }]: (typeof entries)[number]) =>
        link || resolved !== undefined || !integrity?.startsWith("sha512-");
      const entries = Object.entries(all);
      expect(entries.filter(other)).toEqual([]);
    }
  });

  test.each([...new Set(used)])("names an action by its commit, and says which release that is: %s", (line) => {
    expect(line).toMatch(/uses: (\.\/|[\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)/);
  });

  test("has the same commit for the same action everywhere", () => {
    const pins = new Set(used.map((line) => line.replace(/^.*uses: /, "")).filter((pin) => !pin.startsWith("./")));
    expect(new Set([...pins].map((pin) => pin.split("@")[0])).size).toBe(pins.size);
  });

  test.each(workflows)("$name runs for no event that mixes rights with a fork's code", ({ workflow, text }) => {
    expect(eventsOf(workflow)).not.toContain("pull_request_target");
    expect(eventsOf(workflow)).not.toContain("issue_comment");
    expect(text).not.toMatch(/secrets: *inherit/);
  });

  test.each(jobs)("$name says what it may do, and writes no more than comments and issues", ({ workflow, job }) => {
    const permissions = permissionsOf(workflow, job);
    expect(permissions).toBeDefined();
    for (const [scope, level] of Object.entries(permissions ?? {})) {
      expect(
        level === "read" || (level === "write" && ["pull-requests", "issues"].includes(scope)),
        `${scope}: ${level}`,
      ).toBe(true);
    }
  });

  test.each(jobs)("$name leaves no token behind in a checkout", ({ job }) => {
    for (const step of checkouts(job)) expect(step.with).toMatchObject({ "persist-credentials": false });
  });

  test.each(jobs)("$name puts no expression into a script: a branch can be called anything", ({ job }) => {
    for (const step of job.steps) expect(step.run ?? "").not.toContain("${{");
  });
});

describe("credentials", () => {
  const withSecrets = jobs.filter(({ job }) => JSON.stringify(job).includes("secrets."));

  test("are where they are expected", () => {
    expect(withSecrets.map(({ name }) => name)).toEqual([
      "drift.yml drift",
      "preview.yml preview",
      "scale.yml scale",
      "up.yml up",
    ]);
  });

  test.each(withSecrets)("$name has them of an environment, after a look at who may deploy to that", ({ job }) => {
    expect(job.environment).toContain("matrix.environment");
    expect(job.needs).toBe("guard");
  });

  test.each(withSecrets)("$name cannot write to GitHub", ({ workflow, job }) => {
    expect(Object.values(permissionsOf(workflow, job) ?? {})).not.toContain("write");
  });

  test("a preview runs the commit that was approved", () => {
    const preview = workflowOf("preview.yml").jobs.preview as Job;
    expect(checkouts(preview).map((step) => step.with?.ref)).toEqual([
      "$\u007b{ github.event.pull_request.head.sha }}",
    ]);
  });

  const writers = jobs.filter(({ workflow, job }) =>
    Object.values(permissionsOf(workflow, job) ?? {}).includes("write"),
  );

  test("what writes runs nothing of a pull request", () => {
    expect(writers.map(({ name }) => name)).toEqual([
      "drift.yml issue",
      "plan-comment.yml comment",
      "preview.yml comment",
      "scale.yml issue",
    ]);
    for (const { workflow, job } of writers) {
      expect(job.steps.some(runsCode)).toBe(true);
      const trusted = ["workflow_run", "schedule"].some((event) => eventsOf(workflow).includes(event))
        ? [undefined]
        : ["$\u007b{ github.event.pull_request.base.sha }}"];
      expect(checkouts(job).map((step) => step.with?.ref)).toEqual(trusted);
      expect(job.environment).toBeUndefined();
    }
  });
});

const folder = mkdtempSync(join(tmpdir(), "workflows-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a script with a stand-in for `gh`. */
function bash(script: string, gh: string, env: Record<string, string>) {
  writeFileSync(join(folder, "gh"), `#!/bin/bash\n${gh}\n`);
  chmodSync(join(folder, "gh"), 0o755);
  return spawnSync("bash", ["-e", "-c", script], {
    encoding: "utf8",
    cwd: folder,
    env: { PATH: `${folder}:${process.env.PATH}`, GITHUB_REPOSITORY: "o/r", ...env },
  });
}

const hasJq = spawnSync("jq", ["--version"]).status === 0;
describe.skipIf(!hasJq)("the guard", () => {
  const reviewers = '{"protection_rules":[{"type":"required_reviewers","reviewers":[{"type":"User"}]}]}';
  const guard = (file: string): string => {
    const step = workflowOf(file).jobs.guard?.steps[0];
    if (!step?.run) throw new Error(`no guard in ${file}`);
    return step.run;
  };

  test.each([
    ["preview.yml", "staging-preview"],
    ["up.yml", "staging"],
  ])("of %s lets an environment pass that asks reviewers", (file, environment) => {
    const gh = `[[ $2 == repos/o/r/environments/${environment} ]] || exit 1\necho '${reviewers}'`;
    expect(bash(guard(file), gh, { ENVIRONMENTS: '["staging"]' })).toMatchObject({ status: 0, stdout: "" });
  });

  test.each([
    ["no rules", "echo '{}'"],
    ["other rules", `echo '{"protection_rules":[{"type":"wait_timer"},{"type":"branch_policy"}]}'`],
    ["nobody who reviews", `echo '{"protection_rules":[{"type":"required_reviewers","reviewers":[]}]}'`],
    ["no such environment", "echo '{}'; exit 1"],
    ["an answer that is none", "echo nonsense"],
    ["one of two without", `case $2 in */a-preview|*/a) echo '${reviewers}';; *) echo '{}';; esac`],
  ])("stops where there are %s", (_, gh) => {
    for (const file of ["preview.yml", "up.yml"]) {
      expect(bash(guard(file), gh, { ENVIRONMENTS: '["a", "b"]' }).status).not.toBe(0);
    }
  });

  test.each([
    ["drift.yml", "a-drift", { ENVIRONMENTS: '["a"]' }],
    ["scale.yml", "a-scale", { SCALED: '["a"]' }],
  ])("of %s wants chosen branches instead: nobody is asked at night", (file, environment, env) => {
    const policy = (value: string, names: string[] = [], protectedBranches: string[] = []): string =>
      `case $2 in
        repos/o/r/environments/${environment}) echo '{"deployment_branch_policy": ${value}}' ;;
        repos/o/r/environments/${environment}/deployment-branch-policies)
          echo '${JSON.stringify({ branch_policies: names.map((name) => ({ name })) })}' ;;
        repos/o/r/branches?protected=true) echo '${JSON.stringify(protectedBranches.map((name) => ({ name })))}' ;;
        *) exit 1 ;;
      esac`;
    const [shielded, chosen] = [
      '{"protected_branches": true, "custom_branch_policies": false}',
      '{"protected_branches": false, "custom_branch_policies": true}',
    ];
    for (const gh of [policy(shielded, [], ["main"]), policy(chosen, ["main"])])
      expect(bash(guard(file), gh, { ...env, BRANCH: "main" })).toMatchObject({ status: 0, stdout: "" });
    const open = [
      policy("null"),
      // If no branch is protected, this setting allows all branches; and names are patterns.
      policy(shielded),
      policy(chosen, ["*"]),
      policy(chosen, ["main", "feature/*"]),
      policy(chosen, []),
      "echo '{}'",
      "echo nonsense",
      "echo '{}'; exit 1",
    ];
    for (const gh of open) expect(bash(guard(file), gh, { ...env, BRANCH: "main" }).status, gh).not.toBe(0);
  });

  test("stops where the list of environments is none", () => {
    expect(bash(guard("preview.yml"), `echo '${reviewers}'`, { ENVIRONMENTS: "staging" }).status).not.toBe(0);
  });
});

describe("an update of a stack that another update is at", () => {
  const locked = {
    folder: "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end",
    service: "error: [409] Conflict: Another update is currently in progress.",
  };
  /** The number of runs of a program that fails the first times. */
  const runs = (
    message: string,
    failures: number,
    code = 255,
  ): { status: number | null; times: number; said: string } => {
    writeFileSync(join(folder, "times"), "");
    writeFileSync(
      join(folder, "pulumi"),
      `#!/bin/bash\necho "$1 $2" >> times\n(($(wc -l < times) > ${failures})) && { echo done; exit 0; }\necho '${message}' >&2; exit ${code}\n`,
    );
    chmodSync(join(folder, "pulumi"), 0o755);
    const env = { LOCK_SECONDS: "0", LOCK_TRIES: "4" };
    const { status, stdout } = bash(`${join(GITHUB, "when-unlocked.sh")} pulumi up --yes`, "exit 1", env);
    const words = readFileSync(join(folder, "times"), "utf8").split("\n").filter(Boolean);
    expect(new Set(words)).toEqual(new Set(["up --yes"]));
    return { status, times: words.length, said: stdout };
  };

  test.each(Object.values(locked))("waits for it: %s", (message) => {
    expect(runs(message, 2)).toMatchObject({ status: 0, times: 3, said: expect.stringContaining("done") });
    expect(runs(message, 9)).toMatchObject({ status: 255, times: 4 });
  });

  test("and fails at once for any other reason", () => {
    expect(runs("error: the cloud is down", 9, 7)).toMatchObject({ status: 7, times: 1 });
    expect(runs("", 0)).toMatchObject({ status: 0, times: 1 });
  });

  test("is the case where a merge and the schedule meet", () => {
    for (const [file, job] of [
      ["up.yml", "up"],
      ["scale.yml", "scale"],
    ] as const)
      expect(workflowOf(file).jobs[job]?.steps.map(({ run }) => run)).toContainEqual(
        expect.stringMatching(/^\.github\/when-unlocked\.sh (pulumi up|cli\/triplewide scale) /),
      );
  });
});

describe("drift", () => {
  const drift = (pulumi: string): { status: number | null; file: string } => {
    writeFileSync(join(folder, "pulumi"), `#!/bin/bash\n${pulumi}\n`);
    chmodSync(join(folder, "pulumi"), 0o755);
    const { status } = bash(`${join(GITHUB, "drift.sh")} staging drift.txt`, "exit 1", {});
    return { status, file: readFileSync(join(folder, "drift.txt"), "utf8") };
  };

  test("is nothing, what differs, or a failure", () => {
    expect(drift("echo all the same")).toEqual({ status: 0, file: "" });
    const differs = "echo '~ port'; echo 'error: no changes were expected but changes were proposed' >&2; exit 255";
    expect(drift(differs)).toMatchObject({ status: 0, file: expect.stringContaining("~ port") });
    expect(drift("echo 'error: passphrase must be set' >&2; exit 255").status).toBe(1);
  });

  const issue = (stack: string, content: string, number: string): { status: number | null; calls: string } => {
    writeFileSync(join(folder, "drift.txt"), content);
    writeFileSync(join(folder, "calls"), "");
    const gh = `echo "$@" >> calls; if [[ $2 == --paginate ]]; then echo '${number}'; fi`;
    const script = `${join(GITHUB, "keep-issue.sh")} "Drift in" "$STACK" Said. drift.txt`;
    const { status } = bash(script, gh, { STACK: stack });
    return { status, calls: readFileSync(join(folder, "calls"), "utf8").split("\n").slice(1).join("\n") };
  };

  test("is one issue of the bot's own: opened, written over, closed", () => {
    expect(issue("staging", "~ port", "").calls).toMatch(
      /^api --method POST repos\/o\/r\/issues -f title=Drift in staging/,
    );
    expect(issue("staging", "~ port", "7").calls).toMatch(/^api --method PATCH repos\/o\/r\/issues\/7 -F body=@/);
    expect(issue("staging", "", "7").calls).toMatch(/^api --method PATCH repos\/o\/r\/issues\/7 -f state=closed/);
    expect(issue("staging", "", "").calls).toBe("");
    expect(issue('a" or true', "~ port", "7")).toEqual({ status: 2, calls: "" });
  });
});

describe("what a fork makes the bot say", () => {
  const quote = (content: string | Buffer): string => {
    writeFileSync(join(folder, "plan.diff"), content);
    const { status, stdout, stderr } = spawnSync(join(GITHUB, "quote.sh"), ["Plan", "Said.", "plan.diff"], {
      encoding: "utf8",
      cwd: folder,
    });
    expect([status, stderr]).toEqual([0, ""]);
    return stdout;
  };
  /** The text within the code fence, if everything around it is the bot's own. */
  function fenced(comment: string): string {
    const lines = comment.split("\n");
    const open = lines.findIndex((line) => /^`{3,}diff$/.test(line));
    const fence = (lines[open] ?? "").replace("diff", "");
    const close = lines.findIndex((line, i) => i > open && new RegExp(`^ {0,3}\`{${fence.length},}\\s*$`).test(line));
    expect([...lines.slice(0, open), ...lines.slice(close + 1)].filter((line) => line !== "")).toEqual([
      ...["### Plan", "", "Said."].filter((line) => line !== ""),
      ...(comment.includes("It is cut off here")
        ? ["It is cut off here; the rest is in the artifact of its run."]
        : []),
      "<details><summary>Show</summary>",
      "</details>",
    ]);
    return lines.slice(open + 1, close).join("\n");
  }

  test.each([
    "```\n@everyone [approve](https://evil.example)\n```",
    "</details>\n\n# Approved by the maintainers",
    "<!-- triplewide plan -->\n![x](https://evil.example/pixel)",
    "~~~\n`````\n   ````````\n",
    "\\```\n\t```\n",
  ])("stands in a block that it cannot end: %j", (text) => {
    expect(fenced(quote(text))).toBe(text.replace(/\n+$/, ""));
  });

  test("whatever it is", () => {
    const part = fc.oneof(
      fc.constantFrom("`", "```", "~~~", "\n", " ", "@a", "<", "</details>"),
      fc
        .string({ unit: "grapheme" })
        .filter((text) => !/\p{C}|\p{Zl}|\p{Zp}|\p{Default_Ignorable_Code_Point}|\ufffd/u.test(text)),
    );
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const text = parts.join("").replaceAll("\r", "");
        expect(fenced(quote(text))).toBe(text.replace(/\n+$/, ""));
      }),
      { numRuns: 15 },
    );
  });

  test("holds no mark that hides or turns text, and no byte that is none", () => {
    const text = fenced(
      quote(Buffer.concat([Buffer.from("a\u202eb\u2066c\u200bd\u0000e\x1b[31mf\u2028g\u3164h\r"), Buffer.from([255])])),
    );
    expect(text).toBe("a?b?c?d?e?[31mf?g?h??");
  });

  test("is short enough for a comment, and ends with a whole character", () => {
    const comment = quote("é".repeat(50_000));
    expect(comment.length).toBeLessThan(65_000);
    expect(comment).toContain("It is cut off here");
    expect(fenced(comment)).toMatch(/^é+$/);
  });

  test("is no other file of the machine that writes", () => {
    rmSync(join(folder, "plan.diff"), { force: true });
    symlinkSync("/etc/hostname", join(folder, "plan.diff"));
    const { status, stdout } = spawnSync(join(GITHUB, "quote.sh"), ["Plan", "Said.", "plan.diff"], { cwd: folder });
    expect([status, String(stdout)]).toEqual([1, ""]);
  });

  test("is written over the bot's own comment alone, in a pull request that is a number", () => {
    const script = `${join(GITHUB, "comment.sh")} "$NUMBER" plan body.md`;
    writeFileSync(join(folder, "body.md"), "text\n");
    const gh =
      'echo "$@" >> calls; [[ $1$2 == api--paginate ]] && [[ "$*" == *\'login == "github-actions[bot]"\'* ]] && echo 7; true';
    expect(bash(script, gh, { NUMBER: "12" }).status).toBe(0);
    expect(readFileSync(join(folder, "calls"), "utf8")).toContain("--method PATCH repos/o/r/issues/comments/7");
    expect(bash(script, gh, { NUMBER: "12/../../x" }).status).toBe(2);
  });
});
