/**
 * Random commands against the model of the inbox. CADRE_MODEL_RUNS sets how many sequences are tried, CADRE_MODEL_SEED repeats a run:
 * a failure prints the seed and the shortest sequence that still fails.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutputOf } from '@cadre/contract'
import * as fc from 'fast-check'
import { Bus } from './model-driver.suite.ts'
import type { Entry, InboxModel } from './model.suite.ts'

const names = ['ada', 'bob', 'eve']
const runs = Number(process.env['CADRE_MODEL_RUNS'] ?? (process.env['CADRE_TEST_FULL'] === '1' ? 400 : 40))
const seed = Number(process.env['CADRE_MODEL_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const path = process.env['CADRE_MODEL_PATH']

type Sent = OutputOf<'messages.send'>
type Command = fc.AsyncCommand<InboxModel, Bus>

/** A command over choices by number: what is not possible at the moment is left out. */
function command(
  text: string,
  run: (bus: Bus, model: InboxModel) => Promise<void>,
  check: (model: InboxModel) => boolean = () => true,
): Command {
  return {
    check,
    async run(model, bus) {
      await run(bus, model)
      await bus.compare()
    },
    toString: () => text,
  }
}

const choose = <T>(list: readonly T[], pick: number): T | undefined => list[pick % Math.max(1, list.length)]
const pick = fc.nat(30)
const who = fc.constantFrom(...names)
const held = (model: InboxModel, name: string): Entry[] => model.agent(name).inbox.filter(({ state }) => state === 'leased')
const sentOnes = (model: InboxModel) => model.messages.filter(({ kind }) => kind !== 'system')
const text = (name: string, ...choices: readonly unknown[]) =>
  `${name}(${choices.map((each) => JSON.stringify(each)).join(', ')})`

const recipients = fc.oneof(
  { weight: 5, arbitrary: who.map((name) => [name]) },
  { weight: 2, arbitrary: fc.uniqueArray(who, { minLength: 2, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.constant([]) },
)
const conversations = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 4, arbitrary: fc.constantFrom('red', 'blue') },
  // Named by a message that was sent before.
  { weight: 2, arbitrary: fc.nat(5) },
)

const send = fc
  .tuple(
    who,
    recipients,
    fc.constantFrom(undefined, 'low', 'high'),
    conversations,
    fc.option(fc.constantFrom(2_000, 20_000), { nil: undefined, freq: 5 }),
    fc.boolean(),
  )
  .map(([from, to, priority, conversation, ttl, keyed]) =>
    command(text('send', from, to, priority, conversation, ttl, keyed), async (bus, model) => {
      const number = model.messages.length
      const key = keyed ? `key ${number}` : undefined
      const talk = typeof conversation === 'number' ? choose(sentOnes(model).toReversed(), conversation)?.id : conversation
      const more = { content: `message ${number}`, priority, conversation_id: talk, ttl }
      const body = to.length === 0 ? { ...more, broadcast: true } : { ...more, to }
      const sent = await bus.call<Sent>(from, '/messages', body, key)
      assert.equal(sent.receipt.duplicate, false)
      const reached = to.length === 0 ? names.filter((name) => name !== from) : to
      const message = bus.stored(sent, reached)
      if (key !== undefined) model.sends.push({ key, body: JSON.stringify(body), from, to: reached, more: body, message })
    }),
  )

const sendToNobody = who.map((from) =>
  command(text('sendToNobody', from), async (bus) => {
    const sent = await bus.call<Sent>(from, '/messages', { to: 'nobody-here', content: 'lost?' })
    assert.equal(sent.status, 'unroutable')
    bus.stored(sent, [])
  }),
)

const resend = fc.tuple(pick, fc.boolean()).map(([at, changed]) =>
  command(
    text('resend', at, changed),
    async (bus, model) => {
      const earlier = choose(model.sends, at)
      if (!earlier) return
      if (changed) {
        const other = { ...earlier.more, content: 'something else' }
        assert.equal(await bus.refusal(bus.call(earlier.from, '/messages', other, earlier.key)), 'idempotency_conflict')
      } else {
        const sent = await bus.call<Sent>(earlier.from, '/messages', earlier.more, earlier.key)
        assert.deepEqual([sent.id, sent.receipt.duplicate], [earlier.message.id, true])
      }
    },
    (model) => model.sends.length > 0,
  ),
)

