import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { writeContent } from "../../render/content.ts";

/** Text in which the special characters of all formats are frequent. */
const text = fc.string({ unit: fc.constantFrom(..."aZ09 \t\n\r\f\x01%$\"'\\`;#&|<>(){}[]*?!~=:,@é雪") });
const key = fc.string({ minLength: 1, unit: fc.constantFrom(..."abc.# =:\\!\t\n") });

/** Parses a properties file as Java does. Written from the documentation of `java.util.Properties.load`. */
function readProperties(file: string): Record<string, string> {
  const read: Record<string, string> = {};
  const escapes: Record<string, string> = { t: "\t", n: "\n", r: "\r", f: "\f" };
  for (const line of file.split(/\r\n|\n|\r/)) {
    const natural = line.replace(/^[ \t\f]+/, "");
    if (natural === "" || /^[#!]/.test(natural)) continue;
    let i = 0;
    const upTo = (ends: RegExp): string => {
      let word = "";
      for (; i < natural.length && !ends.test(natural[i] as string); i++) {
        if (natural[i] !== "\\") word += natural[i];
        else if (++i >= natural.length) throw new Error(`the line goes on: ${line}`);
        else word += escapes[natural[i] as string] ?? natural[i];
      }
      return word;
    };
    const name = upTo(/[=: \t\f]/);
    i += /^[ \t\f]*[=:]?[ \t\f]*/.exec(natural.slice(i))?.[0].length ?? 0;
    read[name] = upTo(/^\b$/);
  }
  return read;
}

describe("a file comes back as the values that it was made of:", () => {
  test.each([" ", "="] as const)("properties, separated by %j", (separator) => {
    fc.assert(
      fc.property(fc.dictionary(key, text, { noNullPrototype: true }), (properties) => {
        const file = writeContent({ format: "properties", separator, properties });
        expect(readProperties(file)).toEqual(properties);
      }),
    );
    const one = writeContent({ format: "properties", separator, properties: { "spark.x": "=a" } });
    expect(one).toBe(`spark.x${separator}\\=a\n`);
  });

  test("Hadoop's XML", () => {
    fc.assert(
      fc.property(fc.dictionary(key, text, { noNullPrototype: true }), (properties) => {
        const file = writeContent({ format: "hadoop-xml", properties });
        const entities: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"' };
        const plain = (xml = ""): string => {
          expect(xml).not.toMatch(/[<>"]|&(?!amp;|lt;|gt;|quot;)/);
          return xml.replace(/&\w+;/g, (entity) => entities[entity] ?? "");
        };
        const elements = [...file.matchAll(/<name>([^<]*)<\/name><value>([^<]*)<\/value>/g)];
        expect(Object.fromEntries(elements.map(([, name, value]) => [plain(name), plain(value)]))).toEqual(properties);
      }),
    );
  });

  test("exports of a shell", () => {
    fc.assert(
      fc.property(text, (value) => {
        const script = `${writeContent({ format: "shell-exports", variables: { X: value } })}printf %s "$X"`;
        expect(spawnSync("bash", ["-c", script], { encoding: "utf8" }).stdout).toBe(value);
      }),
      { numRuns: 30 },
    );
  });

  test("JSON, on one line", () => {
    fc.assert(
      fc.property(fc.dictionary(key, text, { noNullPrototype: true }), (value) => {
        const file = writeContent({ format: "json", value });
        expect(file.trimEnd()).not.toMatch(/[\n\r]/);
        expect(JSON.parse(file)).toEqual(value);
      }),
    );
  });
});
