import { ADMIN_LOGIN } from "../cluster/services/mesos/mesos.ts";
import { shellQuote, shellWord } from "../lib/quote.ts";
import { exchange, type Peer } from "../render/exchange.ts";

/**
 * Mesos' operator interface: its calls as commands, and what it answers. Pure: the caller runs the commands where the
 * masters' files are, so that the operator's password never leaves them.
 */

export type OperatorCall =
  | { type: "GET_AGENTS" }
  | { type: "GET_TASKS" }
  | { type: "GET_FRAMEWORKS" }
  | { type: "GET_QUOTA" }
  | { type: "GET_WEIGHTS" }
  | { type: "UPDATE_QUOTA"; update_quota: { force: boolean; quota_configs: QuotaConfig[] } }
  | { type: "UPDATE_WEIGHTS"; update_weights: { weight_infos: WeightInfo[] } }
  | { type: "DEACTIVATE_AGENT"; deactivate_agent: { agent_id: Id } }
  | { type: "REACTIVATE_AGENT"; reactivate_agent: { agent_id: Id } }
  | { type: "DRAIN_AGENT"; drain_agent: { agent_id: Id; max_grace_period: { seconds: number } } };

interface Id {
  value: string;
}

/** What a role is guaranteed, and its bounds, by resource: cores, and MiB of memory. Without either, it has no quota. */
export interface QuotaConfig {
  role: string;
  guarantees?: Readonly<Record<string, { value: number }>>;
  limits?: Readonly<Record<string, { value: number }>>;
}

/** A role's part of what nobody is guaranteed, against the others' of 1. */
export interface WeightInfo {
  role: string;
  weight: number;
}

/** Takes an agent out of service and ends its tasks, each after at most this long. */
export function drainCall(agentId: string, graceSeconds: number): OperatorCall {
  return {
    type: "DRAIN_AGENT",
    drain_agent: { agent_id: { value: agentId }, max_grace_period: { seconds: graceSeconds } },
  };
}

/** Has an agent get no further tasks, and leaves alone those that it runs. */
export function deactivateCall(agentId: string): OperatorCall {
  return { type: "DEACTIVATE_AGENT", deactivate_agent: { agent_id: { value: agentId } } };
}

/** Gives a drained agent, or one that gets no further tasks, some again. */
export function reactivateCall(agentId: string): OperatorCall {
  return { type: "REACTIVATE_AGENT", reactivate_agent: { agent_id: { value: agentId } } };
}

/**
 * The call as a command that prints the whole answer.
 *
 * @param loginFile File with the operator's `user:password` where the command runs. @default where the master has it
 */
export function operatorCommand(to: Peer, call: OperatorCall, loginFile = ADMIN_LOGIN): string[] {
  const body = JSON.stringify(call);
  const head = [
    "POST /api/v1 HTTP/1.0",
    `Host: ${to.host}`,
    "Authorization: Basic %s",
    "Content-Type: application/json",
    "Accept: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ].join("\\r\\n");
  return [
    "bash",
    "-c",
    // The exit code of who asked, not that of cat.
    `set -o pipefail; ${exchange(to, `'${head}\\r\\n\\r\\n%s' "$(base64 -w0 ${shellWord(loginFile)})" ${shellQuote(body)}`, "cat")}`,
  ];
}

/** A master's reply: the answer, that another master leads, or why it refuses. */
export type OperatorAnswer =
  | { kind: "done"; body: unknown }
  | { kind: "follower" }
  | { kind: "refused"; status: number; reason: string };

/** @throws Error for what is no HTTP answer. */
export function readAnswer(text: string): OperatorAnswer {
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1]);
  if (!status) throw new Error(`no HTTP answer: ${text.slice(0, 200)}`);
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  if (status === 307 || status === 503) return { kind: "follower" };
  if (status >= 300) return { kind: "refused", status, reason: body.trim() };
  return { kind: "done", body: body.trim() === "" ? {} : JSON.parse(body) };
}
