/** The pages in a real browser: sign-in, the control room following live, and the try-it page of the API. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { verifies } from '../verifies.ts'
import { exhaust, goTo, inBrowser, missing, thankForEver } from './browser.ts'

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

test('what happens while the line of the page is cut is there once it is back, once', {
  skip: missing ?? false,
  timeout: 90_000,
}, async () => {
  await inBrowser(async (page, server) => {
    const lines: { close(): Promise<void> }[] = []
    await page.routeWebSocket(/\/ws$/, (line) => {
      const onward = line.connectToServer()
      lines.push({ close: async () => void (await Promise.all([line.close({ code: 1012 }), onward.close()])) })
    })
    await page.goto(server.signInUrl())
    const status = page.getByRole('banner')
    await status.getByText('Live').waitFor()
    const ada = await server.leased('ada')
    const sent = await server.call<{ id: string }>('POST', '/messages', { to: 'ada', content: 'Print it' })
    await lines[0]?.close()
    await exhaust(ada, sent.id, () => 'out of paper')
    await page.getByRole('link', { name: /^Dead letters\s*1$/ }).waitFor()
    await status.getByText('Live').waitFor()
    assert.equal(lines.length, 2)
    await goTo(page, 'Timeline')
    const died = page.getByText('A message to ada died after 5 attempts')
    await died.first().waitFor()
    assert.equal(await died.count(), 1)
  })
})

test('a long list of messages scrolls in its panel and leaves the page its height', {
  skip: missing ?? false,
  timeout: 90_000,
}, async () => {
  await inBrowser(async (page, server) => {
    await server.plain('ada')
    for (let number = 0; number < 40; number++) await server.call('POST', '/messages', { to: 'ada', content: `number ${number}` })
    await page.goto(server.signInUrl())
    await page.getByRole('button', { name: /number 0/ }).click()
    await page.getByRole('list', { name: 'Recipients' }).scrollIntoViewIfNeeded()
    const box = await page.getByRole('region', { name: 'Messages' }).boundingBox()
    assert.ok(box !== null && box.height < 900, `the panel is ${box?.height} px high`)
    assert.ok(await page.getByRole('searchbox').isVisible())
    assert.equal((await page.getByRole('banner').boundingBox())?.y, 0, 'the header stays')
  })
})

verifies(
  'UI-08',
  'no page of the control room has a serious accessibility finding, light and dark, wide and narrow',
  async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
    await inBrowser(async (page, server) => {
      await page.goto(server.signInUrl())
      const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
      const { id } = await server.call<{ id: string }>('GET', '/agents/ada')
      await server.call('POST', '/tasks', { title: 'Count the ships', assign_to: 'ada' })
      await server.call('POST', '/rules', { name: 'market', when: { type: 'analysis.*' }, to: { agent_type: 'analyst' } })
      const sent = await server.call<{ id: string }>('POST', '/messages', { to: 'ada', content: 'Print it' })
      await exhaust(ada, sent.id, (attempt) => `printer error ${attempt}`)
      await thankForEver(ada, bob, ['ada', 'bob'])
      const places = [
        ['', 'Count the ships'],
        [`?agent=${id}`, 'Oldest waits for'],
        ['?page=timeline', /ping-pong/],
        ['?page=dead-letters', 'printer error 1'],
        ['?page=brakes', /the limit is/],
        ['?page=rules', /type analysis/],
        ['?page=connections', /oldest first/],
      ] as const
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const width of [1440, 390]) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
          await page.setViewportSize({ width, height: 900 })
          for (const [query, text] of places) {
            await page.goto(`${new URL(page.url()).origin}/${query}`)
            await page.getByText(text).first().waitFor()
            if (query === '') await page.getByRole('button', { name: /Print it/ }).click()
            if (query === '?page=dead-letters') await page.getByRole('button', { name: 'Purge' }).click()
            await page.evaluate(axe)
            const found = await page.evaluate(async () => {
              const { violations } = await (
                globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; impact: string }[] }> } }
              ).axe.run()
              return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id)
            })
            const where = `${query} ${colorScheme} at ${width} px`
            assert.deepEqual(found, [], where)
            const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
            assert.ok(Number(overflow) <= 0, `${where} scrolls sideways by ${String(overflow)} px`)
          }
        }
      }
    })
  },
  { needs: 'chromium', skip: missing, timeout: 150_000 },
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
