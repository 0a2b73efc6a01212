import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * An OpenStack that keeps its resources in memory: enough of Keystone, Nova, Neutron, Glance, Cinder, Swift and Manila for
 * the real Pulumi engine and the real provider to create, change and destroy a cluster, and for Terraform to do the same.
 * It answers at once, so that measurements show the time of the tool and not of a cloud. Tests can make it fail.
 */

type Item = Record<string, unknown> & { id: string };

/** A failure in place of the answer to matching requests. */
export interface Fault {
  method?: string;
  path: RegExp;
  status: number;
  body?: unknown;
  /** The number of requests that fail. */
  times: number;
}

/** The behaviour of a server after it was made. */
export interface Guest {
  /** The text on its console; undefined if the cloud shows no consoles. */
  console?: string;
  /** Its status from the second request on. */
  becomes: "ACTIVE" | "SHUTOFF" | "ERROR";
  /** Whether it still exists after it was deleted. */
  stays?: boolean;
}

const PROJECT = "5f705a1c2b3d4e5f8a9b0c1d2e3f4a5b";
/** The image that the cloud has from the start. */
export const IMAGE = "11111111-1111-4111-8111-111111111111";
/** The network that floating IPs come from. */
export const EXTERNAL = "22222222-2222-4222-8222-222222222222";

/** Collections by their path, with the name that one item has in a body. */
const KINDS: Readonly<Record<string, string>> = {
  "/network/v2.0/networks": "network",
  "/network/v2.0/subnets": "subnet",
  "/network/v2.0/routers": "router",
  "/network/v2.0/ports": "port",
  "/network/v2.0/floatingips": "floatingip",
  "/network/v2.0/security-groups": "security_group",
  "/network/v2.0/security-group-rules": "security_group_rule",
  "/compute/v2.1/servers": "server",
  "/compute/v2.1/flavors": "flavor",
  "/compute/v2.1/os-keypairs": "keypair",
  "/compute/v2.1/os-server-groups": "server_group",
  "/volume/v3/volumes": "volume",
  "/share/v2/share-networks": "share_network",
  "/share/v2/shares": "share",
  "/share/v2/share-access-rules": "access",
  "/dns/v2/zones/z1/recordsets": "recordset",
  "/object/v1": "container",
  "/identity/v3/users/u/credentials/OS-EC2": "credential",
};

export class FakeCloud {
  /** Requests such as `POST /compute/v2.1/servers`, in the order of their arrival. */
  readonly requests: string[] = [];
  readonly faults: Fault[] = [];
  /**
   * Decides, after each request that made, changed or deleted something or was refused, whether its reply is sent, is lost (as when a
   * connection is cut), or never comes.
   */
  reply: (line: string) => "sent" | "lost" | "never" = () => "sent";
  /** Whether every request is answered as by a proxy whose cloud is down. */
  down = false;
  /** Names of servers that end in ERROR when they are made. */
  readonly doomed = new Set<string>();
  /** Names of servers that come up when they are next made, and then fall into ERROR in the lists of the cloud. */
  readonly failsOnceUp = new Set<string>();
  /** Images that the cloud has: name by id. */
  readonly images = new Map([[IMAGE, "debian-12"]]);
  /** What an image has besides, by its id: properties, or another status. */
  readonly imageProperties = new Map<string, Record<string, unknown>>();
  /** What becomes of an image that is taken of a server, when it is asked for the second time. */
  imageOutcome: "active" | "killed" | "gone" | "saving" = "active";
  /** Names of volumes that end in error when they are made. */
  readonly brokenVolumes = new Set<string>();
  /** What a server does by itself, by its name. */
  readonly guests = new Map<string, Guest>();
  /** User data of each server that was made, by its name: in base64. */
  readonly userData = new Map<string, string>();
  readonly #fallen = new Set<string>();
  readonly #items = new Map<string, Map<string, Item>>(Object.keys(KINDS).map((path) => [path, new Map()]));
  readonly #server: Server;
  #addresses = 10;

