import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * The part of OpenStack that this project reads, in one HTTP server: Keystone, Nova, Neutron, Glance, Cinder, Swift and Manila with
 * the response formats, paging and error bodies of the real ones. Tests change its resources in `state` and inject failures with
 * `fault`.
 */

type Item = Record<string, unknown>;

export const IDS = {
  project: "5f705a1c2b3d4e5f8a9b0c1d2e3f4a5b",
  image: "11111111-1111-4111-8111-111111111111",
  external: "22222222-2222-4222-8222-222222222222",
  network: "33333333-3333-4333-8333-333333333333",
  subnet: "44444444-4444-4444-8444-444444444444",
} as const;

/** A small, roomy, healthy cloud. */
function initialState() {
  return {
    password: "right",
    /** Services that the catalog lists. */
    services: ["compute", "network", "image", "volumev3"],
    regions: ["RegionOne"],
    /** Neutron's collections that this cloud does not have. */
    noSuchNetworkParts: [] as string[],
    /** Nova's newest microversion; empty if Nova does not tell it. */
    novaVersion: "",
    /** Cinder's quotas for each volume type and for one volume; undefined if Cinder does not tell them. */
    volumeQuota: undefined as Record<string, { limit: number; in_use?: number; reserved?: number }> | undefined,
    /** Items per page, whatever a client asks for. */
    pageSize: 1000,
    tokenSeconds: 3600,
    /** Roles of the user in the project. */
    roles: ["member", "reader"],
    /** Seconds by which the cloud's clock is ahead. */
    aheadSeconds: 0,
    images: [
      { id: IDS.image, name: "debian-12", status: "active", min_ram: 512, min_disk: 3, size: 400_000_000 },
    ] as Item[],
    flavors: [
      { id: "1", name: "m1.tiny", vcpus: 1, ram: 512, disk: 1 },
      { id: "2", name: "m1.small", vcpus: 1, ram: 2048, disk: 10 },
      { id: "3", name: "m1.large", vcpus: 4, ram: 8192, disk: 40 },
    ] as Item[],
    servers: [] as Item[],
    serverGroups: [] as Item[],
    keyPairs: [] as Item[],
    zones: [{ zoneName: "nova", zoneState: { available: true } }] as Item[],
    networks: [
      { id: IDS.external, name: "public", "router:external": true },
      { id: IDS.network, name: "office", "router:external": false },
    ] as Item[],
    subnets: [
      { id: IDS.subnet, name: "office", network_id: IDS.network, cidr: "10.0.0.0/8", ip_version: 4, gateway_ip: null },
    ] as Item[],
    routers: [] as Item[],
    ports: [] as Item[],
    floatingIps: [] as Item[],
    securityGroups: [{ id: "default", name: "default", security_group_rules: [{}, {}] }] as Item[],
    volumes: [] as Item[],
    volumeZones: [{ zoneName: "nova", zoneState: { available: true } }] as Item[],
    volumeTypes: [{ id: "lvm-id", name: "lvm" }] as Item[],
    shareTypes: [
      { id: "type-1", name: "cephfs", required_extra_specs: { driver_handles_share_servers: "False" } },
      { id: "type-2", name: "generic", required_extra_specs: { driver_handles_share_servers: "True" } },
    ] as Item[],
    /** Name of the cloud's default share type; empty if there is none. */
    defaultShareType: "cephfs",
    shares: [] as Item[],
    dnsZones: [{ id: "z1", name: "example.org." }] as Item[],
    recordSets: [] as Item[],
    shareLimits: {} as Record<string, number>,
    /** Metadata of the object store's containers, by name. */
    containers: {} as Record<string, Record<string, string>>,
    /** The answer at the object store's root to S3 clients. Swift and an S3 interface give different ones. */
    s3: { status: 412, body: "Bad URL" },
    computeLimits: {
      maxTotalInstances: 100,
      totalInstancesUsed: 0,
      maxTotalCores: 400,
      totalCoresUsed: 0,
      maxTotalRAMSize: 1_000_000,
      totalRAMUsed: 0,
      maxServerGroups: 10,
      totalServerGroupsUsed: 0,
      maxServerGroupMembers: 10,
    } as Record<string, number>,
    networkQuota: Object.fromEntries(
      ["network", "subnet", "router", "port", "floatingip", "security_group", "security_group_rule"].map((kind) => [
        kind,
        { limit: 500, used: 0, reserved: 0 },
      ]),
    ) as Record<string, { limit: number; used: number; reserved: number }>,
    volumeLimits: {
      maxTotalVolumes: 100,
      totalVolumesUsed: 0,
      maxTotalVolumeGigabytes: 10_000,
      totalGigabytesUsed: 0,
    } as Record<string, number>,
  };
}

