import { accessSync, constants } from "node:fs";
import { architectureOf, hasMesos } from "../cluster/architectures/index.ts";
import { hasRegistry } from "../cluster/features.ts";
import { IMAGE_NAMES, imageRecord } from "../cluster/image-catalogue.ts";
import { type Config, required } from "../config/schema.ts";
import { HIDDEN } from "../config/secrets.ts";
import { explain, Http, type HttpAnswer, isCertificateError, isLoopback } from "../lib/http.ts";
import type { Findings } from "./findings.ts";

/**
 * Whether the places that software comes from answer. Only what this machine itself has to reach is a problem when it
 * does not: a mirror may well be one that only the cloud's machines see.
 */
export async function checkSources(c: Config, findings: Findings, timeoutMs: number): Promise<void> {
  const copiedImages = IMAGE_NAMES.filter((name) => imageRecord(name).origin === "copied");
  if (
    architectureOf(c).sparkMaster === "marathon" &&
    copiedImages.some((name) => !(name in c.prebuiltImages)) &&
    !/@sha256:/.test(c.marathonSource)
  ) {
    findings.warn(
      `marathonSource: ${c.marathonSource} has no digest. Machines run by digest what its tag names when it is copied, as root on the masters: append @sha256:… (docker buildx imagetools inspect)`,
    );
  }
  const http = new Http();
  try {
    await Promise.all([
      ...(hasMesos(c) ? (["mesosSource", "libmesosSource"] as const) : []).map((key) =>
        checkSource(http, c, key, findings, timeoutMs),
      ),
      ...(["aptMirror", "pythonIndex", "mavenMirror"] as const).map((key) =>
        checkMirror(http, c, key, findings, timeoutMs),
      ),
      hasRegistry(c) ? undefined : checkRegistry(http, c, findings, timeoutMs),
    ]);
  } finally {
    http.close();
  }
}

/** Answer to "is it there": HEAD, or the first byte where a server does not know HEAD. */
async function look(http: Http, url: string, timeoutMs: number): Promise<HttpAnswer> {
  const common = { timeoutMs, redirects: 5, headersOnly: true };
  const answer = await http.send(url, { ...common, method: "HEAD" });
  // Signed download links, for one, are valid for GET only.
  if (![400, 403, 404, 405, 501].includes(answer.status)) return answer;
  return http.send(url, { ...common, headers: { range: "bytes=0-0" } });
}

async function checkSource(
  http: Http,
  c: Config,
  key: "mesosSource" | "libmesosSource",
  findings: Findings,
  timeoutMs: number,
): Promise<void> {
  const [address = ""] = (c[key] ?? "").split("#");
  if (address.startsWith("file://")) {
    try {
      accessSync(new URL(address), constants.R_OK);
    } catch {
      findings.refuse(key, c[key], "there is no such file that this user may read", "put the file there");
    }
    return;
  }
  const url = address.replace(/^deb\+/, "");
  // An image's registry is asked by Docker itself when it builds.
  if (!/^https?:\/\//.test(url)) return;
  const fix = "correct the address, or give one that this machine reaches (a mirror of yours, or file:///…)";
  try {
    const { status } = await look(http, url, timeoutMs);
    if (status >= 400) findings.refuse(key, c[key], `its server answers ${status}`, fix);
  } catch (error) {
    findings.refuse(key, c[key], `it cannot be downloaded: ${explain(error)}`, fix);
  }
}

async function checkMirror(
  http: Http,
  c: Config,
  key: "aptMirror" | "pythonIndex" | "mavenMirror",
  findings: Findings,
  timeoutMs: number,
): Promise<void> {
  const mirror = c[key];
  if (mirror === undefined) return;
  try {
    // A mirror's first folder may well be forbidden or empty: any answer but a failure will do.
    const { status } = await look(http, mirror, timeoutMs);
    if (status >= 500) findings.warn(`${key}: ${c[key]} answers ${status}`);
  } catch (error) {
    findings.warn(`${key}: ${c[key]} is not reached from here (${explain(error)}); the machines will have to reach it`);
  }
}

async function checkRegistry(http: Http, c: Config, findings: Findings, timeoutMs: number): Promise<void> {
  const registry = required(c, "registry");
  const [host = ""] = registry.split("/");
  // A bare name is a user of Docker's default registry, which Docker finds by itself.
  if (!/[.:]/.test(host) && host !== "localhost") return;
  const password = c.registryPassword === HIDDEN ? "" : c.registryPassword;
  const login = Buffer.from(`${c.registryUser}:${password}`).toString("base64");
  const known = Boolean(c.registryUser && password);
  let shown = false;
  const ask = (scheme: "http" | "https"): Promise<HttpAnswer> => {
    // Without TLS a password goes to this machine alone: anybody else on the way would read it.
    shown = known && (scheme === "https" || isLoopback(host));
    const headers: Record<string, string> = shown ? { authorization: `Basic ${login}` } : {};
    return http.send(`${scheme}://${host}/v2/`, { timeoutMs, headers, redirects: 5 });
  };
  let answer: HttpAnswer;
  try {
    answer = await ask("https").catch((error: unknown) => {
      // Docker may trust a certificate that we do not, and registries without TLS are listed in its own settings.
      if (isCertificateError(error)) throw error;
      return ask("http").catch(() => {
        throw error;
      });
    });
  } catch (error) {
    if (isCertificateError(error)) return;
    findings.refuse(
      "registry",
      registry,
      `it does not answer: ${explain(error)}`,
      "correct the address, or remove registry: the cluster then has a registry of its own",
    );
    return;
  }
  const challenge = String(answer.headers["www-authenticate"] ?? "");
  if (answer.status === 401 && shown && /^basic/i.test(challenge)) {
    findings.refuse(
      "registryPassword",
      HIDDEN,
      `${host} refuses it for user ${c.registryUser}`,
      "set the right one with pulumi config set --secret registryPassword",
    );
  } else if (answer.status !== 401 && answer.status >= 400) {
    findings.refuse(
      "registry",
      registry,
      `its server answers ${answer.status} where a registry says 200 or 401`,
      "name a registry that speaks the Docker Registry API v2",
    );
  }
}
