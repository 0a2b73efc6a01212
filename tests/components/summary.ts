import type { Registration } from "./monitor.ts";

/**
 * One table of everything that a cluster registers, for people to review: the resources, their components, dependencies and
 * options. It leaves out inputs, which follow from the plan and are compared by tests.
 */

/** `openstack Port demo-agent-1`, out of a URN's last parts (`…$openstack:networking/port:Port demo-agent-1`). */
function short(typeAndName: string): string {
  const [types = "", name = ""] = typeAndName.split(" ");
  return name === "" ? "" : `${shortType(types.split("$").at(-1) ?? "")} ${name}`;
}

const shortType = (type: string): string => {
  const parts = type.split(":");
  return parts[0] === "triplewide" || parts[0] === "pulumi" ? (parts.at(-1) ?? type) : `${parts[0]} ${parts.at(-1)}`;
};

const isRule = (r: Registration): boolean => r.type === "openstack:networking/secGroupRule:SecGroupRule";

function optionText([name, value]: [string, unknown]): string[] {
  if (name === "dependsOn") return [];
  // The SDK itself adds aliases for former names of a provider's type.
  if (name === "aliases") return [];
  if (name === "deletedWith") return [`deletedWith ${short(String(value))}`];
  if (value === true) return [name];
  return [`${name} ${Array.isArray(value) ? [...new Set(value)].join(" ") : String(value)}`];
}

/** The dependencies of a resource: `Port demo-agent-N; RandomPassword demo-secret-a, demo-secret-b`. */
function dependencies(typesAndNames: readonly string[]): string {
  const parsed = typesAndNames.map(short).map((text) => text.split(" ").slice(-2) as [string, string]);
  const byType = Map.groupBy(parsed, ([type]) => type);
  return [...byType]
    .map(([type, of]) => `${type} ${of.map(([, name]) => name).join(", ")}`)
    .sort()
    .join("; ");
}

interface Row {
  /** The row's cells without the resource's number. Rows that differ only by it become one. */
  cells: string[];
  number: string;
}

function row(r: Registration): Row {
  const group = isRule(r) ? String(r.options.deletedWith).split(" ").at(-1) : undefined;
  const name = group ? `${group}-…` : r.name;
  const dependsOn = ((r.options.dependsOn as string[] | undefined) ?? [])
    // Leaves out the other groups that a rule names; tests of the firewall check them.
    .filter((text) => !group || text.endsWith(` ${group}`));
  const cells = [
    name,
    shortType(r.type),
    short(r.parent),
    dependencies(dependsOn),
    Object.entries(r.options).flatMap(optionText).join("; "),
  ];
  // Server groups have their own numbers: `demo-agent-2` is the group of the second ten agents.
  const number = r.type.endsWith(":ServerGroup") ? "" : (/-(\d+)$/.exec(name)?.[1] ?? "");
  if (number === "") return { cells, number };
  // Dependencies with the resource's own number belong to it: the instance `demo-agent-2` has the port `demo-agent-2`.
  const stem = name.slice(0, -number.length);
  const ownName = new RegExp(`(?<!ServerGroup )${stem}${number}(?!\\d)`, "g");
  return { cells: cells.map((cell) => cell.replace(ownName, `${stem}N`)), number };
}

/** The table as Markdown. Resources that differ only by their number are one row. */
export function summary(title: string, resources: readonly Registration[]): string {
  const rows = Map.groupBy(resources.map(row), ({ cells }) => cells.join(" | "));
  const lines = [...rows].map(([text, alike]) => {
    const numbers = alike.map(({ number }) => number).filter(Boolean);
    const count =
      numbers.length > 0
        ? `N = ${numbers
            .map(Number)
            .sort((a, b) => a - b)
            .join(", ")}`
        : `${alike.length}`;
    return `| ${text.replace(" | ", ` | ${count} | `)} |`;
  });
  return [
    `# ${title}`,
    "",
    `${resources.length} resources.`,
    "",
    "| Resource | How many | Type | Parent | Depends on | Options |",
    "| --- | --- | --- | --- | --- | --- |",
    ...lines.sort(),
    "",
  ].join("\n");
}
