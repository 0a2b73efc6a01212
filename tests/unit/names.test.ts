import { globSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";
import { beforeAll, expect, test } from "vitest";
import { ARCHITECTURES } from "../../cluster/architectures/index.ts";
import { GROUP_NAMES } from "../../cluster/groups.ts";
import { IMAGE_NAMES } from "../../cluster/image-catalogue.ts";
import { PLATFORMS } from "../../cluster/platforms.ts";
import { ROLES, SERVICES } from "../../cluster/services/index.ts";
import { ROOT } from "../../lib/root.ts";

/**
 * A name that is added to a union makes the compiler name each place that has to say something about it, and no place learns a
 * fact from a name. One compilation of the sources with a name added to each union shows both.
 */

/** A change of one file that adds a name, and the places that must then be in error: `file: the declaration around it`. */
interface Addition {
  what: string;
  file: string;
  /** Text that stands in the file once. */
  find: string;
  replace: string;
  /** How the compiler's messages name what is missing. */
  named: RegExp;
  places: readonly string[];
}

const ADDITIONS: readonly Addition[] = [
  {
    what: "an architecture",
    file: "config/keys/general.ts",
    find: "export const ARCHITECTURES = [\n",
    replace: 'export const ARCHITECTURES = [\n  "added-architecture",\n',
    named: /added-architecture/,
    places: ["cluster/architectures/index.ts: ARCHITECTURES"],
  },
  {
    what: "a platform",
    file: "config/keys/general.ts",
    find: '(["openstack", "docker"]',
    replace: '(["openstack", "docker", "added-platform"]',
    named: /added-platform/,
    places: ["cluster/platforms.ts: PLATFORMS"],
  },
  {
    what: "a config key without its documentation",
    file: "config/keys/ports.ts",
    find: "  jupyterPort: ports.port(",
    replace: "  addedPort: ports.port(9999, { added: true }),\n  jupyterPort: ports.port(",
    named: /'added'/,
    places: ["config/keys/ports.ts: portsKeys.addedPort"],
  },
  {
    what: "a group",
    file: "cluster/types.ts",
    find: "export type Group =",
    replace: 'export type Group = "addedgroup" |',
    named: /addedgroup/,
    places: ["cluster/groups.ts: GROUPS"],
  },
  {
    what: "a role",
    file: "cluster/types.ts",
    find: "export type Role =\n",
    replace: 'export type Role = "added-role"\n',
    named: /added-role/,
    places: ["cluster/groups.ts: KEEPS_STATE", "cluster/services/index.ts: ROLES"],
  },
  {
    what: "an image of which nothing but its origin is said",
    file: "cluster/image-catalogue.ts",
    find: "export const IMAGES = {\n",
    replace: 'export const IMAGES = {\n  addedimage: { origin: "built" },\n',
    named: /origin: "built"; }/,
    places: ["cluster/image-catalogue.ts: IMAGES.addedimage", "cluster/image-catalogue.ts: imageRecord"],
  },
  {
    what: "a service without its definition",
    file: "cluster/services/index.ts",
    find: "  registry: { define: registry },",
    replace: "  addedservice: {},\n  registry: { define: registry },",
    named: /'define' is missing/,
    places: ["cluster/services/index.ts: SERVICES.addedservice", "cluster/services/index.ts: recordOf"],
  },
  {
    what: "a kind of probe",
    file: "cluster/probe.ts",
    find: "  | HttpProbe\n",
    replace: '  | HttpProbe\n  | { kind: "added-probe" }\n',
    named: /added-probe|lacks ending return/,
    places: ["cluster/probe.ts: loginFiles", "render/probe.ts: script"],
  },
  {
    what: "a format of files",
    file: "cluster/types.ts",
    find: "export type Content =\n",
    replace: 'export type Content =\n  | { format: "added-format" }\n',
    named: /added-format|lacks ending return/,
    places: ["render/content.ts: writeContent"],
  },
];

const SOURCES = globSync(
  ["{lib,config,cluster,render,mesos,marathon,spark,machines,openstack,local,components,cli}/**/*.ts", "index.ts"],
  { cwd: ROOT },
).map((file) => join(ROOT, file));