  private constructor(server: Server) {
    this.#server = server;
    const put = (path: string, item: Item): void => void this.#of(path).set(item.id, item);
    put("/network/v2.0/networks", { id: EXTERNAL, name: "public", "router:external": true, status: "ACTIVE" });
    for (const [id, name, vcpus, ram] of [
      ["1", "m1.small", 1, 2048],
      ["2", "m1.medium", 2, 4096],
      ["3", "m1.large", 4, 8192],
    ] as const) {
      put("/compute/v2.1/flavors", { id, name, vcpus, ram, disk: 40 });
    }
  }

  static async start(port = 0): Promise<FakeCloud> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    const cloud = new FakeCloud(server);
    server.on("request", (request, response) => void cloud.#serve(request, response));
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
    return cloud;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** OS_* variables of this cloud's user. */
  get env(): Record<string, string> {
    return {
      OS_AUTH_URL: `${this.url}/identity/v3`,
      OS_USERNAME: "demo",
      OS_PASSWORD: "made-up",
      OS_PROJECT_NAME: "demo",
      OS_USER_DOMAIN_NAME: "Default",
      OS_PROJECT_DOMAIN_NAME: "Default",
      OS_REGION_NAME: "RegionOne",
    };
  }

  /** Puts an object into a container, as a job does. */
  putObject(container: string, name: string): void {
    const there = this.#of("/object/v1").get(container);
    if (!there) throw new Error(`no container ${container}`);
    (there.objects as string[]).push(name);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  /** Everything that someone has made, as `kind name`, sorted. */
  leftovers(): string[] {
    const made = [...this.#items].flatMap(([path, items]) =>
      [...items.values()]
        .filter((item) => item.id !== EXTERNAL && KINDS[path] !== "flavor")
        .map((item) => `${KINDS[path]} ${item.name ?? item.description ?? item.id}`),
    );
    return made.sort();
  }

  /** Where a name leads. */
  record(name: string): unknown {
    return [...this.#of("/dns/v2/zones/z1/recordsets").values()].find((one) => one.name === name)?.records;
  }

  /** A server by its name. */
  server(name: string): Item | undefined {
    return [...this.#of("/compute/v2.1/servers").values()].find((server) => server.name === name);
  }

  /** Servers that run. */
  up(): { name: string; id: string; address: string }[] {
    const running = [...this.#of("/compute/v2.1/servers").values()].filter(({ status }) => status === "ACTIVE");
    return running.map(({ name, id, addresses }) => {
      const [first] = Object.values(addresses as Record<string, { addr: string }[]>).flat();
      return { name: String(name), id, address: first?.addr ?? "" };
    });
  }

  /** Everything with its id, as `kind name id`, sorted: what is still the same afterwards. */
  identities(...kinds: string[]): string[] {
    const made = [...this.#items].flatMap(([path, items]) =>
      [...items.values()].map((item) => [KINDS[path] ?? "", `${item.name ?? item.description} ${item.id}`] as const),
    );
    return made.flatMap(([kind, item]) => (kinds.includes(kind) ? [`${kind} ${item}`] : [])).sort();
  }

  /** Has something from now on, as if it had been made with that id. */
  hold(path: string, id: string, given: Readonly<Record<string, unknown>>): void {
    const [status] = this.#create(path, KINDS[path] ?? "", given, id);
    if (status >= 400) throw new Error(`${path} ${id}: ${status}`);
    const item = this.#of(path).get(id);
    // What it is for may stand in it as well.
    if (item && given.device_owner) Object.assign(item, given);
  }

  /** Deletes a server, as a person does. */
  removeServer(name: string): void {
    const server = this.server(name);
    if (server) this.#delete("/compute/v2.1/servers", server);
  }

  /** Removes a key pair, as a person does. */
  removeKeyPair(name: string): void {
    this.#of("/compute/v2.1/os-keypairs").delete(name);
  }

  #of(path: string): Map<string, Item> {
    const items = this.#items.get(path);
    if (!items) throw new Error(`no such collection: ${path}`);
    return items;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = (
      text === "" || !/json/.test(String(request.headers["content-type"])) ? {} : JSON.parse(text)
    ) as Record<string, never>;
    const url = new URL(request.url ?? "/", this.url);
    const method = request.method ?? "GET";
    const path = url.pathname.replace(/\/$/, "").replace(`/volume/v3/${PROJECT}`, "/volume/v3");
    this.requests.push(`${method} ${path}`);
    if (this.down) {
      response.writeHead(503).end("Service Unavailable\n");
      return;
    }
    if (path === "" || path.startsWith("/object/v1/")) {
      const [status, answer, headers] = path === "" ? S3_REFUSAL : this.#objects(method, path, request.headers);
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(answer);
      return;
    }
    const fault = this.faults.find((f) => f.times > 0 && (!f.method || f.method === method) && f.path.test(path));
    if (fault) fault.times--;
    const [status, answer, headers] = fault
      ? [fault.status, fault.body ?? { error: { message: "made to fail" } }, {}]
      : this.#answer(method, path, url.searchParams, body);
    const reply = method === "GET" || path.endsWith("/auth/tokens") ? "sent" : this.reply(`${method} ${path}`);
    if (reply === "lost") request.socket.destroy();
    if (reply !== "sent") return;
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(answer === undefined ? undefined : JSON.stringify(answer));
  }

  #answer(method: string, path: string, query: URLSearchParams, body: Record<string, never>): Answer {
    if (path === "/identity/v3/auth/tokens")
      return [method === "GET" ? 200 : 201, { token: this.#token() }, { "x-subject-token": "token" }];
    if (path === "/image/v2/images") {
      const images = [...this.images].map(([id, known]) => this.#image(id, known));
      const asked = [...query].filter(([key]) => !["limit", "marker"].includes(key));
      return [200, { images: images.filter((one) => asked.every(([key, value]) => one[key] === value)) }];
    }
    const [, asked = ""] = /^\/(?:image\/v2|compute\/v2\.1)\/images\/(.*)$/.exec(path) ?? [];
    const known = this.images.get(asked);
    if (known !== undefined) return this.#oneImage(method, asked, known, body as unknown as PatchStep[]);
    if (path.endsWith("/limits")) return [200, { limits: { absolute: {} } }];
    if (path.startsWith("/network/v2.0/quotas")) return [200, { quota: {} }];
    if (path === "/compute/v2.1/os-availability-zone") return [200, { availabilityZoneInfo: [] }];
    if (path === "/share/v2/types/default") return [200, { share_type: SHARE_TYPE }];
    if (path === "/share/v2/types") return [200, { share_types: [SHARE_TYPE] }];
    if (path === "/dns/v2/zones") return [200, { zones: [ZONE] }];
    if (path === "/dns/v2/zones/z1") return [200, ZONE];
    if (path === "/share/v2") return [200, { versions: [SHARE_VERSION] }];
    if (path === "/share/v2/security-services/detail") return [200, { security_services: [] }];
    if (path === "/volume/v3/types") return [200, { volume_types: [] }];
    if (path === "/network/v2.0/extensions") return [200, { extensions: [] }];

    const collection = Object.keys(KINDS).find((prefix) => path === prefix || path.startsWith(`${prefix}/`));
    if (!collection) return notFound(path);
    const one = KINDS[collection] as string;
    const rest = path.slice(collection.length + 1);
    if (rest === "" || rest === "detail") {
      if (method === "POST") {
        const { group = "" } = (body["os:scheduler_hints"] ?? {}) as { group?: string };
        const created = this.#create(collection, one, (body[one] ?? body) as unknown as Record<string, unknown>);
        if (one === "server") this.#join(group, created);
        return created;
      }
      return [200, { [collectionKey(collection)]: this.#list(collection, query) }];
    }
    const [id = "", action] = rest.split("/");
    const item = this.#of(collection).get(decodeURIComponent(id));
    if (!item) return notFound(path);
    if (action) return this.#act(item, action, body);
    switch (method) {
      case "DELETE":
        return this.#delete(collection, item);
      case "PUT":
        Object.assign(item, body[one]);
        return [200, { [one]: item }];
      default: {
        const seen = { ...item };
        const guest = one === "server" ? this.guests.get(String(item.name)) : undefined;
        if (guest && item.status === "ACTIVE") this.#becomes(item, guest);
        return [200, one === "recordset" ? seen : { [one]: seen }];
      }
    }
  }

  /** A server's group knows it. */
  #join(group: string, [, answer]: Answer): void {
    const members = this.#of("/compute/v2.1/os-server-groups").get(group)?.members as string[] | undefined;
    const { server } = answer as { server?: Item };
    if (server) members?.push(server.id);
  }

  #becomes(server: Item, { becomes }: Guest): void {
    server.status = becomes;
    if (becomes === "ERROR") server.fault = { code: 500, message: "the hypervisor is gone" };
  }

  #image(id: string, name: string): ReturnType<typeof image> {
    return { ...image(id, name), ...this.imageProperties.get(id) };
  }

  #oneImage(method: string, id: string, name: string, steps: PatchStep[]): Answer {
    if (method === "DELETE") {
      this.images.delete(id);
      this.#release(id);
      return [204, undefined];
    }
    const properties: Record<string, unknown> = { ...this.imageProperties.get(id) };
    if (method === "PATCH") {
      for (const { op, path, value } of steps) {
        const key = path.slice(1);
        const there = key in this.#image(id, name);
        // As Glance: what it does not have cannot be replaced or removed.
        if (op !== "add" && !there) return [409, `Property ${key} does not exist.`];
        if (op === "remove") delete properties[key];
        else properties[key] = value;
      }
    }
    const answer = { ...image(id, name), ...properties };
    if (properties.status === "saving") {
      // The next one who asks sees what became of it.
      if (this.imageOutcome === "gone") this.images.delete(id);
      else properties.status = this.imageOutcome;
      if (this.imageOutcome !== "saving") this.#release(id);
    }
    this.imageProperties.set(id, properties);
    return [200, answer];
  }

  /** A volume of which an image is made, or was to be, is free again. */
  #release(image: string): void {
    for (const volume of this.#of("/volume/v3/volumes").values()) {
      if (volume.uploads === image) Object.assign(volume, { status: "available", uploads: undefined });
    }
  }

  /** Swift: what a container is stands in headers, and its name is its id. */
  #objects(method: string, path: string, headers: IncomingMessage["headers"]): [number, string | undefined, Headers?] {
    const [container = "", ...rest] = path.slice("/object/v1/".length).split("/").map(decodeURIComponent);
    const containers = this.#of("/object/v1");
    const there = containers.get(container);
    const object = rest.join("/");
    if (method === "PUT" && object === "") {
      const metadata = Object.entries(headers).filter(([key]) => key.startsWith("x-container-meta-"));
      const made = { objects: [], ...there, id: container, name: container, metadata: Object.fromEntries(metadata) };
      containers.set(container, made as unknown as Item);
      return [there ? 202 : 201, undefined];
    }
    if (!there) return [404, "{}"];
    const objects = there.objects as string[];
    if (object !== "") {
      if (!objects.includes(object)) return [404, "{}"];
      if (method === "DELETE") there.objects = objects.filter((name) => name !== object);
      return [204, undefined];
    }
    if (method === "DELETE") {
      if (objects.length > 0) return [409, "{}"];
      containers.delete(container);
      return [204, undefined];
    }
    const known = { "x-container-object-count": String(objects.length), ...(there.metadata as Headers) };
    if (method !== "GET") return [204, undefined, known];
    const listed = objects.map((name) => ({ name, bytes: 1, hash: "0", last_modified: "2026-01-01T00:00:00.000000" }));
    return [200, JSON.stringify(listed), known];
  }

  #list(collection: string, query: URLSearchParams): unknown[] {
    let items = [...this.#of(collection).values()];
    for (const [key, value] of query) {
      if (["limit", "fields", "marker", "project_id", "sort_key", "sort_dir"].includes(key)) continue;
      // Nova takes a name for a regular expression.
      if (key === "name" && value.startsWith("^"))
        items = items.filter((item) => new RegExp(value).test(String(item.name)));
      else items = items.filter((item) => String(item[key]) === value);
    }
    if (collection.endsWith("/servers")) {
      items = items.map((s) =>
        this.#fallen.has(s.id) ? { ...s, status: "ERROR", fault: { message: "it fell over" } } : s,
      );
    }
    // A page that is not the first one is empty: pages are as long as anyone needs.
    if (query.has("marker")) return [];
    return collection.endsWith("os-keypairs") ? items.map((keypair) => ({ keypair })) : items;
  }

  #create(collection: string, one: string, given: Record<string, unknown>, asId: string = randomUUID()): Answer {
    const id = one === "keypair" ? String(given.name) : asId;
    if (one === "keypair" && this.#of(collection).has(id)) {
      return [409, { conflictingRequest: { code: 409, message: `Key pair '${id}' already exists.` } }];
    }
    const item: Item = { status: "ACTIVE", ...given, id, project_id: PROJECT, tenant_id: PROJECT };
    switch (one) {
      case "port": {
        const taken = (given.fixed_ips as { ip_address?: string }[] | undefined)?.[0]?.ip_address;
        // From the subnet's pool, where none is asked for.
        if (!taken) item.fixed_ips = [{ subnet_id: "", ip_address: `10.72.255.${this.#addresses++}` }];
        const ports = [...this.#of(collection).values()];
        const clash = ports.find((p) => (p.fixed_ips as { ip_address?: string }[])[0]?.ip_address === taken);
        if (taken && clash)
          return [409, { NeutronError: { type: "IpAddressAlreadyAllocated", message: taken, detail: "" } }];
        Object.assign(item, {
          mac_address: "fa:16:3e:00:00:01",
          device_id: "",
          device_owner: "",
          admin_state_up: true,
        });
        item.security_groups ??= [];
        break;
      }
      case "subnet":
        item.allocation_pools ??= [];
        item.dns_nameservers ??= [];
        item.enable_dhcp ??= true;
        break;
      case "router":
        item.admin_state_up = true;
        break;
      case "floatingip":
        item.floating_ip_address = `203.0.113.${this.#addresses++}`;
        break;
      case "keypair":
        Object.assign(item, {
          fingerprint: "00",
          public_key: "ssh-rsa made-up",
          private_key: `made-up private key ${randomUUID()}`,
          user_id: "u",
        });
        break;
      case "credential":
        Object.assign(item, {
          access: id,
          secret: "made-up s3 secret",
          user_id: "u",
          tenant_id: given.tenant_id ?? PROJECT,
        });
        break;
      case "share":
        Object.assign(item, { status: "available", metadata: given.metadata ?? {}, share_type_name: SHARE_TYPE.name });
        item.export_locations = [
          { id: "e1", path: `[2001:db8::5]:/shares/${id}`, preferred: false },
          { id: "e2", path: `10.254.0.5:/shares/${id}`, preferred: true },
        ];
        break;
      case "server_group":
        // However it was asked: the list of those who ask for no newer Nova has them so.
        Object.assign(item, { members: given.members ?? [], policies: given.policies ?? [given.policy] });
        break;
      case "volume":
        Object.assign(item, { status: "available", attachments: [], metadata: {}, availability_zone: "nova" });
        if (this.brokenVolumes.has(String(given.name))) item.status = "error";
        if (given.imageRef) item.volume_image_metadata = { ...this.imageProperties.get(String(given.imageRef)) };
        break;
      case "server":
        return this.#createServer(item, given);
    }
    this.#of(collection).set(id, item);
    return [CREATED[one] ?? 201, one === "recordset" ? item : { [one]: item }];
  }

  #createServer(item: Item, given: Record<string, unknown>): Answer {
    const [network] = given.networks as { port: string }[];
    const port = this.#of("/network/v2.0/ports").get(network?.port ?? "");
    if (!port) return [400, { badRequest: { code: 400, message: `no port ${network?.port}` } }];
    const boot = (given.block_device_mapping_v2 as { boot_index: number; source_type: string; uuid: string }[]) ?? [];
    const disk = boot.find((one) => one.boot_index === 0 && one.source_type === "volume");
    const volume = this.#of("/volume/v3/volumes").get(disk?.uuid ?? "");
    if (disk && volume?.status !== "available")
      return [400, { badRequest: { code: 400, message: `Block Device ${disk.uuid} is not available.` } }];
    if (port.device_id !== "")
      return [409, { conflictingRequest: { code: 409, message: `Port ${port.id} is still in use` } }];
    if (volume) Object.assign(volume, { status: "in-use", server: item.id });
    const failed = this.doomed.delete(String(given.name));
    if (this.failsOnceUp.delete(String(given.name))) this.#fallen.add(item.id);
    if (!failed) Object.assign(port, { device_id: item.id, device_owner: "compute:nova" });
    const [fixed] = port.fixed_ips as { ip_address: string }[];
    const networkName = this.#of("/network/v2.0/networks").get(String(port.network_id))?.name;
    Object.assign(item, {
      status: failed ? "ERROR" : "ACTIVE",
      ...(failed ? { fault: { code: 500, message: "No valid host was found." } } : {}),
      metadata: given.metadata ?? {},
      // As Nova does for those that boot from a volume.
      image: given.imageRef ? { id: given.imageRef } : "",
      flavor: { id: given.flavorRef },
      created: new Date().toISOString(),
      updated: new Date().toISOString(),
      addresses: {
        [String(networkName)]: [
          {
            addr: fixed?.ip_address,
            version: 4,
            "OS-EXT-IPS-MAC:mac_addr": port.mac_address,
            "OS-EXT-IPS:type": "fixed",
          },
        ],
      },
      "OS-EXT-AZ:availability_zone": given.availability_zone ?? "nova",
      "OS-EXT-STS:vm_state": failed ? "error" : "active",
    });
    if (given.user_data) this.userData.set(String(given.name), String(given.user_data));
    delete item.user_data;
    this.#of("/compute/v2.1/servers").set(item.id, item);
    return [202, { server: { id: item.id, adminPass: "made-up", links: [] } }];
  }

  #delete(collection: string, item: Item): Answer {
    if (collection.endsWith("/volumes") && !/^(available|error)$/.test(String(item.status)))
      return [400, { badRequest: { code: 400, message: `Invalid volume: it is ${item.status}` } }];
    const ports = [...this.#of("/network/v2.0/ports").values()];
    const inUse =
      (collection.endsWith("/networks") && ports.some((port) => port.network_id === item.id)) ||
      (collection.endsWith("/routers") && ports.some((port) => port.device_id === item.id)) ||
      (collection.endsWith("/security-groups") &&
        ports.some((port) => ((port.security_groups ?? []) as unknown[]).includes(item.id)));
    if (inUse) return [409, { NeutronError: { type: "InUse", message: `${item.id} is in use`, detail: "" } }];
    if (collection.endsWith("/servers")) {
      if (this.guests.get(String(item.name))?.stays) return [204, undefined];
      for (const port of this.#of("/network/v2.0/ports").values()) {
        if (port.device_id === item.id) Object.assign(port, { device_id: "", device_owner: "" });
      }
      for (const volume of this.#of("/volume/v3/volumes").values()) {
        if (volume.server === item.id) Object.assign(volume, { status: "available", server: undefined });
      }
      for (const group of this.#of("/compute/v2.1/os-server-groups").values()) {
        group.members = (group.members as string[]).filter((id) => id !== item.id);
      }
    }
    if (collection.endsWith("/security-groups")) {
      const rules = this.#of("/network/v2.0/security-group-rules");
      for (const rule of [...rules.values()]) if (rule.security_group_id === item.id) rules.delete(rule.id);
    }
    this.#of(collection).delete(item.id);
    return collection.endsWith("/recordsets") ? [202, { ...item, status: "PENDING" }] : [204, undefined];
  }

  #act(item: Item, action: string, body: Record<string, never>): Answer {
    switch (action) {
      case "add_router_interface": {
        const ports = this.#of("/network/v2.0/ports");
        const id = randomUUID();
        const fixed_ips = [{ subnet_id: body.subnet_id, ip_address: "10.72.0.1" }];
        ports.set(id, {
          id,
          name: "",
          device_id: item.id,
          device_owner: "network:router_interface",
          status: "ACTIVE",
          fixed_ips,
        });
        return [200, { id: item.id, port_id: id, subnet_id: body.subnet_id, tenant_id: PROJECT }];
      }
      case "remove_router_interface": {
        const ports = this.#of("/network/v2.0/ports");
        for (const port of [...ports.values()]) if (port.device_id === item.id) ports.delete(port.id);
        return [200, { id: item.id }];
      }
      case "metadata":
        Object.assign(item.metadata as object, body.metadata);
        return [200, { metadata: item.metadata }];
      case "tags":
        return [200, { tags: [] }];
      case "action":
        if ("allow_access" in body || "access_list" in body || "deny_access" in body) return this.#access(item, body);
        if ("os-stop" in body) item.status = "SHUTOFF";
        if ("os-set_image_metadata" in body) {
          const { metadata } = body["os-set_image_metadata"] as { metadata: object };
          item.volume_image_metadata = { ...(item.volume_image_metadata as object), ...metadata };
          return [200, { metadata: item.volume_image_metadata }];
        }
        if ("os-volume_upload_image" in body) return this.#upload(item, body["os-volume_upload_image"]);
        if ("createImage" in body) return this.#createImage(item, body.createImage);
        if ("os-getConsoleOutput" in body) {
          const { console } = this.guests.get(String(item.name)) ?? {};
          return console === undefined ? notFound("console") : [200, { output: console }];
        }
        return [202, undefined];
      case "export_locations":
        return [200, { export_locations: item.export_locations }];
      case "os-volume_attachments":
        return [200, { volumeAttachments: [] }];
      case "os-interface":
        return [200, { interfaceAttachments: [] }];
      default:
        return notFound(action);
    }
  }

