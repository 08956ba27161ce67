// SPDX-License-Identifier: Apache-2.0

// The portal in a real browser, with a real agent and directory behind it. To be run in a lab:
//
//     sudo tests/lab/run node --test tests/integration/portal.test.mjs
//
// PORTAL_SCREENSHOTS names a folder for pictures of what the browser showed.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { Client } from '../lab/cloud/client.mjs';
import { binds } from '../lab/cloud/directory.mjs';
import { load } from '../lab/cloud/packages.mjs';

const { chromium } = load('playwright-core');
const env = process.env;
const ALICE = 'alice@corp.example';
const RECONNECTED_WITHIN = 60_000;

const client = Client.fromEnvironment();
let profile, browser, page;
const complaints = []; // of the page: errors, and what its content security policy forbade

before(async () => {
  profile = mkdtempSync(path.join(tmpdir(), 'portal-test-'));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    headless: true,
    ignoreHTTPSErrors: true, // the lab's authority is not the browser's
    viewport: { width: 1280, height: 860 },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
  page = browser.pages()[0];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
});

after(async () => {
  await browser?.close();
  client.close();
  rmSync(profile, { recursive: true, force: true });
});

beforeEach(async () => {
  await page.goto(env.WRITEBACK_LAB_PORTAL_URL);
  await signIn('password-administrator');
});

const button = (name) => page.getByRole('button', { name: `Reset password of ${name}` });
const rowOf = (user) => page.locator(`[data-user="${user}"]`);
const blade = () => page.getByRole('region', { name: 'On-premises integration' });
const dialog = () => page.getByRole('dialog', { name: 'Reset password' });

async function signIn(person) {
  await page.getByLabel('Signed in as').selectOption(person);
  await page.locator('#users[aria-busy="false"]').waitFor();
}

async function reset(name, password) {
  await button(name).click();
  await dialog().getByLabel('New password').fill(password);
  await dialog().getByRole('button', { name: 'Reset password' }).click();
}

async function picture(name) {
  if (env.PORTAL_SCREENSHOTS)
    await page.screenshot({ path: path.join(env.PORTAL_SCREENSHOTS, `${name}.png`), fullPage: true });
}

test('the blade says that the agent is up and running', async () => {
  await blade().getByText('Your on-premises writeback client is up and running.').waitFor();
  await blade().getByText('relay:primary').waitFor();
  await blade().getByText('directory:corp.example').waitFor();
  await picture('blade');
});

test('a refused password comes with each broken rule, and with what to do', async () => {
  await reset('Dave Diaz', 'abc');
  await dialog().getByText('It needs at least 7 characters.').waitFor();
  await dialog().getByText('It needs three of').waitFor();
  await dialog().getByText('What to do').waitFor();
  await dialog().getByText('33008 ADPasswordPolicyError').waitFor();
  await picture('refused');
  await dialog().getByRole('button', { name: 'Cancel' }).click();

  await reset('Bob Baxter', 'Only-14-chars!');
  await dialog().getByText('It needs at least 15 characters.').waitFor();
  assert.ok(await binds('bob@corp.example', env.WRITEBACK_LAB_USER_PASSWORD));
});

test('a password that is reset here is in force at the directory', async () => {
  const password = `Portal-${randomBytes(9).toString('base64url')}-7q`;
  await reset('Alice Archer', password);
  await dialog().getByText('The password of Alice Archer was reset.').waitFor();
  await dialog().getByText('dc1.corp.example').waitFor();
  await picture('reset');
  await dialog().getByRole('button', { name: 'Done' }).click();

  assert.ok(await binds(ALICE, password));
  assert.ok(!(await binds(ALICE, env.WRITEBACK_LAB_USER_PASSWORD)));
  assert.ok(!(await page.content()).includes(password));
});

test('the button is greyed out, with the reason, where the initiator may not', async () => {
  await signIn('user-administrator');
  assert.ok(await button('Adam Protected').isDisabled());
  await rowOf('admin-protected@corp.example').getByText('The account is privileged.').waitFor();
  assert.ok(await button('Bob Baxter').isEnabled());
  await picture('privileged');
});

test('whoever may not reset anybody is told why, once, with the advice', async () => {
  await signIn('microsoft-365');
  await page.locator('#for-all').getByText('again in the Azure portal').first().waitFor();
  for (const name of ['Alice Archer', 'Bob Baxter', 'Dave Diaz', 'Adam Protected'])
    assert.ok(await button(name).isDisabled(), name);
  await picture('microsoft-365');

  await signIn('no-role');
  assert.ok(await button('Alice Archer').isDisabled());
});

test('the blade goes while the relay is cut, and comes back by itself', async () => {
  await client.control('relay', { cut: true });
  try {
    await blade().getByText('The blade is not shown').waitFor();
    await blade().getByText('There are no listeners connected').waitFor();
    await page.locator('#for-all').getByText('The agent cannot be asked').waitFor();
    assert.ok(await button('Bob Baxter').isDisabled());
    await picture('cut');
  } finally {
    await client.control('relay', { cut: false });
  }
  await blade().getByText('up and running').waitFor({ timeout: RECONNECTED_WITHIN });
  await button('Bob Baxter').and(page.locator(':enabled')).waitFor();
});

test('it fits a phone, in the dark too', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await button('Bob Baxter').click();
  for (const selector of ['html', '#reset'])
    assert.ok(
      await page.locator(selector).evaluate((node) => node.scrollWidth <= node.clientWidth), selector);
  await picture('phone');
});

test('the page had nothing to complain of', () => assert.deepEqual(complaints, []));
