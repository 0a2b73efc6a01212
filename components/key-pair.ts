import { Keypair } from "@pulumi/openstack/compute/keypair.js";
import * as pulumi from "@pulumi/pulumi";

export interface KeyPairArgs {
  /** Name of the key pair in Nova, where one is made. */
  clusterName: string;
  /**
   * Name of a key pair that exists in Nova. Plain, because it decides whether one is made.
   * @default a key pair is made, and its private key is a secret output
   */
  existing?: string;
}

/**
 * The key pair for SSH to the machines.
 *
 * @example
 * ```ts
 * const keyPair = new KeyPair("lab-key", { clusterName: "lab" });
 * ```
 */
export class KeyPair extends pulumi.ComponentResource {
  /** Name by which Nova knows it. */
  readonly keyName: pulumi.Output<string>;
  /** Private key in PEM or OpenSSH form; empty for a key pair that exists, which only its owner has. */
  readonly privateKey: pulumi.Output<string>;

  constructor(name: string, args: KeyPairArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:KeyPair", name, {}, opts);

    if (args.existing) {
      this.keyName = pulumi.output(args.existing);
      this.privateKey = pulumi.secret("");
    } else {
      const made = new Keypair(
        name,
        { name: args.clusterName },
        // Nova knows one of a name: a new one comes when the old one is gone.
        { parent: this, additionalSecretOutputs: ["privateKey"], deleteBeforeReplace: true },
      );
      this.keyName = made.name;
      this.privateKey = pulumi.secret(made.privateKey);
    }

    // The private key is in the state of the key pair already.
    this.registerOutputs({ keyName: this.keyName });
  }
}
