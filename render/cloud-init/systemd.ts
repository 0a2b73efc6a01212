/** What systemd reads: unit files, command lines and environment files. */

/** Characters that need no quotes in a command line of a unit. */
const PLAIN = /^[A-Za-z0-9_@:=,.+/{}-]+$/;
/** A program: an absolute path. systemd replaces no variables in it, so it must not need any escape. */
const PROGRAM = /^\/[A-Za-z0-9_.+/-]+$/;

/** `ExecStart=` and its like for exactly these arguments: no specifier, variable or escape of systemd's is left in them. */
export function execLine(argv: readonly string[]): string {
  const [program = "", ...args] = argv;
  if (!PROGRAM.test(program)) throw new Error(`not the absolute path of a program: ${JSON.stringify(program)}`);
  return [program, ...args.map(quoteArgument)].join(" ");
}

function quoteArgument(argument: string): string {
  if (argument.includes("\0")) throw new Error("an argument cannot hold a NUL character");
  if (PLAIN.test(argument)) return argument;
  const escaped = argument
    .replaceAll("%", "%%")
    .replaceAll("$", "$$$$")
    .replace(/[\\"]/g, (c) => `\\${c}`)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped here
    .replace(/[\x01-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${escaped}"`;
}

/** An `EnvironmentFile=`. */
export function environmentFile(env: Readonly<Record<string, string>>): string {
  return lines(env, (value) => `"${value.replace(/[\\"$`]/g, (c) => `\\${c}`)}"`);
}

/** A file for `docker run --env-file`, which takes the rest of the line as it is and knows no quotes. */
export function dockerEnvFile(env: Readonly<Record<string, string>>): string {
  return lines(env, (value) => value);
}

function lines(env: Readonly<Record<string, string>>, quote: (value: string) => string): string {
  return Object.keys(env)
    .sort()
    .map((key) => {
      const value = env[key] ?? "";
      if (/[\n\r\0]/.test(value)) throw new Error(`the value of ${key} has more than one line`);
      return `${key}=${quote(value)}\n`;
    })
    .join("");
}

/** Sections of a unit file: lines `Key=value`, in order; a key may repeat. */
export type Unit = Readonly<Record<string, readonly string[]>>;

/** A unit file. */
export function unitFile(unit: Unit): string {
  return Object.entries(unit)
    .map(([section, entries]) => `[${section}]\n${entries.map((line) => `${line}\n`).join("")}`)
    .join("\n");
}
