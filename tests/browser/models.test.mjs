// Runs and models of the master index: the whole registry is evaluated anew, the proposal is approved, applied and taken
// back; a model is learnt, compared with the one in force by what each would decide, put in force, and the former put
// back. In this order: each test stands on the one before.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { at, base, close, shot, withPage } from "./browser.mjs";
import { assertNoSideways, signIn, signOut } from "./city.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };
const stamp = Date.now();
const why = `抽查无误 ${stamp}`;
let relink;
let model;

/** Waits until a run has come to a state, the page being looked at again when its progress says that it has ended. */
async function reaches(page, word) {
  const badge = page.locator(".mk-head .mk-badge", { hasText: word });
  const ended = page.getByText("请刷新页面查看结果");
  for (let look = 0; look < 20; look += 1) {
    if (await badge.count()) return;
    await ended.or(badge).first().waitFor();
    await page.reload();
  }
  await badge.waitFor();
}

/** Presses a button that asks whether one is sure. */
async function sure(page, button) {
  page.once("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: button, exact: true }).click();
  await page.waitForURL(/\/index\/runs\/\d+$/);
}

/** A figure of the list of facts. */
const fact = async (page, name) =>
  Number((await page.locator(".mk-facts div", { has: page.locator("dt", { hasText: name }) }).locator("dd").innerText())
    .replaceAll(",", ""));

test("everybody is evaluated anew; the proposal is approved, applied and taken back", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "suoyin");
    await page.locator(".mk-rail").getByRole("link", { name: "批量关联" }).click();
    await page.waitForURL(/\/index\/runs$/);
    await sure(page, "重新评估全部登记");
    relink = new URL(page.url()).pathname;
    await reaches(page, "待审批");
    const moves = await fact(page, "改变归属的登记");
    assert.ok(moves > 0, "a city that was linked one by one leaves something for the whole");
    assert.ok(await fact(page, "登记数") >= moves);
    await page.getByText("拟议的变动（抽样）").waitFor();
    assert.ok((await page.locator("tbody tr", { hasText: "拟议" }).count()) > 0);
    await assertNoSideways(page);
    await shot(page, "models-proposal");

    // Without a reason nothing is done.
    await page.getByRole("button", { name: "批准并执行" }).click();
    assert.equal(new URL(page.url()).pathname, relink);
    await page.fill("input[name=reason]", why);
    await page.getByRole("button", { name: "批准并执行" }).click();
    await reaches(page, "已执行");
    await page.getByText(why).first().waitFor();
    assert.ok((await page.locator("tbody tr", { hasText: "已执行" }).count()) > 0);
    await shot(page, "models-applied");
    await page.goto(at("/index/operations?kind=run"));
    await page.locator("tbody tr", { hasText: why }).first().waitFor();

    await page.goto(at(relink));
    await page.fill("input[name=reason]", `另行安排 ${stamp}`);
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "撤回这次批量关联" }).click();
    await reaches(page, "已撤回");
    assert.equal(await page.locator("tbody tr", { hasText: "已撤回" }).count(), Math.min(moves, 50), "what moved is back");
    await page.goto(at("/index/operations?kind=run"));
    await page.locator("tbody tr", { hasText: why }).filter({ hasText: "已撤销" }).first().waitFor();
    await signOut(page);
  }));

test("a model is learnt and compared with the one in force by what each would decide", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "suoyin");
    await page.goto(at("/index/runs"));
    await sure(page, "训练模型");
    await reaches(page, "已完成");

    await page.locator(".mk-rail").getByRole("link", { name: "比对模型" }).click();
    await page.waitForURL(/\/index\/models$/);
    await page.locator("tbody tr", { hasText: "使用中" }).first().waitFor();
    const chosen = page.locator("form[action='/index/runs'] input[type=checkbox]:checked");
    assert.equal(await chosen.count(), 2, "the one in force and the newest are chosen");
    model = (await chosen.evaluateAll((all) => all.map((box) => Number(box.value)))).sort((a, b) => b - a)[0];
    await assertNoSideways(page);
    await shot(page, "models-list");
    await page.getByRole("button", { name: "开始比较" }).click();
    await page.waitForURL(/\/index\/runs\/\d+$/);
    await reaches(page, "已完成");
    const run = new URL(page.url()).pathname;
    for (const words of ["归为一人的登记对", "将与别人合并的人", "将被拆分的人", "送人工核对的登记对", "比对用时"]) {
      await page.getByText(words, { exact: false }).first().waitFor();
    }
    await assertNoSideways(page);
    await shot(page, "models-compared", { full: true });

    // Where the two differ, the pairs are shown with the evidence that each finds.
    await page.goto(at(`${run}/pairs`));
    await page.locator(".mk-head h1", { hasText: "结论不同的登记对" }).waitFor();
    await assertNoSideways(page);
    await shot(page, "models-pairs");
    const first = page.locator("tbody tr a").first();
    if (await first.count()) {
      const [download] = await Promise.all([
        page.waitForEvent("download"), page.getByRole("link", { name: "导出 CSV" }).click(),
      ]);
      assert.equal(download.suggestedFilename(), "differences.csv");
      await first.click();
      await page.waitForURL(/\/pairs\/\d+$/);
      for (const words of ["各模型的证据", "登记对照", "会作出的结论"]) await page.getByText(words).first().waitFor();
      const text = await page.locator("main").innerText();
      assert.ok(!/\d{17}[\dX]/.test(text), "numbers are masked");
      assert.ok((await page.locator(".mk-bits").count()) > 2, "evidence is drawn");
      await assertNoSideways(page);
      await shot(page, "models-pair");
    }
    await page.goto(at(run));
    const card = page.locator("section.mk-card", { has: page.locator(`form[action='/index/models/${model}/force']`) });
    await card.locator("input[name=reason]").fill(`比较后启用 ${stamp}`);
    await card.getByRole("button", { name: "启用这个模型" }).click();
    await page.waitForURL((url) => url.pathname === `/index/models/${model}`);
    await page.locator(".mk-head .mk-badge", { hasText: "使用中" }).waitFor();
    await page.getByText("学到的证据").waitFor();
    await assertNoSideways(page);
    await shot(page, "models-in-force", { full: true });
    await signOut(page);
  }));

test("the former model is put back", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "suoyin");
    await page.goto(at("/index/models"));
    await page.locator("tbody tr", { hasText: "随平台发布" }).getByRole("link").first().click();
    await page.waitForURL(/\/index\/models\/0$/);
    await page.locator(".mk-head .mk-badge", { hasText: "未启用" }).waitFor();
    await page.locator("form[action='/index/models/0/force'] input[name=reason]").fill(`换回 ${stamp}`);
    await page.getByRole("button", { name: "启用这个模型" }).click();
    await page.locator(".mk-head .mk-badge", { hasText: "使用中" }).waitFor();
    await page.goto(at("/index/models"));
    assert.match(await page.locator("tbody tr", { hasText: "使用中" }).first().innerText(), /随平台发布/);
    await signOut(page);
    // The auditor sees who put which model in force, and why.
    await signIn(page, "shenji");
    await page.goto(at(`/audit?actor=${encodeURIComponent("索颖")}&act=index.model`));
    for (const words of [`比较后启用 ${stamp}`, `换回 ${stamp}`]) {
      await page.locator("tbody tr", { hasText: words }).first().waitFor();
    }
  }));
