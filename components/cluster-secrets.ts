import * as pulumi from "@pulumi/pulumi";
import { RandomPassword } from "@pulumi/random/randomPassword.js";
import { secretResource } from "../cluster/secrets.ts";

export interface ClusterSecretsArgs {
  /** Secrets to make, with their lengths in characters. Plain, because it decides which resources there are. */
  make: readonly { name: string; length: number }[];
  /**
   * Secrets that the config gives, by name.
   * @default every secret is random
   */
  given?: Readonly<Record<string, pulumi.Input<string>>>;
}

/**
 * Every password and token of the cluster: random ones, and those that the config gives.
 *
 * @example
 * ```ts
 * const secrets = new ClusterSecrets("lab-secret", { make: [{ name: "jupyter-token", length: 32 }] });
 * export const token = secrets.of("jupyter-token");
 * ```
 */
export class ClusterSecrets extends pulumi.ComponentResource {
  readonly #values = new Map<string, pulumi.Output<string>>();

  constructor(name: string, args: ClusterSecretsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:ClusterSecrets", name, {}, opts);

    const given = args.given ?? {};
    for (const [key, value] of Object.entries(given)) this.#values.set(key, pulumi.secret(value));
    for (const secret of args.make) {
      if (secret.name in given) continue;
      // Letters and digits only: these end up in URLs, shell files and properties files.
      const made = new RandomPassword(
        secretResource(name, secret.name),
        { length: secret.length, special: false },
        { parent: this },
      );
      this.#values.set(secret.name, pulumi.secret(made.result));
    }

    // The names alone: the values are in the state of each password already.
    this.registerOutputs({ names: [...this.#values.keys()].sort() });
  }

  /**
   * The value of a secret.
   *
   * @throws Error where no secret has this name.
   */
  of(secret: string): pulumi.Output<string> {
    const value = this.#values.get(secret);
    if (!value) throw new Error(`no secret is called ${secret}`);
    return value;
  }
}
