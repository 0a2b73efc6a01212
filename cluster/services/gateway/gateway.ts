import { basename, dirname } from "node:path/posix";
import type { Config } from "../../../config/schema.ts";
import { LOOPBACK } from "../../../lib/loopback.ts";
import type { WiredContext } from "../../context.ts";
import { hasHub } from "../../features.ts";
import { NOTICE_FILE } from "../../lifetime.ts";
import { healthOf, http } from "../../probe.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import type { Group, Json, Machine, Page, Port, Service } from "../../types.ts";
import { secret, text } from "../../values.ts";
import { CONNECT_PATHS } from "../connect/connect.ts";
import { hubProxyPort } from "../hub/entrance.ts";
import { mesosAuthority } from "../mesos/libprocess.ts";
import { CERTIFICATE } from "../prometheus/targets.ts";
import { isEncrypted, isPublic } from "./entrance.ts";
import { landingPage } from "./landing-page.ts";
import { type ShownPage, shownPages } from "./pages.ts";
import { type Encryption, ISSUERS } from "./tls.ts";

/**
 * The gateway: Caddy, which shows every page of the cluster under one address, behind one login. Its configuration is data here, in Caddy's
 * own JSON (https://caddyserver.com/docs/json/).
 */

/** User of the gateway: another than Spark's, whose programs must not read what it logs in to pages with. */
const GATEWAY_UID = 1001;
const CONF = "/etc/gateway";
/** Certificate of the authority of pages that answer by HTTPS. */
const SERVICE_AUTHORITY = `${CONF}/service-authority.pem`;
/** Files of the login and of the landing page, in the image. */
const SITE = "/opt/gateway/site";
/** File of the login page, which is also the answer for any other page before the login. */
const LOGIN_PAGE = "/door/login.html";
/** Seconds that a login lasts. */
const SESSION_SECONDS = 7 * 24 * 3600;

/** Signs the cookie that people's browsers have once they have logged in. */
const SESSION = secret(SECRET_NAMES.gatewaySession);

/** Name of the cookie: browsers send those of one cluster on this machine to all others. */
const sessionCookie = ({ clusterName }: Pick<Config, "clusterName">): string => `triplewide-${clusterName}`;

/** Cookies of gateways, of this cluster and of others at the same name: browsers tell them apart by no port. */
export const GATEWAY_COOKIES = "\\btriplewide-[a-z0-9-]+=[^;]*(;\\s*)?";

/** The gateway. @param others What the cluster runs besides. */
export function gateway(ctx: WiredContext, machine: Machine, others: readonly Service[]): Service {
  const c = ctx.config;
  const pages = shownPages(ctx, others);
  const encrypted = ISSUERS[c.tls].encryption(ctx, machine, CONF);
  return {
    name: "gateway",
    machine: machine.name,
    runtime: "docker",
    image: "gateway",
    command: ["caddy", "run", "--config", `${CONF}/caddy.json`],
    // Nothing that it writes there is worth keeping.
    env: { HOME: "/tmp", ...encrypted.env },
    files: [
      {
        path: `${CONF}/caddy.json`,
        content: { format: "json", value: caddy(ctx, machine, pages, encrypted) },
        mode: "0600",
      },
      {
        path: `${CONF}/cluster.json`,
        content: { format: "json", value: landingPage(ctx, pages, others) },
        mode: "0644",
      },
      ...mesosAuthority(c, SERVICE_AUTHORITY),
      ...(encrypted.files ?? []),
    ],
    ports: [door(c), ...(showsHub(c) ? [hubEntrance(c)] : []), ...(encrypted.ports ?? [])],
    // Where it is encrypted, it sends on to https whoever asks without.
    health: healthOf(http(machine.address, c.gatewayPort, "/health", `^HTTP/1.[01] ${isEncrypted(c) ? 308 : 200}`)),
    uid: GATEWAY_UID,
    dirs: encrypted.dirs ?? [],
    memoryMiB: 256,
    after: [],
  };
}

/** The port at which people open the pages. */
export const door = (c: Config): Port => ({
  name: "pages",
  key: "gatewayPort",
  port: c.gatewayPort,
  from: comers(c),
  link: "http",
  login: true,
  ...(isEncrypted(c) ? { forNetwork: true, metrics: [CERTIFICATE] } : {}),
});

type Handler = { readonly [key: string]: Json };

/** A route whose last handler answers, so that no later one is asked. User data has little room, so defaults are left out. */
const route = (match: Handler, ...handle: Handler[]): Json => ({ match: [match], handle });

