"use strict";
// The landing page: a description of the cluster (cluster.json, which was made with it) and its state, which the services' own pages
// report through the gateway.
// Text from elsewhere is inserted as text, never as HTML: users can give their jobs any name.

const EVERY_MS = 10_000;
const at = (id) => document.getElementById(id);

function make(name, text, ...children) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(EVERY_MS) });
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(`answers ${answer.status}`);
  return answer.json();
}

const GIB = 1024 ** 3;
const gib = (bytes) => `${(bytes / GIB).toFixed(bytes < 10 * GIB ? 1 : 0)} GiB`;
const whole = (number) => String(Math.round(number * 10) / 10);
const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const since = (ms) => (ms > 0 ? new Date(ms).toLocaleString() : "");
/** A row on usage: what is used, how much of it, the total, and both amounts as text. */
const full = (what, used, total, unit) => ({ what, used, total, said: `${unit(used)} of ${unit(total)}` });

/** For each kind of page: a sentence on its state, its usage, what runs there, and how many instances of other services answer or are lost. */
const READERS = {
  jupyter: async (path) => {
    const { kernels } = await ask(`${path}api/status`);
    return { says: `${count(kernels, "kernel")} running` };
  },
  hub: async (path, status) => {
    const { version } = await ask(status);
    return { says: `JupyterHub ${version}; users log in there` };
  },
  "spark-master": async (path) => {
    const all = await ask(`${path}json/`);
    return {
      says: `${count(all.aliveworkers, "worker")}, ${all.status.toLowerCase()}`,
      well: all.status === "ALIVE" && all.aliveworkers > 0,
      services: { "spark-worker": { up: all.aliveworkers, down: lostWorkers(all.workers) } },
      full: [
        full("Cores", all.coresused, all.cores, whole),
        full("Memory", all.memoryused * 1024 ** 2, all.memory * 1024 ** 2, gib),
      ],
      running: all.activeapps.map((app) => ({
        name: app.name,
        user: app.user,
        cores: app.cores,
        since: since(app.starttime),
        page: `${path}proxy/${encodeURIComponent(app.id)}/jobs/`,
      })),
    };
  },
  history: async (path) => {
    const [last] = await ask(`${path}api/v1/applications?status=completed&limit=1`);
    return { says: last ? `the last: ${last.name}` : "none yet" };
  },
  mesos: async (path) => {
    const [numbers, { frameworks }] = await Promise.all([ask(`${path}metrics/snapshot`), ask(`${path}master/frameworks`)]);
    const of = (name) => numbers[`master/${name}`] ?? 0;
    return {
      says: `${count(of("slaves_active"), "agent")}, ${count(of("frameworks_active"), "framework")}`,
      well: of("elected") === 1 && of("slaves_active") > 0,
      services: { "mesos-agent": { up: of("slaves_active"), down: of("slaves_disconnected") } },
      full: [
        full("Cores", of("cpus_used"), of("cpus_total"), whole),
        full("Memory", of("mem_used") * 1024 ** 2, of("mem_total") * 1024 ** 2, gib),
      ],
      running: frameworks
        .filter(({ active }) => active)
        .map((one) => ({
          name: one.name,
          user: one.user,
          cores: whole(one.used_resources?.cpus ?? 0),
          since: since(one.registered_time * 1000),
          page: driverPage(one.webui_url),
        })),
    };
  },
  metrics: async (path) => {
    const query = encodeURIComponent(ANSWERING);
    const [alerts, answering] = await Promise.all([ask(`${path}api/v1/alerts`), ask(`${path}api/v1/query?query=${query}`)]);
    const firing = alerts.data.alerts.filter(({ state }) => state === "firing");
    const measured = {};
    for (const { metric, value } of answering.data.result) {
      const found = (measured[`${metric.group} ${metric.job}`] ??= { up: 0, down: 0 });
      found[metric.up === "1" ? "up" : "down"] += Number(value[1]);
    }
    return { says: firing.length === 0 ? "no alert" : count(firing.length, "alert"), well: firing.length === 0, measured };
  },
  marathon: async (path) => {
    const { apps } = await ask(`${path}v2/apps`);
    const tasks = apps.reduce((sum, app) => sum + app.tasksRunning, 0);
    return { says: `${count(apps.length, "app")}, ${count(tasks, "task")}`, well: apps.every((app) => app.tasksRunning >= app.instances) };
  },
  hdfs: async (path) => {
    const bean = async (name) => (await ask(`${path}jmx?qry=Hadoop:service=NameNode,name=${name}`)).beans[0];
    const [state, info] = await Promise.all([bean("FSNamesystemState"), bean("NameNodeInfo")]);
    const missing = state.UnderReplicatedBlocks > 0 ? `, ${count(state.UnderReplicatedBlocks, "block")} with too few copies` : "";
    return {
      says: `${count(state.NumLiveDataNodes, "datanode")}${info.Safemode ? ", in safe mode" : ""}${missing}`,
      well: state.NumLiveDataNodes > 0 && !info.Safemode,
      services: { datanode: { up: state.NumLiveDataNodes, down: state.NumDeadDataNodes } },
      full: [full("HDFS", state.CapacityTotal - state.CapacityRemaining, state.CapacityTotal, gib)],
    };
  },
};