  /** As Nova: the image is there at once, and has what the server's own image has but its size. */
  #createImage(server: Item, { name, metadata }: { name: string; metadata: Record<string, string> }): Answer {
    const id = randomUUID();
    const { id: source = "" } = server.image as { id?: string };
    const inherited = this.imageProperties.get(source);
    const flavor = this.#of("/compute/v2.1/flavors").get(String((server.flavor as Item).id));
    this.images.set(id, name);
    const own = { owner: PROJECT, status: "saving", min_disk: flavor?.disk, image_type: "snapshot" };
    this.imageProperties.set(id, { ...inherited, ...metadata, ...own });
    return [202, undefined, { location: `${this.url}/image/images/${id}` }];
  }

  /** As Cinder: of a volume that no server has, with the properties that the volume has of its image. */
  #upload(volume: Item, { image_name, disk_format }: { image_name: string; disk_format: string }): Answer {
    if (volume.status !== "available")
      return [400, { badRequest: { code: 400, message: `Invalid volume: it is ${volume.status}` } }];
    const id = randomUUID();
    this.images.set(id, image_name);
    const own = { owner: PROJECT, status: "saving", min_disk: 0, disk_format };
    this.imageProperties.set(id, { ...(volume.volume_image_metadata as object), ...own });
    Object.assign(volume, { status: "uploading", uploads: id });
    return [202, { "os-volume_upload_image": { image_id: id, status: "uploading" } }];
  }

  /** Who may mount a share. */
  #access(share: Item, body: Record<string, Record<string, unknown> | null>): Answer {
    const rules = this.#of("/share/v2/share-access-rules");
    if (body.allow_access) {
      const id = randomUUID();
      const { access_to } = body.allow_access;
      if ([...rules.values()].some((rule) => rule.share_id === share.id && rule.access_to === access_to)) {
        return [400, { badRequest: { code: 400, message: `Share access ip:${access_to} exists.` } }];
      }
      const rule = {
        ...body.allow_access,
        id,
        name: String(access_to),
        share_id: share.id,
        state: "active",
      };
      rules.set(id, rule);
      return [200, { access: rule }];
    }
    if (body.deny_access) {
      rules.delete(String(body.deny_access.access_id));
      return [202, undefined];
    }
    return [200, { access_list: [...rules.values()].filter(({ share_id }) => share_id === share.id) }];
  }

  #token(): unknown {
    const endpoint = (type: string, path: string): unknown => ({
      type,
      name: type,
      endpoints: [
        { interface: "public", region: "RegionOne", region_id: "RegionOne", url: `${this.url}${path}`, id: type },
      ],
    });
    return {
      expires_at: "2099-01-01T00:00:00.000000Z",
      issued_at: "2026-01-01T00:00:00.000000Z",
      methods: ["password"],
      project: { id: PROJECT, name: "demo", domain: { id: "default", name: "Default" } },
      user: { id: "u", name: "demo", domain: { id: "default", name: "Default" } },
      roles: [{ id: "r", name: "member" }],
      catalog: [
        endpoint("identity", "/identity/v3"),
        endpoint("compute", "/compute/v2.1"),
        endpoint("network", "/network"),
        endpoint("image", "/image"),
        endpoint("volumev3", `/volume/v3/${PROJECT}`),
        endpoint("block-storage", `/volume/v3/${PROJECT}`),
        endpoint("object-store", "/object/v1"),
        endpoint("sharev2", "/share/v2"),
        endpoint("dns", "/dns"),
      ],
    };
  }
}

