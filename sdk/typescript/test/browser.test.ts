/** The SDK in a real browser: bundled as an application would, on a page of the server's own origin. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { build } from 'esbuild'
import { type BrowserContext, type Page, chromium } from 'playwright-core'
import { verifies } from '../../../test/verifies.ts'
import { type House, openHouse } from './house.ts'

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path))
const missing = executable === undefined ? 'no Chromium is installed' : undefined
const flags = [
  '--no-sandbox',
  '--headless',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-sync',
]

async function bundle(source: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: join(import.meta.dirname, '../src'), loader: 'ts' },
    bundle: true,
    format: 'iife',
    globalName: 'cadre',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

/** Pages of one profile, signed in to a server, each with `cadre` at hand. */
async function openBrowser(t: TestContext): Promise<{ house: House; page: () => Promise<Page> }> {
  const house = await openHouse(t)
  const browser = await chromium.launch({ executablePath: executable as string, args: flags })
  t.after(() => browser.close())
  const context: BrowserContext = await browser.newContext()
  const script = await bundle("export * from './index.ts'\nexport { indexedDbOutbox } from './outbox-indexeddb.ts'")
  const signIn = await context.newPage()
  await signIn.goto(house.server.signInUrl())
  const { origin } = new URL(house.server.signInUrl())
  await signIn.close()
  return {
    house,
    async page() {
      const page = await context.newPage()
      page.setDefaultTimeout(15_000)
      // Any page of the server's origin will do.
      await page.goto(`${origin}/healthz`)
      await page.evaluate(`${script}; globalThis.cadre = cadre`)
      return page
    },
  }
}

verifies(
  'SDK-09',
  'the same client runs in a browser, connects to the origin of its page and is answered',
  async (t) => {
    const { house, page } = await openBrowser(t)
    const ann = await house.join('ann')
    ann.onMessage((message) => ({ heard: message.content }))
    const tab = await page()
    const heard = await tab.evaluate(`(async () => {
      const hub = await cadre.connect({ agent: 'browser', type: 'page' })
      const { content } = await hub.ask('ann', new Uint8Array([1, 2, 255]))
      await hub.close({ drain: true })
      return JSON.stringify(content)
    })()`)
    assert.equal(heard, JSON.stringify({ heard: { 0: 1, 1: 2, 2: 255 } }))
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

test('a tab that goes away leaves its outbox to the next one, and two tabs do not share one', {
  skip: missing ?? false,
  timeout: 90_000,
}, async (t) => {
  const { house, page } = await openBrowser(t)
  await house.join('ann')
  const open = `
      globalThis.outbox = cadre.indexedDbOutbox('drafts')
      // From the moment it is cut the line takes everything and carries nothing.
      globalThis.cut = false
      class Line extends WebSocket { send(text) { if (!globalThis.cut) super.send(text) } }
      globalThis.open = () => cadre.connect({ agent: 'writer', outbox, WebSocket: Line })`
  const first = await page()
  await first.evaluate(open)
  const keys = await first.evaluate(`(async () => {
      globalThis.hub = await globalThis.open()
      await hub.send('ann', 'through')
      globalThis.cut = true
      const keys = []
      for (const content of ['a', '\\u2028\\ud800', { n: 1 }, 'd']) keys.push((await outbox.add('messages.send', { to: 'ann', content })).key)
      hub.send('ann', 'e').catch(() => {})
      while (outbox.pending() < 5) await new Promise((resolve) => setTimeout(resolve))
      await outbox.add('memory.set', { key: 'k', value: 1 })
      return keys
    })()`)
  assert.equal((keys as string[]).length, 4)
  const second = await page()
  await second.evaluate(open)
  const refused = await second.evaluate('globalThis.open().then(() => "opened", (error) => error.code)')
  assert.equal(refused, 'outbox_locked')
  await first.close()
  const left = await second.evaluate(`(async () => {
      // The browser frees the lock of a closed tab a moment later.
      for (;;) {
        try {
          globalThis.hub = await globalThis.open()
          break
        } catch (error) {
          if (error.code !== 'outbox_locked') throw error
        }
      }
      await outbox.settled()
      await hub.send('ann', 'newer')
      return [outbox.pending(), outbox.bytes]
    })()`)
  assert.deepEqual(left, [0, 0])
  const { items } = await house.server.call<{ items: { content: unknown }[] }>('GET', '/messages?limit=100')
  assert.deepEqual(items.map(({ content }) => content).toReversed(), [
    'through',
    'a',
    '\u2028\ud800',
    { n: 1 },
    'd',
    'e',
    'newer',
  ])
  assert.equal((await house.server.call('GET', '/memory/k'))['value'], 1)
})
