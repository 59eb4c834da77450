/** Messages, topics and the log as loops. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifies } from '../../../test/verifies.ts'
import { openHouse } from './house.ts'
import { ScriptedServer, join, turn } from './scripted-server.ts'

test('a message is acknowledged when the loop asks for the next one', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { window: 3 })
  const flows = () => server.sent('flow') as { ack?: number; credits?: number }[]
  const credits = () => flows().reduce((sum, { credits: more }) => sum + (more ?? 0), 0)
  const acks = () => flows().flatMap(({ ack }) => ack ?? [])
  const messages = hub.messages()
  await turn()
  // Nothing is fetched for a loop that has not begun.
  assert.equal(credits(), 0)
  const first = messages.next()
  await turn()
  assert.equal(credits(), 3)
  for (let index = 0; index < 3; index++) server.deliver()
  assert.equal((await first).value?.id, 'msg_1')
  await turn()
  assert.deepEqual([credits(), acks()], [3, []])
  assert.equal((await messages.next()).value?.id, 'msg_2')
  await turn()
  assert.deepEqual([credits(), acks()], [4, [1]])
  const third = (await messages.next()).value
  third?.acknowledge()
  await turn()
  assert.deepEqual([credits(), acks()], [6, [1, 2, 3]])
  await hub.close()
  assert.equal((await messages.next()).done, true)
})

test('a loop that breaks gives back the message it was at; those it had not seen are for the next loop, without an attempt', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const seen: string[] = []
  const loop = async (until: string) => {
    for await (const message of hub.messages({ type: 'job' })) {
      seen.push(message.id)
      if (message.id === until) break
    }
  }
  const rejected = () => server.data('messages.reject').map(({ receipt, delay_ms, dead }) => [receipt, delay_ms, dead])
  const first = loop('msg_2')
  await turn()
  for (let index = 0; index < 4; index++) server.deliver({ type: 'job' })
  await first
  await turn()
  // On its way while nobody listened.
  server.deliver({ type: 'job' })
  await turn()
  assert.deepEqual(seen, ['msg_1', 'msg_2'])
  assert.deepEqual(rejected(), [['rcp_2_1', 0, undefined]])
  await loop('msg_4')
  await turn()
  assert.deepEqual(seen.slice(2), ['msg_3', 'msg_4'])
  assert.deepEqual(rejected().slice(1), [['rcp_4_1', 0, undefined]])
  const handled: string[] = []
  hub.onMessage((message) => handled.push(message.id) && undefined)
  await turn()
  assert.deepEqual(handled, ['msg_5'])
  assert.equal(rejected().length, 2)
  await hub.close()
})

test('what no loop came back for is kept leased, and given back when the agent drains', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const messages = hub.messages()
  const first = messages.next()
  await turn()
  server.deliver()
  server.deliver()
  ;(await first).value?.acknowledge()
  await messages.return?.()
  await server.clock.advance(12_000)
  assert.deepEqual(
    server.data('messages.extend').map(({ receipt }) => receipt),
    ['rcp_2_1'],
  )
  await hub.close({ drain: true })
  assert.deepEqual(
    server.data('messages.reject').map(({ receipt }) => receipt),
    ['rcp_2_1'],
  )
})

test('a signal ends a loop, while it waits and between two messages; a throw gives back', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const abort = new AbortController()
  const waiting = hub.messages({ signal: abort.signal }).next()
  await turn()
  abort.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  await assert.rejects(hub.messages({ signal: abort.signal }).next(), /enough/)
  await assert.rejects(hub.events.follow({ signal: abort.signal }).next(), /enough/)
  const later = new AbortController()
  const loop = (async () => {
    for await (const message of hub.messages({ signal: later.signal }))
      if (message.id === 'msg_1') later.abort(new Error('one is enough'))
  })()
  await turn()
  server.deliver()
  server.deliver()
  await assert.rejects(loop, /one is enough/)
  await turn()
  // The body of the first went on, so that one is done with, and nobody looked at the second.
  assert.deepEqual(server.data('messages.reject'), [])
  const throwing = async () => {
    for await (const message of hub.messages()) throw new Error(`failed at ${message.id}`)
  }
  await assert.rejects(throwing(), /failed at msg_2/)
  await turn()
  assert.equal(server.data('messages.reject').at(-1)?.['receipt'], 'rcp_2_1')
  await hub.close()
})

test('a slow reader of the log rests the watch and misses nothing', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('events.watch', () => ({ head: 0 }))
  const entries = hub.events.follow({ after: 0, types: ['task.created'] })
  const first = entries.next()
  await turn()
  const push = (from: number, to: number) => {
    for (let seq = from; seq <= to; seq++) server.socket.push({ type: 'event', data: { seq, type: 'task.created', data: {} } })
  }
  push(1, 1500)
  assert.equal((await first).value?.seq, 1)
  await turn()
  assert.equal(server.sent('events.unwatch').length, 1)
  let last = 1
  while (last < 1000) last = (await entries.next()).value?.seq ?? 0
  const next = entries.next()
  await turn()
  assert.deepEqual(server.data('events.watch').at(-1), { after: 1000, types: ['task.created'] })
  push(1001, 1002)
  assert.equal((await next).value?.seq, 1001)
  await entries.return?.()
  await hub.close()
})

verifies('SDK-06', 'a loop over messages takes each once, and those it left come to the next loop', async (t) => {
  const { join: enter } = await openHouse(t)
  const [ann, bob] = [await enter('ann'), await enter('bob')]
  await Promise.all(Array.from({ length: 30 }, (_, index) => ann.send('bob', index)))
  const seen: unknown[] = []
  for await (const message of bob.messages()) {
    seen.push(message.content)
    if (seen.length === 10) break
  }
  const again: unknown[] = []
  for await (const message of bob.messages()) {
    again.push(message.content)
    if (again.length < 21) continue
    message.acknowledge()
    break
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 10 }, (_, index) => index),
  )
  // The tenth was not acknowledged and comes once more, among those that no loop had seen.
  assert.deepEqual(
    again.toSorted((one, other) => Number(one) - Number(other)),
    Array.from({ length: 21 }, (_, index) => index + 9),
  )
})

test('a topic as a loop: subscribed from the first pull to the end, also as one of a group', async (t) => {
  const { join: enter } = await openHouse(t)
  const [ann, bob, cid] = [await enter('ann'), await enter('bob'), await enter('cid')]
  const got: unknown[] = []
  const both = Promise.withResolvers<void>()
  const read = async (hub: typeof bob) => {
    for await (const message of hub.subscribe('findings.*', { group: 'readers' })) {
      got.push(message.content)
      if (got.length === 6) both.resolve()
      if (message.content === 'stop') return message.acknowledge()
    }
  }
  const loops = [read(bob), read(cid)]
  const operator = await enter(undefined)
  while ((await operator.call('messages.subscriptions', { group: 'readers' })).items.length < 2) await turn()
  for (let index = 0; index < 6; index++) await ann.publish('findings.new', index)
  await both.promise
  assert.deepEqual(new Set(got), new Set([0, 1, 2, 3, 4, 5]))
  await ann.publish('findings.new', 'stop')
  await Promise.race(loops)
  await ann.publish('findings.new', 'stop')
  await Promise.all(loops)
  assert.equal((await operator.call('messages.subscriptions', { group: 'readers' })).items.length, 0)
})

test('a subscription from a position of the log gets what was published after it', async (t) => {
  const { join: enter } = await openHouse(t)
  const [ann, bob, operator] = [await enter('ann'), await enter('bob'), await enter(undefined)]
  // Old messages of a topic are for those who were subscribed, or are now.
  await ann.publish('news.a', 'before')
  const { items } = await operator.events.list({ limit: 1000 })
  const position = items.at(-1)?.seq ?? 0
  await ann.publish('news.a', 'first')
  await ann.publish('news.b', 'second')
  const got: unknown[] = []
  const done = Promise.withResolvers<void>()
  await bob.subscribe(
    'news.*',
    (message) => {
      got.push([message.content, message.replay])
      if (message.content === 'new') done.resolve()
    },
    { from: position },
  )
  await ann.publish('news.a', 'new')
  await done.promise
  assert.deepEqual(
    got.filter((each) => (each as unknown[])[1]),
    [
      ['first', true],
      ['second', true],
    ],
  )
})

test('the log as a loop', async (t) => {
  const { join: enter } = await openHouse(t)
  const [ann, operator] = [await enter('ann'), await enter(undefined)]
  await enter('bob')
  const seen: string[] = []
  const loop = (async () => {
    for await (const entry of operator.events.follow({ types: ['message.sent'], after: 0 })) {
      seen.push(entry.type)
      if (seen.length === 3) return
    }
  })()
  for (let index = 0; index < 3; index++) await ann.send('bob', index)
  await loop
  assert.deepEqual(seen, ['message.sent', 'message.sent', 'message.sent'])
})
