// One day in a city: a hospital's engineer uploads files, a doctor reads the record that they made, the auditor finds
// that reading, and the data manager follows a cell of the quality matrix down to the rows. In this order: each test
// stands on what the one before it did.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { PHONE, at, base, close, shot, withPage } from "./browser.mjs";
import { assertNoSideways, chinaTime, csv, invented, signIn, signOut } from "./city.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };
const stamp = Date.now();
const who = invented(stamp);
const reason = `浏览器流程核对 ${stamp}`;
const complaint = `反复头晕三天 ${stamp}`;
let record;

/** Uploads a file by the form; returns when the receipt is final. */
async function upload(page, dataset, file) {
  await page.goto(at("/batches"));
  await page.getByRole("link", { name: "上传文件" }).first().click();
  await page.waitForURL(/\/batches\/new/);
  await page.selectOption("#dataset", dataset);
  await page.setInputFiles("input[type=file]", file);
  await page.locator("form[action='/batches'] button[type=submit]").click();
  await page.waitForURL(/\/batches\/\d+$/);
  // The receipt refreshes itself until the batch is done.
  await page.locator(".mk-facts .mk-badge", { hasText: "完成" }).waitFor();
}

/** The count that a receipt shows under this word. */
async function figure(page, word) {
  const box = page.locator(".mk-figure", { has: page.getByText(word, { exact: true }) });
  return Number((await box.locator("b, strong, .mk-figure-value").first().innerText()).replaceAll(/\D/g, ""));
}

test("the engineer uploads a file with a bad row, reads the issues and downloads the rows to mend", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "gongcheng");
    const head = [
      "门诊就诊流水号", "患者编号", "患者姓名", "性别代码", "出生日期", "身份证件类别代码", "身份证件号码", "患者类型代码", "就诊日期时间",
      "就诊科室名称", "接诊医师姓名", "主诉", "主要诊断代码", "主要诊断名称", "门诊费用金额",
    ];
    const visit = (serial, time) => [
      `MZ${stamp}${serial}`, who.number, who.name, "2", who.birth, "01", who.credential, "1", time,
      "全科", "何平", complaint, "I10.x00", "高血压病", "86.50",
    ];
    await upload(page, "outpatient_visit", csv("visits.csv", [
      head, visit("a", chinaTime(stamp, 40, "08:20")), visit("b", chinaTime(stamp, 1, "09:12")), visit("c", "昨天上午"),
    ]));
    assert.equal(await figure(page, "收到"), 3);
    assert.equal(await figure(page, "新入库"), 2);
    assert.equal(await figure(page, "拒收"), 1);
    await shot(page, "receipt");

    await page.getByRole("link", { name: /^全部 \d+ 条$/ }).click();
    await page.waitForURL(/\/issues/);
    const issue = page.locator("tbody tr", { hasText: "昨天上午" }).first();
    assert.match(await issue.innerText(), /就诊日期时间/);
    assert.match(await issue.innerText(), /拒收/);
    await page.goBack();

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "下载待改正的行" }).click(),
    ]);
    const repair = await readFile(await download.path(), "utf8");
    assert.match(repair, new RegExp(`MZ${stamp}c`));
    assert.match(repair, /昨天上午/);

    await upload(page, "lab_report", csv("reports.csv", [
      ["检验报告单编号", "患者编号", "患者姓名", "性别代码", "患者类型代码", "报告名称", "标本类别", "检验日期时间", "报告日期时间"],
      ...[40, 1].map((days) => [
        `JY${stamp}-${days}`, who.number, who.name, "2", "1", "空腹血糖", "血清", chinaTime(stamp, days, "09:40"),
        chinaTime(stamp, days, "10:30"),
      ]),
    ]));
    await upload(page, "lab_result", csv("results.csv", [
      ["检验报告单编号", "项目序号", "患者编号", "检验项目代码", "检验项目名称", "检验结果", "检验定量结果", "检验计量单位", "参考值下限",
        "参考值上限", "异常提示代码", "检验日期时间", "报告日期时间"],
      ...[[40, "8.4"], [1, "7.2"]].map(([days, value]) => [
        `JY${stamp}-${days}`, "1", who.number, "GLU", "空腹血糖", value, value, "mmol/L", "3.9", "6.1", "H",
        chinaTime(stamp, days, "09:40"), chinaTime(stamp, days, "10:30"),
      ]),
    ]));
    assert.equal(await figure(page, "新入库"), 2);
    await signOut(page);
  }));