/** Each service has a status of its own for "made", and the provider insists on it. */
const CREATED: Readonly<Record<string, number>> = {
  volume: 202,
  server_group: 200,
  keypair: 200,
  share: 200,
  share_network: 200,
};

type Answer = [status: number, body: unknown, headers?: Record<string, string>];

type Headers = Record<string, string>;

/** A change of an image's property. */
interface PatchStep {
  op: "add" | "replace" | "remove";
  path: string;
  value?: unknown;
}

/** What Manila of 2024 says of itself. */
const SHARE_VERSION = {
  id: "v2.0",
  status: "CURRENT",
  version: "2.85",
  min_version: "2.0",
  updated: "2015-08-27T11:33:21Z",
};

/** The type of shares: it makes a server for each network. */
const SHARE_TYPE = { id: "t", name: "generic", required_extra_specs: { driver_handles_share_servers: "True" } };

/** Designate's answers are the thing itself. */
const ZONE = { id: "z1", name: "example.org.", status: "ACTIVE", project_id: PROJECT };

/** How an S3 interface answers whom it does not know. */
const S3_REFUSAL: [number, string, Headers] = [
  403,
  "<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>",
  { "content-type": "application/xml" },
];

const notFound = (what: string): Answer => [404, { itemNotFound: { code: 404, message: `no ${what}` } }];

/** Name of the list in an answer, such as `security_groups` for `/network/v2.0/security-groups`. */
function collectionKey(collection: string): string {
  if (collection.endsWith("/share-access-rules")) return "access_list";
  if (collection.endsWith("/OS-EC2")) return "credentials";
  return (collection.split("/").at(-1) ?? "").replace("os-", "").replaceAll("-", "_");
}

function image(id: string, name: string): { id: string; name: string } & Record<string, unknown> {
  return {
    id,
    name,
    status: "active",
    min_ram: 0,
    min_disk: 0,
    size: 400_000_000,
    image: { id, name },
  };
}