const answer = (status: number, body: string, headers: Handler = {}): Handler => ({
  handler: "static_response",
  status_code: status,
  ...(body === "" ? {} : { body }),
  ...(Object.keys(headers).length > 0 ? { headers } : {}),
});

/** A file of the site, in place of what was asked for. */
const file = (uri: string, status?: number): Handler[] => [
  { handler: "rewrite", uri },
  { handler: "file_server", ...(status === undefined ? {} : { status_code: String(status) }) },
];

const cookie = (ctx: WiredContext, value: string | typeof SESSION, seconds: number) =>
  text`${sessionCookie(ctx.config)}=${value}; Path=/; Max-Age=${String(seconds)}; HttpOnly; SameSite=Lax${isEncrypted(ctx.config) ? "; Secure" : ""}`;

/** Caddy's configuration. */
function caddy(ctx: WiredContext, machine: Machine, pages: readonly ShownPage[], encrypted: Encryption): Json {
  const { gatewayPort } = ctx.config;
  return {
    // Nothing changes it while it runs.
    admin: { disabled: true, config: { persist: false } },
    apps: {
      http: {
        servers: {
          door: {
            listen: [`:${gatewayPort}`],
            automatic_https: { disable: true },
            ...(isEncrypted(ctx.config) ? tlsServer(encrypted) : {}),
            routes: [
              ...sparkConnect(ctx, machine),
              ...ownOrigins(pages),
              ...beforeLogin(ctx),
              ...forAll(ctx, pages),
              ...pages.map(pageRoute),
              ...landing(ctx.config),
            ],
          },
          ...(showsHub(ctx.config) ? { hub: hubServer(ctx, encrypted) } : {}),
          ...encrypted.servers,
        },
        ...encrypted.http,
      },
      ...encrypted.apps,
    },
    ...(encrypted.storage === undefined ? {} : { storage: encrypted.storage }),
  };
}

/** What the door has besides where it speaks TLS. Caddy itself takes nothing older than TLS 1.2. */
const tlsServer = ({ defaultName }: Encryption): Handler => ({
  // Who types http:// is sent to https:// on the same port.
  listener_wrappers: [{ wrapper: "http_redirect" }, { wrapper: "tls" }],
  // Not h3: its UDP port is published nowhere.
  protocols: ["h1", "h2"],
  tls_connection_policies: [defaultName === undefined ? {} : { default_sni: defaultName }],
});

/** Tells browsers to use this name by HTTPS only. Not `localhost`, the near end of a tunnel: other programs are there as well. */
const lastingTls = ({ tls, domain }: WiredContext["config"]): Json[] =>
  ISSUERS[tls].lasting && domain !== undefined
    ? [
        {
          match: [{ host: [domain] }],
          handle: [{ handler: "headers", response: { set: { "Strict-Transport-Security": ["max-age=31536000"] } } }],
        },
      ]
    : [];

/**
 * Spark Connect, which asks for a token of its own, where its clients may send that: by TLS. Its server speaks HTTP/2 without.
 *
 * @param machine The client, on which both are.
 */
function sparkConnect({ config: c }: WiredContext, machine: Machine): Json[] {
  if (!c.sparkConnect || !isEncrypted(c)) return [];
  const upstreams = [{ dial: `${machine.address}:${c.sparkConnectPort}` }];
  const transport = { protocol: "http", versions: ["h2c", "2"] };
  // A job's messages are sent on at once, not buffered.
  // Its clients have no cookie; a browser that a link leads there has the one by which a person is logged in.
  const withoutCookies = { handler: "headers", request: { delete: ["Cookie"] } };
  const proxy = { handler: "reverse_proxy", upstreams, transport, flush_interval: -1 };
  return [route({ path: [CONNECT_PATHS] }, withoutCookies, proxy)];
}

/** Groups whose machines forward people's connections, other than by SSH: SSH ends on the gateway's own machine. */
const comers = (c: Config): Group[] => (isPublic(c) ? ["bastion"] : []);

/** Whether the gateway encrypts the hub's port. */
const showsHub = (c: Config): boolean => hasHub(c) && isEncrypted(c);

const hubEntrance = (c: Config): Port => ({
  name: "hub",
  key: "hubPort",
  port: c.hubPort,
  from: comers(c),
  link: "http",
  login: true,
  forNetwork: true,
});

/** The hub's port by TLS: the hub's own proxy and its login are behind it. */
const hubServer = ({ config: c }: WiredContext, encrypted: Encryption): Json => ({
  listen: [`:${c.hubPort}`],
  automatic_https: { disable: true },
  ...tlsServer(encrypted),
  routes: [
    ...lastingTls(c),
    // By the loopback interface: only from there does the hub's proxy believe headers that name the client.
    { handle: [{ handler: "reverse_proxy", upstreams: [{ dial: `${LOOPBACK}:${hubProxyPort(c)}` }] }] },
  ],
});

