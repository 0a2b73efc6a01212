import type { Content, File, Service } from "../cluster/types.ts";
import { type Filled, fill, type LookUp } from "../cluster/values.ts";
import { propertyKey, propertyValue, shellQuote, xmlText } from "../lib/quote.ts";

/** A service with every value filled in, and its files as their bytes. */
export type RenderedService = Omit<Service, "env" | "files"> & {
  env: Record<string, string>;
  files: RenderedContent[];
};

/** A file as its bytes. */
export type RenderedContent = Omit<Filled<File>, "content"> & { content: string };

/** Fills a service's values in, and writes each file in its format. */
export function renderService(service: Service, lookUp: LookUp): RenderedService {
  // Nothing but the environment and files holds values that are filled in.
  return {
    ...service,
    env: fill(service.env, lookUp),
    files: service.files.map((file) => ({ ...file, content: writeContent(fill(file.content, lookUp)) })),
  };
}

/** The bytes of a file. Every value is quoted for the format here, after it was filled in. */
export function writeContent(content: Filled<Content>): string {
  switch (content.format) {
    case "text":
      return content.text;
    case "properties": {
      const { properties, separator } = content;
      return lines(properties, (key, value) => `${propertyKey(key)}${separator}${propertyValue(value)}`);
    }
    case "hadoop-xml": {
      const element = (name: string, value: string): string =>
        `  <property><name>${xmlText(name)}</name><value>${xmlText(value)}</value></property>`;
      return `<?xml version="1.0"?>\n<configuration>\n${lines(content.properties, element)}</configuration>\n`;
    }
    case "shell-exports":
      return `${lines(content.variables, (key, value) => `export ${key}=${shellQuote(value)}`)}${addition(content.added)}`;
    case "json":
      return `${JSON.stringify(content.value)}\n`;
  }
}

function addition(added: Extract<Content, { format: "shell-exports" }>["added"]): string {
  if (added === undefined) return "";
  const { variable, command } = added;
  return `${variable}="\${${variable}-} $(${command.map(shellQuote).join(" ")})" || exit\nexport ${variable}\n`;
}

/** A line for each entry, sorted by key: the same bytes for the same input. */
function lines(entries: Readonly<Record<string, string>>, line: (key: string, value: string) => string): string {
  return Object.keys(entries)
    .sort()
    .map((key) => `${line(key, entries[key] ?? "")}\n`)
    .join("");
}
