// Chromium opens the counter's page of a running demo, as a clerk does: by keyboard, without scripts, on a telephone's and a
// desk's screen, over a poor line. axe-core looks for barriers. It knows nothing of Chapar's code.
//
//   node tests/foreign/node/counter.mjs FOLDER-OF-A-DEMO [FOLDER-FOR-SCREENSHOTS]
//
// Prints one line for each test, then what was measured, and exits with 1 if one failed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import tls from "node:tls";
import { chromium } from "playwright-core";
import { PHONE, DESK, andThen, barriers, enter, runAll, screenshots, tabTo } from "./browser.mjs";

const [dir, shots] = process.argv.slice(2);
const screenshot = screenshots(shots);
const demo = JSON.parse(fs.readFileSync(path.join(dir, "demo.json"), "utf8"));
const read = (file) => fs.readFileSync(path.join(dir, file));
const { url, clerk } = demo.counter;
const password = read(demo.counter.password_file).toString().trim();
// Who is in all five registers, with an account.
const citizen = demo.sample.find((person) => person.has.length === 5 && person.iban);

const digits = (zero) => (text) => text.replace(/[0-9]/g, (digit) => String.fromCodePoint(zero + Number(digit)));
const persian = digits(0x06f0);
const arabic = digits(0x0660);

// The hash of the page's public key, of a certificate that Node has checked by the demo's authority: Chromium trusts this
// key and no other.
function pageKey() {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: hostname, port: Number(port), servername: hostname, ca: read(demo.counter.ca) }, () => {
      const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
      socket.destroy();
      resolve(crypto.createHash("sha256").update(key).digest("base64"));
    });
    socket.on("error", reject);
  });
}

const browser = await chromium.launch({
  executablePath: process.env.CHAPAR_TEST_CHROMIUM ?? "/usr/bin/chromium",
  // Tests run as root, in which Chromium's sandbox cannot start.
  args: ["--no-sandbox", `--ignore-certificate-errors-spki-list=${await pageKey()}`],
});

// A browser of its own, without cookies.
async function open({ viewport = DESK, scripts = false } = {}) {
  const context = await browser.newContext({ viewport, javaScriptEnabled: scripts, locale: "fa-IR" });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  return page;
}

const address = (where) => new URL(where, url).href;
const heading = (page) => page.locator("h1").innerText();

async function type(page, selector, text) {
  await tabTo(page, selector);
  await page.keyboard.insertText(text);
}

async function signIn(page, { by = password, to = "**/fa/" } = {}) {
  await page.goto(address("/fa/sign-in"));
  await type(page, "#id", clerk);
  await type(page, "#password", by);
  await enter(page, to);
}

async function fillIn(page, { subject = citizen.national_id, iban = citizen.iban, caseNumber = "1404-771" } = {}) {
  await type(page, "#subject", subject);
  await type(page, "#input-iban", iban);
  await type(page, "#case", caseNumber);
}

async function openForm(page) {
  await tabTo(page, ".cards a");
  await enter(page, "**/procedures/farm-loan");
}

const isAnswer = (where) => where.pathname.startsWith("/fa/inquiries/");
const receipts = (page) => page.getByText("رسید: ").locator("bdi").allInnerTexts();

async function today(page) {
  await page.goto(address("/fa/today"));
  return page.locator("tbody tr").count();
}

// How many calls of the office the gateway has recorded: what the page says of itself is not asked.
function calls() {
  const search = ["evidence", "search", "--demo", dir, "--caller", "office", "--limit", "10000", "--output", "json"];
  const { entries } = JSON.parse(execFileSync(process.env.CHAPAR_BIN, search, { stdio: ["ignore", "pipe", "ignore"] }));
  // A stream has a second record at its end.
  return entries.filter(({ kind }) => kind !== "close").length;
}

