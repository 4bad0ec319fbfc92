// Pictures of the documentation, from a demonstration city: set MINKANG_URL, then
// `node pictures.mjs <words that find one person>`. Choose somebody with problems, medicines and an allergy whom the
// demonstration doctor's institution has seen.
import { fileURLToPath } from "node:url";
import { at, close, withPage } from "./browser.mjs";
import { signIn } from "./city.mjs";

const to = (name) => fileURLToPath(new URL(`../../docs/pictures/${name}.png`, import.meta.url));

await withPage({}, async (page) => {
  await signIn(page, "yisheng");
  await page.goto(at(`/persons?q=${encodeURIComponent(process.argv[2] ?? "")}`));
  await page.locator("tbody a[href^='/record/']").first().click();
  await page.waitForURL(/\/record\/\d+/);
  await page.waitForLoadState("networkidle");
  await page.screenshot({ path: to("record") });
});
await withPage({}, async (page) => {
  await signIn(page, "shuju");
  await page.goto(at("/quality"), { waitUntil: "networkidle" });
  await page.screenshot({ path: to("quality") });
});
await close();
