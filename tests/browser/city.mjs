// The demonstration city as the tests use it: its accounts, signing in and out, and invented people that no other
// run has used.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { at } from "./browser.mjs";

/** The password of every demonstration account. */
export const PASSWORD = "Yanshi@City8";

/** Fills the form of the sign-in page; where that leads is for the caller to see. */
export async function enter(page, login, password) {
  await page.goto(at("/sign-in"));
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", password);
  await page.click("form[action='/sign-in'] button[type=submit]");
}

/** Signs in by the form and waits for the desk. */
export async function signIn(page, login, password = PASSWORD) {
  await enter(page, login, password);
  await page.waitForURL(/\/desk$/);
}

/** The first sign-in with a told password: the page of one's own account, where another one is chosen. */
export async function firstSignIn(page, login, told, password = PASSWORD) {
  await enter(page, login, told);
  await page.waitForURL(/\/account$/);
  await page.getByText("请先修改密码").waitFor();
  await page.fill("#present", told);
  await page.fill("#wanted", password);
  await page.fill("#again", password);
  await page.getByRole("button", { name: "修改密码" }).click();
  await page.getByText("请先修改密码").waitFor({ state: "detached" });
}

/** What an authenticator app shows for a secret (base32), so many steps of 30 s from now (RFC 6238). */
export function oneTimeCode(secret, steps = 0) {
  const bits = [...secret.replaceAll(/[\s=]/g, "")]
    .map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const tag = createHmac("sha1", key).update(counter).digest();
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, "0");
}

/** A credit code of no registration authority that there is, with its check character (GB 32100). */
export function creditCode(region, serial) {
  const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY";
  const first = `XX${region}${String(serial).padStart(8, "0")}Y`;
  const weights = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
  const sum = [...first].reduce((total, letter, place) => total + alphabet.indexOf(letter) * weights[place], 0);
  return first + alphabet[(31 - (sum % 31)) % 31];
}

/** Signs out by the account menu. */
export async function signOut(page) {
  await page.locator(".mk-menu > summary").click();
  await page.getByRole("button", { name: "退出登录" }).click();
  await page.waitForURL(/\/sign-in/);
}

const GIVEN = [
  ["安", "a"], ["柏", "b"], ["辰", "c"], ["迪", "d"], ["恩", "e"], ["枫", "f"], ["格", "g"], ["珩", "h"], ["吉", "j"],
  ["凯", "k"], ["澜", "l"], ["铭", "m"], ["宁", "n"], ["沛", "p"], ["琪", "q"], ["然", "r"], ["森", "s"], ["涛", "t"],
  ["雯", "w"], ["曦", "x"], ["岳", "y"], ["泽", "z"],
];
const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

/** A citizen number with its check digit. */
export function citizen(region, birth, serial) {
  const body = `${region}${birth.replaceAll("-", "")}${String(serial).padStart(3, "0")}`;
  const sum = [...body].reduce((total, digit, place) => total + Number(digit) * WEIGHTS[place], 0);
  return body + "10X98765432"[sum % 11];
}

/** An invented person of this run: `stamp` is the moment of the run in milliseconds. */
export function invented(stamp) {
  const of = (divisor, size) => Math.floor(stamp / divisor) % size;
  const given = [GIVEN[of(1, GIVEN.length)], GIVEN[of(22, GIVEN.length)]];
  // Months and days that every year has.
  const birth = new Date(Date.UTC(1940 + of(7, 50), of(11, 12), 1 + of(13, 28))).toISOString().slice(0, 10);
  return {
    name: `欧阳${given.map(([word]) => word).join("")}`,
    initials: `oy${given.map(([, letter]) => letter).join("")}`,
    birth,
    // Below 900, so that nobody of the demonstration city has it; even: a woman.
    credential: citizen("411503", birth, 2 * of(1000, 450)),
    number: `BT${stamp}`,
  };
}

/** `2025-03-04 09:30` in China, so many days before `stamp`. */
export function chinaTime(stamp, daysBefore, clock) {
  const day = new Date(stamp + (8 - 24 * daysBefore) * 3_600_000).toISOString().slice(0, 10);
  return `${day} ${clock}`;
}

/** A CSV file for the file field. */
export function csv(name, rows) {
  return { name, mimeType: "text/csv", buffer: Buffer.from(rows.map((row) => row.join(",")).join("\n") + "\n") };
}

/** Fails when the page is wider than the window. */
export async function assertNoSideways(page) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px wider than the window: ${page.url()}`);
}
