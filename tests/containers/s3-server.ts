import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localReference } from "../../cluster/images.ts";
import { validate } from "../../cluster/load.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { type Docker, docker } from "../../local/docker.ts";
import { projectName } from "../../render/compose.ts";
import { eventually } from "./harness.ts";

/** An S3 server in a container (`s3-server/`). Only its cluster's config trusts its certificate. */
export class S3Server {
  readonly secret = "made+for/this-test-alone-0123456789";
  readonly #docker: Docker;
  readonly #name: string;
  readonly #address: string;
  #certificate = "";

  /** @param address An address of the cluster's network that no machine has. */
  constructor(d: Docker, name: string, address: string) {
    this.#docker = d;
    this.#name = name;
    this.#address = address;
  }

  /** The config's keys for it. */
  get keys(): { s3Endpoint: string; s3AccessKey: string; s3SecretKey: string } {
    return { s3Endpoint: `https://${this.#address}:8443`, s3AccessKey: "AKEXAMPLE", s3SecretKey: this.secret };
  }

  /** These keys and its certificate, as `key=value`. */
  get settings(): string[] {
    const keys = Object.entries(this.keys).map(([key, value]) => `${key}=${value}`);
    return [...keys, `trustedCertificates=["${this.#certificate}"]`];
  }

  /** @param heap Heap of its JVM, which holds the objects. */
  async start(heap = "512m"): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), "triplewide-s3-"));
    try {
      // `up` of any cluster has put the proxy and certificates of this machine's builds there.
      await this.#run(join(ROOT, "images", "build.sh"), "base");
      cpSync(join(ROOT, "tests/containers/s3-server"), folder, { recursive: true });
      cpSync(join(ROOT, "images/base/certs"), join(folder, "certs"), { recursive: true });
      const config = validate({ platform: "docker", architecture: "standalone" }, "test");
      const base = localReference("base", config, pinnedVersions(ROOT));
      const build = ["build", "--tag", this.#name, "--build-arg", `TRIPLEWIDE_BASE=${base}`, folder];
      await this.#run("env", "DOCKER_BUILDKIT=0", this.#docker.client, ...build);
    } finally {
      rmSync(folder, { recursive: true });
    }
    await this.remove();
    const { s3AccessKey, s3SecretKey } = this.keys;
    const env = { ADDRESS: this.#address, ACCESS_KEY: s3AccessKey, SECRET_KEY: s3SecretKey, HEAP: heap };
    const words = Object.entries(env).flatMap(([key, value]) => ["--env", `${key}=${value}`]);
    await docker(this.#docker, ["run", "--detach", "--name", this.#name, ...words, this.#name]);
    const certificate = await eventually(
      "the S3 server has a certificate",
      60,
      () => captured(this.#docker.client, ["exec", this.#name, "cat", "/tmp/certificate.pem"]),
      ({ code }) => code === 0,
    );
    this.#certificate = certificate.output.replace(/-----[A-Z ]+-----|\s/g, "");
  }

  /** Connects it with its address to the network of a cluster that is up. */
  async join(cluster: string): Promise<void> {
    await docker(this.#docker, ["network", "connect", "--ip", this.#address, projectName(cluster), this.#name]);
  }

  async remove(): Promise<void> {
    await captured(this.#docker.client, ["rm", "--force", "--volumes", this.#name]);
  }

  async #run(program: string, ...args: string[]): Promise<void> {
    const { code, output } = await captured(program, args);
    if (code !== 0) throw new Error(`${program}: ${output}`);
  }
}
