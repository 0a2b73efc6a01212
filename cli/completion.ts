import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { environments } from "../config/load.ts";
import { type ConfigKey, shape } from "../config/schema.ts";
import { projectFolder } from "./common.ts";

/**
 * Adds `completion <shell>`, which prints a script for the shell, and the hidden command that such a script calls. Beside
 * commands and options it completes the environments of this folder and the keys of the config.
 */
export function addCompletion(program: Command): void {
  const completed = tab(program, { completionCommandName: "completion" });
  const everyEnvironment = (complete: (value: string, description: string) => void): void => {
    for (const name of environments(projectFolder())) complete(name, `Pulumi.${name}.yaml`);
  };
  const summary = "Prints a script that completes commands and their options in a shell.";
  for (const command of completed.commands.values()) {
    const own = program.commands.find((c) => c.name() === command.value);
    command.description = command.value === "completion" ? summary : own?.summary() || command.description;
    const environment = command.arguments.get("environment");
    if (environment) environment.handler = everyEnvironment;
    const env = command.options.get("env");
    if (env) env.handler = everyEnvironment;
    const set = command.options.get("set");
    if (set)
      set.handler = (complete) => {
        for (const key of Object.keys(shape) as ConfigKey[]) complete(`${key}=`, "");
      };
  }
  program.commands
    .find((command) => command.name() === "completion")
    ?.summary(summary)
    .description(`${summary} Environments and keys of the config are completed too.`)
    .showHelpAfterError("See: triplewide completion --help")
    .addHelpText("after", '\nExample:\n  export PATH="$PWD/cli:$PATH" && source <(triplewide completion bash)');
}
