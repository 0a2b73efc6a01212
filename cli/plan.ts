import { parseArgs } from "node:util";
import { defineCluster } from "../cluster/define.ts";
import { pinnedVersions } from "../cluster/images.ts";
import { planDocument, planText } from "../cluster/plan.ts";
import { loadConfig } from "../config/stack.ts";
import { ROOT, reportAndExit } from "./common.ts";

/** `npm run plan -- <environment> [--json] [--set key=value]...`: the cluster that a config describes, without a cloud. */
const USAGE = "usage: npm run plan -- <environment> [--json] [--files] [--set key=value]...";

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      files: { type: "boolean", default: false },
      set: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [environment, ...extra] = positionals;
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
  } else if (environment === undefined || extra.length > 0) {
    process.stderr.write(`${USAGE}\n`);
    process.exitCode = 2;
  } else {
    const cluster = defineCluster(loadConfig(ROOT, environment, values.set));
    const versions = pinnedVersions(ROOT);
    process.stdout.write(
      values.json
        ? `${JSON.stringify(planDocument(cluster, versions), null, 2)}\n`
        : planText(cluster, versions, environment, values.files),
    );
  }
} catch (error) {
  reportAndExit(error);
}
