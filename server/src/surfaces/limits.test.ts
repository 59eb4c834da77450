/** How much one caller may ask for: token buckets, and what is refused first when the process is late. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OperationName, Problem } from '@cadre/contract'
import fc from 'fast-check'
import { readConfig } from '../config.ts'
import { RateLimits } from '../core/rate.ts'
import type { Caller } from '../core/context.ts'
import { ManualClock, Refused, type Socket, serveFor } from '../testing.ts'

const refused = (code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.equal(error.code, code)
  return true
}
const limited = (agent: string, tenant = 'off') =>
  readConfig({ CADRE_DATA: ':memory:', CADRE_PORT: '0', CADRE_RATE_AGENT: agent, CADRE_RATE_TENANT: tenant })

test('over HTTP: 429 with the time to wait, and how much is left on every limited route', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: limited('2:3') })
  const ask = () => server.request<Problem>('GET', '/whoami')
  const left: (string | undefined)[] = []
  for (let index = 0; index < 3; index++) {
    const { status, headers } = await ask()
    assert.equal(status, 200)
    assert.equal(headers['ratelimit-policy'], '"agent";q=3;w=2')
    left.push(headers['ratelimit'] as string)
  }
  assert.deepEqual(left, ['"agent";r=2;t=1', '"agent";r=1;t=1', '"agent";r=0;t=2'])
  const no = await ask()
  assert.deepEqual(
    [no.status, no.headers['retry-after'], no.headers['ratelimit'], no.body.code, no.body.retryable],
    [429, '1', '"agent";r=0;t=2', 'rate_limited', true],
  )
  assert.deepEqual(no.body.parameters, { scope: 'agent', limit_per_s: 2, retry_after_ms: 500, retry_after_s: 1 })
  const health = await server.request('GET', '/health')
  assert.deepEqual([health.status, health.headers['ratelimit']], [200, undefined])
  await clock.advance(500)
  assert.equal((await ask()).status, 200)
  assert.equal((await ask()).status, 429)
})

test('on a socket: a typed answer; heartbeats and acknowledgements get through; what was refused is not stored', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: limited('1:2') })
  const bob = await server.leased('bob')
  await bob.call('message:send', { to: 'bob', content: 1 })
  await bob.call('message:send', { to: 'bob', content: 2 })
  await assert.rejects(bob.call('message:send', { to: 'bob', content: 3 }), refused('rate_limited'))
  const { data, seq } = await bob.next<{ receipt: string }>('message:received')
  await bob.call('agent:heartbeat', {})
  await bob.call('message:ack', { receipts: [data.receipt] })
  bob.send({ type: 'flow', ack: (seq as number) + 1 })
  await bob.settled()
  await clock.advance(1_000)
  assert.equal((await bob.call<{ items: unknown[] }>('messages.list', {})).items.length, 2)
})

test("one agent at its limit is in nobody else's way; the limit of the tenant is for all", async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: limited('1:3', '1:8') })
  const [a, b] = [await server.plain('a'), await server.plain('b')]
  const ask = (socket: Socket) => socket.call('system.whoami', {})
  for (let call = 0; call < 3; call++) await ask(a)
  await assert.rejects(ask(a), refused('rate_limited'))
  for (let call = 0; call < 3; call++) await ask(b)
  const third = await server.plain('c').catch((error: unknown) => error)
  assert.ok(third instanceof Refused && third.problem.parameters?.['scope'] === 'tenant', String(third))
})

test('4429: a client that goes on ignoring its limit is cut off; one that waits is not', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: limited('5:5') })
  const [deaf, patient] = [await server.plain('deaf'), await server.plain('patient')]
  // A hundred refusals in all, with pauses.
  for (let round = 0; round < 10; round++) {
    await clock.advance(2_000)
    for (let index = 0; index < 15; index++) patient.send({ type: 'system.whoami' })
    await patient.settled()
  }
  for (let index = 0; index < 60; index++) deaf.send({ type: 'system.whoami' })
  const { code, reason } = await deaf.closed
  assert.deepEqual([code, reason], [4429, 'You went on sending against your limit'])
  await patient.settled()
})

test('whatever is asked and when, no window lets more through than its rate and one burst', () => {
  const operation: OperationName = 'messages.send'
  const caller = { id: 7, tenant: 1, kind: 'agent' } as Caller
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 20 })), { minLength: 1, maxLength: 60 }),
      (perSecond, burst, steps) => {
        let now = 1_000_000
        const limits = new RateLimits(
          { agent: { perSecond, burst }, tenant: undefined },
          { now: () => now, after: () => () => {} },
        )
        const taken: number[] = []
        for (const [pause, calls] of steps) {
          now += pause
          for (let call = 0; call < calls; call++) {
            try {
              limits.take(operation, caller)
              taken.push(now)
            } catch (error) {
              const wait = (error as { parameters: { retry_after_ms: number } }).parameters.retry_after_ms
              assert.ok(wait > 0 && wait <= Math.ceil(1000 / perSecond), `told to wait ${wait} ms`)
            }
          }
        }
        for (const [from, start] of taken.entries())
          for (const [to, end] of taken.entries())
            if (to >= from) assert.ok(to - from + 1 <= burst + ((end - start) * perSecond) / 1000 + 1e-6)
      },
    ),
    { numRuns: 100 },
  )
})

test("settings: off on one's own machine, generous elsewhere, and refused when they are none", () => {
  assert.deepEqual(readConfig({}).rate, { agent: undefined, tenant: undefined })
  const open = readConfig({ CADRE_AUTH: 'required' }).rate
  assert.ok((open.agent?.perSecond ?? 0) >= 10_000 && (open.tenant?.perSecond ?? 0) >= (open.agent?.perSecond ?? 0))
  assert.equal(readConfig({ CADRE_AUTH: 'required', CADRE_RATE_AGENT: 'off' }).rate.agent, undefined)
  assert.deepEqual(readConfig({ CADRE_RATE_AGENT: '10', CADRE_RATE_TENANT: '20:1' }).rate, {
    agent: { perSecond: 10, burst: 20 },
    tenant: { perSecond: 20, burst: 1 },
  })
  for (const text of ['0', 'many', '1:', '-1', '1:0'])
    assert.throws(() => readConfig({ CADRE_RATE_AGENT: text }), /CADRE_RATE_AGENT/)
})

test('a late event loop refuses the least urgent sends first, and health, answers and acknowledgements never', async (t) => {
  const clock = new ManualClock()
  let lag = 0
  const server = await serveFor(t, { clock, lag: { p99: () => lag, close: () => {} } })
  const bob = await server.leased('bob')
  const send = (priority: string) => bob.call('message:send', { to: 'bob', content: priority, priority })
  const accepted = async () => {
    const levels = []
    for (const priority of ['critical', 'high', 'normal', 'low']) {
      try {
        await send(priority)
        levels.push(priority)
      } catch (error) {
        refused('overloaded')(error)
        assert.ok(error instanceof Refused && error.status === 503 && error.problem.retryable)
      }
    }
    return levels
  }
  const expected: [ms: number, levels: string[]][] = [
    [150, ['critical', 'high', 'normal', 'low']],
    [250, ['critical', 'high', 'normal']],
    [450, ['critical', 'high']],
    [900, ['critical']],
    [60_000, ['critical']],
    [199, ['critical', 'high', 'normal', 'low']],
  ]
  for (const [ms, levels] of expected) {
    lag = ms
    await clock.advance(1_000)
    assert.deepEqual(await accepted(), levels, `${ms} ms`)
  }
  lag = 1_000
  await clock.advance(1_000)
  const http = await server.request<Problem>('POST', '/messages', { to: 'bob', content: 1 })
  assert.deepEqual([http.status, http.headers['retry-after'], http.body.code], [503, '1', 'overloaded'])
  assert.equal((await server.request('GET', '/health')).status, 200)
  const { data } = await bob.next<{ receipt: string }>('message:received')
  await bob.call('message:ack', { receipts: [data.receipt] })
  await bob.call('agent:heartbeat', {})
})
