// Builds dist/ from src/, the icon list and the npm packages: hashed names, a manifest, and a .br and .gz beside
// every file worth compressing. The program embeds dist/ as it is.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { divisions } from "./divisions.mjs";
import { maps } from "./maps.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const manifest = {};

function hashed(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10).toUpperCase();
  const dot = name.lastIndexOf(".");
  return `${name.slice(0, dot)}-${hash}${name.slice(dot)}`;
}

async function put(name, content) {
  const file = hashed(name, content);
  manifest[name] = file;
  await writeFile(join(dist, file), content);
}

async function sprite() {
  const names = (await readFile(join(here, "icons.txt"), "utf8"))
    .split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  const missing = [];
  const symbols = [];
  for (const name of names) {
    const path = join(here, "node_modules/@tabler/icons/icons/outline", `${name}.svg`);
    const svg = await readFile(path, "utf8").catch(() => null);
    if (svg === null) {
      missing.push(name);
      continue;
    }
    const body = svg.slice(svg.indexOf(">") + 1, svg.lastIndexOf("</svg>"))
      .replace(/<path stroke="none" d="M0 0h24v24H0z" fill="none" \/>/, "")
      .replace(/\s*\n\s*/g, "");
    symbols.push(
      `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" ` +
        `stroke-linecap="round" stroke-linejoin="round">${body}</symbol>`,
    );
  }
  if (missing.length > 0) {
    throw new Error(`icons.txt names icons that @tabler/icons does not have: ${missing.join(", ")}`);
  }
  await put("icons.svg", `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("\n")}</svg>\n`);
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

const result = await build({
  absWorkingDir: here,
  entryPoints: ["src/app.js", "src/app.css"],
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  metafile: true,
  target: ["chrome100", "firefox100", "safari15"],
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  legalComments: "none",
  logLevel: "warning",
  logOverride: { "unsupported-css-nesting": "silent" },
});
for (const [path, output] of Object.entries(result.metafile.outputs)) {
  if (output.entryPoint) {
    const name = basename(output.entryPoint);
    // A lazily imported module is an entry point too; only the ones pages name go into the manifest.
    if (name.startsWith("app.")) manifest[name] = basename(path);
  }
}
await sprite();
for (const name of await readdir(join(here, "src/static"))) {
  await put(name, await readFile(join(here, "src/static", name)));
}
await maps(join(here, "node_modules"), put);

await writeFile(join(dist, "manifest.json"), JSON.stringify(manifest, Object.keys(manifest).sort(), 1) + "\n");
for (const name of await readdir(dist)) {
  const content = await readFile(join(dist, name));
  if (name === "manifest.json" || !/\.(js|css|svg|json)$/.test(name) || content.length < 1024) continue;
  await writeFile(join(dist, `${name}.gz`), gzipSync(content, { level: 9 }));
  await writeFile(
    join(dist, `${name}.br`),
    brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 10 } }),
  );
}
await divisions(join(here, "node_modules"), join(dist, "divisions.tsv.gz"));
