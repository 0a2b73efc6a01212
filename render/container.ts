import type { Service } from "../cluster/types.ts";

/**
 * What a service's container is given to run. Our images leave the program to the command line; Marathon's own image names
 * it as its entry point, and would take its name for an argument.
 */
export function containerCommand({ image, command }: Service): string[] {
  return image === "marathon" && command[0] === "marathon" ? command.slice(1) : [...command];
}
