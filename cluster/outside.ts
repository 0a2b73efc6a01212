import type { Config } from "../config/schema.ts";

/** How machines reach what lies outside of the cluster: through a proxy, and past it. */

/** Never through a proxy, whatever the config says: this machine, and where user data comes from. */
const NEVER = ["localhost", "127.0.0.1", "169.254.169.254"];

/**
 * Hosts, domains and networks that are reached without the proxy, as curl, pip, Go and Python read `no_proxy`.
 *
 * @param addresses Machines that are named one by one, because not every program understands networks. None that comes and
 * goes: who has them in an environment would be replaced.
 */
function noProxyOf(c: Pick<Config, "networkCidr" | "noProxy">, addresses: readonly string[]): string[] {
  return [...new Set([...NEVER, c.networkCidr, ...addresses, ...c.noProxy])];
}

/** Environment of programs that reach outside; empty where there is no proxy. @param addresses See `noProxyOf`. */
export function proxyEnv(c: Config, addresses: readonly string[]): Record<string, string> {
  if (c.httpProxy === undefined) return {};
  const values = { http_proxy: c.httpProxy, https_proxy: c.httpProxy, no_proxy: noProxyOf(c, addresses).join(",") };
  // Programs differ in which of the two they read.
  const upper = Object.entries(values).map(([name, value]) => [name.toUpperCase(), value]);
  return { ...values, ...Object.fromEntries(upper) };
}

/** Options of a JVM that reaches outside; none where there is no proxy. */
export function proxyJavaOptions(c: Pick<Config, "httpProxy" | "noProxy" | "networkCidr">): string[] {
  if (c.httpProxy === undefined) return [];
  const { hostname, port } = new URL(c.httpProxy);
  const past = [...NEVER, c.networkCidr, ...c.noProxy].flatMap(javaPattern);
  return [
    ...["http", "https"].flatMap((scheme) => [
      `-D${scheme}.proxyHost=${hostname}`,
      `-D${scheme}.proxyPort=${port || "80"}`,
    ]),
    `-Dhttp.nonProxyHosts=${[...new Set(past)].join("|")}`,
  ];
}

/** Java knows a star at either end and no networks: a network is what its addresses begin with, and may be more than it. */
function javaPattern(entry: string): string[] {
  if (entry.startsWith(".")) return [`*${entry}`, entry.slice(1)];
  if (!entry.includes("/")) return [entry];
  const [address = "", bits] = entry.split("/");
  const octets = address.split(".").slice(0, Math.floor(Number(bits) / 8));
  return [octets.length === 4 ? address : `${octets.join(".")}.*`];
}
