import type { Command } from "commander";
import { interactive } from "../lib/exec.ts";
import { readSecret } from "../local/project.ts";
import { type LocalOptions, localCluster, localCommand, localConfig } from "./local.ts";

/** `triplewide notebook`. */
export function notebook(): Command {
  return localCommand(
    "notebook",
    "Prints the address of JupyterLab on this machine's Docker, with its token.",
    "Where there is a screen, a browser opens it.",
    ["triplewide notebook"],
  ).action(async (options: LocalOptions) => {
    const config = localConfig(
      options,
      () =>
        `pulumi stack output jupyterUrl --stack ${options.env}, and its token: pulumi stack output jupyterToken --show-secrets --stack ${options.env}`,
    );
    const { project } = await localCluster(config, options.env);
    const url = `http://${config.bindAddress}:${config.jupyterPort}/lab?token=${readSecret(project, "jupyter-token")}`;
    process.stdout.write(`${url}\n`);
    if (process.env.DISPLAY || process.env.WAYLAND_DISPLAY) await interactive("xdg-open", [url]).catch(() => undefined);
  });
}
