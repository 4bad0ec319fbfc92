// A passkey in real Chromium with its virtual authenticator: added on one's own page, then signs in without a login
// name. Needs the program at http://localhost (browsers know no passkeys at an IP address) and a demonstration account.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { DESK, at, base, close, shot, withPage } from "./browser.mjs";

after(close);

const login = process.env.MINKANG_LOGIN || "shuju";
const password = process.env.MINKANG_PASSWORD || "Yanshi@City8";
const named = base && new URL(base).hostname === "localhost";
const options = { skip: named ? false : "MINKANG_URL is not at http://localhost" };

test("a passkey is added and signs in", options, () =>
  withPage({ viewport: DESK }, async (page) => {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("WebAuthn.enable");
    await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
        isUserVerified: true, automaticPresenceSimulation: true,
      },
    });
    await page.goto(at("/sign-in"));
    await page.fill("#login", login);
    await page.fill("#password", password);
    await page.click("form[action='/sign-in'] button[type=submit]");
    await page.waitForURL("**/desk");
    await page.goto(at("/account"));
    await shot(page, "account");
    await page.fill("[data-passkey-new] input[name=name]", "浏览器测试");
    await page.click("[data-passkey-new] button");
    await page.locator("#passkeys input[name=name][value='浏览器测试']").waitFor();
    await page.context().clearCookies();
    await page.goto(at("/sign-in"));
    await shot(page, "sign-in-passkey");
    await page.click("[data-passkey='/sign-in/passkey'] button");
    await page.waitForURL("**/desk");
    await page.goto(at("/account"));
    assert.match(await page.locator("#sessions").innerText(), /双因素/);
    await page.locator("#passkeys form[action$='/remove'] button").first().waitFor();
    page.once("dialog", (dialog) => dialog.accept());
    await page.locator("#passkeys form[action$='/remove'] button").first().click();
    await page.waitForURL("**/account#passkeys");
  }));
