import { setTimeout as sleep } from "node:timers/promises";
import { explain, Http, type HttpAnswer, type HttpRequest, isCertificateError } from "../lib/http.ts";
import { authRequest, identityUrl, refusedProject, refusedUser } from "./authentication.ts";
import {
  type CatalogEntry,
  checkRegion,
  endpointOf,
  missingService,
  SERVICES,
  type Service,
  type Token,
} from "./catalog.ts";
import { type CredentialSources, type Credentials, findCredentials } from "./credentials.ts";
import { CloudError } from "./errors.ts";

export { CloudError } from "./errors.ts";

/**
 * A small client of OpenStack's REST APIs. Pulumi makes and changes everything that a cluster is; what is left for this
 * program is to look, before anything is created and while machines start, and to make an image for machines
 * (`image-build.ts`). The clients that npm has are unmaintained (`pkgcloud` and `openstack-wrapper` both stand on
 * the abandoned `request` package).
 */

export interface CloudOptions {
  /** For one request; default 60 000: a busy cloud takes long to list 1,000 ports. */
  timeoutMs?: number;
  /** How often a request is repeated that met an overloaded or restarting API; default 4. */
  retries?: number;
  /** Pause before the first repetition, doubled each time; default 250. */
  retryDelayMs?: number;
}

/** What is done to a thing of the cloud. */
export interface Change {
  method: "POST" | "PUT" | "PATCH" | "DELETE";
  /** Sent as JSON. @default nothing is sent */
  body?: unknown;
}

/** Glance's own kind of JSON, in which properties of images are changed one by one. */
const JSON_PATCH = "application/openstack-images-v2.1-json-patch";

type Query = Readonly<Record<string, string | number | readonly string[]>>;

/** Pages are asked for in this size; clouds may return fewer. */
const PAGE = 1000;
const LONGEST_PAUSE_MS = 8000;
/** A token is renewed this long before it ends. */
const RENEW_MS = 60_000;

/** A client of one project in one region. */
export class Cloud {
  readonly credentials: Credentials;
  readonly #http: Http;
  readonly #timeoutMs: number;
  readonly #retries: number;
  readonly #retryDelayMs: number;
  #token: Promise<Token> | undefined;

  /** @throws CloudError when a field is missing that authentication needs. */
  constructor(credentials: Credentials, options: CloudOptions = {}) {
    this.credentials = credentials;
    authRequest(credentials);
    this.#http = new Http(credentials.tls);
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    this.#retries = options.retries ?? 4;
    this.#retryDelayMs = options.retryDelayMs ?? 250;
  }

  /**
   * The cloud of OS_CLOUD and `clouds.yaml`, or of OS_* variables.
   *
   * @throws CloudError naming what is missing. Whether the credentials work shows with the first request.
   */
  static fromEnvironment(sources: CredentialSources = {}, options: CloudOptions = {}): Cloud {
    return new Cloud(findCredentials(sources), options);
  }

  /**
   * Asks that cloud, and closes its connections.
   *
   * @throws CloudError as `fromEnvironment`.
   */
  static async with<T>(sources: CredentialSources, ask: (cloud: Cloud) => Promise<T>): Promise<T> {
    const cloud = Cloud.fromEnvironment(sources);
    try {
      return await ask(cloud);
    } finally {
      cloud.close();
    }
  }