/** Query for the number of machines on which each job of Prometheus answers or does not, by group. */
const ANSWERING = 'count_values by (group, job) ("up", min by (group, job, machine) (up{optional=""}))';

/** The number of hosts whose worker is dead and not replaced. If agents come and go, one removed on purpose looks the same for a while. */
function lostWorkers(workers) {
  if (cluster.agentsComeAndGo) return 0;
  const alive = new Set(workers.filter(({ state }) => state === "ALIVE").map(({ host }) => host));
  return new Set(workers.filter(({ state, host }) => state === "DEAD" && !alive.has(host)).map(({ host }) => host)).size;
}

/** Where Jupyter shows a driver's page, because browsers cannot reach the driver itself. */
function driverPage(address) {
  const jupyter = cluster.pages.find(({ kind }) => kind === "jupyter");
  const host = /^https?:\/\/([\w.-]+:\d+)/.exec(address ?? "")?.[1];
  return jupyter && host ? `/${jupyter.path}/proxy/${host}/jobs/` : undefined;
}

let cluster;

function showPages() {
  for (const page of cluster.pages) {
    const dot = make("span");
    dot.className = "dot";
    const says = make("span", "asking…");
    says.className = "quiet";
    const link = make("a", undefined, make("strong", undefined, dot, page.title), says);
    link.href = `/${page.path}/`;
    at("pages").append(link);
    Object.assign(page, { dot, says });
  }
}

async function look(page) {
  try {
    const found = await READERS[page.kind](`/${page.path}/`, page.status);
    page.dot.className = found.well === false ? "dot bad" : "dot good";
    page.says.textContent = found.says;
    return { ...found, services: { [page.service]: { up: 1, down: 0 }, ...found.services } };
  } catch (error) {
    page.dot.className = "dot bad";
    page.says.textContent = error.name === "TimeoutError" ? "does not answer" : error.message;
    return { services: { [page.service]: { up: 0, down: 1 } } };
  }
}

function showFull(rows) {
  at("full").replaceChildren(
    ...rows.flatMap(({ what, used, total, said }) => {
      const meter = make("meter");
      meter.max = Math.max(total, 1e-9);
      meter.value = used;
      meter.title = said;
      return [make("dt", what), make("dd", undefined, meter), make("dd", said)];
    }),
    ...(rows.length === 0 ? [make("dd", "Nothing says so.")] : []),
  );
}

function showRunning(rows) {
  if (rows.length === 0) {
    at("running").replaceChildren(make("p", "No job. A notebook is listed from its first cell that needs Spark."));
    return;
  }
  const head = make("tr", undefined, ...["Job", "User", "Cores", "Since"].map((text) => make("th", text)));
  const lines = rows.map(({ name, user, cores, since: begun, page }) => {
    const title = make(page ? "a" : "span", name);
    if (page) title.href = page;
    return make("tr", undefined, make("td", undefined, title), make("td", user), make("td", cores), make("td", begun));
  });
  at("running").replaceChildren(make("table", undefined, head, ...lines));
}

/** Shows the notice that the cluster will end because no `up` has been run for long, if there is one. */
async function showNotice() {
  const { lastUp, ends } = cluster.mayEnd ? await ask("/notice.json").catch(() => ({})) : {};
  const moment = (text) => new Date(text).toLocaleString();
  at("notice").hidden = ends === undefined;
  at("notice").textContent =
    ends && `This cluster ends at ${moment(ends)}: nobody has run an up since ${moment(lastUp)}. What is on its volumes stays. Another up keeps it.`;
}

async function refresh() {
  await showNotice();
  const found = await Promise.all(cluster.pages.map(look));
  const first = (rows, key) => rows.filter((row, i) => rows.findIndex((other) => other[key] === row[key]) === i);
  // Where Marathon runs Spark, both Mesos and Spark report cores. Mesos' are those of the machines, and its page comes first.
  showFull(first(found.flatMap((one) => one.full ?? []), "what"));
  showRunning(found.flatMap((one) => one.running ?? []));
  showHealth(found);
}

// ---- The picture: a box for each group of machines with the health of its services, a line for those that connect to each other -----

const COLUMNS = { bastion: 0, client: 0, master: 1, zookeeper: 1, registry: 1, agent: 2, datanode: 2 };
const [WIDTH, GAP, LINE, PAD] = [230, 110, 19, 12];

