// The review desk of the master index: a hospital registers somebody twice, once by ear; the reviewer compares, decides
// by key, takes it back, asks the hospital, which answers, and keeps the two apart; the one who answers for the index
// sees numbers in full and who did what. In this order: each test stands on the one before.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { at, base, close, shot, withPage } from "./browser.mjs";
import { assertNoSideways, chinaTime, citizen, csv, signIn, signOut } from "./city.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };
const stamp = Date.now();
const of = (divisor, list) => list[Math.floor(stamp / divisor) % list.length];
// Names that no other run has had, and nobody of the city. Each second registration tells a little more than the one
// before, so that with any model some of them are in doubt.
const GIVEN = [..."柏辰迪恩枫格珩凯澜沛琪然森曦岳泽"];
const family = of(16, ["皇甫", "尉迟", "令狐", "上官", "慕容", "诸葛"]);
const day = (divisor, size) => String(1 + (Math.floor(stamp / divisor) % size)).padStart(2, "0");
const ADDRESS = "河南省信阳市平桥区明港镇新集村五组";
const MORE = [["", ""], ["01", ""], ["", "411503000000"], ["01", "411503000000"], ["", "411503101000"], ["01", "411503101000"]];
const people = MORE.map(([ethnicity, region], n) => {
  const given = GIVEN[(stamp + 3 * n) % GIVEN.length];
  const birth = `19${60 + ((Math.floor(stamp / 96) + 5 * n) % 30)}-${day(7, 12)}-${day(11, 28)}`;
  return {
    name: `${family}${given}伟`, heard: `${family}${given}玮`, birth, ethnicity, region, no: `HD${stamp}${n}`,
    number: citizen("411503", birth, 1 + 2 * ((Math.floor(stamp / 1000) + n) % 440)), phone: `1395${String(stamp + 7 * n).slice(-7)}`,
  };
});
let who;
const question = `请核对身份证上的姓名 ${stamp}`;
let task;

test("the hospital registers somebody with the card, and somebody by ear", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "gongcheng");
    await page.goto(at("/batches/new"));
    await page.selectOption("#dataset", "patient");
    await page.setInputFiles("input[type=file]", csv("patients.csv", [
      ["患者编号", "患者姓名", "性别代码", "出生日期", "身份证件类别代码", "身份证件号码", "电话号码", "民族代码", "现住址", "现住址行政区划代码",
        "建档日期时间"],
      ...people.flatMap((p) => [
        [`${p.no}a`, p.name, "1", p.birth, "01", p.number, p.phone, "01", ADDRESS, "411503101000", chinaTime(stamp, 20, "09:00:00")],
        [`${p.no}b`, p.heard, "1", p.birth, "", "", "", p.ethnicity, "", p.region, chinaTime(stamp, 10, "09:00:00")],
      ]),
    ]));
    await page.locator("form[action='/batches'] button[type=submit]").click();
    await page.locator(".mk-facts .mk-badge", { hasText: "完成" }).waitFor();
    await signOut(page);
  }));

test("the reviewer compares them, decides by key, takes it back and asks the hospital", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "hedui");
    await page.locator(".mk-rail").getByRole("link", { name: "待核对登记" }).click();
    await page.waitForURL(/\/index\/review$/);
    assert.ok(await page.locator("tbody tr").count() > 1, "the demonstration city has cases of its own");
    await assertNoSideways(page);
    await shot(page, "review-queue");
    await page.fill("input[name=name]", family);
    await page.locator(".mk-filters button[type=submit]").click();
    await page.waitForURL(/name=/);
    const mine = page.locator("tbody tr", { hasText: new RegExp(people.map((p) => p.heard).join("|")) }).first();
    const row = await mine.innerText();
    who = people.find((p) => row.includes(p.heard));
    await mine.getByRole("link").first().click();
    await page.waitForURL(/\/index\/review\/\d+/);
    task = new URL(page.url()).pathname;

    const names = page.locator(".mk-compare tbody tr").first();
    assert.deepEqual((await names.locator("mark").allInnerTexts()).sort(), ["伟", "玮"], "what differs is marked, nothing else");
    assert.match(await names.innerText(), /同音/);
    assert.ok(await page.locator(".mk-bit-for").count() > 1, "evidence is drawn");
    const text = await page.locator("main").innerText();
    assert.ok(!text.includes(who.number) && text.includes(who.number.slice(-4)), "the number is masked");
    await shot(page, "review-compare");
    await assertNoSideways(page);

    await page.keyboard.press("1");
    await page.getByText("上一项已记为“是同一人”").waitFor();
    assert.notEqual(new URL(page.url()).pathname, task, "the next one opens");
    await shot(page, "review-next");
    await page.keyboard.press("u");
    await page.waitForURL((url) => url.pathname === task);
    await page.locator(".mk-head .mk-badge", { hasText: "待核对" }).waitFor();

    // J goes on, K comes back.
    await page.keyboard.press("j");
    await page.waitForURL((url) => /\/index\/review\/\d+$/.test(url.pathname) && url.pathname !== task);
    await page.keyboard.press("k");
    await page.waitForURL((url) => url.pathname === task);

    await page.keyboard.press("3");
    // A key typed into a field is a letter, not an answer.
    await page.locator("input[name=question]").pressSequentially(`${question}12`);
    await shot(page, "review-ask");
    await page.getByRole("button", { name: "发出" }).click();
    await page.getByText("上一项已请机构核实").waitFor();
    await signOut(page);
  }));

