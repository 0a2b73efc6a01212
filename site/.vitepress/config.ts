import { cpSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { defineConfig } from "vitepress";

/** The site, made of the repository's Markdown files. A link that leads to no page fails the build. */

/** Pages, in the order of the side bar. */
const PAGES: [title: string, pages: [text: string, file: string][]][] = [
  [
    "Start",
    [
      ["What it is", "README.md"],
      ["On a laptop", "docs/LAPTOP.md"],
      ["On OpenStack", "docs/OPENSTACK.md"],
    ],
  ],
  [
    "Daily work",
    [
      ["Notebooks", "docs/NOTEBOOKS.md"],
      ["From your own computer", "docs/CONNECT.md"],
      ["Files", "docs/FILES.md"],
      ["Sharing a cluster", "docs/SHARING.md"],
      ["Apps on Marathon", "docs/apps/README.md"],
    ],
  ],
  [
    "Keeping it",
    [
      ["Operations", "docs/OPERATIONS.md"],
      ["Clouds differ", "docs/CLOUDS.md"],
      ["Mesos", "docs/MESOS.md"],
      ["Security", "docs/SECURITY.md"],
      ["Troubleshooting", "docs/TROUBLESHOOTING.md"],
      ["Changes", "CHANGELOG.md"],
    ],
  ],
  [
    "Reference",
    [
      ["Config", "docs/CONFIG.md"],
      ["Images", "images/README.md"],
      ["Measurements", "bench/README.md"],
      ["Contributing", "CONTRIBUTING.md"],
    ],
  ],
];

const files = new Set(PAGES.flatMap(([, pages]) => pages.map(([, file]) => file)));

/** Address of a page: folders keep their names, README is a folder's own page. */
const addressOf = (file: string): string => `/${file.replace(/README\.md$/, "").replace(/\.md$/, "")}`;

// A copy, because the generator finds its own packages only from pages below its folder.
const pages = join(import.meta.dirname, "..", "pages");
rmSync(pages, { recursive: true, force: true });
for (const file of files) {
  const target = join(pages, file.replace(/README\.md$/, "index.md"));
  mkdirSync(dirname(target), { recursive: true });
  cpSync(join(import.meta.dirname, "..", "..", file), target);
}
const PICTURES = "docs/pictures";
cpSync(join(import.meta.dirname, "..", "..", PICTURES), join(pages, PICTURES), { recursive: true });

export default defineConfig({
  title: "triplewide",
  description: "Spark for Python people, on OpenStack or on the machine in front of you",
  srcDir: "pages",
  outDir: "dist",
  cacheDir: "node_modules/.cache/vitepress",
  cleanUrls: true,
  lastUpdated: false,
  markdown: {
    config: (md) => {
      // Links to sources and to pages under their file's name: the first have no page, the second another address.
      const plain = md.renderer.rules.link_open;
      md.core.ruler.push("links-of-the-repository", (state) => {
        const from: string = posix.dirname(state.env.relativePath ?? "");
        for (const token of state.tokens.flatMap((block) => block.children ?? [])) {
          const href = token.attrGet("href");
          if (token.type !== "link_open" || href === null || /^([a-z]+:|#|\/)/.test(href)) continue;
          const [path = "", hash] = href.split("#");
          const file = posix.normalize(posix.join(from, path));
          if (files.has(file)) token.attrSet("href", addressOf(file) + (hash ? `#${hash}` : ""));
          else if (!file.endsWith(".md")) token.meta = { source: true };
        }
      });
      const close: boolean[] = [];
      md.renderer.rules.link_open = (tokens, index, options, env, self) => {
        const source = tokens[index]?.meta?.source === true;
        close.push(source);
        if (source) return "<span>";
        return plain ? plain(tokens, index, options, env, self) : self.renderToken(tokens, index, options);
      };
      md.renderer.rules.link_close = (tokens, index, options, _env, self) =>
        close.pop() ? "</span>" : self.renderToken(tokens, index, options);
    },
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    sidebar: PAGES.map(([text, pages]) => ({
      text,
      items: pages.map(([title, file]) => ({ text: title, link: addressOf(file) })),
    })),
  },
});
