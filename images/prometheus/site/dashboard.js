"use strict";
// The dashboard: what Prometheus knows of the cluster, refreshed every few seconds. What the cluster lacks (HDFS, Mesos) is not shown.
// Text from elsewhere is inserted as text, never as HTML: users can give their jobs any name.

const EVERY_MS = 5_000;
const HOUR = 3600;
const at = (id) => document.getElementById(id);

function make(name, text, ...children) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

async function api(path, parameters = {}) {
  const answer = await fetch(`../api/v1/${path}?${new URLSearchParams(parameters)}`, { signal: AbortSignal.timeout(EVERY_MS) });
  // On reload, the gateway shows its login instead of this page.
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(`Prometheus answers ${answer.status}`);
  return (await answer.json()).data;
}

const vector = async (query) => (await api("query", { query })).result;
/** The single number that a query returns; undefined if nothing is measured. */
async function number(query) {
  const [first] = await vector(query);
  return first === undefined ? undefined : Number(first.value[1]);
}

const whole = (value) => String(Math.round(value * 10) / 10);
const percent = (value) => `${Math.round(value)} %`;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
function bytes(value) {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(value, 1)) / 10)));
  const scaled = value / 1024 ** power;
  return `${scaled.toFixed(scaled < 10 && power > 2 ? 1 : 0)} ${UNITS[power]}`;
}

/** Targets that always belong to the cluster, unlike drivers. */
const LASTING = 'up{optional=""}';
const CORES_USED = "sum(metrics_worker_coresUsed_Value) or max(mesos_master_cpus_used)";
const CORES = "sum(metrics_worker_coresUsed_Value + metrics_worker_coresFree_Value) or max(mesos_master_cpus_total)";
const MEMORY_USED = "sum(metrics_worker_memUsed_MB_Value) * 1048576 or max(mesos_master_mem_used) * 1048576";
const MEMORY =
  "sum(metrics_worker_memUsed_MB_Value + metrics_worker_memFree_MB_Value) * 1048576 or max(mesos_master_mem_total) * 1048576";
const JOBS = 'count(up{job="spark-driver"} == 1) or vector(0)';
const CPU = '100 * (1 - avg(rate(node_cpu_seconds_total{mode="idle"}[1m])))';
const MACHINE_MEMORY = "100 * (1 - sum(node_memory_MemAvailable_bytes) / sum(node_memory_MemTotal_bytes))";

/** Tiles with big numbers: title, queries for value and total, unit, whether there is a meter (`full`), which values are bad (`ill`). */
const TILES = [
  {
    title: "Agents that answer",
    used: 'count(min by (machine) (up{group="agent",optional=""}) == 1) or vector(0)',
    total: 'count(count by (machine) (up{group="agent",optional=""}))',
    ill: (used, total) => used < total,
  },
  { title: "Cores in use", used: CORES_USED, total: CORES, full: true },
  { title: "Memory in use", used: MEMORY_USED, total: MEMORY, unit: bytes, full: true },
  { title: "Spark sessions", used: JOBS },
  { title: "ZooKeeper members", used: 'sum(up{job="zookeeper"})', total: 'count(up{job="zookeeper"})', ill: (used, total) => used < total },
  {
    title: "HDFS",
    used: 'max(fs_namesystem_capacity_total{job="namenode"} - fs_namesystem_capacity_remaining)',
    total: 'max(fs_namesystem_capacity_total{job="namenode"})',
    unit: bytes,
    full: true,
  },
  {
    title: "Datanodes that live",
    used: 'max(fs_namesystem_num_live_data_nodes{job="namenode"})',
    total: 'count(up{job="datanode"})',
    ill: (used, total) => used < total,
  },
  {
    title: "Fullest disk",
    used: 'max(100 * (1 - node_filesystem_avail_bytes{fstype!~"nfs.*|tmpfs",mountpoint!~"/etc/.*"} / node_filesystem_size_bytes))',
    unit: percent,
    ill: (used) => used > 90,
  },
];

const CHARTS = [
  { title: "Cores in use", query: CORES_USED, unit: whole, top: CORES },
  { title: "Spark sessions", query: JOBS, unit: whole },
  { title: "Processors of the machines", query: CPU, unit: percent, most: 100 },
  { title: "Memory of the machines", query: MACHINE_MEMORY, unit: percent, most: 100 },
];