test("the hospital's engineer is told, and answers about the own registration", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "gongcheng");
    await page.goto(at("/notices"));
    await page.getByText("何对 请核实一条患者登记").first().click();
    await page.waitForURL(/\/index\/questions\/\d+$/);
    await page.getByText(question).first().waitFor();
    const text = await page.locator("main").innerText();
    assert.ok(text.includes(who.no) && !text.includes(who.name) && !text.includes(who.heard), "found by the own number, the name masked");
    await page.getByLabel("登记无误").check();
    await page.fill("#note", "已对照身份证复印件");
    await shot(page, "review-question");
    await page.getByRole("button", { name: "答复" }).click();
    await page.getByText("已对照身份证复印件").waitFor();
    await signOut(page);
  }));

test("the reviewer keeps the two apart, sees it on the page of the person, and takes it back", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "hedui");
    await page.goto(at(task));
    await page.getByText("登记无误").first().waitFor();
    await page.getByLabel("理由", { exact: true }).fill("机构已对照证件");
    await page.locator(".mk-head h1").click();
    await page.keyboard.press("2");
    await page.getByText("上一项已记为“不是同一人”").waitFor();

    await page.goto(at(`/index/operations?kind=apart`));
    await page.locator("tbody tr", { hasText: "机构已对照证件" }).first().waitFor();
    await shot(page, "review-operations");
    await page.goto(at(task));
    await page.getByText("结论：不是同一人").waitFor();
    await page.getByRole("link", { name: "甲 的身份页" }).first().click();
    await page.waitForURL(/\/index\/persons\/\d+$/);
    for (const words of ["最佳记录", "身份时间线", "确认不是同一人"]) await page.getByText(words).first().waitFor();
    await shot(page, "review-person");
    await assertNoSideways(page);

    // By hand: the other is found by name; what a person told apart stays apart until that is taken back.
    await page.getByRole("link", { name: "与另一人合并" }).click();
    await page.fill("input[name=q]", who.heard);
    await page.locator(".mk-filters button[type=submit]").click();
    await page.locator("tbody tr", { hasText: who.heard }).getByRole("link").first().click();
    await page.waitForURL(/other=/);
    await shot(page, "review-merge");
    await page.goto(at(task));
    await page.getByLabel("撤销的理由").fill("本人到场核实");
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "撤销这个结论" }).click();
    await page.locator(".mk-head .mk-badge", { hasText: "待核对" }).waitFor();
    await signOut(page);
  }));

test("who answers for the index sees numbers in full, and what was done", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "suoyin");
    await page.goto(at(task));
    await page.getByRole("button", { name: "显示完整号码" }).click();
    await page.getByText(who.number).first().waitFor();
    await page.keyboard.press("1");
    await page.getByText("上一项已记为“是同一人”").waitFor();
    await page.goto(at("/index/figures"));
    await page.locator("tbody tr", { hasText: "索颖" }).waitFor();
    await page.locator(".mk-chart-canvas canvas").first().waitFor();
    await shot(page, "review-figures");
    for (const path of ["/index/suspects", "/index/runs", "/index/models"]) {
      await page.goto(at(path));
      await page.locator(".mk-head h1").waitFor();
      await assertNoSideways(page);
    }
    await signOut(page);
    // The auditor sees who looked at the number in full.
    await signIn(page, "shenji");
    await page.goto(at(`/audit?actor=${encodeURIComponent("索颖")}&act=person.reveal`));
    await page.locator("tbody tr", { hasText: who.name }).first().waitFor();
  }));
