import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runProgram } from "../../cli/program.ts";
import { UserError } from "../../lib/errors.ts";
import { ROOT } from "../../lib/root.ts";
import { printableJson, printableLines } from "../../lib/text.ts";
import { CloudError } from "../../openstack/errors.ts";
import { Findings, PreflightError } from "../../openstack/findings.ts";

/** Text from servers, machines and users' jobs is printed without control characters, so that it cannot hide or forge lines. */

/** Clears the screen, sets the window's title and the clipboard (with both kinds of introducer), and reverses text direction. */
const HOSTILE = "a\u001b[2J\u001b]0;title\u0007\u001b]52;c;cm0gLXJmIH4K\u0007\u009b31m\u202eb\u2066c\rd\u0008e";
const STEERS = /[^\P{C}\n\t]|[\u2028\u2029]/u;

test("lines and tabs stay, colours go, everything else that steers is written out", () => {
  expect(HOSTILE).toMatch(STEERS);
  expect(printableLines(HOSTILE)).not.toMatch(STEERS);
  expect(printableLines("one\r\n\ttwo \u001b[1;31mred\u001b[0m\nthree\u001b[2J\n")).toBe(
    "one\n\ttwo red\nthree\\u{1b}[2J\n",
  );
  // Invisible letters and tags are escaped. Joiners within emoji stay.
  expect(printableLines("a\u3164b\u{e0061}c👩\u200d🚀⚠\ufe0f")).toBe("a\\u{3164}b\\u{e0061}c👩\u200d🚀⚠\ufe0f");
  const value = { said: [HOSTILE, "ä€😀"], "\u{e0001}": "\u0085" };
  expect(printableJson(value)).not.toMatch(STEERS);
  expect(JSON.parse(printableJson(value))).toEqual(value);
});

describe("an error", () => {
  test.each<[string, () => Error]>([
    ["that quotes a program", () => new UserError(`docker run failed:\n${HOSTILE}`)],
    ["that quotes a cloud", () => new CloudError(HOSTILE, 400)],
    [
      "of a cloud in which a neighbour has named something",
      () => {
        const findings = new Findings();
        findings.refuse("externalNetwork", "public", "there is no such network", `use ${HOSTILE}`);
        findings.warn(HOSTILE);
        return new PreflightError("lab", findings.problems, findings.warnings);
      },
    ],
  ])("%s steers no terminal", (_, make) => {
    expect(make().message).not.toMatch(STEERS);
  });

  test("of the command line shows what was typed as text", async () => {
    let said = "";
    const write = (text: string): void => {
      said += text;
    };
    await runProgram(["plan", "local", "--set", `agentCount=${HOSTILE}`], { out: write, err: write });
    expect(said).toContain("agentCount");
    expect(said).not.toMatch(STEERS);
  });
});

test("what a command prints steers no terminal", () => {
  const script = `import { print, printJson, remark, say } from ${JSON.stringify(join(ROOT, "lib/terminal.ts"))};
    const text = ${JSON.stringify(HOSTILE)}; print(text + "\\n"); say(text); remark(text); printJson({ text });`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  expect([status, stdout.split("\n").length]).toEqual([0, 6]);
  expect(stdout).not.toMatch(STEERS);
  expect(stderr).not.toMatch(STEERS);
});

test("no command writes to the terminal in another way", () => {
  const files = ["cli", "local", "mesos", "machines", "openstack"].flatMap((folder) =>
    readdirSync(join(ROOT, folder)).map((name) => join(folder, name)),
  );
  const others = files.filter(
    (file) =>
      file.endsWith(".ts") &&
      file !== "cli/program.ts" &&
      /process\.std(out|err)\b|\bconsole\.(log|error|warn)\b/.test(readFileSync(join(ROOT, file), "utf8")),
  );
  expect(others).toEqual([]);
});