/** A file that compares names in every way that is found. */
const COMPARING = join(ROOT, "cluster", "comparing.ts");
const COMPARISONS = `
import type { Config } from "../config/schema.ts";
import type { Machine, Service } from "./types.ts";
export function everyWay(c: Config, m: Machine, s: Service, raw: Record<string, unknown>, which: Set<string>): boolean[] {
  switch (c.architecture) {
    case "vanilla":
      return [];
  }
  if (m.group !== "bastion" && m.group === "agent") return [];
  return [m.roles.includes("namenode"), "docker" === raw.platform, s.image === "hdfs", "base" in c.prebuiltImages,
    which.has("shuffle"), s.name === "zkfc", s.runtime === "docker", c.executorSource === "hdfs"];
}
`;

let program: ts.Program;
let errors: { place: string; message: string }[];

beforeAll(() => {
  const texts = new Map([[COMPARING, COMPARISONS]]);
  for (const { file, find, replace } of ADDITIONS) {
    const path = join(ROOT, file);
    const text = texts.get(path) ?? readFileSync(path, "utf8");
    if (text.split(find).length !== 2) throw new Error(`${file} does not hold this once: ${find}`);
    texts.set(
      path,
      text.replace(find, () => replace),
    );
  }
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: ["index.ts"] }, ts.sys, ROOT);
  const host = ts.createCompilerHost(options);
  const read = host.readFile;
  host.readFile = (path) => texts.get(path) ?? read(path);
  host.getSourceFile = (path, version) => {
    const text = host.readFile(path);
    return text === undefined ? undefined : ts.createSourceFile(path, text, version, true);
  };
  program = ts.createProgram([...SOURCES, COMPARING], options, host);
  errors = own().flatMap((source) => program.getSemanticDiagnostics(source).map(located));
}, 300_000);

/** The sources of this repository among those that were compiled. */
const own = (): ts.SourceFile[] => SOURCES.flatMap((path) => program.getSourceFile(path) ?? []);

function located({ file, start = 0, messageText }: ts.Diagnostic): { place: string; message: string } {
  const message = ts.flattenDiagnosticMessageText(messageText, "\n");
  return { place: file ? placeOf(file, start) : "", message };
}

/** `file: declaration` around a position; of an object's property, `declaration.property`. */
function placeOf(file: ts.SourceFile, position: number): string {
  const path: ts.Node[] = [];
  const enter = (node: ts.Node): void => {
    if (position < node.getStart() || position >= node.getEnd()) return;
    path.push(node);
    ts.forEachChild(node, enter);
  };
  enter(file);
  const statement = path.find(
    (n) => ts.isVariableDeclaration(n) || ts.isFunctionDeclaration(n) || ts.isMethodDeclaration(n),
  );
  const property = path.find(ts.isPropertyAssignment);
  const name = (statement as ts.NamedDeclaration | undefined)?.name?.getText() ?? "";
  return `${relative(ROOT, file.fileName)}: ${property ? `${name}.${property.name.getText()}` : name}`;
}

test("the compiler names every place that has to say something about an added name, and no other", () => {
  const wanted = ADDITIONS.flatMap(({ places }) => places);
  expect([...new Set(errors.map(({ place }) => place))].sort()).toEqual([...new Set(wanted)].sort());
});

test.each(ADDITIONS)("without $what in the records, the compiler names $places", ({ named, places }) => {
  for (const place of places)
    expect(
      errors
        .filter((e) => e.place === place)
        .map((e) => e.message)
        .join("\n"),
    ).toMatch(named);
});

/** Names by what they name. */
const NAMES: Readonly<Record<string, ReadonlySet<string>>> = {
  architecture: new Set([...Object.keys(ARCHITECTURES), "added-architecture"]),
  platform: new Set([...Object.keys(PLATFORMS), "added-platform"]),
  group: new Set<string>([...GROUP_NAMES, "addedgroup"]),
  role: new Set([...Object.keys(ROLES), "added-role"]),
  image: new Set<string>([...IMAGE_NAMES, "addedimage"]),
  service: new Set<string>([...Object.keys(SERVICES), "addedservice"]),
};

