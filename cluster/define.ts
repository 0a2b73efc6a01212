import type { Config } from "../config/schema.ts";
import type { Checkout } from "../lib/checkout.ts";
import { architectureOf } from "./architectures/index.ts";
import { makeContext, type WiredContext } from "./context.ts";
import { runsHdfs } from "./features.ts";
import { firewall } from "./firewall.ts";
import { GROUPS } from "./groups.ts";
import { placeMachines } from "./machines.ts";
import { platformOf } from "./platforms.ts";
import { quotaOf } from "./quota.ts";
import { collectSecrets } from "./secrets.ts";
import { hdfsReady } from "./services/hdfs/hdfs.ts";
import { servicesOf } from "./services/index.ts";
import type { Cluster, Gate, Machine } from "./types.ts";
import { wireSpark } from "./wiring.ts";

/**
 * Turns a valid config into the cluster that it describes: pure, and the same for the same config.
 *
 * @param script Reads the scripts that lie beside the services.
 */
export function defineCluster(config: Config, { script }: Pick<Checkout, "script">): Cluster {
  const ctx = wiredContext(config, script);
  const { machines } = ctx;
  const services = servicesOf(ctx, (machine) => asSeenBy(ctx, machine));
  const rules = platformOf(config).servers ? firewall(config, machines, services) : [];
  return {
    name: config.clusterName,
    architecture: config.architecture,
    config,
    machines: [...machines],
    services,
    spark: ctx.spark,
    quota: quotaOf(config, machines, rules),
    firewall: rules,
    secrets: collectSecrets(config, machines, services),
    gates: gatesOf(ctx),
    apps: architectureOf(config).apps(ctx),
  };
}

/** The context as a machine sees it: with its own size where it is of a subgroup. */
function asSeenBy(ctx: WiredContext, { group, subgroup }: Machine): WiredContext {
  if (subgroup === undefined) return ctx;
  const own = GROUPS[group].subgroups?.(ctx.config).find(({ name }) => name === subgroup);
  return own ? { ...ctx, config: own.config } : ctx;
}

/** The machines of a config, and how its drivers reach it. */
export function wiredContext(config: Config, script: Checkout["script"]): WiredContext {
  const architecture = architectureOf(config);
  const ctx = makeContext(config, architecture, placeMachines(config), script);
  return { ...ctx, spark: wireSpark(ctx, architecture) };
}

/** Gates of the architecture, with HDFS' before those that see what the others have made possible. */
function gatesOf(ctx: WiredContext): Gate[] {
  const [first, ...others] = architectureOf(ctx.config).gates(ctx);
  return [...(first ? [first] : []), ...(runsHdfs(ctx.config) ? [hdfsReady(ctx)] : []), ...others];
}
