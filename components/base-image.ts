import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Label of a base image that `images/build.sh base` made, where none could be pulled. */
const MADE_HERE = '{{index .Config.Labels "triplewide.base"}}';

/**
 * The image that all others begin with: by its digest, so that whoever publishes it cannot give its tag to another one. By its tag where
 * it was made on this machine, from Debian's signed packages.
 *
 * @param versions What `images/versions.env` pins.
 * @param docker Docker's command.
 */
export async function baseImage(versions: Readonly<Record<string, string>>, docker: string): Promise<string> {
  const { BASE_IMAGE = "", BASE_DIGEST } = versions;
  if (!BASE_DIGEST) return BASE_IMAGE;
  // Where there is no Docker, or no such image, it is pulled.
  const made = await promisify(execFile)(docker, ["image", "inspect", "--format", MADE_HERE, BASE_IMAGE])
    .then(({ stdout }) => stdout.trim() === "local")
    .catch(() => false);
  return made ? BASE_IMAGE : `${BASE_IMAGE}@${BASE_DIGEST}`;
}
