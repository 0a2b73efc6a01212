import { afterAll, beforeAll, expect } from "vitest";
import { type Conversation, eventually, type TestCluster } from "../containers/harness.ts";

/** The output of the session's first and second jobs (`tests/cluster/resting_session.py`). */
export const RESULT = `${(239 * 240) / 2} in 7 parts, 1000 rows`;

/** A cluster for tests of `triplewide scale`, with a session that is busy and idle by turns. */
export class Scaled {
  readonly #cluster: TestCluster;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  /** Runs `scale`. @returns Its output. */
  readonly scale = async (args: string[] = [], extra: string[] = []): Promise<string> => {
    const sets = [...this.#cluster.settings, ...extra].flatMap((text) => ["--set", text]);
    const { code, output } = await this.#cluster.program(["scale", "local", ...sets, ...args]);
    expect(code, output).toBe(0);
    return output;
  };

  /** Names of the existing agents. */
  readonly agents = async (): Promise<string[]> =>
    (await this.#cluster.traces())
      .flatMap((name) => new RegExp(`^${this.#cluster.name}-(agent-\\d+)$`).exec(name)?.[1] ?? [])
      .sort();

  /** Waits until no executor runs, by the output of `scale` without changes. */
  readonly rest = (): Promise<string> =>
    eventually(
      "nothing runs",
      180,
      () => this.scale(["--dry-run"]),
      (said) => !said.includes("stays"),
    );

  /** Brings the cluster up with a session for the following tests, and takes it down after them. @returns The session's conversation. */
  withSession(): () => Conversation {
    let session: Conversation;
    beforeAll(async () => {
      await this.#cluster.cli("down", ["--volumes"]);
      const { code, output } = await this.#cluster.cli("up", ["--no-smoke"]);
      expect(code, output).toBe(0);
      await this.#cluster.bring("resting_session.py");
      session = this.#cluster.converse("client", ["python3", "/tmp/resting_session.py"]);
    });
    afterAll(async () => {
      await session?.end();
      await this.#cluster.cli("down", ["--volumes"]);
    });
    return () => session;
  }
}