const connect = fc
  .tuple(who, fc.constantFrom('leased', 'leased', 'leased', 'plain'), fc.constantFrom(0, 1, 2, 5, 128), fc.boolean())
  .map(([name, mode, credits, resume]) =>
    command(text('connect', name, mode, credits, resume), async (bus, model) => {
      const { seen } = model.agent(name)
      await bus.connect(name, mode, credits, mode === 'leased' && resume && seen.number > 0 ? seen.number : undefined)
    }),
  )

const disconnect = who.map((name) =>
  command(
    text('disconnect', name),
    (bus) => bus.disconnect(name),
    (model) => model.agent(name).line !== undefined,
  ),
)

const flow = fc.tuple(who, pick, fc.constantFrom(0, 1, 3)).map(([name, at, credits]) =>
  command(
    text('flow', name, at, credits),
    async (bus, model) => {
      const numbers = held(model, name).flatMap(({ sent }) => sent?.number ?? [])
      bus.flow(name, choose(numbers, at), credits)
    },
    (model) => model.agent(name).line?.mode === 'leased',
  ),
)

const acknowledge = fc.tuple(who, pick, fc.nat(2)).map(([name, at, more]) =>
  command(
    text('acknowledge', name, at, more),
    async (bus, model) => {
      const all = held(model, name)
      const some = [...new Set([choose(all, at), ...all.slice(0, more)])].filter((entry) => entry !== undefined)
      const receipts = some.map(({ receipt }) => receipt)
      const answer = await bus.call<OutputOf<'messages.acknowledge'>>(name, '/messages/acknowledge', { receipts })
      assert.deepEqual(answer, { acknowledged: receipts.length, already: 0 })
      for (const entry of some) model.end(entry, 'acknowledged', bus.now())
      const again = await bus.call<OutputOf<'messages.acknowledge'>>(name, '/messages/acknowledge', { receipts })
      assert.deepEqual(again, { acknowledged: 0, already: receipts.length })
    },
    (model) => held(model, name).length > 0,
  ),
)

/** Receipts that name an older attempt, or one that died. */
const stale = (model: InboxModel, name: string) => {
  const { inbox, former, dead } = model.agent(name)
  return former.filter(({ message }) => inbox.some((entry) => entry.message === message) || dead.includes(message))
}

const acknowledgeStale = fc.tuple(who, pick, fc.constantFrom('acknowledge', 'reject', 'extend')).map(([name, at, how]) =>
  command(
    text('stale', name, at, how),
    async (bus, model) => {
      const receipt = choose(stale(model, name), at)?.receipt
      const body = how === 'acknowledge' ? { receipts: [receipt] } : { receipt }
      assert.equal(await bus.refusal(bus.call(name, `/messages/${how}`, body)), 'stale_receipt')
    },
    (model) => stale(model, name).length > 0,
  ),
)

const reject = fc.tuple(who, pick, fc.constantFrom(undefined, 0, 700, 12_000), fc.nat(5)).map(([name, at, delay, death]) =>
  command(
    text('reject', name, at, delay, death),
    async (bus, model) => {
      const entry = choose(held(model, name), at) as Entry
      const dead = death === 0
      const answer = await bus.call<OutputOf<'messages.reject'>>(name, '/messages/reject', {
        receipt: entry.receipt,
        reason: 'no',
        dead,
        ...(delay !== undefined && { delay_ms: delay }),
      })
      // The random part of the back-off is 0 here.
      const comes = model.giveBack(entry, bus.now(), { delay: delay ?? 0, dead })
      assert.deepEqual([answer.state, answer.available_at === null], [comes ? 'ready' : 'dead', !comes])
    },
    (model) => held(model, name).length > 0,
  ),
)

const extend = fc.tuple(who, pick, fc.constantFrom(5_000, 60_000)).map(([name, at, ms]) =>
  command(
    text('extend', name, at, ms),
    async (bus, model) => {
      const entry = choose(held(model, name), at) as Entry
      const answer = await bus.call<OutputOf<'messages.extend'>>(name, '/messages/extend', {
        receipt: entry.receipt,
        lease_ms: ms,
      })
      entry.until = bus.now() + ms
      assert.equal(Date.parse(answer.lease_until), entry.until)
    },
    (model) => held(model, name).length > 0,
  ),
)

