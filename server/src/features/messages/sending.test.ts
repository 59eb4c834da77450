import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery, InputOf, LogEntry, Message, OutputOf } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, serveFor } from '../../testing.ts'

type Sent = OutputOf<'messages.send'>
const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const names = (frames: readonly { data: Delivery }[]) => frames.map(({ data }) => data.content)

verifies(
  ['MSG-01', 'API-07', 'API-09', 'WSE-16'],
  'a direct message reaches its recipient only, and the sender sees it delivered, then acknowledged',
  async (t) => {
    const server = await serveFor(t, { clock: new ManualClock() })
    const [ada, bob, eve] = [await server.plain('ada'), await server.leased('bob'), await server.plain('eve')]
    const sent = await ada.call<Sent>('message:send', { content: 'Starting research task...', recipients: ['bob'] })
    assert.equal(sent.status, 'stored')
    assert.deepEqual([sent.sender, sent.recipients, sent.receipt.id, sent.receipt.duplicate], ['ada', ['bob'], sent.id, false])
    const received = await bob.next<Delivery>('message:received')
    assert.equal(received.data.id, sent.id)
    assert.equal(received.data.content, 'Starting research task...')
    assert.deepEqual(await ada.settled('message:received'), [])
    assert.deepEqual(await eve.settled('message:received'), [])
    const status = async () => (await server.call<Message>('GET', `/api/messages/${sent.id}`)).status
    assert.equal(await status(), 'delivered')
    await bob.call('message:ack', { receipts: [received.data.receipt] })
    assert.equal(await status(), 'acknowledged')
  },
)

verifies(
  ['MSG-28', 'MSG-03'],
  'a named list reaches exactly those, a broadcast everyone but its sender, offline agents included',
  async (t) => {
    const server = await serveFor(t)
    const [ada, bob, eve] = [await server.plain('ada'), await server.plain('bob'), await server.plain('eve')]
    await server.call('POST', '/agents/register', { name: 'offline' })
    const multicast = await ada.call<Sent>('message:send', { content: 1, recipients: ['bob', 'offline', 'bob'] })
    assert.deepEqual(multicast.recipients, ['bob', 'offline'])
    assert.equal(multicast.recipient_count, 2)
    const everyone = await ada.call<Sent>('message:send', { content: 2 })
    assert.equal(everyone.kind, 'broadcast')
    assert.deepEqual([...everyone.recipients].sort(), ['bob', 'eve', 'offline'])
    const forced = await bob.call<Sent>('message:send', { content: 3, broadcast: true })
    assert.deepEqual([...forced.recipients].sort(), ['ada', 'eve', 'offline'])
    assert.deepEqual(names(await bob.settled<Delivery>('message:received')), [1, 2])
    assert.deepEqual(names(await eve.settled<Delivery>('message:received')), [2, 3])
    assert.deepEqual(names(await ada.settled<Delivery>('message:received')), [3])
    const late = await server.plain('offline')
    assert.deepEqual(names(await late.settled<Delivery>('message:received')), [1, 2, 3])
  },
)

verifies('MSG-04', 'a publish reaches those subscribed, not the publisher, and one fewer after an unsubscribe', async (t) => {
  const server = await serveFor(t)
  const [ada, bob, eve] = [await server.plain('ada'), await server.plain('bob'), await server.plain('eve')]
  for (const agent of [ada, bob, eve]) await agent.call('topic:subscribe', { topic: 'new_data' })
  await eve.call('topic:subscribe', { pattern: 'new_data' })
  const first = await ada.call<Sent>('topic:publish', { topic: 'new_data', data: { rows: 3 } })
  assert.deepEqual([first.topic, [...first.recipients].sort(), first.content], ['new_data', ['bob', 'eve'], { rows: 3 }])
  await server.call('DELETE', '/subscriptions?topic=new_data&agent=eve')
  const second = await server.call<Sent>('POST', '/topics/new_data/publish', { content: 'again' })
  assert.deepEqual([...second.recipients].sort(), ['ada', 'bob'])
  assert.equal((await bob.settled('message:received')).length, 2)
  assert.equal((await eve.settled('message:received')).length, 1)
  const listed = await server.call<OutputOf<'messages.list'>>('GET', '/messages?topic=new_data')
  assert.equal(listed.items.length, 2)
})

