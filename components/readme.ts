import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Cluster } from "../cluster/types.ts";

/** Outputs that `Pulumi.README.md` may show. No secret: the text is shown as it is. */
export interface ReadmeOutputs {
  masterUrl: pulumi.Input<string>;
  jupyterUrl: pulumi.Input<string>;
  uis: pulumi.Input<Record<string, string>>;
  bastionAddress: pulumi.Input<string>;
}

/** `Pulumi.README.md` with this stack's values in place of `${outputs.x}` and `${pulumi.x}`. */
export function renderReadme(root: string, cluster: Cluster, outputs: ReadmeOutputs): pulumi.Output<string> {
  const template = readFileSync(join(root, "Pulumi.README.md"), "utf8");
  return pulumi.output(outputs).apply(({ uis, ...texts }) => {
    const values: Readonly<Record<string, string>> = {
      ...Object.fromEntries(Object.entries(texts).map(([name, value]) => [`outputs.${name}`, value])),
      "outputs.uis": Object.entries(uis)
        .map(([name, url]) => `- [${name}](${url})`)
        .join("\n"),
      "pulumi.stack": pulumi.getStack(),
      "cluster.name": cluster.name,
      "cluster.architecture": cluster.architecture,
      "cluster.user": cluster.config.sshUser,
    };
    return template.replace(/\$\{([\w.]+)\}/g, (_, name: string) => {
      const value = values[name];
      if (value === undefined) throw new Error(`Pulumi.README.md: nothing is called ${name}`);
      return value;
    });
  });
}