/** Redirects to pages that have an origin of their own, whose users need no password of the gateway. */
const ownOrigins = (pages: readonly ShownPage[]): Json[] =>
  pages.flatMap(({ path, ownOrigin }) =>
    ownOrigin === undefined
      ? []
      : [
          route(
            { path: [`/${path}`, `/${path}/`] },
            answer(307, "", { Location: [`{http.request.scheme}://{http.request.host}:${ownOrigin.port}/`] }),
          ),
        ],
  );

/** Routes before the login: what everybody may see, and what people get who have not logged in. */
function beforeLogin(ctx: WiredContext): Json[] {
  const own = "{http.request.scheme}://{http.request.hostport}";
  return [
    {
      handle: [
        { handler: "vars", root: SITE },
        {
          handler: "headers",
          response: {
            set: { "X-Frame-Options": ["SAMEORIGIN"], "Referrer-Policy": ["same-origin"] },
            delete: ["Server"],
            deferred: true,
          },
        },
      ],
    },
    ...lastingTls(ctx.config),
    // Browsers send `Origin` with every request of another site's page that changes something, and with WebSockets.
    route(
      { header: { Origin: [] }, not: [{ vars: { "{http.request.header.Origin}": [own] } }] },
      answer(403, "Asked for by another site.\n"),
    ),
    // By HTTPS or from this machine they also send `Sec-Fetch-Site` with what such a page fetches, frames or runs. It may link here, and
    // nothing more.
    route(
      {
        header: { "Sec-Fetch-Site": ["cross-site", "same-site"] },
        not: [{ header: { "Sec-Fetch-Mode": ["navigate"], "Sec-Fetch-Dest": ["document"] } }],
      },
      answer(403, "Asked for by another site.\n"),
    ),
    route({ path: ["/health"] }, answer(200, "ok\n")),
    route({ path: ["/login"] }, ...file(LOGIN_PAGE)),
    route({ path: ["/door/*"], method: ["GET", "HEAD"] }, { handler: "file_server" }),
    route(
      {
        path: ["/session"],
        method: ["POST"],
        header: { Authorization: [text`Bearer ${secret(SECRET_NAMES.gatewayPassword)}`] },
      },
      answer(204, "", { "Set-Cookie": [cookie(ctx, SESSION, SESSION_SECONDS)] }),
    ),
    route({ path: ["/session"], method: ["POST"] }, answer(401, "Wrong password.\n")),
    route({ path: ["/session"], method: ["DELETE"] }, answer(204, "", { "Set-Cookie": [cookie(ctx, "", 0)] })),
    route(
      { not: [{ vars: { [`{http.request.cookie.${sessionCookie(ctx.config)}}`]: [SESSION] } }] },
      {
        handler: "subroute",
        routes: [
          route({ method: ["GET"], header: { Accept: ["*text/html*"] } }, ...file(LOGIN_PAGE, 401)),
          { handle: [answer(401, "Log in first.\n")] },
        ],
      },
    ),
  ];
}

/** Routes for all pages: paths without their last slash, and pages through which nothing may be changed. */
function forAll(ctx: WiredContext, pages: readonly ShownPage[]): Json[] {
  const shown = pages.filter(({ readOnly }) => readOnly).map(({ path }) => `/${path}/*`);
  const bare = pages.flatMap(({ path, ownOrigin }) => (ownOrigin === undefined ? [path] : []));
  const acting = pages.flatMap(({ path, acts }) => (acts ?? []).map((one) => `/${path}/${one}*`));
  return [
    // Rules here are for paths, which servers written in Java read without what follows a semicolon. A page that another page shows is
    // asked for by a path that both have decoded.
    route(
      { vars_regexp: { "{http.request.uri}": { pattern: "^[^?]*(;|/proxy/[^?]*%25)" } } },
      answer(400, "No path here has such characters.\n"),
    ),
    ...pages
      .filter(({ showsDrivers }) => showsDrivers)
      .flatMap(({ path }) => (hasHub(ctx.config) ? noDrivers(`/${path}`) : driverLinks(`/${path}`))),
    ...pages.flatMap(({ path, first }) =>
      first === undefined
        ? []
        : [route({ path: [`/${path}`, `/${path}/`] }, answer(307, "", { Location: [`/${path}/${first}`] }))],
    ),
    // Redirects to the page's own path and not to the requested one: that may begin with two slashes, which name another host.
    route(
      { path_regexp: { name: "bare", pattern: `^/(${bare.join("|")})$` } },
      answer(308, "", { Location: ["/{http.regexp.bare.1}/"] }),
    ),
    // Spark ends a job or a stage for anyone who follows a link to that, with any path behind it, so links on other sites' pages are refused.
    route(
      {
        path_regexp: { pattern: "/(job|stage)s?/kill(/|$)" },
        not: [{ header: { "Sec-Fetch-Site": ["same-origin"] } }],
      },
      answer(403, "Asked for by another site, or without HTTPS from another machine.\n"),
    ),
    ...(shown.length > 0
      ? [
          route(
            { path: shown, not: [{ method: ["GET", "HEAD"] }] },
            answer(405, "Shown only.\n", { Allow: ["GET, HEAD"] }),
          ),
        ]
      : []),
    ...(acting.length > 0 ? [route({ path: acting }, answer(403, "Shown only.\n"))] : []),
    {
      handle: [
        {
          handler: "headers",
          request: {
            // Users' programs are behind some pages. They must not get a cookie by which they could open the others.
            replace: { Cookie: [{ search_regexp: GATEWAY_COOKIES, replace: "" }] },
            delete: ["Authorization"],
          },
        },
      ],
    },
  ];
}

