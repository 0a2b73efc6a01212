import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isMap, isPair, isScalar, type Pair, parseDocument, Scalar, YAMLMap } from "yaml";
import { EnvironmentError, PROJECT } from "../config/load.ts";
import type { SourceKey } from "./archive.ts";

/**
 * Writes a source into an environment's file, with the day in a comment. Everything else stays as it is written there.
 *
 * @param root Folder of `Pulumi.yaml`.
 * @param date Day, such as 2026-11-26.
 * @throws EnvironmentError where there is no such file, or its `config` is no table.
 */
export function writeSource(root: string, environment: string, key: SourceKey, source: string, date: string): void {
  const file = `Pulumi.${environment}.yaml`;
  const path = join(root, file);
  const text = withSource(readFileSync(path, "utf8"), key, source, date);
  if (text === undefined)
    throw new EnvironmentError(`${file}: "config" must be a table of "${PROJECT}:key: value" lines`);
  writeFileSync(path, text);
}

/** The text of an environment's file with a source; undefined where it has no table to write it into. */
export function withSource(text: string, key: SourceKey, source: string, date: string): string | undefined {
  const document = parseDocument(text);
  if (document.errors.length > 0) return undefined;
  if (document.contents === null) document.contents = new YAMLMap() as never;
  if (!isMap(document.contents)) return undefined;
  const before: unknown = document.get("config", true);
  if (before === undefined || (isScalar(before) && before.value === null)) document.set("config", new YAMLMap());
  const config: unknown = document.get("config", true);
  if (!isMap(config)) return undefined;
  const value = new Scalar(source);
  value.comment = ` pinned ${date}`;
  const names = [`${PROJECT}:${key}`, key];
  const pair = config.items.find(
    (item): item is Pair<Scalar, unknown> =>
      isPair(item) && isScalar(item.key) && names.includes(String(item.key.value)),
  );
  if (pair) pair.value = value;
  else config.set(`${PROJECT}:${key}`, value);
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
