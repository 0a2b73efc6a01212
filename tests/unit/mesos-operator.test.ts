import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { type DrainOptions, drain, reactivate } from "../../mesos/drain.ts";
import { drainCall, operatorCommand, readAnswer } from "../../mesos/operator.ts";
import { agentAt, tasksOn } from "../../mesos/state.ts";

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

describe("the operator interface", () => {
  test("a call is a command that sends its JSON whole, and prints the answer", async () => {
    let got = "";
    const server = createServer((request, response) => {
      request.on("data", (chunk: Buffer) => {
        got += chunk.toString();
      });
      request.on("end", () => response.end(`{"path": "${request.url}", "type": "${request.headers["content-type"]}"}`));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const [program = "", ...args] = operatorCommand(
      { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
      drainCall("a-1", 60),
    );
    // There is no operator's password on this machine: the header is empty, and nothing else differs.
    const { stdout } = await promisify(execFile)(program, args);
    expect(JSON.parse(got)).toEqual({
      type: "DRAIN_AGENT",
      drain_agent: { agent_id: { value: "a-1" }, max_grace_period: { seconds: 60 } },
    });
    expect(readAnswer(stdout)).toEqual({ kind: "done", body: { path: "/api/v1", type: "application/json" } });
  });

  test("answers of leaders, followers and those who refuse", () => {
    expect(readAnswer("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")).toEqual({ kind: "done", body: {} });
    expect(readAnswer("HTTP/1.1 307 Temporary Redirect\r\nLocation: //10.0.0.1:5050\r\n\r\n").kind).toBe("follower");
    expect(readAnswer("HTTP/1.1 403 Forbidden\r\n\r\nNot permitted")).toEqual({
      kind: "refused",
      status: 403,
      reason: "Not permitted",
    });
    expect(() => readAnswer("")).toThrow("no HTTP answer");
  });

  test("an agent is found by its address", () => {
    const agent = (value: string, hostname: string, state?: string) => ({
      active: true,
      agent_info: { id: { value }, hostname },
      ...(state ? { drain_info: { state } } : {}),
    });
    const body = { get_agents: { agents: [agent("A", "10.0.0.1"), agent("B", "10.0.0.2", "DRAINING")] } };
    expect(agentAt(body, "10.0.0.1")).toEqual({ id: "A", drain: "none" });
    expect(agentAt(body, "10.0.0.2")?.drain).toBe("draining");
    expect(agentAt(body, "10.0.0.3")).toBeUndefined();
    expect(agentAt({ get_agents: {} }, "10.0.0.1")).toBeUndefined();
  });

  test("tasks of one agent", () => {
    const task = (name: string, value: string) => ({ name, agent_id: { value } });
    expect(tasksOn({ get_tasks: { tasks: [task("x", "A"), task("y", "B")] } }, "A")).toEqual(["x"]);
    expect(tasksOn({ get_tasks: {} }, "A")).toEqual([]);
  });
});

describe("draining", () => {
  const cluster = describeCluster(
    validate({ platform: "docker", architecture: "mesos-in-docker", masterCount: 3, agentCount: 2 }, "test"),
  );

  /** Masters of which the second leads. Its agent-2 is empty after `looks` requests for its state. */
  function masters(looks: number, refuse = false) {
    const calls: string[] = [];
    const lines: string[] = [];
    let state = "none";
    const options: DrainOptions = {
      cluster,
      agent: "agent-2",
      graceSeconds: 5,
      timeoutSeconds: 0,
      report: (line) => void lines.push(line),
      run: async (master, command) => {
        if (master.name === "master-1") return { code: 0, output: "HTTP/1.1 307 Temporary Redirect\r\n\r\n" };
        const type = /"type":"(\w+)"/.exec(command.at(-1) ?? "")?.[1] ?? "";
        calls.push(type);
        const ok = (body: unknown) => ({ code: 0, output: `HTTP/1.1 200 OK\r\n\r\n${JSON.stringify(body)}` });
        if (type === "DRAIN_AGENT") {
          if (refuse) return { code: 0, output: "HTTP/1.1 403 Forbidden\r\n\r\nno" };
          state = "DRAINING";
          return ok({});
        }
        if (type === "REACTIVATE_AGENT") return ok({});
        if (type === "GET_TASKS")
          return ok({ get_tasks: { tasks: [{ name: "executor 3", agent_id: { value: "B" } }] } });
        if (state === "DRAINING" && looks-- <= 0) state = "DRAINED";
        const drainInfo = state === "none" ? {} : { drain_info: { state } };
        return ok({
          get_agents: {
            agents: [{ active: true, agent_info: { id: { value: "B" }, hostname: "10.72.0.65" }, ...drainInfo }],
          },
        });
      },
    };
    return { options, calls, lines };
  }

  test("asks the leading master, and returns when the agent is empty", async () => {
    const { options, calls, lines } = masters(0);
    await drain(options);
    expect(calls).toEqual(["GET_AGENTS", "DRAIN_AGENT", "GET_AGENTS"]);
    expect(lines.at(-1)).toMatch(/^agent-2 is drained after [\d.]+ s/);
    await reactivate(options);
    expect(calls.slice(3)).toEqual(["GET_AGENTS", "REACTIVATE_AGENT"]);
  });

  test("says what is left at the deadline", async () => {
    const { options } = masters(9);
    await expect(drain({ ...options, timeoutSeconds: 0.001 })).rejects.toThrow(
      "agent-2 is not empty after 0.001 s (executor 3)",
    );
  });

  test("says who refuses, and which agents there are", async () => {
    await expect(drain(masters(0, true).options)).rejects.toThrow("refuses DRAIN_AGENT (403): no");
    await expect(drain({ ...masters(0).options, agent: "agent-9" })).rejects.toThrow(
      "no agent is called agent-9; there are agent-1, agent-2",
    );
    await expect(drain({ ...masters(0).options, agent: "agent-1" })).rejects.toThrow(
      "agent-1 (10.72.0.64) is not registered",
    );
  });

  test("names every master that does not answer", async () => {
    const { options } = masters(0);
    const run = async () => ({ code: 1, output: "bash: connect: Connection refused\n" });
    await expect(drain({ ...options, run })).rejects.toThrow(/master-1: bash: connect: Connection refused\n.*master-2/);
  });
});
