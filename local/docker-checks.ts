/** What of Docker and of this machine would stop an `up`, for `triplewide doctor`. */

import { readFileSync, realpathSync, statfsSync } from "node:fs";
import { homedir } from "node:os";
import { join, relative } from "node:path";
import { Address4 } from "ip-address";
import { overlap } from "../cluster/addresses.ts";
import { totalOf } from "../cluster/agent-groups.ts";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { imagesOf, localReference } from "../cluster/images.ts";
import { platformOf } from "../cluster/platforms.ts";
import type { Cluster } from "../cluster/types.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import { type Check, ok, problem, warning } from "../lib/checks.ts";
import { messageOf } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { publishedLinks } from "../render/compose.ts";
import { type Docker, docker, dockerLines, findDocker } from "./docker.ts";
import { takenPorts } from "./ports.ts";
import { find, otherHome, projectOf } from "./project.ts";

/** What `docker info` says, as far as it is looked at. */
export interface DockerInfo {
  ServerVersion?: string;
  OperatingSystem?: string;
  Architecture?: string;
  DockerRootDir?: string;
  Driver?: string;
  CgroupVersion?: string;
  MemTotal?: number;
  NCPU?: number;
  SecurityOptions?: readonly string[] | null;
}

/** Facts about this machine's Docker that no single command says. */
export interface DockerFacts {
  info: DockerInfo;
  /** Path of the client, with links followed. */
  client: string;
  /** Address of the daemon, such as `unix:///var/run/docker.sock`. */
  endpoint: string;
  /** First line of Compose's version. */
  compose: string;
  /** Folder of the checkout. */
  root: string;
  home: string;
  /** Free bytes where Docker keeps its data; undefined where this user cannot see that. */
  freeBytes: number | undefined;
  /** Images of the cluster that are built on this Docker. */
  built: readonly string[];
  /** Those of them that are not built yet. */
  toBuild: readonly string[];
  /** Networks that Docker has, those of this cluster left out. */
  networks: readonly { name: string; cidr: string }[];
  /** Whether this cluster runs here already. */
  running: boolean;
  /** What the client's own config says of proxies: it gives them to every container. */
  proxies: DockerProxies | undefined;
}

/** `proxies` of the client's `config.json`, for one daemon. */
interface DockerProxies {
  httpProxy?: string;
  httpsProxy?: string;
  noProxy?: string;
}

const GIB = 1024 ** 3;

/** What images, their layers and the caches of their builds take: 5 GB of images, and the build's own layers. */
const BUILD_GIB = 12;

/** What a cluster writes without a job's data. */
const RUN_GIB = 2;

