import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { lastUpIn, OWN_MESSAGE } from "../../cli/stack.ts";
import { otherChanges, SERVERS_ALONE } from "../../cli/update.ts";
import { expectSuccess, instances, test } from "./on-cloud.ts";
import type { Outcome } from "./stack.ts";

/** The program on the real engine with the real provider, against an OpenStack in memory. In one group, whose tests run one after the other. */

test("a cluster comes, grows, shrinks and goes, and leaves nothing behind", async ({ cloud, stackOf }) => {
  const door = { tls: "own", domain: "demo.example.org", dnsZone: "example.org", userCidrs: ["198.51.100.0/24"] };
  const stack = await stackOf({ objectStore: "swift", sharedStorage: "manila", ...door });

  const preview = await stack.preview();
  expectSuccess(preview);
  expect(cloud.leftovers()).toEqual([]);

  const up = await stack.up();
  expectSuccess(up);
  expect(up.changes.toSorted()).toEqual(preview.changes.toSorted());
  expect(up.changes.every((line) => line.startsWith("create "))).toBe(true);

  const again = await stack.up();
  expectSuccess(again);
  expect(again.changes).toEqual([]);

  stack.configure({ agentCount: 4 });
  const more = await stack.up();
  expectSuccess(more);
  expect(more.changes.toSorted()).toEqual([
    "create Instance demo-agent-3",
    "create Instance demo-agent-4",
    "create Port demo-agent-3",
    "create Port demo-agent-4",
  ]);

  stack.configure({ agentCount: 3, removedAgents: ["agent-2"] });
  const fewer = await stack.up();
  expectSuccess(fewer);
  expect(fewer.changes).toEqual(["delete Instance demo-agent-2", "delete Port demo-agent-2"]);

  const rest = { agentCount: 3, removedAgents: ["agent-2"] };
  stack.configure({ ...rest, agentGroups: { big: { count: 1 } } });
  const group = await stack.up();
  expectSuccess(group);
  const added = group.changes.toSorted();
  // Creates its machines and the rules for the addresses that may mount the share.
  const rules = added.filter((line) => line.startsWith("create ShareAccess "));
  expect(rules).toEqual([expect.stringMatching(/ demo-share-10\.72\.\d+\.0\/26$/)]);
  const machines = added.filter((line) => !rules.includes(line));
  expect(machines.every((line) => /^create \w+ demo-agent-big-1$/.test(line))).toBe(true);
  expect(added).toContain("create Instance demo-agent-big-1");

  stack.configure({ ...rest, agentGroups: {} });
  const without = await stack.up();
  expectSuccess(without);
  expect(without.changes.toSorted()).toEqual(added.map((line) => line.replace("create", "delete")));

  const outputs = await stack.outputs();
  expect(outputs.jupyterToken).toMatch(/^[A-Za-z0-9]{32}$/);
  expect(outputs.sshConfig).toContain("HostName 203.0.113.10");
  expect(outputs.readme).not.toMatch(/\$\{/);
  expect(outputs.jupyterUrl).toBe("https://demo.example.org/jupyter/lab");
  expect(cloud.record("demo.example.org.")).toEqual(["203.0.113.10"]);
  expect(outputs.objectStore).toBe("s3a://demo-data");
  const [key] = cloud.leftovers().filter((line) => line.startsWith("credential "));
  expect(outputs.sparkProperties).toMatchObject({
    "spark.hadoop.fs.s3a.endpoint": cloud.url,
    "spark.hadoop.fs.s3a.access.key": key?.slice("credential ".length),
    "spark.hadoop.fs.s3a.secret.key": "made-up s3 secret",
  });
  const secrets = JSON.stringify((await stack.state()).deployment);
  expect(secrets).not.toContain("made-up s3 secret");
  expect(secrets).not.toContain(outputs.jupyterToken);
  expect(secrets).not.toContain("made-up private key");

  // `destroy` deletes the objects that jobs wrote, as it deletes volumes: single objects, and the parts of a large object.
  cloud.putObject("demo-data", "results/part-0");
  cloud.putObject("demo-data+segments", "results/part-1/1");
  const destroy = await stack.destroy();
  expectSuccess(destroy);
  expect(cloud.leftovers()).toEqual([]);
});

test("where the config gives a range, an update keeps the agents that there are, and only scale changes their number", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf({ agentsMin: 1, agentsMax: 3, agentCount: 1 });
  expectSuccess(await stack.up());
  /** Runs an update as `triplewide scale` does. */
  const told = async (agents: number): Promise<Outcome> => {
    stack.environment.TRIPLEWIDE_AGENTS = String(agents);
    const outcome = await stack.up();
    delete stack.environment.TRIPLEWIDE_AGENTS;
    expectSuccess(outcome);
    return outcome;
  };
  const more = await told(3);
  const machines = ["create Instance demo-agent-2", "create Instance demo-agent-3"];
  expect(more.changes.toSorted()).toEqual([...machines, "create Port demo-agent-2", "create Port demo-agent-3"]);

  // The preview of a pull request while another number of agents runs shows no changes.
  expect((await stack.preview()).changes).toEqual([]);
  // A smaller range changes the client too, which computes the share of each job from it.
  stack.configure({ agentsMax: 2 });
  const ordinary = await stack.up();
  expectSuccess(ordinary);
  expect(ordinary.changes.every((line) => line.endsWith(" Instance demo-client"))).toBe(true);
  expect(await stack.outputs()).toMatchObject({ agents: 3 });

  /** Other changes that `triplewide scale` would find in its preview before it changes anything. */
  const others = async (agents: number): Promise<string[]> => {
    stack.environment.TRIPLEWIDE_AGENTS = String(agents);
    const { text } = await stack.pulumi("preview", "--json", "--non-interactive");
    delete stack.environment.TRIPLEWIDE_AGENTS;
    const { steps } = JSON.parse(text.slice(text.indexOf("{"))) as { steps: Parameters<typeof otherChanges>[0] };
    return otherChanges(steps, { name: "demo" });
  };
  expect(await others(1)).toEqual([]);
  stack.configure({ clientFlavor: "m1.large" });
  expect(await others(1)).toEqual(expect.arrayContaining([expect.stringMatching(/demo-client$/)]));
  stack.configure({ clientFlavor: "" });

  const fewer = await told(2);
  expect(fewer.changes).toEqual(["delete Instance demo-agent-3", "delete Port demo-agent-3"]);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("a forgotten cluster loses its servers alone, and an update brings it back with its data and addresses", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf({ masterCount: 3, ttlHours: 72, tls: "own", userCidrs: ["198.51.100.0/24"] });
  expectSuccess(await stack.up("--message", "by a person"));
  const history = async (): Promise<Parameters<typeof lastUpIn>[0]> =>
    JSON.parse((await stack.pulumi("stack", "history", "--json", "--stack", "test")).text);
  const last = lastUpIn(await history());
  const kept = cloud.identities("port", "volume", "floatingip");
  const others = cloud.leftovers().filter((line) => !line.startsWith("server "));

  // As `triplewide scale` runs it.
  const end = await stack.destroy("--skip-preview", ...SERVERS_ALONE, "--message", OWN_MESSAGE);
  expectSuccess(end);
  expect(cloud.leftovers()).toEqual(others);
  expect(end.changes.filter((line) => !/^delete (Instance|VolumeAttach|FloatingIpAssociate) /.test(line))).toEqual([]);

  const again = await stack.up("--message", OWN_MESSAGE);
  expectSuccess(again);
  expect(cloud.identities("port", "volume", "floatingip")).toEqual(kept);
  expect(cloud.leftovers().filter((line) => line.startsWith("server "))).toHaveLength(instances(again).length);
  expect((await stack.preview()).changes).toEqual([]);
  expect(lastUpIn(await history())).toEqual(last);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("secrets are replaced: where several machines hold one, all servers go first, and data and addresses stay", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf({ masterCount: 3 });
  expectSuccess(await stack.up());
  const kept = cloud.identities("port", "volume", "floatingip");
  const servers = cloud.identities("server");
  /** Runs the command as users do. */
  const rotate = (...args: string[]) => stack.program("rotate", "--env", "test", ...args);
  const said = await rotate("jupyter-token");
  expect(said).toMatchObject({ code: 0 });
  expect(said.text).toContain("Replaces client, with its address and its volume.\nNothing was changed.");
  expect(cloud.identities("server")).toEqual(servers);

  const token = (await stack.outputs()).jupyterToken;
  const one = await rotate("jupyter-token", "--yes");
  expect(one.code, one.text).toBe(0);
  expect((await stack.outputs()).jupyterToken).not.toBe(token);
  const after = cloud.identities("server");
  expect(after.filter((server) => !servers.includes(server))).toEqual([expect.stringContaining("demo-client ")]);

  const { privateKey } = await stack.outputs();
  const all = await rotate("all", "--yes");
  expect(all.code, all.text).toBe(0);
  expect((await stack.outputs()).privateKey).not.toBe(privateKey);
  expect(all.text).toContain("Every server goes, and comes again");
  const anew = cloud.identities("server");
  expect(anew).toHaveLength(servers.length);
  expect(anew.filter((server) => after.includes(server))).toEqual([]);
  expect(cloud.identities("port", "volume", "floatingip")).toEqual(kept);
  expect((await stack.preview()).changes).toEqual([]);

  stack.configure({ clientFlavor: "m1.large" });
  const refused = await rotate("ssh-key-pair", "--yes");
  expect(refused.code).toBe(1);
  expect(refused.text).toMatch(/would change more than secrets \(.*demo-client\); nothing was changed/);
  expect(cloud.identities("server")).toEqual(anew);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("a change of every machine: masters go one at a time, whatever the number of workers; data and addresses stay", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf({ masterCount: 3, agentCount: 3, agentBatchSize: 2 });
  expectSuccess(await stack.up());
  const kept = cloud.leftovers().filter((line) => /^(port|volume|floatingip)/.test(line));

  stack.configure({ aptMirror: "http://mirror.example.org/debian" });
  const preview = await stack.preview();
  // There are fewer of the engine's workers than waiting machines, so a waiting machine must not occupy a worker.
  const up = await stack.up("--parallel", "2");
  expectSuccess(up);
  expect(up.changes.toSorted()).toEqual(preview.changes.toSorted());
  expect(up.changes.filter((line) => !line.includes(" Instance "))).toEqual([]);
  expect(cloud.leftovers().filter((line) => /^(port|volume|floatingip)/.test(line))).toEqual(kept);

  const masters = instances(up).filter((line) => line.includes("demo-master"));
  expect(masters.filter((line) => line.startsWith("delete-replaced") || line.startsWith("create-replacement"))).toEqual(
    ["demo-master-1", "demo-master-2", "demo-master-3"].flatMap((name) => [
      `delete-replaced Instance ${name}`,
      `create-replacement Instance ${name}`,
    ]),
  );
  const created = instances(up).filter((line) => line.startsWith("create-replacement"));
  const place = (name: string): number => created.indexOf(`create-replacement Instance demo-${name}`);
  expect(place("bastion")).toBeLessThan(place("registry"));
  expect(place("registry")).toBeLessThan(place("master-1"));
  for (const n of [1, 2, 3]) {
    expect(place("master-3")).toBeLessThan(place(`agent-${n}`));
    expect(place(`agent-${n}`)).toBeLessThan(place("client"));
  }
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("a change of every machine: one that does not become ready stops it: the others stay untouched, and the next update goes on", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf({ masterCount: 3, agentCount: 2 });
  expectSuccess(await stack.up());
  const before = new Map(
    ["master-1", "master-2", "master-3", "agent-1"].map((n) => [n, cloud.server(`demo-${n}`)?.id]),
  );

  cloud.failsOnceUp.add("demo-master-1");
  stack.configure({ aptMirror: "http://mirror.example.org/debian" });
  const failed = await stack.up();
  expect(failed.code).not.toBe(0);
  expect(failed.text).toMatch(/demo-master-1\)?:[\s\S]*master-1: /);
  expect(cloud.server("demo-master-1")?.id).not.toBe(before.get("master-1"));
  for (const name of ["master-2", "master-3", "agent-1"]) {
    expect(cloud.server(`demo-${name}`)?.id, name).toBe(before.get(name));
  }
  // The outputs that users need to find the cause are still there.
  expect((await stack.outputs()).sshConfig).toContain("demo-bastion");

  const next = await stack.up();
  expectSuccess(next);
  expect(instances(next).filter((line) => line.startsWith("create-replacement")).length).toBe(3 + 2 + 1);
  expect((await stack.up()).changes).toEqual([]);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

// More faults are in the layer `sweep`.
test("a fault in the middle: Nova is down for a while: the second run completes", async ({ cloud, stackOf }) => {
  const stack = await stackOf();
  cloud.faults.push({ method: "POST", path: /\/servers$/, status: 503, times: 40 });
  expect((await stack.up()).code).not.toBe(0);
  cloud.faults.length = 0;
  expectSuccess(await stack.up());
  expect((await stack.up()).changes).toEqual([]);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("a fault in the middle: the engine is killed while servers are made: recover finds them, and the next run completes", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf();
  const update = stack.start();
  const made = (): number => cloud.requests.filter((line) => line === "POST /compute/v2.1/servers").length;
  while (made() < 3) await sleep(100);
  expect(await stack.killAndRecover(update)).toMatch(/Instance demo-[\w-]+: there \(/);
  expectSuccess(await stack.up());
  // A server whose start was not seen may be made again, but there must never be two at the same time.
  const there = cloud.leftovers().filter((line) => /^(server|port|volume) ./.test(line) && line !== "port ");
  expect(there).toEqual([...new Set(there)]);
  expect((await stack.up()).changes).toEqual([]);
  expect((await stack.state()).deployment.pending_operations ?? []).toEqual([]);
  expectSuccess(await stack.destroy());
  expect(cloud.leftovers()).toEqual([]);
});

test("protected data refuses destroy before anything is touched", async ({ cloud, stackOf }) => {
  const stack = await stackOf({ protectData: true, objectStore: "swift", sharedStorage: "manila" });
  expectSuccess(await stack.up());
  cloud.putObject("demo-data", "results/part-0");
  const before = cloud.leftovers();
  const refused = await stack.destroy();
  expect(refused.code).not.toBe(0);
  expect(refused.text).toContain("protect");
  for (const name of ["demo-client", "demo-share", "demo-objects", "demo-objects-segments"])
    expect(refused.text).toContain(`::${name}`);
  expect(cloud.leftovers()).toEqual(before);
});

test("what the cloud cannot hold is refused with every problem at once, and nothing is made", async ({
  cloud,
  stackOf,
}) => {
  const stack = await stackOf({
    image: "no-such-image",
    agentFlavor: "no-such-flavor",
    externalNetwork: "no-such-network",
  });
  for (const refused of [await stack.preview(), await stack.up()]) {
    expect(refused.code).not.toBe(0);
    for (const name of ["no-such-image", "no-such-flavor", "no-such-network"]) expect(refused.text).toContain(name);
    expect(refused.text).not.toMatch(/\n\s+at /);
  }
  expect(cloud.leftovers()).toEqual([]);
});