test('topic patterns: a star is one word, a hash is the rest', async (t) => {
  const server = await serveFor(t)
  const sub = await server.plain('sub')
  const reaches = async (pattern: string, topic: string) => {
    await sub.call('messages.subscribe', { topic: pattern })
    const { recipient_count } = await server.call<Sent>('POST', `/topics/${encodeURIComponent(topic)}/publish`, { content: 0 })
    await sub.call('messages.unsubscribe', { topic: pattern })
    return recipient_count === 1
  }
  const table: [pattern: string, topic: string, matches: boolean][] = [
    ['findings', 'findings', true],
    ['findings', 'findings.new', false],
    ['findings.*', 'findings.new', true],
    ['findings.*', 'findings', false],
    ['findings.*', 'findings.new.today', false],
    ['findings.#', 'findings.new.today', true],
    ['#', 'anything.at.all', true],
    ['*.new', 'findings.new', true],
    ['*.new', 'findings.old', false],
  ]
  for (const [pattern, topic, matches] of table) assert.equal(await reaches(pattern, topic), matches, `${pattern} for ${topic}`)
})

test('a message for nobody is stored as unroutable, with the reason, and never dropped', async (t) => {
  const server = await serveFor(t)
  const ghost = await server.call<Sent>('POST', '/messages', { to: 'ghost', content: 'anyone?' })
  assert.deepEqual(
    [ghost.status, ghost.recipients, ghost.metadata['unroutable_reason']],
    ['unroutable', [], 'no agent is called ghost'],
  )
  const alone = await server.call<Sent>('POST', '/messages', { content: 'hello?' })
  assert.equal(alone.metadata['unroutable_reason'], 'no other agent is registered')
  const topic = await server.call<Sent>('POST', '/topics/empty/publish', { content: 1 })
  assert.equal(topic.metadata['unroutable_reason'], 'nobody subscribes')
  for (const { id } of [ghost, alone, topic])
    assert.equal((await server.call<Message>('GET', `/messages/${id}`)).status, 'unroutable')
  await server.call('POST', '/agents/register', { name: 'real' })
  const half = await server.call<Sent>('POST', '/messages', { recipients: ['real', 'ghost'], content: 1 })
  assert.deepEqual([half.status, half.recipients], ['stored', ['real']])
  assert.equal(half.metadata['unroutable_reason'], 'no agent is called ghost')
})

verifies('MSG-09', 'the envelope shows every field of the documents, and what nobody knows stays in metadata', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  await server.plain('bob')
  const task = await server.call<{ id: string }>('POST', '/tasks', { title: 'a task' })
  const sent = await ada.call<Sent>('message:send', {
    recipients: ['bob'],
    content: { n: 1 },
    message_type: 'analysis.request',
    task_id: task.id,
    metadata: { origin: 'x', urgency: 3 },
    mood: 'calm',
    nested: { deep: [1, null] },
  })
  const read = await server.call<Message>('GET', `/messages/${sent.id}`)
  const shown = [read.id, read.message_id, read.sender, read.recipients, read.content, read.type, read.message_type, read.task_id]
  assert.deepEqual(shown, [sent.id, sent.id, 'ada', ['bob'], { n: 1 }, 'analysis.request', 'analysis.request', task.id])
  assert.deepEqual(read.metadata, { origin: 'x', urgency: 3, mood: 'calm', nested: { deep: [1, null] } })
  const agent = await server.call<{ id: string }>('GET', '/agents/ada')
  assert.equal(read.sender_id, agent.id)
  assert.ok(Date.parse(read.created_at) > 0)
  const { conversation_id, sender_seq, kind, priority } = read
  assert.deepEqual(
    { conversation_id, sender_seq, kind, priority },
    { conversation_id: sent.id, sender_seq: 1, kind: 'event', priority: 3 },
  )
})

