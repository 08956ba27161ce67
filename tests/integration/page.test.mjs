// SPDX-License-Identifier: Apache-2.0

// The agent's own page for people, in a real browser without scripts. To be run in a lab:
//
//     sudo tests/lab/run node --test tests/integration/page.test.mjs
//
// PAGE_SCREENSHOTS names a folder for pictures of what the browser showed.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { load } from '../lab/cloud/packages.mjs';

const { chromium } = load('playwright-core');
const { env } = process;
const URL = env.WRITEBACK_LAB_HEALTH_URL;
const PASSWORD_ADMINISTRATOR = { wids: ['966707d0-3269-4727-9be2-8c3a10f19b9d'] };
const RECONNECTED_WITHIN = 60_000;

const client = Client.fromEnvironment();
let profile, browser, page;
const complaints = []; // what the content security policy forbade, and whatever else went wrong

before(async () => {
  profile = mkdtempSync(path.join(tmpdir(), 'page-test-'));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    headless: true,
    javaScriptEnabled: false,
    viewport: { width: 1200, height: 900 },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
  page = browser.pages()[0];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
});

after(async () => {
  await browser?.close();
  client.close();
  rmSync(profile, { recursive: true, force: true });
});

const card = (name) => page.getByRole('region', { name, exact: true });
const parts = () => card('Parts').getByRole('listitem');
const requests = () => card('Last requests').locator('li:not(.steps li)');

async function picture(name) {
  if (env.PAGE_SCREENSHOTS)
    await page.screenshot({ path: path.join(env.PAGE_SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** The same page on a desktop and on a phone, in light and in dark; nothing sticks out of it. */
async function pictures(name) {
  for (const [width, height] of [[1200, 900], [360, 740]])
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const [content, room] = await page.evaluate(() =>
        [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(content <= room, `${name}: ${content} px in ${room}`);
      await picture(`${name}-${width}-${colorScheme}`);
    }
  await page.setViewportSize({ width: 1200, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Loads the page again and again, as a person would, until it shows this. */
async function shows(locator, within = 20_000) {
  const end = Date.now() + within;
  do {
    await page.goto(URL);
    if (await locator.first().isVisible()) return;
  } while (Date.now() < end);
  assert.fail(`not shown within ${within} ms: ${locator}`);
}

const reset = (user, newPassword) =>
  client.ask({ operation: 'reset', user: { userPrincipalName: `${user}@corp.example` }, newPassword },
    PASSWORD_ADMINISTRATOR);

test('an agent that is well says so as the portal does, part for part', async () => {
  await shows(card('On-premises integration').getByText('Your on-premises writeback client is up and running.'));
  for (const name of ['primary', env.WRITEBACK_LAB_DC, 'entra'])
    await parts().filter({ hasText: name }).getByText(/^(works|connected)$/).waitFor();
  for (const [name, word] of [['Directory synchronisation', 'runs'], ['Licence', 'held'], ['Clock', 'agrees']])
    await shows(parts().filter({ hasText: name }).getByText(word, { exact: true }));
  await card('Last requests').getByText('None since it was started.').waitFor();
  assert.equal(await card('What to do').count(), 0);
  assert.match(await parts().first().textContent(), /since \d\d:\d\d:\d\d \(\d+ s\)/);
});

test('the last requests are told by outcome, with what to do, and without anybody’s name', async () => {
  assert.equal((await reset('alice', 'Shown-on-no-page-7')).status, 200);
  assert.equal((await reset('dave', 'abc')).status, 422);
  assert.equal((await reset('carol', 'Shown-on-no-page-7')).status, 423);
  assert.equal((await reset('nobody-of-that-name', 'Shown-on-no-page-7')).status, 404);

  await page.goto(URL);
  const texts = await requests().allTextContents();
  assert.equal(texts.length, 4);
  assert.match(texts[0], /The user is not in the directory/);
  assert.match(texts[3], /The password was reset/);

  const refused = requests().filter({ hasText: '33008' });
  assert.ok(!(await refused.getByText('Choose another password').isVisible()));
  await refused.locator('summary').click();
  await refused.getByText('Choose another password').waitFor();
  await pictures('well');

  const all = `${await page.content()}${JSON.stringify(await (await fetch(`${URL}/status`)).json())}`;
  for (const word of ['alice', 'dave', 'carol', 'nobody-of', 'Shown-on', 'S-1-5-21'])
    assert.ok(!all.includes(word), word);
});

test('a cut relay is told with the reason and the steps, until it is back', async () => {
  await client.control('relay', { cut: true });
  try {
    await shows(card('On-premises integration').getByText('cannot do its work at the moment'));
    await shows(card('What to do').getByText('31034 ServiceBusListenerError'));
    await card('What to do').getByText('Try the way by hand').waitFor();
    await parts().filter({ hasText: 'primary' }).getByText('fails').waitFor();
    await pictures('cut');

    const status = await (await fetch(`${URL}/status`)).json();
    assert.equal(status.ready, false);
    assert.equal(status.blade.visible, false);
    assert.deepEqual(status.cures.map(({ eventId }) => eventId), [31034]);
    assert.ok(status.cures[0].steps.length > 2);
    assert.deepEqual(status.cures[0].checks, [{ check: 'relay:primary' }]);
    assert.equal(status.requests.recent.length, 4);
  } finally {
    await client.control('relay', { cut: false });
  }
  await shows(card('On-premises integration').getByText('up and running'), RECONNECTED_WITHIN);
  assert.equal(await card('What to do').count(), 0);
});

test('the page had nothing to complain of', () => assert.deepEqual(complaints, []));
