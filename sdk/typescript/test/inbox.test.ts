import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { verifies } from '../../../test/verifies.ts'
import { Reject, Retry } from '../src/errors.ts'
import { matchesTopic } from '../src/topics.ts'
import { Refusal, ScriptedServer, gate, join, silence, turn } from './scripted-server.ts'

type Flow = { ack?: number; credits?: number }
const flows = (server: ScriptedServer): Flow[] =>
  server.socket.frames
    .filter((frame) => frame.type === 'flow')
    .map((frame) => Object.fromEntries(Object.entries(frame).filter(([field]) => field !== 'type')) as Flow)
const lastAck = (server: ScriptedServer) => flows(server).findLast((flow) => 'ack' in flow)?.ack

test('nothing is asked for until somebody listens, then a window', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { window: 4 })
  assert.equal(server.data('agent:register')[0]?.['credits'], 0)
  assert.deepEqual(flows(server), [])
  hub.onMessage(() => {})
  await turn()
  assert.deepEqual(flows(server), [{ credits: 4 }])
  await hub.close()
})

test('what finished in order is acknowledged by one number a turn, with its credits', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { window: 4 })
  hub.onMessage(() => {})
  await turn()
  for (let count = 0; count < 3; count++) server.deliver()
  await turn()
  assert.deepEqual(flows(server).slice(1), [{ ack: 3, credits: 3 }])
  assert.equal(server.sent('messages.acknowledge').length, 0)
  await hub.close()
})

test('what finished behind a slow one is acknowledged by its receipt', async () => {
  const server = new ScriptedServer()
  const hub = await join(server, { window: 4 })
  const slow = gate()
  hub.onMessage((message) => (message.id === 'msg_1' ? slow.opened : undefined))
  server.deliver()
  server.deliver()
  server.deliver()
  await turn()
  assert.deepEqual(server.data('messages.acknowledge'), [{ receipts: ['rcp_2_1', 'rcp_3_1'] }])
  slow.open()
  await turn()
  assert.equal(lastAck(server), 1)
  await hub.close()
})

test('one receipt that is no longer current does not keep the others from being acknowledged', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const slow = gate()
  const settled: string[] = []
  server.on('messages.acknowledge', ({ receipts }) => {
    const list = receipts as string[]
    if (list.includes('rcp_2_1')) return new Refusal('stale_receipt')
    settled.push(...list)
    return { acknowledged: list.length, already: 0 }
  })
  hub.onMessage((message) => (message.id === 'msg_1' ? slow.opened : undefined))
  for (let count = 0; count < 3; count++) server.deliver()
  await turn()
  assert.deepEqual(settled, ['rcp_3_1'])
  slow.open()
  await hub.close()
})

test('credits and running handlers together are always the window', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 5 }), { minLength: 5, maxLength: 60 }), async (steps) => {
      const window = 5
      const server = new ScriptedServer()
      const hub = await join(server, { window })
      const running: (() => void)[] = []
      let peak = 0
      hub.onMessage(() => {
        const handler = gate()
        running.push(() => handler.open())
        peak = Math.max(peak, running.length)
        return handler.opened
      })
      await turn()
      let sent = 0
      const credits = () => flows(server).reduce((sum, flow) => sum + (flow.credits ?? 0), 0) - sent
      for (const step of steps) {
        if (step < 3 && credits() > 0) {
          server.deliver()
          sent += 1
        } else running.splice(step % Math.max(1, running.length), 1)[0]?.()
        await turn()
        assert.equal(credits() + running.length, window)
      }
      assert.ok(peak <= window)
      for (const finish of running) finish()
      await turn()
      const acknowledged = Math.max(0, ...flows(server).map((flow) => flow.ack ?? 0))
      const byReceipt = server.data('messages.acknowledge').flatMap(({ receipts }) => receipts as string[])
      for (let seq = 1; seq <= sent; seq++)
        assert.ok(seq <= acknowledged || byReceipt.includes(`rcp_${seq}_1`), `delivery ${seq}`)
      await hub.close()
    }),
    { numRuns: 20 },
  )
})

