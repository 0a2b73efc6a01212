import { setTimeout as sleep } from "node:timers/promises";
import { hasMesos } from "../cluster/architectures/index.ts";
import { MARATHON_ROLE } from "../cluster/services/mesos/spark-on-marathon.ts";
import { type Quota, teamQuotas } from "../cluster/teams.ts";
import type { Config } from "../config/schema.ts";
import { askLeader, NoLeader, type Operator } from "./leader.ts";
import type { OperatorCall, QuotaConfig, WeightInfo } from "./operator.ts";

export interface QuotaOptions extends Operator {
  /** Seconds after which waiting for a leading master is given up. */
  timeoutSeconds: number;
}

const PAUSE_MS = 2000;

/**
 * Gives each team of the config its quota and weight, and takes both from roles in which nobody may register any more. Mesos
 * keeps them through restarts and failovers of its masters. Other roles' are left as they are: an operator may have set them.
 *
 * @returns Roles that were changed; none where everything was as it should be.
 * @throws UserError where Mesos refuses, as it does for more than its agents have, or no master leads in time.
 */
export async function applyQuotas(options: QuotaOptions): Promise<string[]> {
  const { config } = options.cluster;
  if (!hasMesos(config)) return [];
  const deadline = Date.now() + options.timeoutSeconds * 1000;
  const ask = async (call: OperatorCall): Promise<unknown> => {
    for (;;) {
      try {
        return await askLeader(options, call);
      } catch (error) {
        if (!(error instanceof NoLeader) || Date.now() > deadline) throw error;
        await sleep(PAUSE_MS);
      }
    }
  };
  const { quotas, weights } = changes(config, await ask({ type: "GET_QUOTA" }), await ask({ type: "GET_WEIGHTS" }));
  if (weights.length > 0) await ask({ type: "UPDATE_WEIGHTS", update_weights: { weight_infos: weights } });
  if (quotas.length > 0) await ask({ type: "UPDATE_QUOTA", update_quota: { force: false, quota_configs: quotas } });
  return [...new Set([...quotas, ...weights].map(({ role }) => role))].sort();
}

interface QuotaAnswer {
  get_quota?: { status?: { configs?: QuotaConfig[] } };
}
interface WeightsAnswer {
  get_weights?: { weight_infos?: WeightInfo[] };
}

/** What has to be told to a master that has answered GET_QUOTA and GET_WEIGHTS. */
export function changes(c: Config, quota: unknown, weight: unknown): { quotas: QuotaConfig[]; weights: WeightInfo[] } {
  const wanted = new Map(teamQuotas(c).map((q) => [q.role, quotaConfig(q)]));
  const kept = [c.mesosRole, ...c.mesosFrameworks, MARATHON_ROLE, "*"];
  const isStray = (role: string): boolean => !wanted.has(role) && !kept.includes(role);

  const there = new Map(((quota as QuotaAnswer).get_quota?.status?.configs ?? []).map((q) => [q.role, q]));
  const differs = (q: QuotaConfig): boolean => describe(there.get(q.role)) !== describe(q);
  const strays = [...there.keys()].filter(isStray).map((role): QuotaConfig => ({ role }));

  const weights = new Map(
    ((weight as WeightsAnswer).get_weights?.weight_infos ?? []).map((w) => [w.role, w.weight] as const),
  );
  const ownWeights = Object.entries(c.teams).map(([role, team]) => ({ role, weight: team.weight }));
  // Mesos has no call that takes a weight away: 1 is everyone's.
  const strayWeights = [...weights.keys()].filter(isStray).map((role) => ({ role, weight: 1 }));
  return {
    quotas: [...strays, ...wanted.values()].filter(differs),
    weights: [...strayWeights, ...ownWeights].filter((w) => (weights.get(w.role) ?? 1) !== w.weight),
  };
}

function quotaConfig({ role, guarantees, limits }: Quota): QuotaConfig {
  const scalars = (values: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]));
  return { role, guarantees: scalars(guarantees), limits: scalars(limits) };
}

/** The same text for the same quota. */
function describe(q: QuotaConfig | undefined): string {
  const part = (values: QuotaConfig["limits"] = {}): string =>
    Object.entries(values)
      .map(([name, { value }]) => `${name}:${value}`)
      .sort()
      .join(",");
  return `${part(q?.guarantees)};${part(q?.limits)}`;
}
