import { Http, isLoopback } from "../lib/http.ts";

/** What registries of images say without a login: Docker pulls, and knows the logins. */

/** Docker's own registry, which a name without a host means. */
const DOCKER_HUB = "registry-1.docker.io";

/** Kinds of manifest: a list for several architectures has a digest of its own, and that is what Docker pins. */
const MANIFESTS = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

const TIMEOUT_MS = 20_000;

/** Host, repository and tag of an image's name. */
function parts(image: string): { host: string; repository: string; tag: string } {
  const [, name = image, tag = "latest"] = /^(.*?)(?::([^/:]+))?$/.exec(image) ?? [];
  const [first = "", ...rest] = name.split("/");
  const named = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  if (named && first !== "docker.io") return { host: first, repository: rest.join("/"), tag };
  const path = named ? rest.join("/") : name;
  return { host: DOCKER_HUB, repository: path.includes("/") ? path : `library/${path}`, tag };
}

/**
 * Digest that a tag names now.
 *
 * @param image Name with a tag, such as `mesosphere/marathon:v1.11.24`.
 * @returns Its 64 digits; undefined where the registry does not say.
 */
export async function digestOfTag(image: string, signal: AbortSignal): Promise<string | undefined> {
  const { host, repository, tag } = parts(image);
  // As Docker does: without TLS on this machine alone.
  const scheme = isLoopback(host) ? "http" : "https";
  const http = new Http();
  const ask = (headers: Record<string, string>) =>
    http.send(`${scheme}://${host}/v2/${repository}/manifests/${tag}`, {
      method: "HEAD",
      headers: { accept: MANIFESTS, ...headers },
      timeoutMs: TIMEOUT_MS,
      redirects: 3,
      headersOnly: true,
      signal,
    });
  try {
    let answer = await ask({});
    if (answer.status === 401) {
      const token = await anonymousToken(http, scheme, String(answer.headers["www-authenticate"] ?? ""), signal);
      if (token !== undefined) answer = await ask({ authorization: `Bearer ${token}` });
    }
    return /^sha256:([0-9a-f]{64})$/.exec(String(answer.headers["docker-content-digest"] ?? ""))?.[1];
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    http.close();
  }
}

/**
 * Where a registry says that there are tokens for everyone; `undefined` where it does not say, or one that is asked by HTTPS names a place
 * without: a service of this machine, or of its network, whose answer it would then be sent.
 */
export function tokenAddress(challenge: string, scheme: string): URL | undefined {
  const given = new Map([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]));
  const realm = given.get("realm");
  if (!/^bearer /i.test(challenge) || realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (url.protocol !== "https:" && scheme === "https") return undefined;
  for (const name of ["service", "scope"]) {
    const value = given.get(name);
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/** A token for everyone. */
async function anonymousToken(
  http: Http,
  scheme: string,
  challenge: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const url = tokenAddress(challenge, scheme);
  if (url === undefined) return undefined;
  const staysEncrypted = scheme === "https";
  const { status, body } = await http.send(url.href, { timeoutMs: TIMEOUT_MS, redirects: 3, staysEncrypted, signal });
  if (status !== 200) return undefined;
  const { token, access_token } = JSON.parse(body) as { token?: string; access_token?: string };
  return token ?? access_token;
}
