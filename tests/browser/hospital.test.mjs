// A hospital comes to the city: the commission registers it and opens its engineer and its doctor; the doctor signs in
// for the first time, sets a password and one-time codes, and breaks the glass over a record outside their care; the
// auditor finds that in the trail, and the desk of reviews has it. In this order: each test stands on the one before.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { at, base, close, shot, withPage } from "./browser.mjs";
import {
  assertNoSideways, chinaTime, creditCode, csv, enter, firstSignIn, invented, oneTimeCode, signIn, signOut,
} from "./city.mjs";

after(close);

const options = { skip: base ? false : "MINKANG_URL is not set" };
const stamp = Date.now();
// Somebody else than the person of flow.test.mjs, should both begin in the same moment.
const who = invented(stamp + 7919);
const hospital = `（演示）平桥区第二人民医院${stamp % 100_000}`;
const mark = stamp.toString(36);
const engineer = { login: `gcs.${mark}`, name: "耿程" };
const doctor = { login: `ys.${mark}`, name: "殷晟", number: `Y${mark}` };
const emergency = `患者昏迷由救护车送入 ${stamp}`;

/** Types into a field with look-up and takes the first that is offered under these words. */
async function pick(page, id, words, name) {
  await page.locator(`#${id}`).pressSequentially(words);
  await page.locator(".mk-field-line", { has: page.locator(`#${id}`) }).locator(".mk-pick li", { hasText: name }).first().click();
}

/** Follows an entry of the menu. */
const rail = (page, title) => page.locator(".mk-rail").getByRole("link", { name: title, exact: true }).click();

/** Opens an account by the form; returns the password that is shown once. */
async function openAccount(page, { login, name, number }, role) {
  await rail(page, "账号");
  await page.getByRole("link", { name: "开通账号" }).first().click();
  await page.waitForURL(/\/accounts\/new$/);
  await page.fill("#name", name);
  await page.fill("#login", login);
  if (number) await page.fill("#staff_no", number);
  await page.selectOption("#role", { label: role });
  await page.selectOption("#institution", { label: hospital });
  await page.getByRole("button", { name: "开通", exact: true }).click();
  await page.getByText("初始密码（只显示这一次）").waitFor();
  return (await page.locator(".mk-secret").innerText()).trim();
}

test("the commission opens a hospital, its engineer and a doctor", options, () =>
  withPage({ allow: /422/ }, async (page) => {
    await signIn(page, "weijian");
    await rail(page, "机构");
    await page.waitForURL(/\/institutions$/);
    await page.getByRole("link", { name: "登记", exact: true }).first().click();
    await page.waitForURL(/\/institutions\/new/);
    // A code copied wrongly: the form comes again, with what is wrong beside the field and nothing typed lost.
    const code = creditCode("411503", stamp % 90_000_000);
    await page.fill("#code", code.slice(0, 17) + (code.endsWith("0") ? "1" : "0"));
    await page.fill("#name", hospital);
    await pick(page, "class", "综合医院", "综合医院");
    await page.selectOption("#sender_class", { label: "医院" });
    await pick(page, "region", "411503", "平桥区");
    await page.fill("#_reason", "豫卫医〔2026〕12 号");
    await page.getByRole("button", { name: "保存" }).click();
    await page.getByText("末位为校验位").waitFor();
    await shot(page, "institution-form");
    assert.equal(await page.inputValue("#name"), hospital);
    await page.fill("#code", code);
    await page.getByRole("button", { name: "保存" }).click();
    await page.waitForURL(/\/institutions\/\d+$/);
    await page.getByRole("heading", { name: hospital }).waitFor();
    await assertNoSideways(page);

    // The doctor stands in the register of staff before the account is opened.
    await rail(page, "卫生人员");
    await page.getByRole("link", { name: "登记", exact: true }).first().click();
    await page.waitForURL(/\/staff\/new/);
    await pick(page, "institution", code, hospital);
    await page.fill("#staff_no", doctor.number);
    await page.fill("#name", doctor.name);
    await page.selectOption("#category", { label: "执业医师" });
    await page.getByRole("button", { name: "保存" }).click();
    await page.waitForURL(/\/staff\/\d+$/);

    engineer.told = await openAccount(page, engineer, "医院数据工程师");
    doctor.told = await openAccount(page, doctor, "医院医生");
    await page.getByRole("link", { name: "查看账号" }).click();
    await page.getByText("待改初始密码").waitFor();
    await shot(page, "account-opened");
    await signOut(page);
  }));

test("the engineer chooses a password and sees the hospital's own uploads only", options, () =>
  withPage({}, async (page) => {
    await firstSignIn(page, engineer.login, engineer.told);
    await page.goto(at("/batches"));
    await page.getByRole("link", { name: "上传文件" }).first().waitFor();
    assert.ok(!(await page.locator("main").innerText()).includes("平桥区人民医院"), "nothing of another hospital");
    await signOut(page);
  }));

