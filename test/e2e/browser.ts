/** For the tests of the pages: Chromium before a real server, and what agents do while it looks on. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, type Locator, type Page, chromium } from 'playwright-core'
import { type Socket, type TestServer, type TestServerOptions, startTestServer } from 'cadre/testing'

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path))
const dist = fileURLToPath(new URL('../../dist', import.meta.url))
/** Why no test can run here. */
export const missing =
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

/** The console's errors and failed requests gather in `noise`. */
export async function inBrowser(
  work: (page: Page, server: TestServer, noise: string[]) => Promise<void>,
  options: TestServerOptions = {},
): Promise<void> {
  const server = await startTestServer({ ...options, assets: dist })
  let browser: Browser | undefined
  try {
    browser = await chromium.launch({ executablePath: executable as string, args: flags })
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
    page.setDefaultTimeout(15_000)
    const noise: string[] = []
    page.on('console', (message) => message.type() === 'error' && noise.push(message.text()))
    page.on('pageerror', (error) => noise.push(error.message))
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

/** What stands beside a name in a list of facts. */
export const factOf = (where: Locator, name: string) =>
  where.locator('dt', { hasText: new RegExp(`^${name}$`) }).locator('xpath=following-sibling::dd')
export const hasText = (where: Locator, text: string | RegExp) => where.filter({ hasText: text }).waitFor()
export const goTo = (page: Page, name: string) =>
  page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click()

export interface Given {
  id: string
  receipt: string
  attempt: number
  sender: string
  content: unknown
}

/** Gives a message back until it is dead. */
export async function exhaust(agent: Socket, id: string, reason: (attempt: number) => string): Promise<void> {
  for (let state = 'ready'; state !== 'dead'; ) {
    const { data } = await agent.next<Given>('message:received', (given) => given.id === id)
    ;({ state } = await agent.call<{ state: string }>('message:reject', {
      receipt: data.receipt,
      reason: reason(data.attempt),
      delay_ms: 1,
    }))
  }
}

/** Sends the same thanks to and fro until a brake stops it; answers the refusal. */
export async function thankForEver(one: Socket, other: Socket, names: readonly [string, string]): Promise<Error> {
  for (let turn = 0; turn < 100; turn++) {
    const [from, to] = turn % 2 === 0 ? [one, names[1]] : [other, names[0]]
    const refusal = await from.call('message:send', { to, content: 'Thank you!' }).then(
      () => undefined,
      (error: unknown) => error as Error,
    )
    if (refusal !== undefined) return refusal
  }
  throw new Error('nothing stopped them')
}
