// Drives a real Chromium through the admin port's page. One line of JSON on standard input says what to do:
//   {url, chromium, login, account, javascript, steps: [[what, …]]}
// It prints one line of JSON with what was seen: {steps: [...], console: [...], failed: [...]}.
import {createInterface} from 'node:readline';
import {chromium} from 'playwright-core';

const task = JSON.parse((await createInterface({input: process.stdin})[Symbol.asyncIterator]().next()).value);
const browser = await chromium.launch({executablePath: task.chromium, args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic']});
const seen = {steps: [], console: [], failed: []};
try {
  const context = await browser.newContext({javaScriptEnabled: task.javascript ?? true, acceptDownloads: false});
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on('console', m => { if (m.location().url.startsWith(task.url)) seen.console.push(m.type() + ': ' + m.text() + ' ' + m.location().url); });
  page.on('requestfailed', r => seen.failed.push(r.url()));
  const steps = {
    go: path => page.goto(new URL(path, task.url).href),
    link: name => page.getByRole('link', {name}).click(),
    button: name => page.getByRole('button', {name, exact: true}).click(),
    fill: (label, value) => page.getByLabel(label, {exact: true}).fill(value),
    choose: (label, value) => page.getByLabel(label, {exact: true}).selectOption(value),
    within: (form, label, value) => page.getByRole('form', {name: form}).getByLabel(label, {exact: true}).fill(value),
    select: (form, label, value) => page.getByRole('form', {name: form}).getByLabel(label, {exact: true}).selectOption(value),
    open: text => page.locator('summary', {hasText: text}).click(),
    key: name => page.keyboard.press(name),
    type: text => page.keyboard.type(text),
    // What a screen reader would say has the focus.
    focus: () => page.evaluate(() => { const e = document.activeElement; return e.tagName + ' ' + (e.labels?.[0]?.innerText ?? e.innerText ?? '').trim(); }),
    text: selector => page.locator(selector).innerText(),
    body: () => page.locator('body').innerText(),
    address: () => page.url(),
    cookies: async () => (await context.cookies()).map(({name, httpOnly, secure, sameSite, value}) => ({name, httpOnly, secure, sameSite, length: value.length})),
    // The provider's own forms: any login name, and a consent.
    provider: async account => {
      await page.locator('input[name=login], header form').first().waitFor();
      if (await page.locator('input[name=login]').count()) {
        await page.locator('input[name=login]').fill(account);
        await page.locator('input[name=password]').fill('any');
        await page.locator('button[type=submit]').click();
      }
      await page.waitForLoadState();
      if (page.url().includes('/interaction/')) await page.locator('button[type=submit]').click();
      await page.waitForLoadState();
    },
    // Every control has a name, and every table cell a header: what an accessibility checker looks at first.
    names: () => page.evaluate(() => [...document.querySelectorAll('input:not([type=hidden]), select, button, a, summary')]
      .filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map(e => e.outerHTML)),
    outline: () => page.evaluate(() => [...document.querySelectorAll('h1, h2, h3, main, table > caption')].map(e => e.tagName)),
    script: () => page.evaluate(() => { const s = document.createElement('script'); s.textContent = 'window.pwned = true'; document.body.append(s); return window.pwned === true; }),
    evil: async path => { // a page of another origin sends a form here, by the session's cookie
      const other = await context.newPage();
      await other.goto(task.evil);
      await other.evaluate(to => { const f = document.createElement('form'); f.method = 'post'; f.action = to; document.body.append(f); f.submit(); }, new URL(path, task.url).href);
      await other.waitForLoadState();
      const text = await other.locator('body').innerText();
      await other.close();
      return text;
    },
  };
  for (const [what, ...args] of task.steps) {
    try {
      const result = await steps[what](...args);
      seen.steps.push(['text', 'body', 'address', 'cookies', 'names', 'outline', 'script', 'evil', 'focus'].includes(what) ? result : null);
    } catch (error) {
      seen.error = `${what} ${args.join(' ')}: ${error.message}\n${page.url()}\n${await page.locator('body').innerText().catch(() => '')}`;
      break;
    }
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
