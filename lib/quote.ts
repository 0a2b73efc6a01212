/** Quoting for each format: the reader gets exactly the value, and no character of it ends the text around it. */

/** One word of a shell script. */
export function shellWord(text: string): string {
  if (text.includes("\0")) throw new Error("a shell word cannot hold a NUL character");
  return /^[A-Za-z0-9_@%:=,.+/-]+$/.test(text) ? text : shellQuote(text);
}

/** One word of a shell script, always in quotes. */
export const shellQuote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Words of a shell command line. */
export const shellWords = (argv: readonly string[]): string => argv.map(shellWord).join(" ");

/** A format for the shell's `printf` that prints exactly this text. */
export const printfFormat = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("%", "%%");

const ESCAPES: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f" };

/** A key of a Java properties file. */
export const propertyKey = (text: string): string => text.replace(/[\\:=#! \t\n\r\f]/g, (c) => ESCAPES[c] ?? `\\${c}`);

/**
 * A value of a Java properties file. Behind a space that ends the key, a first `=` or `:` would count as the separator. Spark
 * takes white space off both ends of a value, whatever is written.
 */
export const propertyValue = (text: string): string =>
  text.replace(/[\\\t\n\r\f]/g, (c) => ESCAPES[c] ?? "\\\\").replace(/^[ =:]/, "\\$&");

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text of an XML element. */
export const xmlText = (text: string): string => text.replace(/[&<>"]/g, (c) => ENTITIES[c] ?? c);