const fetch = fc
  .tuple(who, fc.constantFrom(1, 3, 10), fc.constantFrom(4_000, 30_000))
  .map(([name, limit, lease]) => command(text('fetch', name, limit, lease), (bus) => bus.fetch(name, limit, lease)))

const advance = fc.constantFrom(300, 3_000, 16_000, 31_000).map((ms) => command(text('advance', ms), (bus) => bus.advance(ms)))

const restart = fc.constant(
  command('restart()', async (bus) => {
    // A request that waits when the server stops is another test's.
    while (bus.asks().length > 0) await bus.advance(1_000)
    await bus.restart()
  }),
)

const ask = fc.tuple(who, who, fc.constantFrom(undefined, 'red')).map(([from, to, conversation]) =>
  command(
    text('ask', from, to, conversation),
    async (bus, model) => {
      const before = model.messages.length
      const timeout = 8_000
      const body = { to, content: `question ${before}`, timeout_ms: timeout, conversation_id: conversation }
      const deadline = bus.now() + timeout
      const answer = bus.call<OutputOf<'messages.ask'>>(from, '/messages/ask', body).catch((error: unknown) => error as Error)
      const sent = await bus.find(body.content)
      const message = bus.stored(sent, [to])
      bus.ask({ asker: from, asked: to, message, deadline, answer })
    },
    () => from !== to,
  ),
)

const requests = (model: InboxModel, name: string) => held(model, name).filter(({ message }) => message.kind === 'request')

const reply = fc.tuple(who, pick, fc.boolean()).map(([name, at, settle]) =>
  command(
    text('reply', name, at, settle),
    async (bus, model) => {
      const entry = choose(requests(model, name), at) as Entry
      const { message } = entry
      const pending = bus.asks().find((each) => each.message === message && each.deadline > bus.now())
      const sent = await bus.call<Sent>(name, `/messages/${message.id}/reply`, {
        content: `answer ${model.messages.length}`,
        ...(settle && { receipt: entry.receipt }),
      })
      if (settle) model.end(entry, 'acknowledged', bus.now())
      bus.stored(sent, [message.sender], pending !== undefined)
      if (!pending) return
      const outcome = await bus.answered(pending)
      assert.ok(!(outcome instanceof Error), `the asker is answered, not ${String(outcome)}`)
      assert.equal(outcome.reply.id, sent.id)
    },
    (model) => requests(model, name).length > 0,
  ),
)

const dead = (model: InboxModel, name: string) =>
  model.agent(name).dead.filter((message) => !model.hasLine(model.agent(name), message))

const redrive = fc.tuple(who, pick).map(([name, at]) =>
  command(
    text('redrive', name, at),
    async (bus, model) => {
      const agent = model.agent(name)
      const message = choose(dead(model, name), at)
      if (!message) return
      await bus.redrive(name, message.id)
      agent.dead.splice(agent.dead.indexOf(message), 1)
      agent.former = agent.former.filter((each) => each.message !== message)
      message.endings.delete(name)
      model.insert(agent, message, bus.now(), undefined)
    },
    (model) => dead(model, name).length > 0,
  ),
)

const commands = fc.commands(
  [
    send,
    send,
    send,
    sendToNobody,
    resend,
    connect,
    connect,
    disconnect,
    flow,
    flow,
    acknowledge,
    acknowledgeStale,
    reject,
    extend,
    fetch,
    advance,
    restart,
    ask,
    reply,
    redrive,
  ],
  { maxCommands: 60, size: 'max', ...(process.env['CADRE_MODEL_REPLAY'] && { replayPath: process.env['CADRE_MODEL_REPLAY'] }) },
)

void test(`${runs} random sequences leave the server and the model alike`, { timeout: 20 * 60_000 }, async (t) => {
  t.diagnostic(`CADRE_MODEL_SEED=${seed} CADRE_MODEL_RUNS=${runs} repeats this run`)
  await fc.assert(
    fc.asyncProperty(commands, async (some) => {
      const bus = new Bus(names)
      try {
        await bus.start()
        await fc.asyncModelRun(() => ({ model: bus.model, real: bus }), some)
        await bus.drain()
      } finally {
        await bus.close()
      }
    }),
    { numRuns: runs, seed, ...(path !== undefined && { path }) },
  )
})