/** Comparisons with a name that stay, and why. Everything else is a fact that belongs in a record. */
const ALLOWED: Readonly<Record<string, string>> = {
  "cluster/services/registry/registry.ts: ownRegistry: role registry": "a service finds its own machine by its role",
  "components/access.ts: sshConfig: role client": "people's tunnel ends where the gateway and the notebooks are",
  "render/cloud-init.ts: driversPython: image client": "drivers run in this image and in no other",
  "mesos/leader.ts: askLeader: role mesos-master": "the operator interface is the masters'",
  "spark/demand.ts: driverDemand: group client": "drivers and their pages are there",
  "spark/master.ts: #leader: role spark-master": "what scale asks is what the masters say",
  "mesos/drain.ts: stateOf: role mesos-agent": "only Mesos agents can be drained",
  "local/smoke.ts: clientContainer: service jupyter": "the smoke job runs where notebooks do",
  "cli/recover.ts: recoverStack: platform docker": "a config that does not validate has no record",
};

/** The strings that a type may be: `[]` where it may be any string; undefined where it is never a string. */
function strings(type: ts.Type): string[] | undefined {
  const parts = (type.isUnion() ? type.types : [type]).filter(
    (t) => !(t.flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)),
  );
  if (parts.some((t) => t.flags & (ts.TypeFlags.String | ts.TypeFlags.Unknown | ts.TypeFlags.Any))) return [];
  return parts.every((t) => t.isStringLiteral()) ? parts.map((t) => (t as ts.StringLiteralType).value) : undefined;
}

/** What a text is the name of, where it is compared with something of that type. */
function kindOf(text: string, type: ts.Type): string | undefined {
  const known = strings(type);
  if (known === undefined) return undefined;
  return Object.keys(NAMES).find((kind) => NAMES[kind]?.has(text) && known.every((name) => NAMES[kind]?.has(name)));
}

/** Comparisons with a name in a file: `===` and `!==`, `case`, `includes` and `has`, and `in`. */
function comparisons(file: ts.SourceFile): string[] {
  const checker = program.getTypeChecker();
  const found: string[] = [];
  const compare = (literal: ts.Node, other: ts.Node, itemOf = false): void => {
    if (!ts.isStringLiteralLike(literal)) return;
    const whole = checker.getTypeAtLocation(other);
    const type = itemOf
      ? (checker.getIndexTypeOfType(whole, ts.IndexKind.Number) ??
        whole.aliasTypeArguments?.[0] ??
        checker.getTypeArguments(whole as ts.TypeReference)[0])
      : whole;
    const kind = type && kindOf(literal.text, type);
    if (kind !== undefined) found.push(`${placeOf(file, literal.getStart())}: ${kind} ${literal.text}`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isBinaryExpression(node) && EQUAL.has(node.operatorToken.kind)) {
      compare(node.left, node.right);
      compare(node.right, node.left);
    } else if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.InKeyword) {
      // Tables of the config are keyed by images.
      if (ts.isStringLiteralLike(node.left) && NAMES.image?.has(node.left.text))
        found.push(`${placeOf(file, node.getStart())}: image ${node.left.text}`);
    } else if (ts.isCaseClause(node)) {
      compare(node.expression, node.parent.parent.expression);
    } else if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && node.arguments[0]) {
      const method = node.expression.name.text;
      if (method === "includes" || method === "has") compare(node.arguments[0], node.expression.expression, true);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

const EQUAL: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
]);

test("comparisons with names are told from those with facts", () => {
  const file = program.getSourceFile(COMPARING);
  const kinds = file ? comparisons(file).map((found) => found.split(": ").at(-1)) : [];
  const found = [
    "architecture vanilla",
    "group bastion",
    "group agent",
    "role namenode",
    "platform docker",
    "image hdfs",
  ];
  expect(kinds).toEqual([...found, "image base", "service shuffle", "service zkfc"]);
});

test("no place compares names but those that have a reason to", () => {
  const found = new Set(own().flatMap(comparisons));
  expect([...found].sort()).toEqual(Object.keys(ALLOWED).sort());
});