/** A failure in place of an answer. */
export type Misbehaviour =
  | { status: number; headers?: Record<string, string>; body?: unknown }
  /** The connection is cut. */
  | "reset"
  /** Nothing ever comes. */
  | "hang";

interface Fault {
  path: RegExp;
  what: Misbehaviour;
  left: number;
}

export class FakeOpenStack {
  readonly state = initialState();
  /** Requests such as `GET /compute/v2.1/servers/detail?limit=1000`, in the order of their arrival. */
  readonly requests: string[] = [];
  /** Headers of each request for the root of the server, where S3 is. */
  readonly rootHeaders: IncomingMessage["headers"][] = [];
  /** Version of Cinder in the catalogue. */
  volumeVersion = "v3";
  /** Whether lists contain other projects' images only on request. */
  hideCommunityImages = false;
  /** Whether requests for other projects' images are refused. */
  refuseCommunityImages = false;
  /** Bodies of the token requests. */
  readonly logins: Item[] = [];
  readonly #server: Server;
  readonly #faults: Fault[] = [];
  readonly #tokens = new Set<string>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FakeOpenStack> {
    const server = createServer();
    const fake = new FakeOpenStack(server);
    server.on("request", (request, response) => void fake.#serve(request, response));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** OS_* variables of this cloud's user. */
  get env(): Record<string, string> {
    return {
      OS_AUTH_URL: `${this.url}/identity`,
      OS_USERNAME: "demo",
      OS_PASSWORD: "right",
      OS_PROJECT_NAME: "demo",
      OS_USER_DOMAIN_ID: "default",
      OS_PROJECT_DOMAIN_ID: "default",
      OS_REGION_NAME: "RegionOne",
    };
  }

  /** Makes the next `times` requests for a path fail. */
  fault(path: RegExp, what: Misbehaviour, times = 1): void {
    this.#faults.push({ path, what, left: times });
  }

  /** Revokes every token, as an administrator can. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** The number of requests for a path so far. */
  count(path: RegExp): number {
    return this.requests.filter((line) => path.test(line)).length;
  }

  /** Adds a server of a cluster, as Pulumi makes them. */
  addServer(cluster: string, machine: string, over: Item = {}): void {
    this.state.servers.push({
      id: `server-${cluster}-${machine}`,
      name: `${cluster}-${machine}`,
      status: "ACTIVE",
      created: "2026-01-01T00:00:00Z",
      metadata: { "triplewide-cluster": cluster, "triplewide-config": "hash-1" },
      flavor: { id: "2" },
      ...over,
    });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    this.requests.push(`${request.method} ${decodeURIComponent(url.pathname + url.search)}`);
    const fault = this.#faults.find((f) => f.left > 0 && f.path.test(url.pathname));
    if (fault) {
      fault.left--;
      if (fault.what === "reset") request.socket.destroy();
      else if (fault.what !== "hang") send(response, fault.what.status, fault.what.body ?? {}, fault.what.headers);
      return;
    }
    if (request.method === "POST" && url.pathname === "/identity/v3/auth/tokens") {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      this.#login(JSON.parse(Buffer.concat(chunks).toString()) as Item, response);
    } else if (url.pathname === "/") {
      this.rootHeaders.push(request.headers);
      send(response, this.state.s3.status, this.state.s3.body, { "content-type": "application/xml" });
    } else if (!/^\/(compute|network|image|volume|object|share|dns)\//.test(url.pathname)) {
      send(response, 404, { error: { code: 404, message: "The resource could not be found." } });
    } else if (!this.#tokens.has(String(request.headers["x-auth-token"]))) {
      send(response, 401, { error: { code: 401, message: "The request you have made requires authentication." } });
    } else {
      this.#read(url, response);
    }
  }

  #login(body: Item, response: ServerResponse): void {
    this.logins.push(body);
    const { identity, scope } = (body as { auth: { identity: Item; scope?: { project: Item } } }).auth;
    const password = (identity.password as { user: Item } | undefined)?.user;
    const credential = identity.application_credential as Item | undefined;
    const known =
      (password?.name === "demo" && password.password === this.state.password) ||
      credential?.secret === this.state.password ||
      (identity.token as Item | undefined)?.id === this.state.password;
    const project = scope?.project;
    if (!known || (project && project.name !== "demo" && project.id !== IDS.project)) {
      send(response, 401, { error: { code: 401, message: "The request you have made requires authentication." } });
      return;
    }
    const id = `token-${this.#tokens.size}-${Math.random()}`;
    this.#tokens.add(id);
    const expires = new Date(Date.now() + this.state.tokenSeconds * 1000).toISOString();
    const scoped =
      project || credential
        ? {
            project: { id: IDS.project, name: "demo" },
            catalog: this.#catalog(),
            roles: this.state.roles.map((name) => ({ id: name, name })),
          }
        : {};
    send(response, 201, { token: { expires_at: expires, ...scoped } }, { "x-subject-token": id, date: this.#date() });
  }

  #date(): string {
    return new Date(Date.now() + this.state.aheadSeconds * 1000).toUTCString();
  }

  #catalog(): Item[] {
    const path: Record<string, string> = {
      compute: "/compute/v2.1",
      network: "/network/",
      image: "/image",
      volumev3: `/volume/${this.volumeVersion}/${IDS.project}`,
      "object-store": `/object/v1/AUTH_${IDS.project}`,
      s3: "/",
      sharev2: "/share/v2",
      dns: "/dns",
    };
    return this.state.services.map((type) => ({
      type,
      endpoints: this.state.regions.flatMap((region_id) =>
        ["public", "internal"].map((name) => ({ interface: name, region_id, url: this.url + path[type] })),
      ),
    }));
  }

