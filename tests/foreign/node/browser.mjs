// What the tests in Chromium have in common: screens, keys, screenshots, axe-core, and how their results are told.

import assert from "node:assert/strict";
import path from "node:path";
import axe from "axe-core";

export const PHONE = { width: 360, height: 740 };
export const DESK = { width: 1280, height: 800 };

// Presses Tab until the element has the focus.
export async function tabTo(page, selector) {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.locator(`${selector}:focus`).count()) return;
  }
  assert.fail(`Tab does not come to ${selector}`);
}

// Does something that leads to another page, and waits for it.
export async function andThen(page, where, act) {
  await Promise.all([page.waitForEvent("framenavigated"), act()]);
  await page.waitForURL(where);
}

export const enter = (page, where) => andThen(page, where, () => page.keyboard.press("Enter"));

// Takes screenshots into a folder, or none without one.
export const screenshots = (folder) => async (page, name) => {
  if (folder) await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
};

export async function barriers(page, name) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  const found = violations.map((rule) => `${rule.id} (${rule.impact}): ${rule.nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], name);
}

// Runs tests by name, one line for each; how many failed.
export async function runAll(tests) {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
      console.log(`ok  ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
  return failed;
}
