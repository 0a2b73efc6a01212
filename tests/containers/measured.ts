import { Door } from "./door.ts";
import { eventually, type TestCluster } from "./harness.ts";

/** A time series of Prometheus: its labels, and its current value. */
interface Series {
  metric: Record<string, string>;
  value: [number, string];
}

/** Queries a cluster's Prometheus through the gateway, as the dashboard does. */
export class Measured {
  readonly door: Door;
  #trusted: Promise<void> | undefined;

  constructor(cluster: TestCluster) {
    this.door = new Door(cluster);
  }

  /** Sends a request as the dashboard does. @param what The path below the API's. */
  async ask<T>(what: string): Promise<T> {
    this.#trusted ??= this.door.trust();
    await this.#trusted;
    await this.door.logIn();
    const answer = await this.door.get(`/metrics/api/v1/${what}`);
    if (!answer.ok) throw new Error(`${what}: ${answer.status}`);
    return ((await answer.json()) as { data: T }).data;
  }

  async vector(query: string): Promise<Series[]> {
    return (await this.ask<{ result: Series[] }>(`query?query=${encodeURIComponent(query)}`)).result;
  }

  /** Waits until the result of a query meets the condition. */
  until(query: string, holds: (series: Series[]) => boolean, seconds = 90): Promise<Series[]> {
    return eventually(query, seconds, () => this.vector(query), holds);
  }

  /** Waits until an alert fires for a machine. */
  fires(alert: string, machine: string): Promise<Series[]> {
    const query = `ALERTS{alertname="${alert}",machine="${machine}",alertstate="firing"}`;
    return this.until(query, (series) => series.length === 1);
  }

  /** Waits until all permanent targets answer, such as after an `up`. */
  well(): Promise<Series[]> {
    return this.until('up{optional=""} == 0', (series) => series.length === 0);
  }
}
