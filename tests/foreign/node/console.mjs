// Chromium opens the operator's console of a running demo: by keyboard, without scripts, in two languages, on a telephone's
// and a desk's screen. axe-core looks for barriers. It knows nothing of Chapar's code.
//
//   node tests/foreign/node/console.mjs FOLDER-OF-A-DEMO URL-OF-THE-CONSOLE [FOLDER-FOR-SCREENSHOTS]
//
// Prints one line for each test, and exits with 1 if one failed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { PHONE, DESK, barriers, enter, runAll, screenshots, tabTo } from "./browser.mjs";

const [dir, url, shots] = process.argv.slice(2);
const screenshot = screenshots(shots);
const demo = JSON.parse(fs.readFileSync(path.join(dir, "demo.json"), "utf8"));

const browser = await chromium.launch({
  executablePath: process.env.CHAPAR_TEST_CHROMIUM ?? "/usr/bin/chromium",
  // Tests run as root, in which Chromium's sandbox cannot start.
  args: ["--no-sandbox"],
});

async function open({ viewport = DESK, scripts = false, locale = "en-US" } = {}) {
  const context = await browser.newContext({ viewport, javaScriptEnabled: scripts, locale });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  return page;
}

const address = (where) => new URL(where, url).href;

// The call id that `chapar call` prints, of a call that the bus refuses.
function refusedCall() {
  const call = ["call", "civil.v1.CivilRegistry/GetPerson", `national_id=${demo.sample[0].national_id}`, "--demo", dir,
    "--as", "gov/welfare/benefits", "--purpose", "loan.farm", "--case", "1404-771", "--clerk", "z.karimi"];
  const { stdout, stderr } = spawnSync(process.env.CHAPAR_BIN, call, { encoding: "utf8" });
  const id = (stdout + stderr).match(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/);
  assert.ok(id, stdout + stderr);
  return id[0];
}

const tests = {
  "the overview says that all holds, and lists gateways, services and calls": async () => {
    const page = await open();
    await page.goto(address("/"));
    assert.equal(await page.locator("h1").innerText(), "Overview");
    assert.match(await page.locator("section").first().innerText(), /All hold/);
    assert.equal(await page.getByText("takes calls").count(), demo.gateways.length);
    assert.ok(await page.getByText("Civil Registration").count());
    await screenshot(page, "console-overview");
    await page.context().close();
  },

  "the refused calls are found by keyboard, without scripts": async () => {
    refusedCall();
    const page = await open();
    await page.goto(address("/traces"));
    await screenshot(page, "console-calls");
    await tabTo(page, "#outcome");
    await page.keyboard.insertText("PURPOSE_NOT_GRANTED");
    await enter(page, "**/traces?*");
    const outcomes = await page.locator("tbody td:nth-child(4)").allInnerTexts();
    assert.ok(outcomes.length > 0 && outcomes.every((text) => text.includes("PURPOSE_NOT_GRANTED")), outcomes.join());
    await screenshot(page, "console-refused");
    await page.context().close();
  },

  "the trace of a call that was made on the command line is opened by its call id": async () => {
    const id = refusedCall();
    const page = await open();
    await page.goto(address(`/traces/${id}`));
    assert.equal(await page.locator("h1").innerText(), "Trace of a call");
    assert.ok(await page.getByText(id).count());
    assert.ok(await page.locator("svg rect.failed").count(), "what was refused stands out");
    await page.goto(address("/traces?outcome=OK&method=civil.v1.CivilRegistry/GetPerson"));
    await page.locator("tbody a").first().click();
    const names = await page.locator("svg text").allTextContents();
    assert.ok(names.some((name) => name.includes(": SELECT ")), "from the gateway down to the statement");
    await screenshot(page, "console-trace");
    await page.context().close();
  },

  "a Persian browser gets Persian, from right to left, and the language can be changed": async () => {
    const page = await open({ locale: "fa-IR", viewport: PHONE });
    await page.goto(address("/"));
    assert.equal(await page.locator("html").getAttribute("dir"), "rtl");
    assert.equal(await page.locator("h1").innerText(), "نمای کلی");
    await screenshot(page, "console-persian");
    await page.getByText("English").click();
    assert.equal(await page.locator("h1").innerText(), "Overview");
    await page.getByText("Calls", { exact: true }).first().click();
    assert.equal(await page.locator("html").getAttribute("lang"), "en", "links keep the language");
    await page.context().close();
  },

  "no page has a barrier that axe finds": async () => {
    const id = refusedCall();
    for (const viewport of [PHONE, DESK]) {
      const page = await open({ scripts: true, viewport });
      for (const language of ["fa", "en"]) {
        for (const where of ["/?", "/traces?", "/traces?at_least=x&", "/grants?", `/traces/${id}?`, "/no-such-page?"]) {
          await page.goto(address(`${where}lang=${language}`));
          await barriers(page, `${where} ${language} ${viewport.width}`);
        }
      }
      await page.context().close();
    }
  },
};

const failed = await runAll(tests);
await browser.close();
process.exit(failed ? 1 : 0);
