"use strict";
/**
 * Loaded before the program (`nodeargs` in `Pulumi.yaml`) to make it start sooner and register faster. Without it
 * everything works the same, only slower: bench/README.md has the figures, part by part (`node bench/preload.ts`).
 *
 * The parts change how Node and Pulumi's SDK work inside. Each leaves alone what is not as it is known here, and
 * TRIPLEWIDE_PRELOAD names those to use, separated by commas; `off` for none (with `pulumi up --debug`, say, when a fault
 * of the SDK itself is looked for).
 *
 * JavaScript, because Node would load its compiler to strip this file's types, which is what it spares the others.
 */
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const { fileURLToPath } = require("node:url");

const ROOT = path.join(__dirname, "..");

/** @type {Readonly<Record<string, () => void>>} */
const PARTS = {
  later: () =>
    loadLater([
      "typescript",
      "@npmcli/arborist",
      "@opentelemetry/exporter-zipkin",
      "@opentelemetry/instrumentation-grpc",
      "@opentelemetry/instrumentation",
      "@opentelemetry/sdk-trace-node",
      "@opentelemetry/sdk-trace-base",
      "@opentelemetry/resources",
    ]),
  stripped: () => keepStripped(path.join(ROOT, "node_modules", ".cache", "triplewide", "stripped")),
  debug: dropDebugLines,
  traces: registerWithoutTraces,
};

const wanted = process.env.TRIPLEWIDE_PRELOAD || Object.keys(PARTS).join(",");
if (wanted !== "off") {
  for (const part of wanted.split(",")) {
    const start = PARTS[part];
    if (!start) throw new Error(`TRIPLEWIDE_PRELOAD: no part is called ${part}; there are ${Object.keys(PARTS)}, off`);
    start();
  }
}

/**
 * Loads modules at their first use. The SDK loads them for serialised functions and for tracing, and a program without
 * either never uses them.
 *
 * @param {readonly string[]} names
 */
function loadLater(names) {
  const later = new Set(names);
  const internals = /** @type {{ _load(request: string, ...rest: unknown[]): unknown }} */ (
    /** @type {unknown} */ (Module)
  );
  const load = internals._load;
  internals._load = function (request, ...rest) {
    // Types are stripped in place: lines and columns are right as they are, and no stack trace needs a source map.
    if (request === "source-map-support/register") return {};
    if (!later.has(request)) return load.call(this, request, ...rest);
    /** @type {unknown} */
    let real;
    return standIn(() => {
      real ??= load.call(Module, request, ...rest);
      return /** @type {object} */ (real);
    }, true);
  };
}

/**
 * Something that can be held and passed on like a module, and becomes it as soon as it is used.
 *
 * @param {() => any} get Loads what it stands for.
 * @param {boolean} isModule Whether its members are held back as well.
 * @returns {object}
 */
function standIn(get, isModule) {
  return new Proxy(() => {}, {
    get: (_, key) => {
      if (typeof key === "symbol") return get()[key];
      if (key === "__esModule") return true;
      if (!isModule) return get()[key];
      return key === "default" ? standIn(() => get().default ?? get(), false) : standIn(() => get()[key], false);
    },
    has: (_, key) => key in get(),
    apply: (_, self, args) => Reflect.apply(get(), self, args),
    construct: (_, args) => Reflect.construct(get(), args),
  });
}

/**
 * Keeps files whose types are stripped. Node 22 strips them again at every start.
 *
 * @param {string} folder
 */
function keepStripped(folder) {
  if (!Module.registerHooks || !Module.stripTypeScriptTypes) return;
  Module.registerHooks({
    load(url, context, next) {
      if (!url.startsWith("file:") || !url.endsWith(".ts") || url.includes("/node_modules/")) return next(url, context);
      const file = fileURLToPath(url);
      const { mtimeMs, size } = fs.statSync(file);
      const kept = path.join(
        folder,
        `${encodeURIComponent(file).slice(-150)}-${mtimeMs}-${size}-${process.version}.js`,
      );
      /** @type {string} */
      let source;
      try {
        source = fs.readFileSync(kept, "utf8");
      } catch {
        source = Module.stripTypeScriptTypes(fs.readFileSync(file, "utf8"), { mode: "strip" });
        keep(kept, source);
      }
      return { format: "module", source, shortCircuit: true };
    },
  });
}

/**
 * Another program may do the same at this moment, and a folder may be read-only: neither is a reason to fail.
 *
 * @param {string} file
 * @param {string} text
 */
function keep(file, text) {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(`${file}.${process.pid}`, text);
    fs.renameSync(`${file}.${process.pid}`, file);
  } catch {}
}

/**
 * A module of Pulumi's SDK, by its path there.
 *
 * @param {string[]} parts
 */
function ofSdk(...parts) {
  const sdk = path.dirname(require.resolve("@pulumi/pulumi/package.json", { paths: [ROOT] }));
  return require(path.join(sdk, ...parts));
}

/** Spares three remote calls for debug lines with each resource. */
function dropDebugLines() {
  const log = ofSdk("log", "index.js");
  if (typeof log.debug === "function") log.debug = () => Promise.resolve();
}

/** Spares some twenty stack traces with each resource, which the SDK keeps for promises that are never settled. */
function registerWithoutTraces() {
  const promises = ofSdk("runtime", "debuggable.js");
  const { debuggablePromise } = promises;
  if (typeof debuggablePromise !== "function") return;
  /** @type {(promise: Promise<unknown>, context: unknown) => Promise<unknown>} */
  const withoutTrace = (promise, context) => {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    try {
      return debuggablePromise(promise, context);
    } finally {
      Error.stackTraceLimit = limit;
    }
  };
  promises.debuggablePromise = withoutTrace;
}
