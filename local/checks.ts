import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Check, ok, problem, warning } from "../lib/checks.ts";
import { captured } from "../lib/exec.ts";

/** Whether Node is new enough for `package.json`. */
export function checkNode(root: string, version = process.versions.node): Check {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { engines: { node: string } };
  const [major = 0, minor = 0] = (/\d+\.\d+/.exec(engines.node)?.[0] ?? "").split(".").map(Number);
  const [a = 0, b = 0] = version.split(".").map(Number);
  if (a > major || (a === major && b >= minor)) return ok("Node", version);
  return problem("Node", `${version}, and ${engines.node} is needed`, "make packages installs one for this checkout");
}

/** Keeps Pulumi from checking for a newer version. */
const QUIET = { PULUMI_SKIP_UPDATE_CHECK: "true" };

/** Whether Pulumi and the plugins that the packages need are here, and where states go. */
export async function checkPulumi(root: string, environment: string): Promise<Check[]> {
  const ask = async (...args: string[]): Promise<string | undefined> => {
    const { code, stdout } = await captured("pulumi", args, undefined, QUIET);
    return code === 0 ? stdout.trim() : undefined;
  };
  let version: string | undefined;
  try {
    version = await ask("version");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  if (version === undefined)
    return [problem("Pulumi", "there is no pulumi on PATH", "install its CLI: https://www.pulumi.com/docs/install/")];
  const checks = [ok("Pulumi", version)];
  const listed = await ask("plugin", "ls", "--json");
  const plugins = JSON.parse(listed ?? "[]") as { name: string; kind: string; version?: string }[];
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  for (const name of ["openstack", "docker", "random"]) {
    const wanted = dependencies[`@pulumi/${name}`] ?? "";
    const there = plugins.some((p) => p.kind === "resource" && p.name === name && p.version === wanted);
    checks.push(
      there
        ? ok("plugin", `${name} ${wanted}`)
        : warning(
            "plugin",
            `${name} ${wanted} is not here; pulumi up downloads it`,
            `pulumi plugin install resource ${name} ${wanted}`,
          ),
    );
  }
  const state = await captured("pulumi", ["stack", "ls", "--json"], undefined, QUIET);
  if (state.code !== 0)
    checks.push(problem("state", (state.output.trim().split("\n")[0] ?? "").replace(/^error: /, ""), "pulumi login"));
  else if (!new RegExp(`"name": "(.*/)?${environment}"`).test(state.stdout))
    checks.push(warning("state", `there is no stack ${environment} yet`, `pulumi stack init ${environment}`));
  else checks.push(ok("state", `stack ${environment} is there`));
  return checks;
}

/** Whether there is an SSH client, which reaches the machines of a cloud. */
export async function checkSsh(): Promise<Check> {
  try {
    const { output } = await captured("ssh", ["-V"]);
    return ok("SSH", output.trim());
  } catch {
    return problem("SSH", "this machine has no ssh", "install OpenSSH's client (openssh-client)");
  }
}

/** Whether the checkout is complete. */
export const checkPackages = (root: string): Check =>
  existsSync(join(root, "node_modules", ".ready"))
    ? ok("packages", "installed")
    : warning("packages", "not installed by make, or not completely", "make packages");
