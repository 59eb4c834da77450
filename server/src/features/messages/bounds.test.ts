/** Dead letters page by page and for good, and what bounds a message beside its content. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, Message, OutputOf } from '@cadre/contract'
import { ManualClock, Refused, type TestServer, serveFor } from '../../testing.ts'

type Page = OutputOf<'messages.dead_letters'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

/** A message to `names` that each of them refuses for good. */
async function bury(server: TestServer, names: string[], more: object = {}): Promise<Message> {
  const sockets = await Promise.all(names.map((name) => server.leased(name)))
  const message = await server.call<Message>('POST', '/messages', { recipients: names, content: 'poison', ...more })
  for (const socket of sockets) {
    const { data } = await socket.next<Delivery>('message:received', ({ id }) => id === message.id)
    await socket.call('message:reject', { receipt: data.receipt, dead: true, reason: 'no' })
  }
  return message
}

test('pages of dead letters skip no recipient of a message', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  await bury(server, ['ada', 'bob', 'eve'])
  await bury(server, ['ada', 'bob'])
  const seen: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page = await server.call<Page>('GET', `/dead-letters?limit=1${cursor && `&cursor=${cursor}`}`)
    seen.push(...page.items.map((item) => item.id))
    cursor = page.next
  }
  assert.deepEqual([seen.length, new Set(seen).size], [5, 5])
  assert.equal((await server.call<Page>('GET', '/dead-letters?agent=bob&limit=1')).items[0]?.agent, 'bob')
  await assert.rejects(server.call('GET', '/dead-letters?cursor=e30'), refused(422, 'invalid_request'))
})

test('a dead letter that is sent again does not expire by its old deadline', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  await bury(server, ['bob'], { ttl: 5_000 })
  await clock.advance(10_000)
  const [dead] = (await server.call<Page>('GET', '/dead-letters')).items
  const bob = await server.leased('bob')
  await server.call('POST', `/dead-letters/${dead?.id}/redrive`, {})
  assert.equal((await bob.next<Delivery>('message:received')).data.content, 'poison')
})

test('a purged dead letter is listed no more and cannot be sent again; its message still says that it died', async (t) => {
  const server = await serveFor(t, { clock: new ManualClock() })
  const message = await bury(server, ['ada', 'bob'])
  const letters = (await server.call<Page>('GET', '/dead-letters')).items
  const id = letters.find(({ agent }) => agent === 'bob')?.id as string
  const ada = await server.leased('ada')
  await assert.rejects(ada.call('messages.purge', { id }), refused(403, 'forbidden'))
  const purged = await server.call<OutputOf<'messages.purge'>>('DELETE', `/dead-letters/${id}`, undefined, { key: 'k' })
  assert.deepEqual([purged.id, purged.message_id, purged.receipt.duplicate], [id, message.id, false])
  const again = await server.call<OutputOf<'messages.purge'>>('DELETE', `/dead-letters/${id}`, undefined, { key: 'k' })
  assert.equal(again.receipt.duplicate, true)
  assert.deepEqual(
    (await server.call<Page>('GET', '/dead-letters')).items.map(({ agent }) => agent),
    ['ada'],
  )
  await assert.rejects(server.call('DELETE', `/dead-letters/${id}`), refused(404, 'not_found'))
  await assert.rejects(server.call('POST', `/dead-letters/${id}/redrive`, {}), refused(404, 'not_found'))
  assert.equal((await server.call<Message>('GET', `/messages/${message.id}`)).status, 'dead')
  const metrics = await server.call<{ messages: { dead: number } }>('GET', '/api/v1/metrics')
  assert.equal(metrics.messages.dead, 1)
  const { items } = await server.call<{ items: { type: string; data: object }[] }>('GET', '/events?limit=500')
  assert.deepEqual(
    items.filter(({ type }) => type === 'message.purged').map(({ data }) => data),
    [{ message_id: message.id, agent_id: letters.find(({ agent }) => agent === 'bob')?.agent_id, agent: 'bob' }],
  )
})

test('metadata is limited to 64 KiB, whatever fields it came in', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'bob' })
  const send = (fields: object) => server.call('POST', '/messages', { to: 'bob', content: 1, ...fields })
  await send({ metadata: { x: 'y'.repeat(60 * 1024) } })
  await assert.rejects(send({ metadata: { x: 'y'.repeat(65 * 1024) } }), refused(413, 'too_large'))
  await assert.rejects(send({ unknown_field: 'y'.repeat(65 * 1024) }), refused(413, 'too_large'))
  const deep = `{"to":"bob","content":1,"metadata":{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}}`
  await assert.rejects(
    server.call('POST', '/messages', deep, { headers: { 'content-type': 'application/json' } }),
    refused(422, 'invalid_request'),
  )
})

test('one key may be used once in each operation', async (t) => {
  const server = await serveFor(t)
  await server.call('POST', '/agents/register', { name: 'bob' })
  const sent = await server.call<Message>('POST', '/messages', { to: 'bob', content: 1 }, { key: 'K' })
  const published = await server.call<Message>('POST', '/topics/t/publish', { content: 1 }, { key: 'K' })
  const replied = await server.call<Message>('POST', `/messages/${sent.id}/reply`, { content: 1 }, { key: 'K' })
  assert.equal(new Set([sent.id, published.id, replied.id]).size, 3)
  assert.equal((await server.call<Message>('POST', '/messages', { to: 'bob', content: 1 }, { key: 'K' })).id, sent.id)
  assert.equal((await server.call<Message>('POST', '/topics/t/publish', { content: 1 }, { key: 'K' })).id, published.id)
  await assert.rejects(
    server.call('POST', '/topics/t/publish', { content: 2 }, { key: 'K' }),
    refused(422, 'idempotency_conflict'),
  )
})
