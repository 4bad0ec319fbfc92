// Pictures of the gallery of ui pieces, for people to look at: start the example `gallery` of minkang-web, set
// MINKANG_URL, run `node gallery.mjs`.
import { DESK, PHONE, at, close, shot, withPage } from "./browser.mjs";

for (const name of ["batches", "record", "quality", "form", "empty"]) {
  for (const [size, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    await withPage({ viewport }, async (page) => {
      await page.goto(at(`/gallery/${name}`), { waitUntil: "networkidle" });
      await shot(page, `${name}-${size}`);
      await shot(page, `${name}-${size}-full`, { full: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (overflow > 0) console.log(`${name} on ${size}: ${overflow} px too wide`);
    }).catch((error) => console.log(name, size, String(error.message ?? error)));
  }
}
await close();
