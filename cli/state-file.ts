import { readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pulumi } from "./pulumi.ts";

/**
 * Removes files that prevent Pulumi from reading a stack's state in a folder. Beside each file Pulumi keeps another one with the file's
 * attributes, and empties that before it writes it. A Pulumi that was killed in between leaves it empty: every later command then only says
 * "EOF". The state itself is complete.
 *
 * @param folder Folder of the Pulumi project.
 * @returns Names of the removed files; empty if the state is not in a folder.
 */
export async function removeBrokenAttributes(folder: string, stack: string): Promise<string[]> {
  const { url } = JSON.parse(await pulumi(folder, ["whoami", "--json"], "read")) as { url?: string };
  if (!url?.startsWith("file://")) return [];
  const root = new URL(url.replace(/^file:\/\/~/, `file://${homedir()}`));
  const stacks = join(fileURLToPath(`file://${root.pathname}`), ".pulumi", "stacks");
  const names = [`${stack}.json.attrs`, `${stack}.json.bak.attrs`];
  const files = readdirSync(stacks, { recursive: true, encoding: "utf8" })
    .filter((name) => names.includes(basename(name)))
    .map((name) => join(stacks, name));
  const broken = files.filter((file) => !isJson(readFileSync(file, "utf8")));
  for (const file of broken) rmSync(file);
  return broken;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
