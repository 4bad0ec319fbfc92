// A page of Debian's Chromium for the tests: started once per file, quiet towards the network, and failing a test
// when the page logs an error or breaks its own content-security policy.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Where the program under test is served; the tests skip when it is not set. */
export const base = process.env.MINKANG_URL;

export const DESK = { width: 1366, height: 768 };
export const PHONE = { width: 390, height: 844 };

const shots = process.env.MINKANG_SHOTS || join(dirname(fileURLToPath(import.meta.url)), "shots");

let browser;

async function launch() {
  browser ??= await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
    ],
  });
  return browser;
}

/** Closes the browser; call it in `after`. */
export async function close() {
  await browser?.close();
  browser = undefined;
}

/**
 * Runs `body` with a fresh page (own cookies). Errors in the console, script errors and requests to anywhere else
 * fail the test. `allow` is a regular expression of console errors that are expected.
 */
export async function withPage({ viewport = DESK, allow = null } = {}, body) {
  const context = await (await launch()).newContext({
    viewport, locale: "zh-CN", timezoneId: "Asia/Shanghai", isMobile: viewport.width < 500, hasTouch: viewport.width < 500,
  });
  context.setDefaultTimeout(Number(process.env.MINKANG_WAIT || 30_000));
  const problems = [];
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && !allow?.test(message.text())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:"].includes(url.protocol) && url.host !== new URL(base).host) {
      problems.push(`asks another host: ${url.host}`);
    }
  });
  try {
    await body(page);
    assert.deepEqual(problems, [], "the page complained");
  } finally {
    await context.close();
  }
}

/** The address of a path of the program. */
export const at = (path) => new URL(path, base).href;

/** Keeps a picture for people to look at; returns its path. */
export async function shot(page, name, { full = false } = {}) {
  mkdirSync(shots, { recursive: true });
  const path = join(shots, `${name}.png`);
  await page.screenshot({ path, fullPage: full });
  return path;
}
