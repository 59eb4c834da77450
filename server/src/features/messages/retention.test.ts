/** Retention: settled messages go after their time, in small commits; nothing unsettled does, and positions never come twice. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Delivery, Message, OutputOf } from '@cadre/contract'
import { sql } from '../../drivers/database/sql.ts'
import { openSqlite } from '../../drivers/database/sqlite.ts'
import { ManualClock, Refused, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Sent = OutputOf<'messages.send'>
type Retention = OutputOf<'retention.get'>

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

/** One store served again and again, each time on another day: a clock is never moved by days while a server runs. */
async function open(t: TestContext) {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  return async (onDay: number) => {
    const clock = new ManualClock(start + onDay * day)
    const server = await serveFor(t, { clock, config: { data: folder.path } })
    const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
    const as = { token }
    const receive = async () =>
      (await server.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', { limit: 256 }, as)).items
    return {
      clock,
      server,
      as,
      receive,
      send: (content: unknown, more: object = {}) => server.call<Sent>('POST', '/messages', { to: 'bob', content, ...more }),
      acknowledgeAll: async () => {
        const receipts = (await receive()).map(({ receipt }) => receipt)
        if (receipts.length > 0) await server.call('POST', '/messages/acknowledge', { receipts }, as)
      },
      contents: async (more = '') =>
        (await server.call<{ items: Message[] }>('GET', `/messages?limit=500${more}`)).items
          .map(({ content }) => content)
          .reverse(),
      retention: () => server.call<Retention>('GET', '/retention'),
      set: (input: object) => server.call('PUT', '/retention', input),
      /** Several sweeps; each ends before the next. */
      sweep: async () => {
        await clock.advance(60_001)
        await clock.advance(60_001)
      },
    }
  }
}

test('everything is kept until a tenant says otherwise', async (t) => {
  const on = await open(t)
  const first = await on(0)
  await first.send('old')
  await first.acknowledgeAll()
  await first.server.close()
  const later = await on(400)
  await later.sweep()
  assert.deepEqual(await later.contents(), ['old'])
  assert.deepEqual(await later.retention(), { messages_days: null, messages_max: null, trimmed_to: 0, removed: 0 })
})

test('settled messages older than so many days go; unsettled ones, dead letters and what is newer stay', async (t) => {
  const on = await open(t)
  const first = await on(0)
  const { server, as, send, receive, acknowledgeAll } = first
  const old = []
  for (let index = 0; index < 150; index++) old.push(await send(index, { ttl: 40 * day }))
  await acknowledgeAll()
  await send('waits')
  await send('dies')
  for (const { receipt, content } of await receive())
    await server.call('POST', '/messages/reject', { receipt, ...(content === 'dies' ? { dead: true } : { delay_ms: 0 }) }, as)
  await server.close()
  const second = await on(20)
  await second.send('newer')
  await second.receive()
  await second.server.close()

  const third = await on(31)
  await third.set({ messages_days: 30 })
  await third.sweep()
  assert.deepEqual(await third.contents(), ['waits', 'dies', 'newer'])
  const { trimmed_to, removed, messages_days } = await third.retention()
  assert.deepEqual([trimmed_to, removed, messages_days], [old.at(-1)?.receipt.seq, 150, 30])
  await assert.rejects(third.server.call('GET', `/messages/${old[3]?.id}`), (error) => {
    refused(404, 'not_found')(error)
    assert.match(String((error as Refused).problem.parameters?.['reason']), /retention/)
    return true
  })
  const unknown = third.server.call('GET', '/messages/msg_00000zzzzzz')
  await assert.rejects(unknown, (error) => (error as Refused).problem.parameters?.['reason'] === undefined)

  // What stayed goes once it is settled.
  const [letter] = (await third.server.call<OutputOf<'messages.dead_letters'>>('GET', '/dead-letters')).items
  await third.server.call('DELETE', `/dead-letters/${letter?.id}`)
  await third.acknowledgeAll()
  await third.sweep()
  assert.deepEqual(await third.contents(), ['newer'])
  assert.equal((await third.retention()).removed, 152)
})

test('positions go on rising after the newest message was removed, and readers of old ones are told of the gap', async (t) => {
  const on = await open(t)
  const first = await on(0)
  await first.set({ messages_days: 1 })
  const last = await first.send('the last thing that happened')
  await first.acknowledgeAll()
  await first.server.close()
  const second = await on(2)
  await second.sweep()
  assert.deepEqual(await second.contents(), [])
  await second.server.close()
  const third = await on(3)
  const { trimmed_to, removed } = await third.retention()
  assert.deepEqual([trimmed_to, removed], [last.receipt.seq, 1], 'the mark is durable')
  const fresh = await third.send('fresh')
  assert.ok(fresh.receipt.seq > last.receipt.seq)
  const replay = (after: number) => third.server.call<OutputOf<'messages.replay'>>('POST', '/messages/replay', { after })
  const fromStart = await replay(0)
  assert.deepEqual([fromStart.gap, fromStart.trimmed_to, fromStart.items.length], [true, trimmed_to, 1])
  assert.equal((await replay(trimmed_to)).gap, false)
})

test('beyond a number of messages the oldest go, but none of the last day', async (t) => {
  const on = await open(t)
  const first = await on(0)
  for (let index = 0; index < 10; index++) await first.send(index)
  await first.acknowledgeAll()
  await first.server.close()
  const second = await on(2)
  for (let index = 10; index < 16; index++) await second.send(index)
  await second.acknowledgeAll()
  await second.set({ messages_max: 8 })
  await second.sweep()
  assert.deepEqual(await second.contents(), [8, 9, 10, 11, 12, 13, 14, 15])
  await second.set({ messages_max: 2 })
  await second.sweep()
  assert.deepEqual(await second.contents(), [10, 11, 12, 13, 14, 15], 'their keys may still be repeated')
  await second.send(16)
  await second.set({ messages_max: null })
  assert.equal((await second.retention()).messages_max, null)
})

test('a sender counts on in a conversation of which everything was removed', async (t) => {
  const on = await open(t)
  const first = await on(0)
  for (let index = 1; index <= 3; index++) {
    assert.equal((await first.send(index, { conversation_id: 'talk' })).sender_seq, index)
    await first.acknowledgeAll()
  }
  await first.server.close()
  const second = await on(2)
  await second.set({ messages_days: 1 })
  await second.sweep()
  assert.deepEqual(await second.contents(), [])
  assert.equal((await second.send(4, { conversation_id: 'talk' })).sender_seq, 4)
  const log = await second.server.call<OutputOf<'events.list'>>('GET', '/events?after=0&types=message.trimmed,message.sent')
  assert.deepEqual(
    log.items.map(({ type, data }) => [type, (data as { content?: unknown }).content]),
    [
      ['message.trimmed', undefined],
      ['message.sent', 4],
    ],
  )
  assert.equal(log.gap, true, 'who reads from the start hears that something is missing')
  const { trimmed_to } = await second.retention()
  assert.equal((await second.server.call<OutputOf<'events.list'>>('GET', `/events?after=${trimmed_to}`)).gap, false)
  const compacted = await second.server.call<OutputOf<'events.list'>>('GET', '/events?types=retention.compacted')
  assert.deepEqual(
    compacted.items.map(({ data, topic }) => [data, topic]),
    [[{ removed: 3, trimmed_to }, 'system.events']],
  )
})

test('a copy that is replayed keeps its message until it is settled', async (t) => {
  const on = await open(t)
  const first = await on(0)
  await first.send('again')
  await first.acknowledgeAll()
  await first.server.close()
  const second = await on(2)
  await second.server.call('POST', '/messages/replay', { agent: 'bob', after: 0, deliver: true })
  await second.set({ messages_days: 1 })
  await second.sweep()
  const [copy] = await second.receive()
  assert.deepEqual([copy?.content, copy?.replay], ['again', true])
  await second.server.call('POST', '/messages/acknowledge', { receipts: copy?.receipt }, second.as)
  await second.sweep()
  assert.deepEqual(await second.contents(), [])
})

test('only administrators set it, within bounds', async (t) => {
  const on = await open(t)
  const { server, as, set, retention } = await on(0)
  await assert.rejects(server.call('PUT', '/retention', { messages_days: 1 }, as), refused(403, 'forbidden'))
  const { key } = await server.call<{ key: string }>('POST', '/keys', { name: 'night shift', role: 'operator' })
  await assert.rejects(server.call('PUT', '/retention', { messages_days: 1 }, { token: key }), refused(403, 'forbidden'))
  for (const input of [{ messages_days: 0 }, { messages_max: 0 }, { messages_days: 1.5 }, { messages_max: 'many' }])
    await assert.rejects(set(input), refused(422, 'invalid_request'))
  await set({ messages_days: 30, messages_max: 1_000 })
  await set({ messages_days: 60 })
  const { messages_days, messages_max } = await retention()
  assert.deepEqual([messages_days, messages_max], [60, 1_000])
})

test('of what is removed nothing is left to list by', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const listed = async () => {
    const store = openSqlite(folder.path)
    const row = await store.get<{ count: number }>(sql`select count(*) as count from message_intents`)
    await store.close()
    return row?.count
  }
  const first = await startTestServer({ clock: new ManualClock(start), config: { data: folder.path } })
  const { token } = await first.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  await first.call('POST', '/messages', { to: 'bob', content: 'meant', intent: 'inform' })
  const { items } = await first.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', { limit: 1 }, { token })
  await first.call('POST', '/messages/acknowledge', { receipts: items.map(({ receipt }) => receipt) }, { token })
  await first.close()
  assert.equal(await listed(), 1)
  const clock = new ManualClock(start + 40 * day)
  const later = await startTestServer({ clock, config: { data: folder.path } })
  await later.call('PUT', '/retention', { messages_days: 30 })
  await clock.advance(60_001)
  assert.equal((await later.call<Retention>('GET', '/retention')).removed, 1)
  await later.close()
  assert.equal(await listed(), 0)
})
