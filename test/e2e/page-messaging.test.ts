/** Messaging in the control room, in a real browser: receipts, queues, dead letters, rules, loop brakes, connections. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { verifies } from '../verifies.ts'
import { type Given, exhaust, factOf, goTo, hasText, inBrowser, missing, thankForEver } from './browser.ts'

verifies(
  'MSG-01',
  'who sent a message sees at each recipient how it goes from stored to delivered to acknowledged, and why it went there',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      const [ada, carol] = [await server.leased('ada', { credits: 0 }), await server.leased('carol')]
      const sent = await server.call<{ id: string }>('POST', '/messages', { to: 'ada', content: 'The harbour is full' })
      const row = page.getByRole('button', { name: /The harbour is full/ })
      await hasText(row, 'Stored')
      await row.click()
      const item = page.getByRole('list', { name: 'Messages, newest first' }).getByRole('listitem').filter({ has: row })
      await item.getByText('Direct', { exact: true }).waitFor()
      await item.getByText('named by the sender').waitFor()
      const copy = item.getByRole('list', { name: 'Recipients' }).getByRole('listitem')
      await hasText(copy, /^adaStored/)
      const { items } = await server.call<{ items: Given[] }>('POST', '/agents/ada/inbox/receive', { wait_ms: 5000 })
      assert.deepEqual(
        items.map(({ id }) => id),
        [sent.id],
      )
      await hasText(row, 'Delivered')
      await hasText(copy, /^adaDeliveredattempt 1/)
      await server.call('POST', '/messages/acknowledge', { receipts: items[0]?.receipt })
      await hasText(row, 'Acknowledged')
      await hasText(copy, /^adaAcknowledged$/)
      assert.deepEqual([...(await carol.settled('message:received')), ...(await ada.settled('message:received'))], [])
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

test('a message that was not taken in its time shows as expired, in the list, at its recipient and in the timeline', {
  skip: missing ?? false,
  timeout: 90_000,
}, async () => {
  await inBrowser(async (page, server) => {
    await page.goto(server.signInUrl())
    await server.call('POST', '/agents/register', { name: 'ada' })
    await server.call('POST', '/messages', { to: 'ada', content: 'Only now', ttl: 300 })
    const row = page.getByRole('button', { name: /Only now/ })
    await hasText(row, 'Expired')
    await row.click()
    await hasText(page.getByRole('list', { name: 'Recipients' }).getByRole('listitem'), /^adaExpired/)
    await goTo(page, 'Timeline')
    await page.getByText('A message to ada expired').waitFor()
  })
})

verifies(
  'MSG-12',
  'each agent shows its queue with depth and oldest age, live',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      for (const name of ['ada', 'bob']) await server.call('POST', '/agents/register', { name })
      const send = (content: string) => server.call('POST', '/messages', { to: 'bob', content, conversation_id: 'harbour' })
      await send('one')
      await send('two')
      await page.getByRole('button', { name: 'bob', exact: true }).click()
      const bob = page.getByRole('dialog', { name: 'bob' })
      await hasText(factOf(bob, 'Depth'), /^2$/)
      await hasText(factOf(bob, 'Oldest waits for'), /^\d+\.\ds$/)
      await hasText(factOf(bob, 'Ready'), /^1$/)
      await hasText(factOf(bob, 'Behind'), /^1$/)
      await send('three')
      await hasText(factOf(bob, 'Depth'), /^3$/)
      const { items } = await server.call<{ items: Given[] }>('POST', '/agents/bob/inbox/receive', { limit: 1 })
      await hasText(factOf(bob, 'Leased'), /^1$/)
      await server.call('POST', '/messages/reject', { receipt: items[0]?.receipt, dead: true, reason: 'no' })
      await hasText(factOf(bob, 'Dead'), /^1$/)
      await hasText(factOf(bob, 'Depth'), /^2$/)
      await bob.getByText('from operator').first().waitFor()
      // Its address leads back to it.
      await page.reload()
      await hasText(factOf(bob, 'Depth'), /^2$/)
      await bob.getByRole('button', { name: 'Close' }).click()
      await page.getByRole('button', { name: 'ada', exact: true }).click()
      const ada = page.getByRole('dialog', { name: 'ada' })
      await hasText(factOf(ada, 'Depth'), /^0$/)
      await hasText(factOf(ada, 'Oldest waits for'), /^–$/)
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

verifies(
  'MSG-17',
  'a message that failed five times shows under dead.letter with the reason and every error, is redriven and purged from there',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      await goTo(page, 'Dead letters')
      await page.getByText('No dead letters').waitFor()
      const ada = await server.leased('ada')
      const sent = await server.call<{ id: string }>('POST', '/messages', { to: 'ada', content: 'Print it' })
      await exhaust(ada, sent.id, (attempt) => `printer error ${attempt}`)

      await page.getByRole('link', { name: /^Dead letters\s*1$/ }).waitFor()
      await page.getByRole('region', { name: 'Dead letters' }).getByText('dead.letter').waitFor()
      const letter = page.getByRole('listitem', { name: 'Dead letter of ada' })
      await letter.getByText('5 attempts, the last: printer error 5').waitFor()
      const attempts = letter.getByRole('list', { name: 'Attempts' }).getByRole('listitem')
      assert.deepEqual(
        (await attempts.allTextContents()).map((text) => text.replace(/^[\d:]+/, '')),
        [1, 2, 3, 4, 5].map((attempt) => `attempt ${attempt}printer error ${attempt}`),
      )
      await letter.getByRole('button', { name: 'Redrive' }).click()
      await page.getByText('No dead letters').waitFor()
      const again = await ada.next<Given>('message:received', ({ id }) => id === sent.id)
      assert.equal(again.data.attempt, 1)

      await ada.call('message:reject', { receipt: again.data.receipt, dead: true, reason: 'out of paper' })
      await letter
        .getByText(/out of paper/)
        .first()
        .waitFor()
      await letter.getByRole('button', { name: 'Purge' }).click()
      await letter.getByRole('button', { name: 'Keep' }).click()
      await letter.getByRole('button', { name: 'Purge' }).click()
      assert.equal((await server.call<{ items: unknown[] }>('GET', '/dead-letters')).items.length, 1)
      await letter.getByRole('button', { name: 'Yes, purge' }).click()
      await page.getByText('No dead letters').waitFor()
      await page.getByRole('link', { name: 'Dead letters', exact: true }).waitFor()
      assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/dead-letters')).items, [])
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

verifies(
  'MSG-02',
  'a rule made on the page sends analysis to an idle analyst, and the message shows the decision',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      await server.leased('ada', { type: 'analyst' })
      await server.leased('bob', { type: 'writer' })
      await goTo(page, 'Rules')
      await page.getByText('No rule yet').waitFor()
      await page.getByRole('textbox', { name: 'Name' }).fill('market')
      await page.getByRole('textbox', { name: 'Message type' }).fill('analysis.*')
      await page.getByRole('textbox', { name: 'Goes to agents of type' }).fill('analyst')
      await page.getByLabel('Which of them').selectOption('idle')
      await page.getByRole('button', { name: 'Add rule' }).click()
      const rule = page.getByRole('list', { name: 'Rules' }).getByRole('listitem')
      await hasText(rule, /market.*type analysis\.\*.*type analyst, an idle one first/)

      const sent = await server.call<{ recipients: string[]; route: { reason: string } }>('POST', '/messages', {
        type: 'analysis.market',
        content: 'How big is it?',
      })
      assert.deepEqual(sent.recipients, ['ada'])
      await goTo(page, 'Team')
      const row = page.getByRole('button', { name: /How big is it/ })
      await hasText(row, /operator.*ada/)
      await row.click()
      await page.getByText('By rule', { exact: true }).waitFor()
      assert.match(sent.route.reason, /^rule market: /)
      await page.getByText(sent.route.reason).waitFor()

      await goTo(page, 'Rules')
      await rule.getByRole('button', { name: 'Delete' }).click()
      await rule.getByRole('button', { name: 'Yes, delete' }).click()
      await page.getByText('No rule yet').waitFor()
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

test('a rule that the server refuses says why and stays in the form', { skip: missing ?? false, timeout: 90_000 }, async () => {
  await inBrowser(async (page, server) => {
    await page.goto(server.signInUrl())
    await goTo(page, 'Rules')
    await page.getByRole('textbox', { name: 'Name' }).fill('market')
    await page.getByRole('textbox', { name: 'Message type' }).fill('analysis.*')
    await page.getByRole('textbox', { name: 'Goes to agents of type' }).fill('analyst')
    await page.context().clearCookies()
    await page.getByRole('button', { name: 'Add rule' }).click()
    await page.getByRole('alert').first().waitFor()
    assert.equal(await page.getByRole('textbox', { name: 'Name' }).inputValue(), 'market')
  })
})

verifies(
  'BYD-08',
  'two agents that always answer are stopped by rule; the timeline says why, and an operator lets them go on',
  async () => {
    await inBrowser(async (page, server, noise) => {
      await page.goto(server.signInUrl())
      await goTo(page, 'Timeline')
      const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
      const refusal = await thankForEver(ada, bob, ['ada', 'bob'])
      const [brake] = (await server.call<{ items: { reason: string }[] }>('GET', '/brakes?held=true')).items
      assert.ok(brake !== undefined && refusal.message.includes(brake.reason))
      const line = page.getByRole('list', { name: 'Events, newest first' }).getByRole('listitem')
      const said = line.filter({ hasText: 'brake.tripped' }).filter({ hasText: 'Loop brake holds ada and bob: ping-pong' })
      await hasText(said, brake.reason)

      await page.getByRole('link', { name: /^Loop brakes\s*1$/ }).click()
      const held = page.getByRole('listitem', { name: 'Held: ada and bob' })
      await held.getByText(brake.reason).waitFor()
      await held.getByRole('button', { name: 'Reset' }).click()
      await page.getByText('Nothing is held').waitFor()
      await ada.call('message:send', { to: 'bob', content: 'Thank you!' })
      await goTo(page, 'Timeline')
      await page.getByText('ada and bob may go on').waitFor()
      assert.deepEqual(noise, [])
    })
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)

verifies(
  'WSE-15',
  'the page of connections shows who is connected, how many, and lets go of those that are dead',
  async () => {
    await inBrowser(
      async (page, server, noise) => {
        await page.goto(server.signInUrl())
        await goTo(page, 'Connections')
        const region = page.getByRole('region', { name: 'Connections' })
        await region.getByText('1 open, oldest first').waitFor()
        await server.leased('ada', { credits: 7 })
        const deaf = new WebSocket(`ws://127.0.0.1:${server.port}/ws`)
        try {
          deaf.on('open', () => deaf.send(JSON.stringify({ type: 'agent:register', id: '1', data: { name: 'bob' } })))
          await region.getByText('3 open, oldest first').waitFor()
          const rowOf = (name: string) => region.getByRole('row').filter({ has: page.getByRole('rowheader', { name }) })
          assert.match((await rowOf('ada').textContent()) ?? '', /^ada(now|\d+s ago)leased70 B0$/)
          await hasText(rowOf('bob'), /^bob(now|\d+s ago)plain–0 B0$/)
          // From here on it answers no ping.
          deaf.pause()
          await rowOf('bob').waitFor({ state: 'detached' })
          await region.getByText('2 open, oldest first').waitFor()
          await rowOf('ada').waitFor()
        } finally {
          deaf.terminate()
        }
        assert.deepEqual(noise, [])
      },
      { pingMs: 250 },
    )
  },
  { needs: 'chromium', skip: missing, timeout: 90_000 },
)
