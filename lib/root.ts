import { fileURLToPath } from "node:url";

/** Folder of the checkout: of `Pulumi.yaml`, `images/` and `.triplewide/`. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));
