/** How full an inbox is, and how long its oldest message has waited. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, OutputOf } from '@cadre/contract'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Inbox = OutputOf<'messages.inbox'>

test('an inbox tells its depth, what of it is ready, delayed, behind and leased, and the age of the oldest', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  const as = { token }
  const inbox = () => server.call<Inbox>('GET', '/agents/bob/inbox', undefined, as)
  const send = (content: unknown, more: object = {}) => server.call('POST', '/messages', { to: 'bob', content, ...more })
  const receive = async (limit: number) =>
    (await server.call<{ items: Delivery[] }>('POST', '/agents/bob/inbox/receive', { limit }, as)).items.map(
      ({ receipt }) => receipt,
    )
  const { agent_id, ...empty } = await inbox()
  const nothing = { ready: 0, delayed: 0, behind: 0, leased: 0, dead: 0 }
  assert.deepEqual(empty, { agent: 'bob', depth: 0, ...nothing, oldest_at: null, oldest_age_ms: null })

  const oldest = new Date(clock.now()).toISOString()
  await send('first', { priority: 'low' })
  await clock.advance(2_000)
  await send('one', { conversation_id: 'talk' })
  await send('two', { conversation_id: 'talk' })
  await send('urgent', { priority: 'critical' })
  await send('next', { priority: 'high' })
  const [urgent, next] = await receive(2)
  await server.call('POST', '/messages/reject', { receipt: urgent, delay_ms: 20_000 }, as)
  await clock.advance(500)
  assert.deepEqual(await inbox(), {
    agent_id,
    agent: 'bob',
    depth: 5,
    ...nothing,
    ready: 2,
    delayed: 1,
    behind: 1,
    leased: 1,
    oldest_at: oldest,
    oldest_age_ms: 2_500,
  })
  await server.call('POST', '/messages/reject', { receipt: next, dead: true }, as)
  const [one, first] = await receive(2)
  await server.call('POST', '/messages/acknowledge', { receipts: [one, first] }, as)
  const { depth, ready, dead, oldest_age_ms } = await inbox()
  assert.deepEqual({ depth, ready, dead, oldest_age_ms }, { depth: 2, ready: 1, dead: 1, oldest_age_ms: 500 })
  await server.call('POST', '/messages/replay', { agent: 'bob', after: 0, deliver: true })
  assert.equal((await inbox()).oldest_age_ms, 500, 'replayed copies are not what waits longest')
})

test('what is in flight to a connected agent counts too', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const bob = await server.leased('bob')
  for (let index = 0; index < 3; index++) await server.call('POST', '/messages', { to: 'bob', content: index })
  await bob.next('message:received')
  await clock.advance(1_000)
  const { depth, leased, ready, oldest_age_ms } = await server.call<Inbox>('GET', '/agents/bob/inbox')
  assert.deepEqual({ depth, leased, ready, oldest_age_ms }, { depth: 3, leased: 3, ready: 0, oldest_age_ms: 1_000 })
  assert.equal((await bob.call<Inbox>('messages.inbox')).depth, 3)
  const eve = await server.leased('eve')
  await assert.rejects(eve.call('messages.inbox', { agent: 'bob' }), (error) => (error as Refused).code === 'forbidden')
})