/**
 * Links of Spark's master to drivers and workers, which never begin with the page's own path. A driver's first page redirects to its jobs,
 * and the master cuts characters off the address that it gives.
 */
const driverLinks = (below: string): Json[] => [
  route(
    { path_regexp: { name: "driver", pattern: `^(${below})?/proxy/(app-[^/]+)/?$` } },
    answer(307, "", { Location: [`${below}/proxy/{http.regexp.driver.2}/jobs/`] }),
  ),
  route({ path: ["/proxy/*"] }, answer(307, "", { Location: [`${below}{http.request.uri}`] })),
];

/** With a hub, drivers belong to many people: a driver's page would act in the name of whoever has logged in here. */
const noDrivers = (below: string): Json[] => [
  route(
    { path: [`${below}/proxy/*`, "/proxy/*"] },
    answer(404, "Drivers are shown by JupyterLab, and those of the hub's users by their own servers.\n"),
  ),
];

/** A page below its path. A driver's pages are below a further path, which the driver does not know either. */
function pageRoute(page: ShownPage): Json {
  const below = `/${page.path}`;
  return route(
    {
      path: [page.ownOrigin?.status ?? `${below}/*`],
      ...(page.showsDrivers ? { path_regexp: { name: "page", pattern: `^${below}(/proxy/app-[^/]+)?` } } : {}),
    },
    ...(page.keepsPath ? [] : [{ handler: "rewrite", strip_path_prefix: below }]),
    proxy(page, below),
  );
}

function proxy({ at, https, authorization, keepsPath, leader, showsDrivers }: ShownPage, below: string): Handler {
  const headers = {
    request: {
      set: {
        ...(authorization === undefined ? {} : { Authorization: [authorization] }),
        ...(keepsPath ? {} : { "X-Forwarded-Context": [`${below}${showsDrivers ? "{http.regexp.page.1}" : ""}`] }),
      },
    },
    ...(keepsPath
      ? {}
      : {
          response: {
            replace: { Location: [{ search_regexp: `^(https?://[^/]+)?(${below})?/(.*)$`, replace: `${below}/$3` }] },
          },
        }),
  };
  return {
    handler: "reverse_proxy",
    upstreams: at.map((dial) => ({ dial })),
    ...(https ? { transport: { protocol: "http", tls: { root_ca_pem_files: [SERVICE_AUTHORITY] } } } : {}),
    headers,
    ...(at.length > 1
      ? {
          load_balancing: { try_duration: "5s" },
          ...(leader === undefined ? {} : { health_checks: { active: healthCheck(authorization, leader) } }),
        }
      : {}),
  };
}

/** Finds the machine whose page is shown, where several have one. */
const healthCheck = (authorization: Page["authorization"], leader: NonNullable<Page["leader"]>): Handler => ({
  uri: leader.path,
  expect_body: leader.match,
  interval: "5s",
  ...(authorization === undefined ? {} : { headers: { Authorization: [authorization] } }),
});

/** The landing page, and 404 for everything else. */
const landing = ({ ttlHours }: Config): Json[] => [
  route({ path: ["/"] }, ...file("/door/landing.html")),
  ...(ttlHours === undefined
    ? []
    : [route({ path: [`/${basename(NOTICE_FILE)}`] }, { handler: "file_server", root: dirname(NOTICE_FILE) })]),
  route({ path: ["/cluster.json"] }, { handler: "file_server", root: CONF }),
  { handle: [answer(404, "No such page.\n")] },
];