test("another hospital sends a visit that is protected", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "gongcheng");
    await page.goto(at("/batches/new"));
    await page.selectOption("#dataset", "outpatient_visit");
    await page.setInputFiles("input[type=file]", csv("protected.csv", [
      ["门诊就诊流水号", "患者编号", "患者姓名", "性别代码", "出生日期", "身份证件类别代码", "身份证件号码", "患者类型代码", "就诊日期时间",
        "就诊科室名称", "接诊医师姓名", "主要诊断代码", "主要诊断名称", "门诊费用金额"],
      [`MZ${stamp}p`, who.number, who.name, "2", who.birth, "01", who.credential, "1", chinaTime(stamp, 9, "10:05"),
        "精神科", "何平", "F20.900", "精神分裂症", "120.00"],
      [`MZ${stamp}q`, who.number, who.name, "2", who.birth, "01", who.credential, "1", chinaTime(stamp, 5, "10:05"),
        "全科", "何平", "I10.x00", "高血压病", "56.00"],
    ]));
    await page.locator("form[action='/batches'] button[type=submit]").click();
    await page.locator(".mk-facts .mk-badge", { hasText: "完成" }).waitFor();
  }));

test("the doctor sets up one-time codes, signs in with one, and breaks the glass", options, () =>
  withPage({}, async (page) => {
    await firstSignIn(page, doctor.login, doctor.told);
    await page.getByRole("link", { name: "启用动态口令" }).click();
    await page.waitForURL(/\/account\/code$/);
    await page.locator("svg.mk-qr").waitFor();
    await shot(page, "one-time-code");
    const secret = (await page.locator(".mk-secret").first().innerText()).trim();
    // The code of the step before, which still serves: the next one is left for signing in.
    await page.fill("#code", oneTimeCode(secret, -1));
    await page.getByRole("button", { name: "启用" }).click();
    await page.getByText("备用码（只显示这一次）").waitFor();
    assert.equal(await page.locator(".mk-codes li").count() >= 8, true);
    await page.getByRole("link", { name: "我已保存" }).click();
    await signOut(page);

    await enter(page, doctor.login, "Yanshi@City8");
    await page.waitForURL(/\/sign-in\/code/);
    await page.fill("#code", oneTimeCode(secret));
    await page.getByRole("button", { name: "验证" }).click();
    await page.waitForURL(/\/desk$/);

    await page.locator(".mk-find input[name=q]").fill(who.name);
    await page.locator(".mk-find input[name=q]").press("Enter");
    await page.waitForURL(/\/persons\?/);
    await page.locator("tbody tr", { hasText: who.name }).filter({ hasText: who.birth }).first()
      .getByRole("link").first().click();
    await page.getByRole("heading", { name: "填写使用目的" }).waitFor();
    await page.getByLabel("急救").check();
    await page.fill("#note", "急诊接诊，了解病史");
    await page.getByRole("button", { name: "查看健康档案" }).click();
    await page.locator(".mk-person-name", { hasText: who.name }).waitFor();
    const main = page.locator("main");
    assert.match(await main.innerText(), /高血压病/);
    assert.ok(!(await main.innerText()).includes("精神分裂症"), "protected content does not show");
    await page.locator(".mk-protected").getByText("受保护").waitFor();
    await shot(page, "record-protected");

    await page.locator(".mk-protected").getByRole("link", { name: "紧急调阅" }).click();
    await page.getByRole("heading", { name: "紧急调阅" }).first().waitFor();
    await shot(page, "glass-form");
    await page.getByLabel("患者意识不清").check();
    await page.fill("#reason", emergency);
    await page.getByRole("button", { name: "紧急调阅" }).click();
    await page.locator(".mk-event", { hasText: "精神分裂症" }).first().waitFor();
    await shot(page, "glass-open");
    await signOut(page);
  }));

test("the auditor finds it in the trail, and the desk of reviews has it", options, () =>
  withPage({}, async (page) => {
    await signIn(page, "shenji");
    // Told at once, at the bell, and waiting on the desk.
    await page.goto(at("/notices"));
    await page.getByText(`${doctor.name}（${hospital}）紧急调阅了一份健康档案，请复核`).waitFor();
    await page.goto(at(`/audit?actor=${encodeURIComponent(doctor.name)}`));
    const row = page.locator("tbody tr", { hasText: emergency }).first();
    const text = await row.innerText();
    for (const words of [doctor.name, who.name, "成功"]) assert.ok(text.includes(words), `${words} in: ${text}`);
    await shot(page, "audit-glass");

    await page.getByRole("link", { name: "紧急调阅复核" }).first().click();
    await page.waitForURL(/\/glass$/);
    const waiting = page.locator("tbody tr", { hasText: emergency });
    assert.match(await waiting.innerText(), /待复核/);
    assert.ok(!(await waiting.innerText()).includes(who.name), "who it was is masked in the list");
    await shot(page, "glass-list");
    await waiting.getByRole("link").first().click();
    await page.waitForURL(/\/glass\/\d+$/);
    await page.getByLabel("理由成立").check();
    await page.fill("#note", "核对急诊登记与 120 出车单，情况属实");
    await shot(page, "glass-review");
    await page.getByRole("button", { name: "提交复核" }).click();
    await page.getByText("复核结论").waitFor();
    await page.goto(at("/glass?state=justified"));
    await page.locator("tbody tr", { hasText: emergency }).waitFor();
    await signOut(page);
  }));
