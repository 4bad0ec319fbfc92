// Special registrations: a woman without documents is registered, her twins under her, an unknown man whose death is
// recorded and taken back; the list says what each waits for, and the identity page of a twin leads to the mother. In this
// order: each test stands on the one before.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { at, base, close, shot, withPage } from "./browser.mjs";
import { assertNoSideways, signIn } from "./city.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };
const stamp = Date.now();
const of = (divisor, text) => [...text][Math.floor(stamp / divisor) % [...text].length];
// A name that no other run has had.
const mother = `${of(16, "尉慕令皇诸")}${of(7, "柏辰迪恩枫格珩凯澜沛琪然森曦岳泽")}${of(1000, "芳英玲娟琴霞梅兰竹菊")}${of(100000, "甲乙丙丁戊己庚辛壬癸")}`;
const submit = (page) => page.click("main form.mk-form button[type=submit]");

test("a woman without documents gets a number, and her twins under her", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "yisheng");
    await page.goto(at("/persons/special"));
    await page.getByRole("link", { name: "登记无证件者" }).click();
    await page.fill("#name", mother);
    await page.selectOption("#sex", "2");
    await page.fill("#age", "28");
    await page.fill("#why", "证件遗失，补办中");
    await submit(page);
    await page.getByText(/^W\d{8}-\d{4,}$/).waitFor();

    await page.goto(at("/persons/special"));
    await page.getByRole("link", { name: "登记新生儿" }).click();
    await page.fill("input[name=q].form-control:not([type=search])", mother);
    await page.getByRole("button", { name: "查找母亲" }).click();
    await page.getByRole("link", { name: mother }).click();
    await page.waitForURL(/mother=\d+/);
    for (const [order, sex, time] of [["1", "2", "08:35"], ["2", "1", "08:41"]]) {
      await page.fill("#order", order);
      await page.selectOption("#sex", sex);
      await page.fill("#born_at", time);
      await assertNoSideways(page);
      await submit(page);
      await page.getByText(/^N\d{8}-\d{4,}$/).waitFor();
      await page.getByRole("link", { name: "双胎、多胎：登记下一个" }).click();
      await page.getByText("已登记的新生儿").waitFor();
    }
    await shot(page, "newborn");

    await page.goto(at(`/persons/special?kind=newborn&q=${encodeURIComponent(mother)}`), { waitUntil: "networkidle" });
    assert.equal(await page.locator("tbody tr").count(), 2);
    await assertNoSideways(page);
    await shot(page, "special-list");
    await page.getByRole("link", { name: `${mother}之子2` }).click();
    await page.getByText("待孩子本人的证件").first().waitFor();
    await page.getByText("同次分娩").waitFor();
    await assertNoSideways(page);
  }));

test("a death is recorded and taken back", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "yisheng");
    await page.goto(at("/persons/unknown"));
    await page.selectOption("#sex", "1");
    await page.fill("#circumstances", `火车站广场晕倒，120 送来 ${stamp}`);
    await submit(page);
    await page.getByRole("link", { name: "打开健康档案" }).click();
    await page.getByRole("link", { name: "死亡登记" }).click();
    await page.fill("#died_on", new Date(Date.now() - 86_400_000).toISOString().slice(0, 10));
    await page.selectOption("#source", "hospital");
    await assertNoSideways(page);
    await submit(page);
    await page.getByText("有效", { exact: true }).waitFor();
    await shot(page, "death");
    await page.fill("#reason", "登记错了人");
    page.once("dialog", (dialog) => dialog.accept());
    await submit(page);
    const sure = page.getByRole("button", { name: "确定", exact: true });
    if (await sure.isVisible().catch(() => false)) await sure.click();
    await page.getByText("已撤销").waitFor();
  }));

test("the identity of a twin leads to the mother", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "suoyin");
    await page.goto(at(`/index/special?kind=newborn&q=${encodeURIComponent(mother)}`));
    await page.getByRole("link", { name: `${mother}之女` }).click();
    await page.waitForURL(/\/index\/persons\/\d+/);
    await assertNoSideways(page);
    await shot(page, "identity-newborn");
    await page.getByRole("link", { name: mother, exact: true }).click();
    await page.getByRole("heading", { name: mother, exact: true }).waitFor();
    assert.equal(await page.getByText("本次分娩第").count(), 2);
  }));