async function until(what, is) {
  for (let tries = 0; tries < 100; tries += 1) {
    if (is()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(what);
}

async function fitsItsScreen(page) {
  const { width } = page.viewportSize();
  for (const element of await page.locator("main, header, main *").all()) {
    const box = await element.boundingBox();
    if (box) assert.ok(box.x >= -1 && box.x + box.width <= width + 1, `${await element.evaluate((e) => e.outerHTML.slice(0, 90))} is wider than ${width}`);
  }
}

async function wholeInquiry({ viewport, inDigits, name }) {
  const page = await open({ viewport });
  await signIn(page);
  assert.equal(await heading(page), "کارها");
  await fitsItsScreen(page);
  await screenshot(page, `${name}-home`);
  await openForm(page);
  await fitsItsScreen(page);
  await fillIn(page, { subject: inDigits(citizen.national_id) });
  await screenshot(page, `${name}-form`);
  await enter(page, isAnswer);
  await fitsItsScreen(page);
  await screenshot(page, `${name}-answer`);
  const seven = await receipts(page);
  assert.equal(new Set(seven).size, 7, "each part has a record of its own");
  assert.ok(await page.getByText("این‌ها به دفتر داده نمی‌شود").count(), "what is withheld is named");
  const answer = page.url();
  await page.reload();
  await page.goBack();
  await page.goForward();
  assert.equal(page.url(), answer);
  assert.deepEqual(await receipts(page), seven, "reload and back ask nothing again");
  await page.context().close();
}

const tests = {
  "the whole inquiry by keyboard, on a telephone, in Persian digits": () =>
    wholeInquiry({ viewport: PHONE, inDigits: persian, name: "phone" }),
  "the same on a desk's screen, in ASCII digits": () => wholeInquiry({ viewport: DESK, inDigits: (text) => text, name: "desk" }),
  "the same in Arabic digits": () => wholeInquiry({ viewport: DESK, inDigits: arabic, name: "arabic" }),

  "a fault is told with a way to its field, and what was typed stays": async () => {
    const page = await open({ viewport: PHONE });
    await signIn(page);
    await openForm(page);
    await fillIn(page, { subject: "4061234561", iban: "IR1" });
    await enter(page, "**/procedures/farm-loan");
    assert.match(await page.title(), /^خطا: /);
    await screenshot(page, "phone-faults");
    await tabTo(page, ".summary a");
    await page.keyboard.press("Enter");
    await page.keyboard.press("End");
    await page.keyboard.type("9");
    assert.equal(await page.locator("#subject").inputValue(), "40612345619");
    assert.equal(await page.locator("#case").inputValue(), "1404-771");
    await page.context().close();
  },

  "a double click asks once": async () => {
    const page = await open();
    await signIn(page);
    const [lines, before] = [await today(page), calls()];
    await page.goto(address("/fa/procedures/farm-loan"));
    await fillIn(page, { caseNumber: "1404-772" });
    await page.locator("main form button").dblclick();
    await page.waitForURL(isAnswer);
    await page.waitForLoadState();
    assert.equal((await today(page)) - lines, 1);
    assert.equal(calls() - before, 7, "one call for each part");
    await page.context().close();
  },

  "a line that is cut counts nothing twice": async () => {
    const page = await open();
    await signIn(page);
    const [lines, before] = [await today(page), calls()];
    await page.goto(address("/fa/procedures/farm-loan"));
    await fillIn(page, { caseNumber: "1404-773" });
    const line = await page.context().newCDPSession(page);
    // What is sent arrives; no answer comes before the line is cut.
    await line.send("Network.enable");
    await line.send("Network.emulateNetworkConditions", { offline: false, latency: 3000, downloadThroughput: 100, uploadThroughput: -1 });
    await page.keyboard.press("Enter", { noWaitAfter: true });
    await until("the form has arrived, and all parts are asked", () => calls() - before === 7);
    await page.context().setOffline(true);
    await line.detach();
    await page.context().setOffline(false);
    await page.goto(address("/fa/procedures/farm-loan"));
    await fillIn(page, { caseNumber: "1404-773" });
    await enter(page, isAnswer);
    assert.equal((await receipts(page)).length, 7);
    assert.equal((await today(page)) - lines, 1);
    assert.equal(calls() - before, 7, "nothing was asked twice");
    await page.context().close();
  },

  "whoever has signed out sees nothing by \"back\"": async () => {
    const page = await open();
    await signIn(page);
    await openForm(page);
    await fillIn(page);
    await enter(page, isAnswer);
    await andThen(page, "**/sign-in", () => page.locator("header form button").click());
    await page.goBack();
    assert.equal(await heading(page), "ورود به پیشخوان");
    assert.equal(await page.getByText(persian(citizen.national_id)).count(), 0);
    await page.context().close();
  },

  "no page has a barrier that axe finds": async () => {
    const page = await open({ scripts: true, viewport: PHONE });
    await page.goto(address("/fa/sign-in"));
    await barriers(page, "sign-in");
    await signIn(page, { by: "a wrong password", to: "**/sign-in" });
    await barriers(page, "a failed sign-in");
    await signIn(page);
    await page.goto(address("/fa/procedures/farm-loan"));
    await fillIn(page);
    await enter(page, isAnswer);
    const answer = new URL(page.url()).pathname.slice("/fa".length);
    for (const language of ["/fa", "/en"]) {
      for (const where of ["/", "/procedures/farm-loan", answer, "/today", "/no-such-page"]) {
        await page.goto(address(language + where));
        await barriers(page, language + where);
      }
      await page.goto(address(`${language}/procedures/farm-loan`));
      await andThen(page, "**/procedures/farm-loan", () => page.locator("main form button").click());
      await barriers(page, `${language}, a form with faults`);
    }
    await page.context().close();
  },

  "the first visit and an inquiry fit a poor line": async () => {
    const page = await open();
    const line = await page.context().newCDPSession(page);
    await line.send("Network.enable");
    // 60 kbit/s, and 0.7 s there and back.
    await line.send("Network.emulateNetworkConditions", { offline: false, latency: 700, downloadThroughput: 7500, uploadThroughput: 7500 });
    let bytes = 0;
    let requests = 0;
    line.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
    line.on("Network.responseReceived", () => (requests += 1));
    line.on("Network.requestWillBeSent", ({ redirectResponse }) => {
      if (redirectResponse) [bytes, requests] = [bytes + redirectResponse.encodedDataLength, requests + 1];
    });
    const measured = async (what, most, act) => {
      [bytes, requests] = [0, 0];
      const began = performance.now();
      await act();
      await page.waitForLoadState("networkidle");
      console.log(`    ${what}: ${bytes} bytes down, ${requests} requests, ${((performance.now() - began) / 1000).toFixed(1)} s`);
      assert.ok(bytes <= most, `${what}: ${bytes} bytes are more than ${most}`);
    };
    await measured("first visit", 40_000, () => page.goto(address("/fa/sign-in")));
    await measured("sign-in", 6_000, async () => {
      await type(page, "#id", clerk);
      await type(page, "#password", password);
      await enter(page, "**/fa/");
    });
    await measured("form", 6_000, () => openForm(page));
    await fillIn(page);
    await measured("inquiry", 6_000, () => enter(page, isAnswer));
    await page.context().close();
  },
};

const failed = await runAll(tests);
await browser.close();
process.exit(failed ? 1 : 0);
