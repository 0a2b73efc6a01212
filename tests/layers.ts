import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findDocker } from "../local/docker.ts";
import { findChromium } from "./browser/browser.ts";
import { realCloud } from "./engine/real-cloud.ts";

/** The layers of tests, from pure logic to real machines. */
export interface Layer {
  name: string;
  what: string;
  dir: string;
  /** Seconds that one test or hook may take. */
  timeoutSeconds: number;
  /** Whether its files may run at the same time, with more concurrent tests, because they share neither Docker nor a cloud. @default no */
  together?: () => Promise<boolean>;
  /** The layer runs only if it is named, because it takes too long for every run. @default it is part of `all` */
  byName?: true;
  /** Why the layer cannot run here; empty when it can. */
  missing: () => Promise<string>;
}

const run = promisify(execFile);
const nothing = async (): Promise<string> => "";
const always = async (): Promise<boolean> => true;
/** Whether there is no real cloud. Two test files at the same time would each need all of its resources. */
const noRealCloud = (): Promise<boolean> =>
  realCloud().then(
    ({ cloud }) => cloud === undefined,
    () => false,
  );

async function noDocker(): Promise<string> {
  try {
    await findDocker();
    return "";
  } catch (error) {
    return (error as Error).message.split("\n")[0] ?? "no Docker";
  }
}

/** Tests of the engine bring a cloud in memory. Those that need a real one are skipped, with a reason, if there is none. */
async function noEngine(): Promise<string> {
  try {
    await run("pulumi", ["version"]);
    return "";
  } catch {
    return "no `pulumi` on PATH";
  }
}

/** Pebble is built from source with Go, because Debian has no package of it. */
async function noGo(): Promise<string> {
  try {
    await run("go", ["version"]);
    return "";
  } catch {
    return "no `go` on PATH";
  }
}

async function noMesos(): Promise<string> {
  return process.env.MESOS_SOURCE
    ? ""
    : "no Mesos: set MESOS_SOURCE to file:///…/mesos.tar.gz#sha256=… or docker://…@sha256:…";
}

export const layers: Layer[] = [
  {
    name: "unit",
    what: "config, definition, renderers",
    dir: "tests/unit",
    timeoutSeconds: 30,
    together: always,
    missing: nothing,
  },
  {
    name: "components",
    what: "Pulumi components under its mock runtime",
    dir: "tests/components",
    timeoutSeconds: 60,
    together: always,
    missing: nothing,
  },
  {
    name: "site",
    what: "the documents as a site, with every link and anchor",
    dir: "tests/site",
    timeoutSeconds: 600,
    missing: nothing,
  },
  {
    name: "containers",
    what: "real Spark, Jupyter, ZooKeeper and HDFS in containers; Mesos' wiring against a stand-in",
    dir: "tests/containers",
    timeoutSeconds: 1500,
    missing: noDocker,
  },
  {
    name: "notebooks",
    what: "tables, tutorials, messages, types and refused writes on a cluster with HDFS, as a notebook's user meets them",
    dir: "tests/notebooks",
    timeoutSeconds: 1500,
    byName: true,
    missing: noDocker,
  },
  {
    name: "examples",
    what: "Spark's own Python examples, by spark-submit on a cluster",
    dir: "tests/examples",
    timeoutSeconds: 14_400,
    byName: true,
    missing: noDocker,
  },
  {
    name: "backup",
    what: "a backup of a cluster with HDFS, and its restoration",
    dir: "tests/backup",
    timeoutSeconds: 1500,
    byName: true,
    missing: noDocker,
  },
  {
    name: "scale",
    what: "agents that come and go with a session's work, by `triplewide scale`",
    dir: "tests/scale",
    timeoutSeconds: 600,
    byName: true,
    missing: noDocker,
  },
  {
    name: "hub",
    what: "JupyterHub with users at work at the same time, and against each other; and with an OpenID provider",
    dir: "tests/hub",
    timeoutSeconds: 1200,
    byName: true,
    missing: noDocker,
  },
  {
    name: "browser",
    what: "a new user's first steps in JupyterLab, in Chromium",
    dir: "tests/browser",
    timeoutSeconds: 1500,
    byName: true,
    missing: async () => (await noDocker()) || (findChromium() ? "" : "no Chromium on PATH, nor in CHROMIUM"),
  },
  {
    name: "acme",
    what: "the gateway's certificate from an ACME server, Pebble",
    dir: "tests/acme",
    timeoutSeconds: 900,
    byName: true,
    missing: async () => (await noDocker()) || (await noGo()),
  },
  {
    name: "machine",
    what: "user data booted by systemd and cloud-init",
    dir: "tests/machine",
    timeoutSeconds: 900,
    missing: noDocker,
  },
  {
    name: "engine",
    what: "the real Pulumi engine, on an OpenStack in memory and on a real one",
    dir: "tests/engine",
    timeoutSeconds: 1500,
    together: noRealCloud,
    missing: noEngine,
  },
  {
    name: "sweep",
    what: "the real Pulumi engine, killed, cut off and refused at many places of its work",
    dir: "tests/sweep",
    timeoutSeconds: 3600,
    byName: true,
    missing: noEngine,
  },
  {
    name: "mesos",
    what: "the real Mesos",
    dir: "tests/mesos",
    timeoutSeconds: 1500,
    missing: noMesos,
  },
];
