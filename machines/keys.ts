import { existsSync } from "node:fs";
import { join } from "node:path";
import { captured } from "../lib/exec.ts";

/** Whether SSH will have the private key of a key pair: asked at once, and not when the first machine is up. */

/** Files that OpenSSH's client looks for by itself. */
const DEFAULT_FILES = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];

/** Type and key of a public key, without its comment. */
const bare = (line: string): string => line.trim().split(/\s+/).slice(0, 2).join(" ");

/**
 * Why SSH cannot use the private key that belongs to a public one; `undefined` where it can: an agent holds it, or it is in
 * a default file without a passphrase. Nobody is there to type one while machines are waited for.
 *
 * @param publicKey As Nova has it.
 * @param home The user's home.
 */
export async function keyProblem(publicKey: string, home: string): Promise<{ wrong: string; fix: string } | undefined> {
  const wanted = bare(publicKey);
  const agent = await output("ssh-add", ["-L"]);
  if (agent.split("\n").some((line) => bare(line) === wanted)) return undefined;
  const fingerprint = await fingerprintOf(publicKey);
  for (const name of DEFAULT_FILES) {
    const file = join(home, ".ssh", name);
    if (!existsSync(file)) continue;
    if (bare(await output("ssh-keygen", ["-y", "-P", "", "-f", file])) === wanted) return undefined;
    // A key with a passphrase shows what it is by the public key inside of it, or beside it.
    const known = [
      await output("ssh-keygen", ["-l", "-f", file]),
      await output("ssh-keygen", ["-l", "-f", `${file}.pub`]),
    ];
    if (fingerprint !== "" && known.some((text) => text.includes(fingerprint)))
      return { wrong: `its private key ${file} has a passphrase, and no agent holds it`, fix: `ssh-add ${file}` };
  }
  return {
    wrong:
      "its private key is neither held by an SSH agent nor in one of SSH's default files (~/.ssh/config is not read)",
    fix: "ssh-add <its file>, or remove keyPair: a key pair is then made",
  };
}

/** SHA256 fingerprint of a public key; empty where it is none. */
async function fingerprintOf(publicKey: string): Promise<string> {
  const script = 'printf "%s\\n" "$0" | ssh-keygen -l -f -';
  return /SHA256:\S+/.exec(await output("bash", ["-c", script, publicKey]))?.[0] ?? "";
}

/** What a program prints; empty where it fails or is not there. */
async function output(program: string, args: readonly string[]): Promise<string> {
  try {
    const { code, output: said } = await captured(program, args);
    return code === 0 ? said : "";
  } catch {
    return "";
  }
}
