import { Scalar, stringify } from "yaml";

/** Documents as cloud-init reads them. */

/** A document of cloud-init that also writes files. */
export function cloudConfig(document: object, files: readonly WrittenFile[]): string {
  const written = files.map((file) => `-\n${yaml(writtenFile(file)).replace(/^(?=.)/gm, " ")}`);
  return `#cloud-config\n${yaml(document)}write_files:\n${written.join("")}`;
}

/** A file that cloud-init writes. */
export interface WrittenFile {
  path: string;
  mode: string;
  content: string;
}

/**
 * Characters that do not stay what they are between lines of YAML 1.1: control characters are refused there, and U+0085, U+2028
 * and U+2029 end a line. White space in front of the first line counts as indentation.
 */
const UNLIKE_TEXT =
  /^[ \t\n]|[^\t\n\x20-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]/u;

/** cloud-init reads YAML 1.1, in which `yes` and 0600 are no text. Little indentation: there are a thousand lines. */
const yaml = (data: object): string => stringify(data, { version: "1.1", lineWidth: 0, indent: 1 });

/** A file in YAML: line by line, so that people can read it; in base64 where it is not plain text. */
function writtenFile({ path, mode, content }: WrittenFile): object {
  const file = { path, permissions: mode };
  if (UNLIKE_TEXT.test(content)) return { ...file, encoding: "b64", content: Buffer.from(content).toString("base64") };
  const scalar = new Scalar(content);
  scalar.type = "BLOCK_LITERAL";
  return { ...file, content: scalar };
}