verifies('MSG-08', 'request, response, broadcast, system and event are chosen by kind or by type, and filtered on', async (t) => {
  const server = await serveFor(t)
  await server.plain('bob')
  const kinds = ['request', 'response', 'broadcast', 'system', 'event'] as const
  for (const kind of kinds) {
    const byKind = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 0, kind })
    const byType = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 0, message_type: kind })
    assert.deepEqual([byKind.kind, byType.kind, byType.type], [kind, kind, kind])
    const listed = await server.call<OutputOf<'messages.list'>>('GET', `/messages?kind=${kind}`)
    assert.deepEqual(listed.items.map((message) => message.id).sort(), [byKind.id, byType.id].sort())
  }
  const agent = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 0, type: 'agent' })
  assert.deepEqual([agent.kind, agent.type], ['broadcast', 'agent'])
  await assert.rejects(
    server.call('POST', '/messages', { to: 'bob', content: 0, kind: 'shout' }),
    refused(422, 'invalid_request'),
  )
})

test('every other spelling of a field is folded, and the contract spelling wins', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  await server.plain('bob')
  const to = (fields: object) => ada.call<Sent>('message:send', { content: 'c', ...fields })
  for (const field of ['to', 'recipient', 'recipient_id', 'receiver', 'receiver_id']) {
    assert.deepEqual((await to({ [field]: 'bob' })).recipients, ['bob'], field)
  }
  assert.deepEqual((await to({ to: ['bob'] })).recipients, ['bob'])
  for (const field of ['body', 'message']) {
    const sent = await ada.call<Sent>('message:send', { to: 'bob', [field]: { value: field } })
    assert.deepEqual([sent.content, sent.metadata], [{ value: field }, {}])
  }
  const both = await ada.call<Sent>('message:send', {
    to: 'bob',
    content: 'wins',
    body: 'loses',
    type: 'note',
    message_type: 'other',
  })
  assert.deepEqual([both.content, both.type], ['wins', 'note'])
  const first = await to({ to: 'bob' })
  assert.equal((await to({ to: 'bob', in_reply_to: first.id })).reply_to, first.id)
  for (const field of ['sender', 'from', 'sender_id']) assert.equal((await to({ to: 'bob', [field]: 'ada' })).sender, 'ada')
})

test('aliases never reach into free-form values', async (t) => {
  const server = await serveFor(t)
  const bob = await server.plain('bob')
  const content = { to: 'x', message: 'y', body: { message_type: 'z' }, sender: 1, recipient_id: null, data: [{ from: 'a' }] }
  const sent = await server.call<Sent>('POST', '/messages', { to: 'bob', content, metadata: content })
  assert.deepEqual([sent.content, sent.metadata], [content, content])
  assert.deepEqual((await bob.next<Delivery>('message:received')).data.content, content)
})

verifies(['SEC-04', 'API-28'], 'the sender is stamped by the server: another one is refused', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  await server.plain('bob')
  await assert.rejects(ada.call('message:send', { to: 'bob', content: 1, sender_id: 'bob' }), refused(403, 'sender_mismatch'))
  await assert.rejects(ada.call('message:send', { to: 'bob', content: 1, from: 'nobody' }), refused(403, 'sender_mismatch'))
  await assert.rejects(
    server.call('POST', '/messages', { to: 'bob', content: 1, sender_id: 'ada' }),
    refused(403, 'sender_mismatch'),
  )
  const id = (await server.call<{ id: string }>('GET', '/agents/ada')).id
  assert.equal((await ada.call<Sent>('message:send', { to: 'bob', content: 1, sender_id: id })).sender_id, id)
  const events = await server.call<{ items: LogEntry[] }>('GET', '/events?types=access.denied')
  assert.equal(events.items.length, 3)
})