/** Judges this machine's Docker. Pure: what was found is given. */
export function judgeDocker(cluster: Cluster | undefined, facts: DockerFacts): Check[] {
  const { info } = facts;
  const options = (info.SecurityOptions ?? []).map((text) => /name=([^,]+)/.exec(text)?.[1] ?? text);
  const containers = cluster !== undefined && platformOf(cluster.config).machinesAreContainers;
  const checks: Check[] = [];
  if (!info.ServerVersion)
    return [problem("Docker", "what answers is not Docker's daemon (Podman?)", "install Docker Engine")];
  const about = [info.OperatingSystem, info.Architecture, info.Driver, `control groups ${info.CgroupVersion}`];
  checks.push(ok("Docker", `${info.ServerVersion}, ${about.filter(Boolean).join(", ")}`));
  checks.push(ok("Compose", facts.compose));

  const desktop = /Docker Desktop/.test(info.OperatingSystem ?? "");
  const remote = !/^(unix|npipe):\/\//.test(facts.endpoint);
  if (remote && containers)
    checks.push(
      problem(
        "Docker context",
        `${facts.endpoint} is another machine, which has no files of this one, and containers need them`,
        "docker context use default, and unset DOCKER_HOST",
      ),
    );
  if ((remote || desktop) && cluster !== undefined && !containers && facts.built.length > 0)
    checks.push(
      problem(
        "Docker context",
        `${desktop ? "Docker Desktop" : facts.endpoint} does not reach a tunnel that ends at this machine's localhost, by which images are pushed`,
        "set registry to one that Docker reaches, or prebuiltImages, or run from a machine with Docker Engine",
      ),
    );
  if (/\/snap\//.test(facts.client) || /\/snap\//.test(info.DockerRootDir ?? "")) {
    const [first = ""] = relative(facts.home, facts.root).split("/");
    checks.push(
      first.startsWith(".")
        ? problem(
            "Docker from snap",
            `it may read no files outside of ${facts.home}, nor in a hidden folder there, and the checkout is ${facts.root}`,
            "move the checkout, or install Docker Engine from the distribution",
          )
        : warning("Docker from snap", `it may read files below ${facts.home} alone; this has not been tested`),
    );
  }
  if (options.includes("rootless")) {
    const socket = cluster?.services.some((s) => s.needs?.includes("docker-socket"));
    checks.push(
      containers && socket
        ? problem(
            "rootless Docker",
            "agents start containers by /var/run/docker.sock, which a rootless Docker does not have",
            "use architecture standalone, vanilla or mesos-in-docker here, or a Docker that runs as root",
          )
        : warning("rootless Docker", "limits of memory need control groups version 2; this has not been tested"),
    );
  }
  if (options.includes("selinux") && containers)
    checks.push(
      warning(
        "SELinux",
        "it keeps containers from files that are not labelled for them; this has not been tested",
        `mkdir -p .triplewide && chcon -Rt container_file_t .triplewide (in ${facts.root})`,
      ),
    );

  const { httpProxy, httpsProxy, noProxy = "" } = facts.proxies ?? {};
  if (containers && (httpProxy || httpsProxy)) {
    const past = noProxy.split(",").map((entry) => entry.trim());
    const missing = ["localhost", "127.0.0.1", cluster.config.networkCidr].filter((one) => !past.includes(one));
    checks.push(
      missing.length > 0
        ? warning(
            "Docker's proxy",
            `Docker's config.json gives containers a proxy, by which programs would also look for ${missing.join(", ")}`,
            `add ${missing.join(",")} to noProxy under proxies there`,
          )
        : ok("Docker's proxy", "containers get it, and reach each other past it"),
    );
  }

  const need = facts.toBuild.length > 0 ? BUILD_GIB : RUN_GIB;
  const why = facts.toBuild.length > 0 ? `building ${facts.toBuild.join(", ")} takes` : "a cluster takes";
  if (facts.freeBytes === undefined)
    checks.push(ok("disk", `${info.DockerRootDir} is not seen from here; ${why} about ${need} GiB there`));
  else {
    const free = `${Math.floor(facts.freeBytes / GIB)} GiB free in ${info.DockerRootDir}; ${why} about ${need}`;
    const fix = "docker system df shows what takes it, docker builder prune removes caches of builds";
    checks.push(facts.freeBytes < need * GIB ? problem("disk", free, fix) : ok("disk", free));
  }
  if (containers) checks.push(...judgeCluster(cluster, facts));
  return checks;
}

/** What the cluster needs of a Docker that holds all of its machines. */
function judgeCluster(cluster: Cluster, { info, networks, running }: DockerFacts): Check[] {
  const c = cluster.config;
  const checks: Check[] = [];
  const wanted = (totalOf(c, ({ agentMemoryMiB }) => agentMemoryMiB) ?? 0) + c.driverMemoryMiB;
  const has = Math.floor((info.MemTotal ?? 0) / 1024 ** 2);
  if (has > 0)
    checks.push(
      wanted > has
        ? warning(
            "memory",
            `Docker has ${has} MiB; agents and one driver may take ${wanted}`,
            "lower agentCount or agentMemoryMiB",
          )
        : ok("memory", `Docker has ${has} MiB; agents and one driver may take ${wanted}`),
    );
  const taken = networks.find(({ cidr }) => overlap(c.networkCidr, cidr));
  if (taken && !running)
    checks.push(
      problem(
        "networkCidr",
        `${c.networkCidr} overlaps ${taken.cidr} of Docker's network ${taken.name}`,
        "choose another networkCidr, such as 10.73.0.0/16",
      ),
    );
  else checks.push(ok("networkCidr", `${c.networkCidr} overlaps no network of Docker's`));
  return checks;
}

