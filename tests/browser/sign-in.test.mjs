// The sign-in page is there, on a desk and on a phone.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { DESK, PHONE, at, base, close, shot, withPage } from "./browser.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };

for (const [name, viewport] of [["desk", DESK], ["phone", PHONE]]) {
  test(`the sign-in page renders on a ${name}`, options, () =>
    withPage({ viewport }, async (page) => {
      const answer = await page.goto(at("/sign-in"));
      assert.equal(answer.status(), 200);
      await page.locator("input[type=password]").waitFor();
      const styled = await page.evaluate(() => getComputedStyle(document.body).getPropertyValue("--mk-accent"));
      assert.notEqual(styled, "", "the style sheet is in effect");
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
      await shot(page, `sign-in-${name}`);
    }));
}