test('content of any JSON returns unchanged, over REST and over the socket', async (t) => {
  const server = await serveFor(t)
  const bob = await server.plain('bob')
  const ada = await server.plain('ada')
  const through = async (content: unknown) => {
    const text = JSON.stringify(content)
    const overRest = await server.request<Sent>('POST', '/messages', `{"to":"bob","content":${text}}`)
    assert.equal(overRest.status, 201, overRest.text)
    const overSocket = await ada.call<Sent>('message:send', { to: 'bob', content })
    for (const sent of [overRest.body, overSocket]) {
      const delivered = await bob.next<Delivery>('message:received', (data) => data.id === sent.id)
      const read = await server.call<Message>('GET', `/messages/${sent.id}`)
      for (const seen of [sent.content, delivered.data.content, read.content]) assert.equal(JSON.stringify(seen), text)
    }
  }
  const special: unknown[] = [
    null,
    false,
    0,
    -0.5,
    '',
    [],
    {},
    [null],
    '12345678901234567890123',
    9007199254740991,
    1e21,
    5e-324,
    '\u0000',
    '\ud800',
    '\u2028',
    'ünïcödé 🦉 العربية',
    { content: { content: null } },
    { ['__proto__']: { x: 1 }, constructor: 'c', prototype: null },
    { '': '' },
    [[[]]],
    '</script>',
    '"}\n,',
  ]
  for (const content of special) await through(JSON.parse(JSON.stringify(content)))
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), (content) => through(JSON.parse(JSON.stringify(content)))),
    { numRuns: 60, seed: 11 },
  )
})

verifies(['MSG-25', 'API-28'], 'a malformed message is refused with the path of the field, and nothing is stored', async (t) => {
  const server = await serveFor(t)
  const bob = await server.plain('bob')
  const pointers = async (body: object) => {
    const answer = await server.request<{ code: string; errors: { pointer: string }[] }>('POST', '/messages', body)
    assert.deepEqual([answer.status, answer.body.code], [422, 'invalid_request'], answer.text)
    return answer.body.errors.map((error) => error.pointer)
  }
  assert.deepEqual(await pointers({ to: 'bob' }), ['/content'])
  assert.deepEqual(await pointers({ to: 7, content: 1 }), ['/to'])
  assert.deepEqual(await pointers({ to: 'bob', content: 1, priority: 'soon' }), ['/priority'])
  assert.deepEqual(await pointers({ recipients: ['bob', ''], content: 1 }), ['/recipients/1'])
  assert.deepEqual(await pointers({ to: 'bob', content: 1, metadata: [] }), ['/metadata'])
  assert.deepEqual(await pointers({ to: 'bob', content: 1, ttl: -1 }), ['/ttl'])
  let deep: unknown = 0
  for (let level = 0; level < 65; level++) deep = [deep]
  assert.deepEqual(await pointers({ to: 'bob', content: deep }), ['/content'])
  assert.deepEqual(
    await pointers({ to: 'bob', content: Object.fromEntries(Array.from({ length: 10_001 }, (_, key) => [key, 0])) }),
    ['/content'],
  )
  const large = await server.request<{ code: string }>('POST', '/messages', { to: 'bob', content: 'x'.repeat(256 * 1024) })
  assert.deepEqual([large.status, large.body.code], [413, 'too_large'])
  await assert.rejects(
    server.call('POST', '/messages', { to: 'bob', content: 1, reply_to: 'not-an-id' }),
    refused(404, 'not_found'),
  )
  assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/messages')).items, [])
  assert.deepEqual(await bob.settled('message:received'), [])
  const limit = 'é'.repeat((256 * 1024 - 2) / 2)
  assert.equal((await server.call<Sent>('POST', '/messages', { to: 'bob', content: limit })).content, limit)
})