test("the doctor finds the patient, says why, and reads the visit and the laboratory trend", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "yisheng");
    for (const words of [who.name, who.initials]) {
      await page.locator(".mk-find input[name=q]").fill(words);
      await page.locator(".mk-find input[name=q]").press("Enter");
      await page.waitForURL(/\/persons\?/);
      await page.locator("tbody tr", { hasText: who.name }).filter({ hasText: who.birth }).first().waitFor();
    }
    await page.locator("tbody tr", { hasText: who.name }).filter({ hasText: who.birth }).first()
      .getByRole("link").first().click();
    await page.waitForURL(/\/record\/\d+/);

    // She has never been to this doctor's institution.
    await page.getByRole("heading", { name: "填写使用目的" }).waitFor();
    assert.ok(!(await page.locator("main").innerText()).includes(who.name), "the name is masked until then");
    await page.getByLabel("会诊").check();
    await page.fill("#note", reason);
    await page.getByRole("button", { name: "查看健康档案" }).click();
    await page.locator(".mk-person-name", { hasText: who.name }).waitFor();
    record = new URL(page.url()).pathname;

    const visit = page.locator(".mk-event", { hasText: "高血压病" }).first();
    assert.match(await visit.innerText(), new RegExp(chinaTime(stamp, 1, "09:12").slice(0, 10)));
    await visit.locator("summary").click();
    await visit.locator(".mk-event-body").getByText(complaint).first().waitFor();
    await shot(page, "record");

    await page.locator(".mk-tabs").getByRole("link", { name: /^检验/ }).click();
    await page.waitForURL(/tab=laboratory/);
    const row = page.locator("tbody tr", { hasText: "空腹血糖" }).first();
    assert.match(await row.innerText(), /7\.2 ↑[\s\S]*8\.4 ↑/, "the last result stands before the one before it");
    await row.getByRole("link").first().click();
    await page.waitForURL(/\/result\?item=/);
    const canvas = page.locator(".mk-chart-canvas canvas").first();
    await canvas.waitFor();
    const drawn = await canvas.evaluate((element) => {
      const pixels = element.getContext("2d").getImageData(0, 0, element.width, element.height).data;
      const colours = new Set();
      for (let at = 0; at < pixels.length; at += 4) {
        if (pixels[at + 3] > 0) colours.add((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
      }
      return colours.size;
    });
    assert.ok(drawn > 10, `the trend is drawn (${drawn} colours)`);
    await shot(page, "trend");
    await signOut(page);
  }));

test("the record fits a phone", options, () =>
  withPage({ viewport: PHONE }, async (page) => {
    await signIn(page, "yisheng");
    await assertNoSideways(page);
    for (const tab of ["", "?tab=visit", "?tab=laboratory", "?tab=medication", "?tab=public_health"]) {
      await page.goto(at(record + tab), { waitUntil: "networkidle" });
      // The purpose said at the desk holds for two hours.
      await page.locator(".mk-person-name", { hasText: who.name }).waitFor();
      await assertNoSideways(page);
    }
    await page.goto(at(record));
    const visit = page.locator(".mk-event", { hasText: "高血压病" }).first();
    await visit.locator("summary").click();
    await visit.locator(".mk-event-body").getByText(complaint).first().waitFor();
    await assertNoSideways(page);
    await shot(page, "record-phone");
    await page.getByRole("button", { name: "打开菜单" }).click();
    await page.locator(".mk-rail").getByRole("link", { name: "居民查询" }).click();
    await page.waitForURL(/\/persons/);
    await assertNoSideways(page);
  }));

test("the printed summary says whose it is", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "yisheng");
    await page.goto(at(`${record}/print`));
    // The width between the margins of an A4 sheet: narrower than many a phone's page, yet no phone.
    await page.setViewportSize({ width: 703, height: 1000 });
    await page.emulateMedia({ media: "print" });
    const banner = page.locator(".mk-person");
    for (const words of [who.name, who.birth]) await banner.getByText(words).first().waitFor();
    assert.equal(await page.getByRole("link", { name: "返回健康档案" }).isVisible(), false, "buttons are not printed");
    await assertNoSideways(page);
  }));

test("the auditor finds that reading with its purpose", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "shenji");
    await page.getByRole("link", { name: "审计日志" }).first().click();
    await page.waitForURL(/\/audit/);
    await page.fill("input[name=object]", who.name);
    await page.locator(".mk-filters button[type=submit]").click();
    await page.waitForURL(/object=/);
    const row = page.locator("tbody tr", { hasText: reason }).filter({ hasText: "查看健康档案" }).first();
    const text = await row.innerText();
    for (const words of ["易笙", "会诊", who.name, "成功"]) assert.ok(text.includes(words), `${words} in: ${text}`);
    await shot(page, "audit");
    await signOut(page);
  }));

test("the data manager goes from a cell of the quality matrix to the rows", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "shuju");
    await page.getByRole("link", { name: "质量监测" }).first().click();
    await page.waitForURL(/\/quality$/);
    await shot(page, "quality");
    // The day of the uploaded visit, in the hospital that sent it.
    const day = chinaTime(stamp, 1, "").trim();
    const line = page.locator(".mk-matrix tbody tr", { hasText: "平桥区人民医院" });
    await line.locator(`a[href*="day=${day}"]`).click();
    await page.waitForURL(/\/quality\/day\?/);
    // The data set's rows, not those that a rule between data sets found.
    await page.locator('a[href*="dataset=outpatient_visit"]:not([href*="rule="])', { hasText: "看行" }).click();
    await page.waitForURL(/\/quality\/rows\?/);
    const row = page.locator("tbody tr", { hasText: `MZ${stamp}b` });
    await row.waitFor();
    const text = await page.locator("main").innerText();
    assert.ok(!text.includes(who.credential) && !text.includes(who.name), "who the rows are about stays masked");
    await signOut(page);

    const answer = await page.goto(at("/quality"));
    assert.match(page.url(), /\/sign-in/, `signed out, asked for the monitor: ${answer.status()}`);
  }));
