// A county splits in two through the pages of the divisions, and the table of last year is unchanged. Undone at the end.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { at, base, close, shot, withPage } from "./browser.mjs";
import { assertNoSideways, signIn, signOut } from "./city.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };
const county = "411503000000";
const mingang = "明港区";
const thisYear = new Date().getFullYear();
const lastYear = `/quality/ranking?day_from=${thisYear - 1}-12-01&day_to=${thisYear - 1}-12-31`;
const now = "/quality/ranking";
let operation;
let before;

/** The whole table of a ranking, and the counties that its filter offers. */
async function ranking(page, path) {
  await page.goto(at(path));
  const counties = await page.locator("select[name=county] option").allInnerTexts();
  return { table: await page.locator("main table").innerText(), counties };
}

/** Waits until the operation stands in this state; the page asks for its progress by itself. */
async function settled(page, word) {
  const badge = page.locator(".mk-head .mk-badge");
  if (/待执行|执行中|撤回中/.test(await badge.innerText())) await page.getByText("请刷新页面查看结果").waitFor();
  await page.goto(at(operation));
  await badge.getByText(word).waitFor();
}

test("an administrator begins this year's edition and asks for the split of a county", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "weijian");
    await page.goto(at("/divisions/import"));
    if (!(await page.locator("main").innerText()).includes(`${thisYear} 年版`)) {
      const form = page.locator("form[action='/divisions/editions']");
      await form.locator("input[name=year]").fill(String(thisYear));
      await form.locator("input[name=from]").fill(`${thisYear}-01-01`);
      await form.locator("button[type=submit]").click();
      await page.locator("tbody tr", { hasText: `${thisYear} 年版` }).getByText("现行").waitFor();
    }
    before = { last: await ranking(page, lastYear), now: await ranking(page, now) };
    assert.ok(before.last.table.includes("平桥区") && !before.last.table.includes(mingang));

    await page.goto(at(`/divisions/${county}`));
    await page.getByRole("link", { name: "拆分", exact: true }).click();
    await page.waitForURL(/operations\/new/);
    await page.fill("#part2_name", mingang);
    // The town of that name and its neighbours leave, with who lives and what lies there.
    for (const town of ["明港镇", "邢集镇", "五里镇"]) {
      const label = page.locator("label", { has: page.locator("select[name^=child_]") }).filter({ hasText: town });
      if (await label.count()) await label.locator("select").selectOption("2");
    }
    await page.fill("#reason", "国函〔2026〕3 号");
    await shot(page, "split-form");
    await page.getByRole("button", { name: "预览影响" }).click();
    await page.getByRole("heading", { name: /预览：拆分/ }).waitFor();
    await page.getByText("往年的统计不受影响").waitFor();
    const main = await page.locator("main").innerText();
    assert.match(main, /随之变动：机构（家） [1-9]/);
    assert.match(main, /随之变动：居民（人） [1-9]/);
    for (const words of ["账号", mingang]) assert.ok(main.includes(words), `${words} in the preview`);
    await shot(page, "split-preview");
    await assertNoSideways(page);
    await page.getByRole("button", { name: "提交审批" }).click();
    await page.waitForURL(/\/divisions\/operations\/\d+$/);
    operation = new URL(page.url()).pathname;
    await page.getByText("等待审批").waitFor();
    await signOut(page);
  }));

test("the director approves, the county is two, and last year's table is unchanged", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "juzhang");
    await page.goto(at(operation));
    await page.getByRole("button", { name: "同意并执行" }).click();
    await settled(page, "完成");
    await shot(page, "split-done");

    const after = { last: await ranking(page, lastYear), now: await ranking(page, now) };
    assert.deepEqual(after.last, before.last, "last year's table and its counties");
    assert.ok(after.now.counties.some((name) => name.endsWith(mingang)), `the counties of now: ${after.now.counties}`);
    assert.notEqual(after.now.table, before.now.table, "institutions lie in the new county now");
    // The same days, asked for in the divisions of now.
    const mapped = await ranking(page, `${lastYear}&year=${thisYear}`);
    assert.ok(mapped.counties.some((name) => name.endsWith(mingang)), `${mapped.counties}`);
    await page.goto(at(`/divisions/${county}?year=${thisYear}`));
    await shot(page, "split-county");

    await page.goto(at(operation));
    await page.fill("#reason", "批复撤回");
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "撤回这次调整" }).click();
    await settled(page, "已撤回");
    const undone = { last: await ranking(page, lastYear), now: await ranking(page, now) };
    assert.deepEqual(undone, before, "the undo is exact");
    await signOut(page);
  }));