  /** Id of the project that everything is made in. @throws CloudError when the credentials do not work. */
  async projectId(): Promise<string> {
    return (await this.#authenticated()).projectId;
  }

  /** Name of that project. */
  async projectName(): Promise<string> {
    return (await this.#authenticated()).projectName;
  }

  /** Id of the user that the credentials are of. */
  async userId(): Promise<string> {
    return (await this.#authenticated()).userId;
  }

  /** Names of the roles that the credentials have in that project; empty where the cloud does not say. */
  async roles(): Promise<readonly string[]> {
    return (await this.#authenticated()).roles;
  }

  /** Seconds by which the cloud's clock is ahead of this machine's (less than 0: behind); undefined where it does not say. */
  async clockAheadSeconds(): Promise<number | undefined> {
    return (await this.#authenticated()).aheadSeconds;
  }

  /** Minutes until the credentials expire, where they are a token, which nothing renews. `undefined` for other credentials. */
  async minutesLeft(): Promise<number | undefined> {
    const { token, password, application_credential_id: id, application_credential_name: name } = this.credentials.auth;
    if (!token || password || id || name) return undefined;
    return Math.max(0, Math.floor(((await this.#authenticated()).expires - Date.now()) / 60_000));
  }

  /** Whether the catalog lists a service in our region. */
  async has(service: Service): Promise<boolean> {
    return endpointOf(await this.#authenticated(), service, this.credentials) !== undefined;
  }

  /** Address of a service, with its version; `undefined` where the catalog lists none in our region. */
  async endpoint(service: Service): Promise<string | undefined> {
    return endpointOf(await this.#authenticated(), service, this.credentials);
  }

  /** The answer of an address outside of the catalog, whatever its status. The token is not sent there. */
  async ask(url: string, headers: Record<string, string>): Promise<string> {
    return (await this.#send(url, { headers, timeoutMs: this.#timeoutMs })).body;
  }

  /** Headers of the answer for a thing that is described by them; `undefined` where there is none (404). */
  async headers(service: Service, path: string): Promise<HttpAnswer["headers"] | undefined> {
    try {
      return (await this.#ask(service, path, { limit: 1 })).headers;
    } catch (error) {
      if (error instanceof CloudError && error.status === 404) return undefined;
      throw error;
    }
  }

  /**
   * Reads one document.
   *
   * @param path Below the service's address, such as `/servers/detail`.
   * @throws CloudError for any answer but success; `status` has the HTTP status.
   */
  async get<T>(service: Service, path: string, query: Query = {}): Promise<T> {
    const answer = await this.#ask(service, path, query);
    try {
      const document: unknown = JSON.parse(answer.body);
      if (typeof document === "object" && document !== null && !Array.isArray(document)) return document as T;
    } catch {
      // A page, say.
    }
    throw new CloudError(`the ${service} service answered ${path} with something other than JSON`, answer.status);
  }

  /** As `get`; `undefined` where there is no such thing (404), or where its name is not even an id (400). */
  async find<T>(service: Service, path: string): Promise<T | undefined> {
    try {
      return await this.get<T>(service, path);
    } catch (error) {
      if (error instanceof CloudError && (error.status === 404 || error.status === 400)) return undefined;
      throw error;
    }
  }

  /**
   * Reads a collection, all pages of it.
   *
   * @param key Name of the list in the answer, such as `servers`.
   */
  async list<T>(service: Service, path: string, key: string, query: Query = {}): Promise<T[]> {
    const items: T[] = [];
    let next: Query | undefined = { limit: PAGE, ...query };
    const seen = new Set<string>();
    while (next) {
      const page: Record<string, unknown> = await this.get(service, path, next);
      const found = page[key];
      // Some services write an empty list as null.
      if (found !== null && !Array.isArray(found))
        throw new CloudError(`the ${service} service answered ${path} with no list of ${key}`);
      items.push(...((found as T[] | null) ?? []));
      next = nextPage(page, key);
      // A cloud that sends us in circles would otherwise fill the memory.
      const mark = JSON.stringify(next);
      if (seen.has(mark)) throw new CloudError(`the ${service} service repeats a page of ${path}`);
      seen.add(mark);
    }
    return items;
  }

  /**
   * Makes, changes or deletes something. Where the answer is lost it is not repeated, unlike what only reads: it may have been done.
   *
   * @returns Headers of the answer, and its document; the document is empty where the service sends none.
   * @throws CloudError for any answer but success; `status` has the HTTP status.
   */
  async change<T>(
    service: Service,
    path: string,
    change: Change,
  ): Promise<{ headers: HttpAnswer["headers"]; document: T }> {
    const { headers, body } = await this.#ask(service, path, {}, change);
    return { headers, document: (body.trim() === "" ? {} : JSON.parse(body)) as T };
  }

  /** Deletes something; what is not there any more is no error. So it is asked for once more where the answer is lost. */
  async remove(service: Service, path: string): Promise<void> {
    for (let again = false; ; again = true) {
      try {
        await this.change(service, path, { method: "DELETE" });
        return;
      } catch (error) {
        if (!(error instanceof CloudError)) throw error;
        if (error.status === 404) return;
        if (error.status !== 0 || again) throw error;
      }
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.#http.close();
  }

  async #ask(service: Service, path: string, query: Query, change?: Change): Promise<HttpAnswer> {
    for (let renewed = false; ; renewed = true) {
      const token = await this.#authenticated();
      const endpoint = endpointOf(token, service, this.credentials);
      if (endpoint === undefined) throw new CloudError(missingService(token, service, this.credentials));
      const url = new URL(endpoint + path);
      for (const [name, value] of Object.entries(query)) {
        for (const item of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(item));
      }
      const request: HttpRequest = {
        headers: { "x-auth-token": token.id, accept: "application/json", ...SERVICES[service].headers },
        timeoutMs: this.#timeoutMs,
      };
      const answer = await this.#send(url.href, change ? changing(request, change) : request, change && ONLY_REFUSED);
      if (answer.status === 401 && !renewed) {
        // Revoked or expired on the way; one new token is worth trying.
        this.#token = undefined;
        continue;
      }
      if (answer.status >= 200 && answer.status < 300) return answer;
      const what =
        answer.status === 403
          ? `project ${token.projectName} may not`
          : answer.status === 401
            ? "it takes no token of these credentials, as where an application credential has access rules without it"
            : "it did not";
      const asked = change ? `to ${change.method}` : "for";
      throw new CloudError(
        `the ${service} service at ${endpoint} was asked ${asked} ${path}, but ${what}: ${`${answer.status} ${saidBy(answer)}`.trim()}`,
        answer.status,
      );
    }
  }

  #authenticated(): Promise<Token> {
    this.#token ??= this.#authenticate().then((token) => {
      const left = token.expires - Date.now() - RENEW_MS;
      // Timers hold at most 2^31 ms.
      if (left < 2 ** 31) setTimeout(() => (this.#token = undefined), Math.max(0, left)).unref();
      return token;
    });
    const token = this.#token;
    token.catch(() => {
      if (this.#token === token) this.#token = undefined;
    });
    return token;
  }

  async #authenticate(): Promise<Token> {
    const c = this.credentials;
    const url = `${identityUrl(c)}/auth/tokens`;
    const post = (body: unknown): Promise<HttpAnswer> =>
      this.#send(url, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(body),
        timeoutMs: this.#timeoutMs,
      });
    const request = authRequest(c);
    const answer = await post(request);
    if (answer.status === 401 && answer.headers["openstack-auth-receipt"] !== undefined) {
      const fix = "make an application credential once by hand, which needs no second factor";
      throw new CloudError(`the identity service at ${c.auth.auth_url} asks for a second factor as well: ${fix}`, 401);
    }
    if (answer.status === 401) {
      // Keystone says the same for a wrong password and a wrong project. Without a project, it tells them apart.
      const alone = request.auth.scope ? await post({ auth: { ...request.auth, scope: undefined } }) : answer;
      const words = saidBy(alone);
      // The usual message tells nothing. Others are shown: one of them says that a password has expired.
      const said =
        words === "" || /^The request you have made requires authentication/.test(words) ? "" : `. It says: ${words}`;
      throw new CloudError(alone.status === 201 ? refusedProject(c) : refusedUser(c) + said, 401);
    }
    const id = answer.headers["x-subject-token"];
    if (answer.status === 404 || (answer.status < 400 && typeof id !== "string")) {
      const { location } = answer.headers;
      const elsewhere = answer.status >= 300 && location ? `; it sends everybody on to ${location}` : "";
      throw new CloudError(
        `${c.setting("auth_url")} wrong: no identity service (Keystone v3) at ${c.auth.auth_url}${elsewhere}`,
        answer.status,
      );
    }
    if (typeof id !== "string") {
      throw new CloudError(
        `the identity service at ${c.auth.auth_url} refused: ${`${answer.status} ${saidBy(answer)}`.trim()}`,
        answer.status,
      );
    }
    const token = tokenIn(answer.body);
    if (!token)
      throw new CloudError(
        `${c.setting("auth_url")} wrong: what answers at ${c.auth.auth_url} is no Keystone v3, though it gives tokens`,
        answer.status,
      );
    if (!token.project) {
      throw new CloudError(`the credentials name no project: set ${c.setting("project_name")}`);
    }
    // Keystone answers when it has checked the password: its clock is compared with ours at that moment.
    const theirs = Date.parse(String(answer.headers.date));
    const parsed: Token = {
      id,
      expires: Date.parse(token.expires_at),
      projectId: token.project.id,
      projectName: token.project.name,
      userId: token.user?.id ?? "",
      roles: (token.roles ?? []).map((role) => role.name),
      aheadSeconds: Number.isNaN(theirs) ? undefined : Math.round((theirs - Date.now()) / 1000),
      catalog: token.catalog ?? [],
    };
    checkRegion(parsed, c);
    return parsed;
  }

  /**
   * Repeats what an overloaded, restarting or rate-limiting API did not answer.
   *
   * @param repeated What of that is safe to repeat. @default all of it
   */
  async #send(url: string, request: HttpRequest, repeated: Repeated = ALL): Promise<HttpAnswer> {
    for (let attempt = 0; ; attempt++) {
      let pause = Math.min(LONGEST_PAUSE_MS, this.#retryDelayMs * 2 ** attempt);
      try {
        const answer = await this.#http.send(url, request);
        if (!repeated.statuses.includes(answer.status) || attempt >= this.#retries) return answer;
        const wanted = waitFor(answer.headers["retry-after"]);
        if (wanted > 0) pause = Math.min(LONGEST_PAUSE_MS, wanted);
      } catch (error) {
        const code = String((error as { code?: unknown }).code);
        const cut = ["ECONNRESET", "EPIPE"].includes(code) && repeated.cut;
        if (!cut || attempt >= this.#retries) throw this.#unreachable(url, error);
      }
      // Jitter: many requests that were refused together shall not come back together.
      await sleep(pause * (0.75 + Math.random() / 2));
    }
  }

  #unreachable(url: string, error: unknown): CloudError {
    const c = this.credentials;
    const { origin } = new URL(url);
    let fix = `check ${c.setting("auth_url")}, and that this machine reaches the cloud (VPN, HTTPS_PROXY)`;
    if ((error as Error).name === "TimeoutError") fix = "the service is overloaded or hangs: try again later";
    else if (isCertificateError(error))
      fix = `set ${c.setting("cacert")} to the file of the cloud's certificate authority`;
    else if (!c.auth.auth_url?.startsWith(origin)) {
      fix = `the cloud's catalog gives this address for interface ${c.interface}: set ${c.setting("interface")} to one that this machine reaches`;
    }
    return new CloudError(`${origin}: ${explain(error)}; ${fix}`);
  }
}

/** Milliseconds that a `Retry-After` asks for, as seconds or as a date; not a number where it does neither. */
function waitFor(header: string | undefined): number {
  const seconds = Number(header);
  return Number.isNaN(seconds) ? Date.parse(header ?? "") - Date.now() : seconds * 1000;
}

/** What Keystone says of a token that it gives. */
interface TokenBody {
  expires_at: string;
  catalog?: CatalogEntry[];
  project?: { id: string; name: string };
  user?: { id: string };
  roles?: { name: string }[];
}

function tokenIn(body: string): TokenBody | undefined {
  try {
    return (JSON.parse(body) as { token?: TokenBody } | null)?.token;
  } catch {
    return undefined;
  }
}

/** Answers that are asked for again. */
interface Repeated {
  statuses: readonly number[];
  /** Whether also where a connection was cut. */
  cut: boolean;
}

const ALL: Repeated = { statuses: [429, 502, 503, 504], cut: true };
/** For requests that change something: only repeated where the cloud did not begin to work on them. */
const ONLY_REFUSED: Repeated = { statuses: [429], cut: false };

function changing(request: HttpRequest, { method, body }: Change): HttpRequest {
  if (body === undefined) return { ...request, method };
  const type = method === "PATCH" ? JSON_PATCH : "application/json";
  return { ...request, method, headers: { ...request.headers, "content-type": type }, body: JSON.stringify(body) };
}

/** Where the next page is: Glance gives a path, the others a link. Only the query counts: proxies break the rest. */
function nextPage(page: Record<string, unknown>, key: string): Query | undefined {
  const links = page[`${key}_links`] as { rel: string; href: string }[] | undefined;
  const href = links?.find((link) => link.rel === "next")?.href ?? page.next;
  if (typeof href !== "string") return undefined;
  const query: Record<string, string[]> = {};
  for (const [name, value] of new URL(href, "http://unused").searchParams) {
    query[name] = [...(query[name] ?? []), value];
  }
  return query;
}

/** What a service says about an error: every one wraps its message differently. */
function saidBy(answer: HttpAnswer): string {
  try {
    const body = JSON.parse(answer.body) as Record<string, unknown>;
    for (const value of [body, ...Object.values(body)]) {
      const message = (value as { message?: unknown } | null)?.message;
      if (typeof message === "string") return message.trim();
    }
  } catch {
    // Not JSON: a proxy's page, say. The status alone has to do.
  }
  return "";
}
