import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { captured } from "../lib/exec.ts";
import { shellQuote } from "../lib/quote.ts";
import { ownSettings } from "./ssh-settings.ts";

/** Checks whether SSH can use the private key of a key pair, before machines are made and not when the first one is up. */

/** Files that OpenSSH's client looks for by itself. */
const DEFAULT_FILES = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];

/** Type and key of a public key, without its comment. */
const bare = (line: string): string => line.trim().split(/\s+/).slice(0, 2).join(" ");

/**
 * Why SSH cannot use the private key that belongs to a public one; `undefined` where it can: an agent holds it, or it is in
 * a file without a passphrase that SSH looks at. Nobody is there to type one while machines are waited for.
 *
 * @param publicKey As Nova has it.
 * @param alias The bastion's name in the user's SSH settings.
 * @param home The account's home.
 */
export async function keyProblem(
  publicKey: string,
  alias: string,
  home?: string,
): Promise<{ wrong: string; fix: string } | undefined> {
  const wanted = bare(publicKey);
  const { keys, files, agent } = await identities(alias, home);
  if (keys.some((key) => bare(key) === wanted)) return undefined;
  const fingerprint = await fingerprintOf(publicKey);
  for (const file of files) {
    if (!existsSync(file)) continue;
    if (bare(await output("ssh-keygen", ["-y", "-P", "", "-f", file])) === wanted) return undefined;
    // A key with a passphrase shows what it is by the public key inside of it, or beside it.
    const known = [
      await output("ssh-keygen", ["-l", "-f", file]),
      await output("ssh-keygen", ["-l", "-f", `${file}.pub`]),
    ];
    if (fingerprint !== "" && known.some((text) => text.includes(fingerprint)))
      return {
        wrong: `its private key ${file} has a passphrase, and no agent holds it`,
        fix: `${agent}ssh-add ${file}`,
      };
  }
  return {
    wrong: "its private key is neither held by an SSH agent nor in a file that SSH looks at",
    fix: `ssh-add <its file>, or IdentityFile <its file> under Host ${alias} in ~/.ssh/config, or remove keyPair: a key pair is then made`,
  };
}

/** The keys that SSH would log in with, from the agent and from files. */
async function identities(
  alias: string,
  home = userInfo().homedir,
): Promise<{ keys: string[]; files: string[]; agent: string }> {
  const own = (await ownSettings(alias, undefined, home)).keys;
  const expanded = (path: string): string => path.replace(/^~(?=\/)|%d/g, home).replaceAll("%%", "%");
  const valuesOf = (word: string): string[] =>
    own
      .filter((line) => line.startsWith(`${word} `))
      .map((line) => line.slice(word.length + 1).replace(/^"(.*)"$/, "$1"));
  const [setAgent] = valuesOf("IdentityAgent");
  // A value such as $SOCKET names a variable.
  const socket = setAgent?.startsWith("$") ? process.env[setAgent.replace(/^\$\{?(\w+)\}?$/, "$1")] : setAgent;
  const env = socket && socket !== "SSH_AUTH_SOCK" ? { SSH_AUTH_SOCK: expanded(socket) } : {};
  const files = valuesOf("IdentityFile").map(expanded);
  const defaults = DEFAULT_FILES.map((name) => join(home, ".ssh", name));
  return {
    keys: (await output("ssh-add", ["-L"], env)).split("\n"),
    files: files.length > 0 ? files : defaults,
    agent: env.SSH_AUTH_SOCK ? `SSH_AUTH_SOCK=${shellQuote(env.SSH_AUTH_SOCK)} ` : "",
  };
}

/** SHA256 fingerprint of a public key; empty if the text is not one. */
async function fingerprintOf(publicKey: string): Promise<string> {
  const script = 'printf "%s\\n" "$0" | ssh-keygen -l -f -';
  return /SHA256:\S+/.exec(await output("bash", ["-c", script, publicKey]))?.[0] ?? "";
}

/** The output of a program; empty if it fails or does not exist. */
async function output(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  try {
    const { code, output: said } = await captured(program, args, undefined, env);
    return code === 0 ? said : "";
  } catch {
    return "";
  }
}