test('the return value answers who asked, and acknowledges in the same commit', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onMessage((message) => `re ${message.id}`)
  server.deliver({ kind: 'request' })
  server.deliver({ kind: 'event' })
  await turn()
  assert.deepEqual(server.data('messages.reply'), [{ reply_to: 'msg_1', content: 're msg_1', receipt: 'rcp_1_1' }])
  assert.deepEqual(server.data('messages.acknowledge'), [{ receipts: ['rcp_2_1'] }])
  assert.ok(!flows(server).some((flow) => 'ack' in flow))
  await hub.close()
})

test('a handler may answer by itself, once', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const failures: unknown[] = []
  hub.onMessage(async (_, { reply }) => {
    await reply('first')
    await reply('second').catch((error: unknown) => failures.push(error))
    return 'third'
  })
  server.deliver({ kind: 'request' })
  await turn()
  assert.deepEqual(
    server.data('messages.reply').map(({ content }) => content),
    ['first'],
  )
  assert.equal(failures.length, 1)
  assert.equal(server.sent('messages.reject').length, 0)
  await hub.close()
})

test('a throw gives the message back: with the reason, a time, or for good', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onMessage((message) => {
    if (message.id === 'msg_1') throw new Error('broken')
    if (message.id === 'msg_2') throw new Retry({ after: '30s' })
    throw new Reject('not mine')
  })
  for (let count = 0; count < 3; count++) server.deliver()
  await turn()
  assert.deepEqual(server.data('messages.reject'), [
    { receipt: 'rcp_1_1', reason: 'broken' },
    { receipt: 'rcp_2_1', reason: 'to be tried again', delay_ms: 30_000 },
    { receipt: 'rcp_3_1', reason: 'not mine', dead: true },
  ])
  await hub.close()
})

test('a message that comes again in the same text as the answer to its rejection is handled again', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const attempts: number[] = []
  server.on('messages.reject', (_, { id }) => {
    const again = server.delivery(1, { receipt: 'rcp_1_2', attempt: 2 })
    server.socket.push({ type: 'ack', ref: id, ok: true, data: {} }, { type: 'message:received', seq: 2, data: again })
    return silence
  })
  hub.onMessage(({ attempt }) => {
    attempts.push(attempt)
    if (attempt === 1) throw new Error('broken')
  })
  server.deliver()
  await turn()
  assert.deepEqual(attempts, [1, 2])
  assert.equal(lastAck(server), 2)
  await hub.close()
})

test('an acknowledgement does not overtake the rejection before it', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  server.on('messages.reject', () => silence)
  hub.onMessage((message) => {
    if (message.id === 'msg_1') throw new Error('broken')
  })
  server.deliver()
  server.deliver()
  await turn()
  assert.ok(!flows(server).some((flow) => 'ack' in flow))
  assert.deepEqual(server.data('messages.acknowledge'), [{ receipts: ['rcp_2_1'] }])
  await hub.close()
})

verifies('SDK-06', 'A message that comes again runs its handler once', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const slow = gate()
  const handled: string[] = []
  hub.onMessage(async (message) => {
    handled.push(message.id)
    if (message.id === 'msg_1') await slow.opened
  })
  server.deliver()
  server.deliver()
  await turn()
  // The connection is lost: the server sends both again, under new numbers and receipts.
  server.drop()
  await server.clock.advance(400)
  server.deliver({ id: 'msg_1', receipt: 'rcp_1_2', attempt: 2 })
  server.deliver({ id: 'msg_2', receipt: 'rcp_2_2', attempt: 2 })
  await turn()
  slow.open()
  await turn()
  assert.deepEqual(handled, ['msg_1', 'msg_2'])
  const settled = server.data('messages.acknowledge').flatMap(({ receipts }) => receipts as string[])
  assert.ok(settled.includes('rcp_2_2'))
  assert.ok(flows(server).some((flow) => flow.ack === 3))
  await hub.close()
})