/** Looks at this machine's Docker. */
export async function checkDocker(root: string, cluster: Cluster | undefined): Promise<Check[]> {
  let d: Docker;
  try {
    d = await findDocker();
  } catch (error) {
    return [problem("Docker", messageOf(error).replaceAll("\n", " "))];
  }
  const info = JSON.parse(await docker(d, ["info", "--format", "{{json .}}"])) as DockerInfo;
  const project = cluster && projectOf(root, cluster.name);
  const there = project && (await find(d, project));
  const running = (there?.containers.length ?? 0) > 0;
  const [program, ...first] = d.compose;
  const facts: DockerFacts = {
    info,
    client: realpathSync(d.client),
    endpoint: await docker(d, ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).catch(() => "unix://"),
    compose: (await captured(program, [...first, "version"])).output.split("\n")[0] ?? "",
    root,
    home: homedir(),
    freeBytes: freeBytes(info.DockerRootDir),
    built: cluster ? builtHere(cluster) : [],
    toBuild: cluster ? await toBuild(d, root, cluster) : [],
    networks: await networksOf(d, project?.name),
    running,
    proxies: clientProxies(),
  };
  const checks = judgeDocker(cluster, facts);
  if (!cluster || !project || !there || !platformOf(cluster.config).machinesAreContainers) return checks;
  const home = await otherHome(d, project, there);
  if (home !== undefined)
    checks.push(
      problem(
        "clusterName",
        `a cluster named ${cluster.name} that was brought up in ${home} is here`,
        "make down there, or choose another clusterName, networkCidr and ports here",
      ),
    );
  const taken = running ? [] : await takenPorts(publishedLinks(cluster));
  for (const { key, address, port } of taken)
    checks.push(
      problem(key ?? "port", `${address}:${port} is taken by another program`, "stop it, or choose another port"),
    );
  if (taken.length === 0) checks.push(ok("ports", running ? "the cluster runs, with its ports" : "all are free"));
  return checks;
}

/** Proxies that Docker's client has for its containers; undefined where it has none. */
function clientProxies(): DockerProxies | undefined {
  const folder = process.env.DOCKER_CONFIG || join(homedir(), ".docker");
  try {
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as {
      proxies?: Record<string, DockerProxies>;
    };
    return config.proxies?.default;
  } catch {
    return undefined;
  }
}

/** Free bytes of the file system that holds a folder; undefined where this user cannot see it. */
function freeBytes(folder: string | undefined): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder ?? "");
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

/** Images of the cluster's services that come of this checkout. */
function builtHere(cluster: Cluster): ImageName[] {
  return imagesOf(cluster.services).filter((name) => !(name in cluster.config.prebuiltImages));
}

/** Those of them that this Docker does not have yet. */
async function toBuild(d: Docker, root: string, cluster: Cluster): Promise<string[]> {
  const there = new Set(await dockerLines(d, ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]));
  const versions = pinnedVersions(root);
  return builtHere(cluster).filter((name) => !there.has(localReference(name, cluster.config, versions)));
}

/** Networks of this Docker with their addresses, without those of one Compose project. */
async function networksOf(d: Docker, project: string | undefined): Promise<DockerFacts["networks"]> {
  const ids = await dockerLines(d, ["network", "ls", "-q"]);
  if (ids.length === 0) return [];
  // One may go while it is looked at.
  const text = await docker(d, ["network", "inspect", ...ids]).catch(() => "[]");
  const all = JSON.parse(text) as {
    Name: string;
    Labels?: Record<string, string> | null;
    IPAM?: { Config?: { Subnet?: string }[] | null };
  }[];
  return all
    .filter((n) => n.Labels?.["com.docker.compose.project"] !== project || project === undefined)
    .flatMap((n) =>
      (n.IPAM?.Config ?? []).flatMap(({ Subnet: cidr = "" }) =>
        Address4.isValid(cidr) ? [{ name: n.Name, cidr }] : [],
      ),
    );
}
