import { configOf, run } from "../tests/components/monitor.ts";

/** Registers a cluster with as many agents as the argument says, and prints what that cost. */
const agents = Number(process.argv[2]);
const { resources } = await run(configOf("docker-executors", { agentCount: agents }));
const { user, system } = process.cpuUsage();
process.stdout.write(
  JSON.stringify({
    cpu: (user + system) / 1e6,
    mib: process.resourceUsage().maxRSS / 1024,
    resources: resources.length,
    megabytes: JSON.stringify(resources.map((r) => r.inputs)).length / 1e6,
  }),
);