test('a resumed connection goes on with its numbers; one that was not resumed settles by receipts', async () => {
  for (const resumed of [true, false]) {
    const server = new ScriptedServer()
    const hub = await join(server)
    const slow = gate()
    hub.onMessage((message) => (message.id === 'msg_2' ? slow.opened : undefined))
    server.deliver()
    server.deliver()
    await turn()
    server.welcome = { resumed }
    server.drop()
    await server.clock.advance(400)
    assert.equal(server.data('agent:register')[1]?.['last_seq'], 2)
    slow.open()
    await turn()
    const acks = flows(server).flatMap((flow) => flow.ack ?? [])
    assert.deepEqual(acks, resumed ? [1, 2] : [])
    assert.deepEqual(server.data('messages.acknowledge'), resumed ? [] : [{ receipts: ['rcp_2_1'] }])
    await hub.close()
  }
})

test('the lease of a message grows with its handler', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const slow = gate()
  hub.onMessage((_, { extend }) => extend(60_000).then(() => slow.opened))
  server.on('messages.extend', () => ({ lease_until: '' }))
  server.deliver()
  await turn()
  assert.deepEqual(server.data('messages.extend'), [{ receipt: 'rcp_1_1', lease_ms: 60_000 }])
  await server.clock.advance(60_000)
  assert.ok(server.sent('messages.extend').length >= 3)
  slow.open()
  await turn()
  const count = server.sent('messages.extend').length
  await server.clock.advance(120_000)
  assert.equal(server.sent('messages.extend').length, count)
  await hub.close()
})

test('handlers are chosen by type and topic; the general one takes the rest', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const heard: string[] = []
  hub.onMessage((message) => void heard.push(`any ${message.id}`))
  hub.onMessage((message) => void heard.push(`order ${message.id}`), { type: 'order' })
  const unsubscribe = await hub.subscribe('findings.*', (message) => void heard.push(`topic ${message.id}`))
  server.deliver()
  server.deliver({ type: 'order' })
  server.deliver({ topic: 'findings.new' })
  server.deliver({ topic: 'findings.new.deep' })
  await turn()
  assert.deepEqual(heard, ['any msg_1', 'order msg_2', 'topic msg_3', 'any msg_4'])
  await unsubscribe()
  assert.deepEqual(server.data('messages.unsubscribe'), [{ topic: 'findings.*' }])
  await hub.close()
})

test('what nobody takes is not lost when it was meant for this agent', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  hub.onMessage(() => {}, { type: 'order' })
  server.deliver({ type: 'offer' })
  server.deliver({ type: 'offer', kind: 'broadcast' })
  await turn()
  assert.deepEqual(server.data('messages.reject'), [
    { receipt: 'rcp_1_1', reason: 'no handler takes messages of the type offer' },
  ])
  await hub.close()
})

test('topics match word by word', () => {
  const cases: [string, string, boolean][] = [
    ['a.b', 'a.b', true],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.*', 'a', false],
    ['a.#', 'a.b.c', true],
    ['a.#', 'a', true],
    ['#', 'a.b', true],
    ['*.b', 'a.b', true],
    ['*.b', 'b', false],
    ['a', 'a.b', false],
  ]
  for (const [pattern, topic, expected] of cases) assert.equal(matchesTopic(pattern, topic), expected, `${pattern} ${topic}`)
})

test('closing with drain lets handlers finish and acknowledges them; new messages are left', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  const slow = gate()
  let begun = 0
  hub.onMessage(() => {
    begun += 1
    return slow.opened
  })
  server.deliver()
  await turn()
  const closing = hub.close({ drain: true })
  server.deliver()
  await turn()
  assert.ok(hub.online)
  slow.open()
  await closing
  assert.equal(begun, 1)
  assert.equal(lastAck(server), 1)
  assert.equal(server.socket.closed?.code, 1000)
})

test('closing with drain ends at its deadline and aborts what still runs', async () => {
  const server = new ScriptedServer()
  const hub = await join(server)
  let stopped = false
  hub.onMessage(
    (_, { signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => ((stopped = true), resolve()))),
  )
  server.deliver()
  await turn()
  const closing = hub.close({ drain: true })
  await server.clock.advance(25_000)
  await closing
  assert.equal(stopped, true)
  assert.ok(!flows(server).some((flow) => 'ack' in flow))
})
