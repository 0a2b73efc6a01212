import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/**
 * Scripts that run on the machine of whoever makes a cluster. On macOS that is bash 3.2 with the tools of BSD; scripts that run in
 * containers and on the cluster's machines are none of these.
 */

const SCRIPTS = ["images/build.sh", "images/site.sh", "images/mesos-from-image.sh", "scripts/bootstrap.sh"];

/** What bash learned after 3.2, and what only GNU's tools do. */
const NOT_THERE: readonly (readonly [RegExp, string])[] = [
  [/\b(?:declare|local|typeset) -[a-z]*[An]/, "associative arrays and references to variables"],
  [/\b(?:mapfile|readarray|coproc)\b/, "mapfile, readarray and coproc"],
  [/\$\{[^}]*(?:,,?|\^\^?)\}/, "letters in another case, by the expansion of a variable"],
  [/\[-\d+\]\}/, "elements counted from an array's end"],
  [/\$\{\w+@\w\}|\[\[ -v\b|\|&|&>>|;;?&(?!&)|\bwait -n\b|\bprintf '%\(/, "later operators"],
  [/\bfind\b.*-printf\b/, "find -printf"],
  [/\bsed (?:-\w* )*-i\b|\bsed -\w*r\b/, "sed -i and -r"],
  [
    /\bgrep -\w*P|\breadlink -f\b|\brealpath\b|\bdate -d\b|\bstat -c\b|\bsort -V\b|\bhead -n -|\bxargs -r\b/,
    "GNU's options",
  ],
  [/\bnproc\b|\btac\b|\bbase64 -w/, "GNU's own tools"],
];

/** Lists that always have an element: the expansion of an empty one is an error in bash 3.2. */
const NEVER_EMPTY = ["ORDER", "wanted", "images", "layers", "fields", "linked", "confined"];

test.each(SCRIPTS)("%s runs with the bash and the tools of macOS", (script) => {
  const faults = readFileSync(join(ROOT, script), "utf8")
    .split("\n")
    .flatMap((line, index) => {
      const code = line.replace(/^\s*#.*/, "");
      const places = `${script}:${index + 1}`;
      const later = NOT_THERE.filter(([pattern]) => pattern.test(code)).map(([, what]) => `${places}: ${what}`);
      const lists = [...code.matchAll(/(\+)?"\$\{(\w+)\[@\]\}"/g)]
        .filter(([, guarded, name = ""]) => guarded === undefined && !NEVER_EMPTY.includes(name))
        .map(([, , name]) => `${places}: \${${name}[@]+"\${${name}[@]}"}, which may be empty`);
      return [...later, ...lists];
    });
  expect(faults).toEqual([]);
});

test("what macOS has not is asked for before it is used", () => {
  for (const script of SCRIPTS) {
    const text = readFileSync(join(ROOT, script), "utf8").replaceAll(/^\s*#.*/gm, "");
    for (const tool of ["sha256sum", "timeout", "flock", "gtar"])
      if (new RegExp(`\\b${tool} +[\\w-]|; then ${tool}\\b`).test(text)) expect(text).toContain(`command -v ${tool}`);
  }
});

test("a mirror's login that builds are given is this user's alone to read", () => {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-site-"));
  const certs = join(folder, "base", "certs");
  const file = join(certs, "mirrors.env");
  mkdirSync(certs, { recursive: true });
  copyFileSync(join(ROOT, "images/site.sh"), join(folder, "site.sh"));
  /** Permissions of the file, where this machine has such an index. */
  const modeFor = (index: string): string => {
    const env = { PATH: process.env.PATH, PIP_INDEX_URL: index };
    expect(spawnSync("bash", [join(folder, "site.sh")], { env, encoding: "utf8" })).toMatchObject({
      status: 0,
      stderr: "",
    });
    return (statSync(file).mode & 0o777).toString(8);
  };
  try {
    expect(modeFor("https://pypi.example.org/simple")).toBe("644");
    expect(modeFor("https://me:secret@pypi.example.org/simple")).toBe("600");
    // One of before.
    spawnSync("chmod", ["644", file]);
    expect(modeFor("https://me:secret@pypi.example.org/simple")).toBe("600");
    expect(existsSync(join(certs, "site.crt"))).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Text that is a command to a shell, or to Make. */
const COMMANDS = ["x';touch$IFS'planted", "$(shell touch planted)x", "`touch planted`", "$$(touch planted)"];

test.each([
  ["plan", "SET", "--set"],
  ["plan", "ENV", "plan"],
  ["plan", "WORKERS", "--set", "agentCount="],
  ["up", "MESOS", "--mesos"],
  ["logs", "SINCE", "--since"],
  ["logs", "GREP", "--grep"],
  ["drain", "AGENT", "local"],
  ["rotate", "NAME", "rotate"],
  ["doctor", "BUNDLE", "--bundle"],
  ["backup", "FOLDER", "backup"],
  ["images", "IMAGES", "images"],
  ["mesos", "CHECK", "check"],
  ["mesos", "USE", "use"],
])("make %s takes %s as text, whatever it is", (target, variable, before, prefix = "") => {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-make-"));
  try {
    copyFileSync(join(ROOT, "Makefile"), join(folder, "Makefile"));
    for (const path of ["scripts", "cli", "node_modules/.bin"]) mkdirSync(join(folder, path), { recursive: true });
    const says = '#!/bin/bash\nprintf "%s\\n" "$@"\n';
    for (const [path, content] of [
      ["package.json", ""],
      ["package-lock.json", ""],
      ["scripts/bootstrap.sh", "#!/bin/bash\n"],
      ["cli/triplewide", says],
      ["node_modules/.bin/node", says],
      ["node_modules/.ready", ""],
    ] as const)
      writeFileSync(join(folder, path), content, { mode: 0o755 });
    const there = readdirSync(folder);
    for (const text of COMMANDS) {
      // SET, AGENT, NAME and IMAGES are lists: their words are theirs.
      const given = /^(SET|AGENT|NAME|IMAGES)$/.test(variable) ? text.replaceAll(" ", "\t").split("\t") : [text];
      const { status, stdout, stderr } = spawnSync("make", ["-C", folder, "-s", target, `${variable}=${text}`], {
        // Standard input is no socket: Debian's bash would take one for a network login, and read /etc/bash.bashrc.
        stdio: ["ignore", "pipe", "pipe"],
        encoding: "utf8",
      });
      expect({ status, stderr, planted: readdirSync(folder) }).toEqual({ status: 0, stderr: "", planted: there });
      const said = stdout.split("\n");
      expect(said[said.indexOf(before) + 1], stdout).toBe(`${prefix}${given[0]}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
