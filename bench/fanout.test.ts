import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serveFor } from 'cadre/testing'
import { driver as embedded } from './drivers/cadre-embedded.ts'
import { driver as cadre } from './drivers/fan-cadre.ts'
import type { FanVoice, Payload } from './lib/drivers.ts'
import { type FanOutcome, serveFanout } from './lib/fan-client.ts'
import type { Outcome } from './lib/ledger.ts'
import type { Sent } from './lib/load.ts'
import { serveMessages } from './lib/message-client.ts'
import { type CpuProfile, selfTimes } from './lib/profile.ts'
import { Scope } from './lib/scope.ts'
import { FrameReader, frameOf } from './lib/socket-wire.ts'

/** As a server sends it: without the mask. */
function unmasked(opcode: number, body: Buffer): Buffer {
  const frame = frameOf(opcode, body)
  const head = frame.length - body.length - 4
  frame[1] = (frame[1] as number) & 0x7f
  return Buffer.concat([frame.subarray(0, head), body])
}

test('frames are told apart wherever the line cuts them, short and long ones', () => {
  const bodiesOf = (...lengths: number[]) => lengths.map((length) => Buffer.alloc(length, length % 251))
  const small = bodiesOf(0, 1, 125, 126, 700, 3)
  const all = bodiesOf(0, 1, 125, 126, 700, 65_535, 65_536, 70_000, 3)
  for (const [bodies, size] of [...[1, 2, 3, 7].map((each) => [small, each] as const), [all, 4096], [all, 1_000_000]] as const) {
    const line = Buffer.concat(bodies.map((body, index) => unmasked(index === 1 ? 9 : 1, body)))
    const got: [number, Buffer][] = []
    const reader = new FrameReader((opcode, body) => void got.push([opcode, Buffer.from(body)]))
    for (let at = 0; at < line.length; at += size) reader.read(line.subarray(at, at + size))
    assert.deepEqual(
      got,
      bodies.map((body, index) => [index === 1 ? 9 : 1, body]),
      `in pieces of ${size}`,
    )
  }
})

for (const mode of ['plain', 'leased', 'watch']) {
  test(`fan-out, ${mode}: each connection gets each message once, one at a time and in bursts`, async (t) => {
    const server = await serveFor(t)
    const call = serveFanout(cadre)
    try {
      await call('open', { url: `http://127.0.0.1:${server.port}`, mode, connections: 5 })
      for (const burst of [1, 10]) {
        const { deliveries, fault, p50, p99, wallMs } = (await call('run', { mode, burst, ms: 1 })) as FanOutcome
        assert.deepEqual([deliveries, fault], [3 * 5 * burst, undefined])
        assert.ok(p50 > 0 && p50 <= p99 && p99 <= wallMs)
      }
    } finally {
      await call('close', undefined)
    }
  })
}

test('fan-out: a message that comes twice, and one that is refused, make the sample void', async (t) => {
  const server = await serveFor(t)
  const fault = async (mode: string, order: FanVoice['order']) => {
    const call = serveFanout({ ...cadre, voice: (of) => ({ ...cadre.voice(of), order }) })
    try {
      await call('open', { url: `http://127.0.0.1:${server.port}`, mode, connections: 2 })
      return ((await call('run', { mode, burst: 1, ms: 1 })) as FanOutcome).fault ?? ''
    } finally {
      await call('close', undefined)
    }
  }
  const voice = cadre.voice('plain')
  const twice: FanVoice['order'] = ([content]) => voice.order([content, { ...(content as Payload), id: -1 }] as Payload[])
  assert.match(await fault('plain', twice), /got 2 of 1/)
  assert.match(await fault('watch', () => '{"type":"message:sned","id":1}'), /refused/)
})

test('the server in the process of its clients takes messages by its door, durably, and settles them', async () => {
  const call = serveMessages(embedded)
  try {
    await call('consumer', { url: '', run: 1, inFlight: 16 })
    await call('producer', { url: '', run: 1, inFlight: 16 })
    const sent = (await call('load', { run: 1, inFlight: 16, ms: 50, perSecond: undefined })) as Sent
    const { unique, missing, duplicates } = (await call('finish', { expected: sent.count, ms: 5_000 })) as Outcome
    assert.ok(sent.count > 0)
    assert.deepEqual([sent.failed, unique, missing, duplicates], [0, sent.count, 0, 0])
    assert.deepEqual([await call('durability', ''), await call('unsettled', '')], ['sync', undefined])
  } finally {
    await call('end', undefined)
  }
})

test('a profile tells the own time of functions, without the time in which nothing ran', () => {
  const node = (id: number, functionName: string) => ({
    id,
    callFrame: { functionName, url: functionName === '' ? '' : 'file:///home/x/server/src/core/a.ts', lineNumber: 4 },
  })
  const profile: CpuProfile = {
    nodes: [node(1, '(idle)'), node(2, 'work'), node(3, '')],
    samples: [1, 2, 2, 3, 1],
    timeDeltas: [0, 700, 20, 40, 20],
  }
  assert.deepEqual(selfTimes([profile], 10), [
    { name: 'work', place: 'server/src/core/a.ts:5', percent: 75 },
    { name: '(anonymous)', place: '', percent: 25 },
  ])
  assert.equal(selfTimes([profile, profile], 1)[0]?.percent, 75)
})

test('a scope within another ends with it, or before', async () => {
  const order: string[] = []
  const outer = new Scope()
  const first = outer.within()
  const second = outer.within()
  first.defer(() => order.push('first'))
  second.defer(() => order.push('second'))
  await first.close()
  await outer.close()
  assert.deepEqual(order, ['first', 'second'])
})
