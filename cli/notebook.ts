import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { interactive } from "../lib/exec.ts";
import { xmlText } from "../lib/quote.ts";
import { print } from "../lib/terminal.ts";
import { notebookLink } from "../local/summary.ts";
import { type LocalOptions, localCluster, localCommand, localConfig } from "./local.ts";

/** The program that opens an address in a browser; `undefined` if there is no screen. */
function opener(): string | undefined {
  if (process.platform === "darwin") return "open";
  return process.env.DISPLAY || process.env.WAYLAND_DISPLAY ? "xdg-open" : undefined;
}

/**
 * Writes a file, readable only by this user, that redirects a browser to an address. Other users can read command lines, and this address
 * holds a token. Jupyter itself opens a browser in the same way.
 *
 * @param folder The folder for the file.
 * @returns The file's address.
 */
export function pageThatLeadsTo(url: string, folder: string): string {
  const path = join(folder, "notebook.html");
  const page = `<!DOCTYPE html>\n<meta http-equiv="refresh" content="0; url=${xmlText(url)}">\n`;
  rmSync(path, { force: true });
  writeFileSync(path, page, { mode: 0o600, flag: "wx" });
  return pathToFileURL(path).href;
}

/** `triplewide notebook`. */
export function notebook(): Command {
  return localCommand(
    "notebook",
    "Prints the address of JupyterLab on this machine's Docker, with its login.",
    "Where there is a screen, a browser opens it.",
    ["triplewide notebook"],
  ).action(async (options: LocalOptions) => {
    const config = localConfig(
      options,
      () =>
        `pulumi stack output jupyterUrl --stack ${options.env}, and its password: pulumi stack output gatewayPassword --show-secrets --stack ${options.env} (without a gateway: jupyterToken)`,
    );
    const { project } = await localCluster(config, options.env);
    const url = notebookLink(config, project);
    print(`${url}\n`);
    const opens = opener();
    if (opens) await interactive(opens, [pageThatLeadsTo(url, project.dir)]).catch(() => undefined);
  });
}
