import { once } from "node:events";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";

/** A user of the hub with a browser. */

interface Cookie {
  /** Host for which the cookie is sent. Browsers do not distinguish cookies by port. */
  host: string;
  name: string;
  value: string;
  path: string;
}

/** The result of a request after all redirects. */
export interface Page {
  status: number;
  path: string;
  /** The full URL, because redirects may lead to other hosts. */
  url: string;
  text: string;
}

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Sends a request without `fetch`, whose Sec-Fetch headers mark it as a script's: the hub gives such requests no token for its forms. */
async function send(url: string, { body, ...asked }: Asked): Promise<{ answer: IncomingMessage; text: string }> {
  const request = url.startsWith("https:") ? tlsRequest : plainRequest;
  const sent = request(url, { ...asked, agent: false }).end(body);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  return { answer, text };
}

export class Visitor {
  readonly address: string;
  readonly name: string;
  readonly #headers: Record<string, string>;
  #cookies: Cookie[] = [];

  /** @param headers Sent with each request. */
  constructor(address: string, name: string, headers: Record<string, string> = {}) {
    this.address = address;
    this.name = name;
    this.#headers = headers;
  }

  /** Another browser with the same cookies. */
  copy(): Visitor {
    const copy = new Visitor(this.address, this.name, this.#headers);
    copy.#cookies = [...this.#cookies];
    return copy;
  }

  cookie(name: string): string | undefined {
    return this.#cookies.find((one) => one.name === name)?.value;
  }

  #sent({ hostname, pathname }: URL): Cookie[] {
    return this.#cookies.filter(({ host, path }) => host === hostname && pathname.startsWith(path));
  }

  #header(url: URL): string {
    const sent = this.#sent(url);
    return sent.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  /** The token by which the hub and the servers recognize requests from their own pages. */
  #xsrf(url: URL): string {
    const own = this.#sent(url).filter(({ name }) => name === "_xsrf");
    return own.sort((a, b) => b.path.length - a.path.length)[0]?.value ?? "";
  }

  /** Sends a request. @param path A path below the hub, or a full URL. @param more Cookies beside the visitor's own. */
  async ask(path: string, asked: Asked = {}, more = ""): Promise<Page> {
    let [at, now] = [new URL(path, this.address), asked];
    for (let redirects = 0; redirects < 20; redirects++) {
      const Cookie = [this.#header(at), more].filter(Boolean).join("; ");
      const headers = { ...this.#headers, ...now.headers, Cookie, "X-XSRFToken": this.#xsrf(at) };
      const { answer, text } = await send(at.href, { ...now, headers });
      for (const line of answer.headers["set-cookie"] ?? []) this.#keep(line, at.hostname);
      const [status, next] = [answer.statusCode ?? 0, answer.headers.location];
      if (status < 300 || status >= 400 || next === undefined)
        return { status, path: at.pathname + at.search, url: at.href, text };
      [at, now] = [new URL(next, at), {}];
    }
    throw new Error(`${path} leads nowhere`);
  }

  #keep(line: string, host: string): void {
    const [pair = "", ...attributes] = line.split(/;\s*/);
    const [name = "", ...value] = pair.split("=");
    const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? "/";
    this.#cookies = this.#cookies.filter(
      (cookie) => cookie.host !== host || cookie.name !== name || cookie.path !== path,
    );
    if (!attributes.some((one) => /^expires=.*19[0-9][0-9]/i.test(one))) {
      this.#cookies.push({ host, name, value: value.join("=").replace(/^"(.*)"$/, "$1"), path });
    }
  }

  async post(path: string, fields: Record<string, string>): Promise<Page> {
    const { text } = await this.ask(path);
    const _xsrf = /name="_xsrf" value="([^"]+)"/.exec(text)?.[1] ?? "";
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    return this.ask(path, { method: "POST", headers, body: `${new URLSearchParams({ ...fields, _xsrf })}` });
  }

  logIn(password: string): Promise<Page> {
    return this.post("/hub/login", { username: this.name, password });
  }

  api(path: string, method = "GET", body?: object): Promise<Page> {
    return this.ask(`/user/${this.name}/api/${path}`, {
      method,
      headers: { Accept: "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** Starts the visitor's server if it does not run. @returns Whether it answers. */
  async hasServer(): Promise<boolean> {
    const { status, text } = await this.api("status");
    if (status === 200 && text.includes('"started"')) return true;
    await this.ask("/hub/spawn");
    return false;
  }

  /** Starts a kernel of the visitor. @returns A function that runs a cell in it and returns the cell's output. */
  async kernel(): Promise<(code: string) => Promise<string>> {
    const { text } = await this.api("kernels", "POST", { name: "python3" });
    const { id } = JSON.parse(text) as { id: string };
    return (code) => this.#run(id, code);
  }

  async #run(kernel: string, code: string): Promise<string> {
    const path = `/user/${this.name}/api/kernels/${kernel}/channels`;
    const headers = { Cookie: this.#header(new URL(path, this.address)), Origin: this.address };
    // Node's own WebSocket accepts headers, which its types do not declare.
    const Socket = WebSocket as unknown as new (url: string, options: { headers: Record<string, string> }) => WebSocket;
    const socket = new Socket(this.address.replace("http", "ws") + path, { headers });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const id = `${Math.random()}`;
    let said = "";
    socket.onopen = () => socket.send(JSON.stringify(executeRequest(id, code)));
    socket.onerror = () => reject(new Error(`${path}: refused`));
    socket.onclose = () => reject(new Error(`${path}: closed after ${said}`));
    socket.onmessage = ({ data }) => {
      const { msg_type, content, parent_header } = JSON.parse(String(data));
      if (parent_header?.msg_id !== id) return;
      if (msg_type === "stream" && content.name === "stdout") said += content.text;
      if (msg_type === "error") said += `${content.ename}: ${content.evalue}\n`;
      if (msg_type === "status" && content.execution_state === "idle") resolve(said);
    };
    try {
      return await promise;
    } finally {
      socket.onclose = null;
      socket.close();
    }
  }
}

/** The message with which JupyterLab lets a kernel run a cell. */
const executeRequest = (id: string, code: string): object => ({
  channel: "shell",
  header: { msg_id: id, username: "t", session: id, msg_type: "execute_request", version: "5.3", date: "" },
  parent_header: {},
  metadata: {},
  content: { code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false },
  buffers: [],
});