verifies(['MSG-11'], 'priorities by name and by number', async (t) => {
  const server = await serveFor(t)
  await server.plain('bob')
  const given: [InputOf<'messages.send'>['priority'] | undefined, number][] = [
    ['critical', 1],
    ['high', 2],
    ['normal', 3],
    ['low', 4],
    [undefined, 3],
    [1, 1],
    [9, 9],
  ]
  for (const [priority, stored] of given)
    assert.equal((await server.call<Sent>('POST', '/messages', { to: 'bob', content: 0, priority })).priority, stored)
  for (const priority of [0, 10, 1.5, 'urgent', null])
    await assert.rejects(server.call('POST', '/messages', { to: 'bob', content: 0, priority }), refused(422, 'invalid_request'))
})

test('the same key and body is the original answer; another body is refused; each sender has its own keys', async (t) => {
  const server = await serveFor(t)
  const bob = await server.leased('bob')
  const ada = await server.plain('ada')
  const body = { to: 'bob', content: { a: 1, b: [2] }, type: 'x', metadata: { m: 1 } }
  const artifact = await ada.call<{ id: string }>('artifacts.upload', { content: 'figures' })
  const first = await server.request<Sent>('POST', '/messages', body, { key: '"k-1"' })
  assert.deepEqual([first.status, first.body.receipt.duplicate], [201, false])
  const again = await server.request<Sent>('POST', '/api/messages', { ...body, content: { b: [2], a: 1 } }, { key: 'k-1' })
  assert.deepEqual(
    [again.status, again.body.id, again.body.receipt],
    [200, first.body.id, { ...first.body.receipt, duplicate: true }],
  )
  const others: object[] = [
    { content: 2 },
    { to: 'ada' },
    { type: 'y' },
    { priority: 1 },
    { metadata: { m: 2 } },
    { conversation_id: 'c' },
    { ttl: 5 },
    { artifacts: [artifact.id] },
    { kind: 'system' },
  ]
  for (const other of others) {
    await assert.rejects(
      server.call('POST', '/messages', { ...body, ...other }, { key: 'k-1' }),
      refused(422, 'idempotency_conflict'),
      JSON.stringify(other),
    )
  }
  assert.notEqual((await ada.call<Sent>('message:send', body, 'k-1')).id, first.body.id)
  const together = await Promise.all(
    Array.from({ length: 20 }, () => server.call<Sent>('POST', '/messages', body, { key: 'k-2' })),
  )
  assert.equal(new Set(together.map((sent) => sent.id)).size, 1)
  assert.equal(together.filter((sent) => !sent.receipt.duplicate).length, 1)
  assert.equal((await bob.settled('message:received')).length, 3)
})