  #read(url: URL, response: ServerResponse): void {
    const s = this.state;
    const path = url.pathname.replace(`/volume/v3/${IDS.project}`, "/volume");
    const lists: Record<string, [string, Item[]]> = {
      // As in Nova, the list leaves out the reason of a server in ERROR.
      "/compute/v2.1/servers/detail": ["servers", s.servers.map(({ fault: _, ...server }) => server)],
      "/compute/v2.1/flavors/detail": ["flavors", s.flavors],
      "/compute/v2.1/os-server-groups": ["server_groups", s.serverGroups],
      "/compute/v2.1/os-keypairs": ["keypairs", s.keyPairs.map((keypair) => ({ keypair }))],
      "/compute/v2.1/os-availability-zone": ["availabilityZoneInfo", s.zones],
      "/network/v2.0/networks": ["networks", s.networks],
      "/network/v2.0/subnets": ["subnets", s.subnets],
      "/network/v2.0/routers": ["routers", s.routers],
      "/network/v2.0/ports": ["ports", s.ports],
      "/network/v2.0/floatingips": ["floatingips", s.floatingIps],
      "/network/v2.0/security-groups": ["security_groups", s.securityGroups],
      "/image/v2/images": [
        "images",
        s.images.filter(
          (image) =>
            !this.hideCommunityImages ||
            image.visibility !== "community" ||
            url.searchParams.get("visibility") === "community",
        ),
      ],
      "/volume/volumes/detail": ["volumes", s.volumes],
      "/volume/types": ["volume_types", s.volumeTypes],
      "/dns/v2/zones": ["zones", s.dnsZones],
      "/dns/v2/zones/z1/recordsets": ["recordsets", s.recordSets],
      "/share/v2/types": ["share_types", s.shareTypes],
      "/share/v2/shares": ["shares", s.shares],
    };
    const documents: Record<string, Item> = {
      ...(s.novaVersion === "" ? {} : { "/compute/v2.1/": { version: { version: s.novaVersion } } }),
      ...(s.volumeQuota === undefined
        ? {}
        : { [`/volume/os-quota-sets/${IDS.project}`]: { quota_set: s.volumeQuota } }),
      "/volume/types/default": { volume_type: s.volumeTypes[0] },
      "/compute/v2.1/limits": { limits: { rate: [], absolute: s.computeLimits } },
      "/volume/os-availability-zone": { availabilityZoneInfo: s.volumeZones },
      ...(s.defaultShareType === ""
        ? {}
        : { "/share/v2/types/default": { share_type: s.shareTypes.find(({ name }) => name === s.defaultShareType) } }),
      "/share/v2/limits": { limits: { rate: [], absolute: s.shareLimits } },
      "/volume/limits": { limits: { rate: [], absolute: s.volumeLimits } },
      [`/network/v2.0/quotas/${IDS.project}/details`]: { quota: s.networkQuota },
    };
    const [, container] = /^\/object\/v1\/[^/]+\/(.+)$/.exec(path) ?? [];
    const metadata = container === undefined ? undefined : s.containers[decodeURIComponent(container)];
    if (metadata) {
      send(response, 200, [], metadata);
      return;
    }
    const list = lists[path];
    const document = documents[path] ?? this.#one(path);
    if (this.refuseCommunityImages && url.searchParams.get("visibility") === "community")
      send(response, 400, "Invalid visibility value: community");
    else if (list && !s.noSuchNetworkParts.includes(list[0])) this.#page(url, list, response);
    else if (document) send(response, 200, document);
    else send(response, 404, { itemNotFound: { code: 404, message: `${path} could not be found.` } });
  }

  #one(path: string): Item | undefined {
    const [, folder, id] = /^(.*)\/([^/]+)$/.exec(path) ?? [];
    const byId = (items: Item[]): Item | undefined => items.find((item) => item.id === id);
    const wrap = (key: string, item: Item | undefined): Item | undefined => item && { [key]: item };
    switch (folder) {
      case "/compute/v2.1/servers":
        return wrap("server", byId(this.state.servers));
      case "/compute/v2.1/os-keypairs":
        return wrap(
          "keypair",
          this.state.keyPairs.find((k) => k.name === decodeURIComponent(String(id))),
        );
      case "/network/v2.0/networks":
        return wrap("network", byId(this.state.networks));
      case "/network/v2.0/subnets":
        return wrap("subnet", byId(this.state.subnets));
      case "/image/v2/images":
        return byId(this.state.images);
      default:
        return undefined;
    }
  }

  #page(url: URL, [key, items]: [string, Item[]], response: ServerResponse): void {
    const query = url.searchParams;
    const filtered = items.filter((item) =>
      [...query].every(([name, value]) => {
        if (["limit", "marker", "fields"].includes(name) || item[name] === undefined) return true;
        // Nova takes a name as a regular expression, the others as it is.
        return key === "servers" && name === "name"
          ? new RegExp(value).test(String(item.name))
          : String(item[name]) === value;
      }),
    );
    const marker = query.get("marker");
    const start = marker ? filtered.findIndex((item) => item.id === marker) + 1 : 0;
    const size = Math.min(this.state.pageSize, Number(query.get("limit") ?? this.state.pageSize));
    const page = filtered.slice(start, start + size);
    const body: Item = { [key]: page };
    if (start + size < filtered.length) {
      query.set("marker", String(page.at(-1)?.id));
      // As from a cloud behind a proxy, the link names a host and a scheme that clients cannot reach.
      const href = `https://internal.invalid${url.pathname}?${query}`;
      if (key === "images") body.next = `/v2/images?${query}`;
      else body[`${key}_links`] = [{ rel: "next", href }];
    }
    send(response, 200, body);
  }
}

function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}
