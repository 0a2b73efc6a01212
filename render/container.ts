import { imageRecord } from "../cluster/image-catalogue.ts";
import type { Service } from "../cluster/types.ts";

/** Command of a service's container. The program is left out where it is the entrypoint of the image. */
export function containerCommand({ image, command }: Pick<Service, "image" | "command">): string[] {
  const entrypoint = image === undefined ? undefined : imageRecord(image).entrypoint;
  return command[0] === entrypoint ? command.slice(1) : [...command];
}

/** The image of a service that runs in a container. */
export function containerImage({ name, image }: Pick<Service, "name" | "image">): NonNullable<Service["image"]> {
  if (image === undefined) throw new Error(`${name} is only ever a process of a machine: it has no image`);
  return image;
}