async function tile({ title, used, total, unit = whole, full, ill = () => false }) {
  const [is, of] = await Promise.all([number(used), total === undefined ? undefined : number(total)]);
  if (is === undefined || (total !== undefined && of === undefined)) return undefined;
  const value = make("b", unit(is));
  if (of !== undefined) value.append(make("small", ` of ${unit(of)}`));
  const box = make("div", undefined, make("span", title), value);
  if (full) {
    const meter = make("meter");
    meter.max = Math.max(of, 1e-9);
    meter.value = is;
    box.append(meter);
  }
  if (ill(is, of)) box.className = "ill";
  return box;
}

function svg(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

async function chart({ title, query, unit, top, most }) {
  const end = Date.now() / 1000;
  const [{ result }, limit] = await Promise.all([
    api("query_range", { query, start: end - HOUR, end, step: 15 }),
    top === undefined ? undefined : number(top),
  ]);
  // All series form one line, even if its labels changed over time.
  const points = result.flatMap(({ values }) => values.map(([time, value]) => [time, Number(value)])).sort(([a], [b]) => a - b);
  if (points.length === 0) return undefined;
  const highest = most ?? Math.max(limit ?? 0, ...points.map(([, value]) => value), 1);
  const [width, height] = [300, 80];
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
  const x = (time) => (((time - end + HOUR) / HOUR) * width).toFixed(1);
  const y = (value) => (height - 2 - (value / highest) * (height - 4)).toFixed(1);
  const line = points.map(([time, value]) => `${x(time)} ${y(value)}`).join("L");
  picture.append(svg("path", { class: "area", d: `M${x(points[0][0])} ${height}L${line}L${x(points.at(-1)[0])} ${height}z` }));
  picture.append(svg("path", { d: `M${line}` }));
  const last = unit(points.at(-1)[1]);
  picture.append(svg("title", {}));
  picture.lastChild.textContent = `${title}: ${last} now, at most ${unit(highest)} shown`;
  return make("figure", undefined, make("figcaption", undefined, make("span", title), make("strong", last)), picture);
}

const word = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function showAlerts(alerts) {
  const firing = alerts.filter(({ state }) => state === "firing");
  at("state").textContent = firing.length === 0 ? "All is well." : word(firing.length, "alert");
  at("state").className = firing.length === 0 ? "good" : "bad";
  at("alerts").replaceChildren(
    ...firing.map(({ labels, annotations, activeAt }) =>
      make(
        "li",
        undefined,
        make("strong", labels.alertname),
        make("span", annotations.summary ?? ""),
        make("span", ` since ${new Date(activeAt).toLocaleTimeString()}`),
      ),
    ),
  );
  for (const item of at("alerts").children) item.lastChild.className = "quiet";
}

/** Shows a row for each service, with the machines on which it answers and those on which it does not. */
function showServices(all) {
  const services = new Map();
  for (const { metric, value } of all) {
    const { up, down } = services.get(metric.job) ?? services.set(metric.job, { up: [], down: [] }).get(metric.job);
    (value[1] === "1" ? up : down).push(metric.machine);
  }
  const names = (machines) => machines.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).join(", ");
  const shortened = (machines) => (machines.length > 12 ? `${word(machines.length, "machine")}` : names(machines));
  const rows = [...services].sort(([a], [b]) => a.localeCompare(b)).map(([job, { up, down }]) => {
    const title = make("td", job);
    title.className = down.length > 0 ? "bad" : "good";
    return make("tr", undefined, title, make("td", shortened(up)), make("td", names(down)));
  });
  const head = make("tr", undefined, ...["Service", "answers on", "does not answer on"].map((text) => make("th", text)));
  at("services").replaceChildren(head, ...rows);
}

async function refresh() {
  const [{ alerts }, up, tiles, charts, [named]] = await Promise.all([
    api("alerts"),
    vector(LASTING),
    Promise.all(TILES.map(tile)),
    Promise.all(CHARTS.map(chart)),
    api("status/config").then(({ yaml }) => /^ {4}cluster: (.*)$/m.exec(yaml)?.slice(1) ?? []),
  ]);
  if (named !== undefined) {
    at("name").textContent = named;
    document.title = `${named}: metrics`;
  }
  showAlerts(alerts);
  at("tiles").replaceChildren(...tiles.filter(Boolean));
  at("charts").replaceChildren(...charts.filter(Boolean));
  showServices(up);
}

(async () => {
  for (;;) {
    await refresh().catch((error) => {
      at("state").textContent = `Prometheus does not answer: ${error.message}`;
      at("state").className = "bad";
    });
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
})();
