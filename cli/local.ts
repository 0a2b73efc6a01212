import { parseArgs } from "node:util";
import { defineCluster } from "../cluster/define.ts";
import { loadConfig } from "../config/stack.ts";
import { dockerLines, findDocker, interactive } from "../local/docker.ts";
import { containerStates } from "../local/health.ts";
import { find, projectOf, readSecret, remove } from "../local/project.ts";
import { clientContainer, smoke } from "../local/smoke.ts";
import { printLinks, up } from "../local/up.ts";
import { publishedLinks } from "../render/compose.ts";
import { ROOT, reportAndExit, UserError } from "./common.ts";

/** `node cli/local.ts <verb>`: what the Makefile calls for the cluster on this machine's Docker. */
const VERBS = ["up", "down", "smoke", "shell", "notebook", "logs", "status"] as const;
type Verb = (typeof VERBS)[number];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      env: { type: "string", default: "local" },
      set: { type: "string", multiple: true, default: [] },
      volumes: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      "no-smoke": { type: "boolean", default: false },
    },
  });
  const verb = positionals[0] as Verb | undefined;
  if (verb === undefined || !VERBS.includes(verb))
    throw new UserError(`usage: node cli/local.ts ${VERBS.join("|")} [--env NAME] [--set key=value]...`);
  const config = loadConfig(ROOT, values.env, values.set);
  if (verb === "up") return up({ root: ROOT, environment: values.env, config, smoke: !values["no-smoke"] });

  const d = await findDocker();
  const project = projectOf(ROOT, config.clusterName);
  if (verb === "down") {
    const gone = await remove(d, project, values.volumes);
    const left = (await find(d, project)).volumes.length;
    const parts = [
      `${gone.containers.length} containers`,
      `${gone.networks.length} networks`,
      `${gone.volumes.length} volumes`,
    ];
    process.stdout.write(
      `Removed ${parts.join(", ")}.${left > 0 ? ` ${left} volumes are kept (make down VOLUMES=1 removes them too).` : ""}\n`,
    );
    return;
  }

  const { containers } = await find(d, project);
  if (containers.length === 0)
    throw new UserError(
      `no cluster "${config.clusterName}" runs here. Start it: make up${values.env === "local" ? "" : ` ENV=${values.env}`}`,
    );
  const cluster = defineCluster(config);
  switch (verb) {
    case "smoke":
      process.exitCode = await smoke({ docker: d, cluster, json: values.json });
      return;
    case "shell":
      process.exitCode = await interactive(d.client, [
        "exec",
        ...(process.stdin.isTTY ? ["-it"] : ["-i"]),
        clientContainer(cluster),
        "ipython",
      ]);
      return;
    case "notebook": {
      const url = `http://${config.bindAddress}:${config.jupyterPort}/lab?token=${readSecret(project, "jupyter-token")}`;
      process.stdout.write(`${url}\n`);
      // A machine with a screen opens it; everywhere else the address is what is wanted.
      if (process.env.DISPLAY || process.env.WAYLAND_DISPLAY)
        await interactive("xdg-open", [url]).catch(() => undefined);
      return;
    }
    case "logs": {
      const names = (await containerStates(d, containers)).map((s) => s.name).sort();
      for (const name of names) {
        process.stdout.write(`==> ${name}\n`);
        await interactive(d.client, ["logs", "--tail", "50", name]);
      }
      return;
    }
    case "status": {
      const lines = await dockerLines(d, [
        "ps",
        "-a",
        "--filter",
        `label=com.docker.compose.project=${project.name}`,
        "--format",
        "{{.Names}}\t{{.Status}}",
      ]);
      for (const line of lines.sort()) process.stdout.write(`  ${line.replace("\t", "  ")}\n`);
      printLinks(cluster, publishedLinks(cluster), project, values.env);
      return;
    }
  }
}

await main().catch(reportAndExit);