function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function showPicture() {
  const boxes = new Map();
  const next = [0, 0, 0];
  for (const { name, services } of cluster.groups) {
    const column = COLUMNS[name] ?? 1;
    const height = (services.length + 1) * LINE + 2 * PAD;
    boxes.set(name, { x: column * (WIDTH + GAP) + 1, y: next[column] + 1, height, column, services });
    next[column] += height + 40;
  }
  const height = Math.max(...next) - 40 + 2;
  const picture = svg("svg", { viewBox: `0 0 ${3 * WIDTH + 2 * GAP + 2} ${height}`, role: "img" });
  picture.append(svg("title", {}, `Groups of machines of ${cluster.name}, what runs on them, and which connect to which`));
  const marker = svg("marker", { id: "head", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto-start-reverse" });
  marker.append(svg("path", { d: "M0 0 8 4 0 8z" }));
  picture.append(marker);
  const drawn = new Set();
  const arrows = cluster.groups.flatMap(({ name, from }) => from.map((peer) => `${peer} ${name}`));
  for (const arrow of arrows) {
    const [from, to] = arrow.split(" ");
    const [a, b] = [boxes.get(from), boxes.get(to)];
    if (!a || !b || drawn.has(`${to} ${from}`)) continue;
    drawn.add(`${from} ${to}`);
    const both = arrows.includes(`${to} ${from}`);
    picture.append(svg("path", { d: line(a, b), "marker-end": "url(#head)", ...(both ? { "marker-start": "url(#head)" } : {}) }));
  }
  for (const [name, box] of boxes) {
    picture.append(svg("rect", { x: box.x, y: box.y, width: WIDTH, height: box.height, rx: 8 }));
    picture.append(svg("text", { x: box.x + PAD, y: box.y + PAD + 13, class: "title" }, name));
    box.services.forEach((service, i) => {
      const y = box.y + PAD + 13 + (i + 1) * LINE;
      const [dot, text] = [svg("circle", { cx: box.x + PAD + 5, cy: y - 4, r: 4 }), svg("text", { x: box.x + PAD + 16, y }, service.name)];
      const health = svg("title", {}, NOT_KNOWN);
      dot.append(health);
      picture.append(dot, text);
      drawnServices.push({ ...service, group: name, dot, text, health });
    });
  }
  at("picture").append(picture);
}

const NOT_KNOWN = "not measured";
const drawnServices = [];

/** Shows the health of each service in the picture, from what Prometheus measured and what the pages report. */
function showHealth(found) {
  const said = Object.assign({}, ...found.map(({ services }) => services));
  const measured = Object.assign({}, ...found.map((one) => one.measured));
  for (const { name, group, job, dot, text, health } of drawnServices) {
    // Prometheus' data is some seconds old, and the pages do not know every service, so what either reports as lost counts as lost.
    const seen = [measured[`${group} ${job}`], said[name]].filter(Boolean);
    const known = seen.length > 0;
    const most = (number) => Math.max(0, ...seen.map(number));
    const [all, down] = [most((one) => one.up + one.down), most((one) => one.down)];
    const up = all - down;
    const number = all > 1 ? ` ${down > 0 ? `${up} of ` : ""}${all}` : "";
    dot.setAttribute("class", !known ? "" : up > 0 && down === 0 ? "good" : "bad");
    health.textContent = !known ? NOT_KNOWN : down === 0 ? "answers" : up === 0 ? "does not answer" : `${down} of ${all} do not answer`;
    text.textContent = `${name}${number}`;
  }
}

/** The path of a line from the edge of one box to the edge of another. */
function line(a, b) {
  const middle = (box) => box.y + box.height / 2;
  if (a.column === b.column) {
    const [upper, lower] = a.y < b.y ? [a, b] : [b, a];
    const ends = [upper.y + upper.height, lower.y];
    const [from, to] = a === upper ? ends : [...ends].reverse();
    return `M${a.x + WIDTH / 2} ${from} V${to}`;
  }
  const right = a.column < b.column;
  const [x1, x2] = right ? [a.x + WIDTH, b.x] : [a.x, b.x + WIDTH];
  const bend = Math.abs(a.column - b.column) > 1 ? -40 : 0;
  const half = (x1 + x2) / 2;
  return `M${x1} ${middle(a)} C${half} ${middle(a) + bend} ${half} ${middle(b) + bend} ${x2} ${middle(b)}`;
}

/** The parts of a text; those in backquotes become `code` elements. */
const words = (text) => text.split("`").map((part, i) => (i % 2 === 0 ? part : make("code", part)));

function showConnect() {
  const row = (command, what) => at("connect").append(make("tr", undefined, make("td", undefined, make("code", command)), make("td", undefined, ...words(what))));
  row("spark", "in every notebook of JupyterLab: the session is there from the first cell");
  row(`MASTER=${cluster.master}`, "what drivers on the client connect to");
  for (const [command, what] of cluster.connect) row(command, what);
}

at("leave").addEventListener("click", async () => {
  await fetch("/session", { method: "DELETE" });
  location.replace("/login");
});

(async () => {
  cluster = await ask("/cluster.json");
  document.title = cluster.name;
  at("name").textContent = cluster.name;
  at("what").textContent = [`${cluster.architecture}, Spark ${cluster.spark}`, cluster.cost].filter(Boolean).join("; ");
  showPages();
  showPicture();
  showConnect();
  for (;;) {
    await refresh();
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
})().catch((error) => {
  at("what").textContent = `This page could not be made: ${error.message}`;
});
