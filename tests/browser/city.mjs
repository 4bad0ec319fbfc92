// The demonstration city as the tests use it: its accounts, signing in and out, and invented people that no other
// run has used.
import assert from "node:assert/strict";
import { at } from "./browser.mjs";

const PASSWORD = "Yanshi@City8";

/** Signs in by the form and waits for the desk. */
export async function signIn(page, login) {
  await page.goto(at("/sign-in"));
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", PASSWORD);
  await page.click("button[type=submit]");
  await page.waitForURL(/\/desk$/);
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
function citizen(region, birth, serial) {
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
