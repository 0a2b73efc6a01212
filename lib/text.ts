/** Rules for characters in config values, and escaping of text of unknown origin. */

/**
 * Characters that no value may hold: control characters and line ends of every kind, which end a line of a script or a unit;
 * halves of surrogate pairs and noncharacters, which no file keeps as they are; marks that reverse the direction of text or
 * cannot be seen, by which a reviewer reads something else than the program does: letters without a shape, tags and fillers among them.
 */
const UNFIT = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}]/u;
/** The same without the joiners and variation selectors of scripts and emoji, for text that is only shown. */
const EVERY_UNFIT = new RegExp(`(?![\\u200c\\u200d\\ufe0e\\ufe0f])${UNFIT.source}`, "gu");

/** The first character of a text that no value may hold, as `U+000A`; `undefined` if there is none. */
export function unfitCharacter(text: string): string | undefined {
  const found = UNFIT.exec(text)?.[0];
  return found === undefined ? undefined : codePoint(found);
}

const codePoint = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

/** Text in which every such character is escaped, so that it stays on one line and nothing in it is hidden. */
export const printable = (text: string): string =>
  text.replace(EVERY_UNFIT, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);

/** Escape sequences for colours, which some programs print even without a terminal. */
const COLOURS = /\p{Cc}\[[\d;]*m/gu;

/**
 * The same for text of several lines, of which ends of lines and tabs stay. Whoever said it, a terminal that it is written to shows it, and
 * does nothing else.
 */
export const printableLines = (text: string): string =>
  text
    .replace(COLOURS, "")
    .replaceAll("\r\n", "\n")
    .split(/([\n\t])/)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join("");

/** A value as JSON for programs, in which such characters are JSON escapes. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).replaceAll(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (text) =>
    [...Array(text.length).keys()].map((i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`).join(""),
  );

/** The number of names that are shown. With hundreds of machines the first few are enough. */
const SHOWN = 8;

/** A list of names for messages, shortened if there are many: `a, b and 7 more`. */
export function someNames(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(", ");
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
