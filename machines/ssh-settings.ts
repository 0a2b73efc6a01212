import { userInfo } from "node:os";
import { join } from "node:path";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { shellQuote } from "../lib/quote.ts";

/**
 * What the user's own SSH settings (`~/.ssh/config`) say about a machine, as far as it is the way there and the keys. Whom to
 * trust they do not decide, nor what is run.
 */

export interface OwnSettings {
  /** Lines of a client's configuration that say which keys, certificates and agent are used. */
  keys: string[];
  /** Command that a connection goes through, with OpenSSH's tokens `%h`, `%p` and `%r`: a jump host, or the user's own command. */
  way?: string;
  /** The way in words: the jump host's name. */
  wayName?: string;
}

/** Thrown where OpenSSH does not understand the user's own settings. */
class SshSettingsError extends UserError {
  override name = "SshSettingsError";
}

/** Keywords that say with what one logs in; of other keywords none is taken. */
const KEY_WORDS = ["IdentityFile", "CertificateFile", "IdentityAgent", "IdentitiesOnly", "PKCS11Provider"];

/**
 * Asks OpenSSH what it would do for a machine: by the name that `Host <cluster>-bastion` has, then by its address.
 *
 * @param alias Name of the machine in the settings that `up` prints.
 * @param address `undefined` where it has none yet.
 * @param home The account's home, which is where OpenSSH looks, whatever `HOME` says.
 * @throws SshSettingsError where there are settings that OpenSSH does not understand.
 */
export async function ownSettings(
  alias: string,
  address: string | undefined,
  home = userInfo().homedir,
): Promise<OwnSettings> {
  const file = home === userInfo().homedir ? [] : ["-F", join(home, ".ssh", "config")];
  const byAlias = await effective([...file, ...(address ? ["-o", `HostName=${address}`] : []), "--", alias]);
  const byAddress = address ? await effective([...file, "--", address]) : new Map<string, string[]>();
  const both = [byAlias, byAddress];

  const keys = KEY_WORDS.flatMap((word) => {
    const values = both.map((found) => found.get(word.toLowerCase()) ?? []);
    // Of several files each is tried; of everything else the first that is set counts.
    const all = word.endsWith("File") ? [...new Set(values.flat())] : values.flatMap((v) => v.slice(0, 1)).slice(0, 1);
    return all.map((value) => `${word} ${/\s/.test(value) ? `"${value}"` : value}`);
  });
  for (const found of both) {
    const [jump] = found.get("proxyjump") ?? [];
    if (jump) return { keys, way: throughJumpHosts(jump, file), wayName: `jump host ${jump}` };
    const [command] = found.get("proxycommand") ?? [];
    // Its %n is the name that was typed, and ours is none of the user's.
    if (command) return { keys, way: command.replaceAll("%n", "%h"), wayName: "ProxyCommand" };
  }
  return { keys };
}

/** OpenSSH's settings for a destination, by keyword in small letters; those that are off are not in it. */
async function effective(args: readonly string[]): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const { code, output } = await captured("ssh", ["-G", ...args]);
  if (code !== 0 && /Can't open user config file/.test(output)) return found;
  if (code !== 0) throw new SshSettingsError(`SSH does not understand your own settings: ${output.trim()}`);
  for (const line of output.split("\n")) {
    const [, word = "", value = ""] = /^(\S+) (.+)$/.exec(line.trim()) ?? [];
    if (["", "none", "no"].includes(value)) continue;
    found.set(word, [...(found.get(word) ?? []), value]);
  }
  return found;
}

/** As OpenSSH does it for `ProxyJump`, with the user's own settings and known hosts for the jump hosts; it asks nothing. */
function throughJumpHosts(jump: string, file: readonly string[]): string {
  const hosts = jump.split(",");
  const last = String(hosts.pop());
  const uri = last.startsWith("ssh://") ? last : `ssh://${last}`;
  const options = [...file, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"];
  const words = [...options, ...(hosts.length > 0 ? ["-J", hosts.join(",")] : [])].map(shellQuote);
  return `ssh ${words.join(" ").replaceAll("%", "%%")} -W '[%h]:%p' -- ${shellQuote(uri).replaceAll("%", "%%")}`;
}
