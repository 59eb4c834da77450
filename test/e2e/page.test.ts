/** The pages in a real browser: sign-in, the control room following live, and the try-it page of the API. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type Browser, type Page, chromium } from 'playwright-core'
import { type TestServer, startTestServer } from 'cadre/testing'
import { verifies } from '../verifies.ts'

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path))
const dist = fileURLToPath(new URL('../../dist', import.meta.url))
const missing =
  executable === undefined
    ? 'no Chromium is installed'
    : existsSync(`${dist}/dashboard/index.html`)
      ? undefined
      : 'the pages are not built: npm run build'
const flags = [
  '--no-sandbox',
  '--headless',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

async function inBrowser(work: (page: Page, server: TestServer, noise: string[]) => Promise<void>): Promise<void> {
  const server = await startTestServer({ assets: dist })
  let browser: Browser | undefined
  try {
    browser = await chromium.launch({ executablePath: executable as string, args: flags })
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
    page.setDefaultTimeout(15_000)
    const noise: string[] = []
    page.on('console', (message) => message.type() === 'error' && noise.push(message.text()))
    // Leaving a page ends what it was asking for.
    page.on(
      'requestfailed',
      (request) => request.failure()?.errorText !== 'net::ERR_ABORTED' && noise.push(`failed: ${request.url()}`),
    )
    await work(page, server, noise)
  } finally {
    await browser?.close()
    await server.close()
  }
}

verifies(
  ['UI-01', 'UI-07', 'WSE-17'],
  'the control room shows agents, tasks and messages as they come, without a reload',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      assert.equal(new URL(page.url()).pathname, '/')
      await server.leased('ada', { type: 'researcher' })
      const created = await server.call('POST', '/tasks', { title: 'Count the ships', assign_to: 'ada' })
      await server.call('POST', '/messages', { to: 'ada', content: 'The harbour is full' })
      await page.getByText('Count the ships').first().waitFor()
      await page.getByText('The harbour is full').first().waitFor()
      await page.getByText('ada').first().waitFor()
      await server.call('POST', `/tasks/${created['id']}/complete`, { result: { ships: 3 } })
      await page
        .getByText(/1 of 1/)
        .first()
        .waitFor()
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

verifies(
  'UI-08',
  'the control room has no serious accessibility finding, light and dark, wide and narrow',
  async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
    await inBrowser(async (page, server) => {
      await page.goto(server.signInUrl())
      await server.leased('ada')
      await server.call('POST', '/tasks', { title: 'Count the ships', assign_to: 'ada' })
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const width of [1440, 390]) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
          await page.setViewportSize({ width, height: 900 })
          await page.getByText('Count the ships').first().waitFor()
          await page.evaluate(axe)
          const found = await page.evaluate(async () => {
            const { violations } = await (
              globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; impact: string }[] }> } }
            ).axe.run()
            return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id)
          })
          assert.deepEqual(found, [], `${colorScheme} at ${width} px`)
          const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
          assert.ok(Number(overflow) <= 0, `${colorScheme} at ${width} px scrolls sideways by ${String(overflow)} px`)
        }
      }
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

verifies(
  'API-24',
  'the API documentation tries an operation out',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      await page.goto(`${server.url}/docs`)
      const operation = page.locator('.opblock', { has: page.getByText('/api/v1/health', { exact: true }) })
      await operation.locator('.opblock-summary-control').click()
      await operation.getByRole('button', { name: 'Execute' }).click()
      await operation.locator('.live-responses-table .response-col_status', { hasText: '200' }).first().waitFor()
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

verifies(
  'SEC-13',
  'a browser without the sign-in link sees nothing but how to get one',
  async () => {
    await inBrowser(async (page, server) => {
      await page.goto(server.url)
      await page.getByText('npx cadre link').first().waitFor()
      const answer = await page.evaluate("fetch('/api/v1/agents').then((response) => response.status)")
      assert.equal(answer, 401)
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)