verifies(
  ['MSG-27', 'API-08'],
  'messages are listed newest first, by sender, recipient, task, type, conversation and time, in pages',
  async (t) => {
    const clock = new ManualClock()
    const server = await serveFor(t, { clock })
    const [ada, bob] = [await server.plain('ada'), await server.plain('bob')]
    const task = await server.call<{ id: string }>('POST', '/tasks', { title: 'a task' })
    const sent: Sent[] = []
    for (let index = 0; index < 12; index++) {
      const from = index % 2 === 0 ? ada : bob
      sent.push(
        await from.call<Sent>('message:send', {
          to: index % 2 === 0 ? 'bob' : 'ada',
          content: index,
          type: index % 3 === 0 ? 'third' : 'other',
          ...(index < 4 && { task_id: task.id, conversation_id: 'talk' }),
        }),
      )
      await clock.advance(1000)
    }
    const list = async (query: string) =>
      (await server.call<OutputOf<'messages.list'>>('GET', `/messages?${query}`)).items.map((message) => message.content)
    assert.deepEqual(await list(''), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert.deepEqual(await list('sender=ada'), [10, 8, 6, 4, 2, 0])
    assert.deepEqual(await list(`sender_id=${sent[1]?.sender_id}&message_type=third`), [9, 3])
    assert.deepEqual(await list('recipient=ada&limit=2'), [11, 9])
    assert.deepEqual(await list(`task_id=${task.id}`), [3, 2, 1, 0])
    assert.deepEqual(await list('conversation_id=talk'), [3, 2, 1, 0])
    assert.deepEqual(await list(`conversation_id=${sent[7]?.conversation_id}`), [7])
    assert.deepEqual(await list(`since=${sent[10]?.created_at}`), [11, 10])
    assert.deepEqual(await list(`until=${sent[1]?.created_at}`), [1, 0])
    await assert.rejects(server.call('GET', '/messages?since=yesterday'), refused(422, 'invalid_request'))
    const seen: unknown[] = []
    for (let cursor = ''; ; ) {
      const page = await server.call<OutputOf<'messages.list'>>('GET', `/messages?limit=5${cursor}`)
      seen.push(...page.items.map((message) => message.content))
      // New rows must not shift the pages that follow.
      await server.call('POST', '/messages', { to: 'bob', content: 'new' })
      if (page.next === null) break
      cursor = `&cursor=${page.next}`
    }
    assert.deepEqual(seen, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
  },
)

test('an agent sees the messages it sent or received and no others; an operator sees all', async (t) => {
  const server = await serveFor(t)
  const tokens = new Map<string, string>()
  for (const name of ['ada', 'bob', 'eve'])
    tokens.set(name, (await server.call<{ token: string }>('POST', '/agents/register', { name })).token)
  const as = (name: string) => ({ token: tokens.get(name) })
  const direct = await server.call<Sent>('POST', '/messages', { to: 'bob', content: 'private' }, as('ada'))
  const group = await server.call<Sent>('POST', '/messages', { recipients: ['bob', 'eve'], content: 'group' }, as('ada'))
  const list = async (name: string) =>
    (await server.call<{ items: Message[] }>('GET', '/messages', undefined, as(name))).items.map((message) => message.id)
  assert.deepEqual(await list('ada'), [group.id, direct.id])
  assert.deepEqual(await list('bob'), [group.id, direct.id])
  assert.deepEqual(await list('eve'), [group.id])
  await assert.rejects(server.call('GET', `/messages/${direct.id}`, undefined, as('eve')), refused(404, 'not_found'))
  await assert.rejects(server.call('GET', '/messages/msg_zzzzzzzzzzz'), refused(404, 'not_found'))
  assert.equal((await server.call<{ items: Message[] }>('GET', '/messages')).items.length, 2)
})

test('what cannot be meant is refused with a sentence, and nothing is stored', async (t) => {
  const server = await serveFor(t)
  await server.plain('bob')
  const before = (await server.call<{ items: unknown[] }>('GET', '/messages')).items.length
  const refusals: [object, RegExp][] = [
    [{ to: 'bob', broadcast: true, content: 1 }, /leave out broadcast/],
    [{ topic: 'news.x', content: 1 }, /messages\.publish/],
    [{ to: 'bob' }, /required/],
    [{ to: 'bob', content: 1, priority: 'urgent' }, /critical, high, normal, low/],
  ]
  for (const [body, says] of refusals) {
    const { status, text } = await server.request('POST', '/messages', body)
    assert.equal(status, 422, text)
    assert.match(text, says)
  }
  const missing = await server.request('POST', '/messages', { to: 'bob', content: 1, artifacts: ['art_none'] })
  assert.equal(missing.status, 404, missing.text)
  for (const topic of ['t2.*', 'a..b']) {
    const { status } = await server.request('POST', `/topics/${encodeURIComponent(topic)}/publish`, { content: 1 })
    assert.equal(status, 422)
  }
  const redriven = await server.request('POST', '/dead-letters/nope/redrive', {})
  assert.match(redriven.text, /message id/)
  assert.equal((await server.call<{ items: unknown[] }>('GET', '/messages')).items.length, before)
})
