/** The tool gateway: grants, arguments, and calls that happen once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, LogEntry, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, Refused, type Socket, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'

type Tool = OutputOf<'tools.register'>
type Call = OutputOf<'tools.call'>
interface Invocation {
  invocation: string
  tool: string
  arguments: Record<string, unknown>
  key: string
  caller: string
  task_id: string | null
}

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const invoked = async (provider: Socket) => (await provider.next<Invocation>('tool:invoke')).data
const answer = (provider: Socket, invocation: string, outcome: object) =>
  provider.call('tools.result', { invocation, ...outcome })
const calls = async (server: TestServer, query = '') =>
  (await server.call<{ items: Call[] }>('GET', `/tools/calls${query}`)).items
const denials = async (server: TestServer) =>
  (await server.call<{ items: LogEntry[] }>('GET', '/events?types=access.denied')).items.map(
    (entry) => (entry.data as { reason: string }).reason,
  )

async function open(server: TestServer, more: object = {}) {
  const [provider, caller] = [await server.leased('provider'), await server.leased('caller')]
  await provider.call<Tool>('tool:register', {
    name: 'send_mail',
    description: 'Sends one',
    once: true,
    grants: ['caller'],
    ...more,
  })
  return { provider, caller }
}

verifies(
  ['TOL-01', 'TOL-02', 'TOL-14'],
  'a tool that is registered while everything runs shows its schema, its owner and who may call it',
  async (t) => {
    const server = await serveFor(t)
    const provider = await server.leased('provider')
    await server.leased('caller')
    const schema = { type: 'object', properties: { to: { type: 'string' } }, required: ['to'] }
    const tool = await provider.call<Tool>('tool:register', {
      name: 'send_mail',
      description: 'Sends one',
      parameters: schema,
      once: true,
      grants: ['caller'],
    })
    const { receipt: _, created_at: __, ...shown } = tool
    assert.deepEqual(shown, {
      name: 'send_mail',
      description: 'Sends one',
      input_schema: schema,
      permissions: [],
      once: true,
      provider: 'provider',
      online: true,
      grants: ['caller'],
    })
    assert.deepEqual(
      (await server.call<{ items: Tool[] }>('GET', '/tools')).items.map((item) => item.name),
      ['send_mail'],
    )
    const again = await provider.call<Tool>('tool:register', { name: 'send_mail', description: 'Sends many' })
    assert.deepEqual([again.description, again.grants], ['Sends many', ['caller']], 'grants stay')
    await provider.close()
    await server.call('GET', '/whoami')
    assert.equal((await server.call<{ items: Tool[] }>('GET', '/tools')).items[0]?.online, false)
    await assert.rejects(server.call('POST', '/tools', { name: 'x' }), refused(403, 'forbidden'))
    const other = await server.leased('other')
    await assert.rejects(other.call('tool:register', { name: 'send_mail' }), refused(403, 'forbidden'))
    await assert.rejects(other.call('tool:register', { name: 'a b' }), refused(422, 'invalid_request'))
    await assert.rejects(
      other.call('tool:register', { name: 'x', input_schema: { type: 'no such type' } }),
      refused(422, 'invalid_request'),
    )
  },
)

verifies(
  'TOL-03',
  'a call without a grant is refused with a typed error and stands in the audit; with one it runs; revoked, it does not',
  async (t) => {
    const server = await serveFor(t)
    const { provider, caller } = await open(server, { grants: [] })
    const call = () => caller.call<Call>('tool:call', { name: 'send_mail', arguments: { to: 'x' } })
    await assert.rejects(
      call(),
      (error) => refused(403, 'forbidden')(error) && (error as Refused).problem.parameters?.['tool'] === 'send_mail',
    )
    assert.deepEqual(await denials(server), ['caller has no grant for send_mail.'])
    assert.deepEqual(await provider.settled('tool:invoke'), [])
    assert.deepEqual(await calls(server), [], 'nothing was begun')
    await server.call('POST', '/tools/send_mail/grants', { agent: 'caller' })
    const calling = call()
    const { invocation, ...rest } = await invoked(provider)
    assert.deepEqual(rest, { tool: 'send_mail', arguments: { to: 'x' }, key: rest.key, caller: 'caller', task_id: null })
    assert.deepEqual(await answer(provider, invocation, { result: { sent: true } }), { accepted: true })
    const done = await calling
    assert.deepEqual(
      [done.state, done.result, done.attempts, done.executions, done.caller],
      ['succeeded', { sent: true }, 1, 1, 'caller'],
    )
    await server.call('DELETE', '/tools/send_mail/grants/caller')
    await assert.rejects(call(), refused(403, 'forbidden'))
    await assert.rejects(caller.call('tools.grant', { name: 'send_mail', agent: 'caller' }), refused(403, 'forbidden'))
    await server.call('POST', '/tools/send_mail/grants', { agent: '*' })
    const everyone = call()
    await answer(provider, (await invoked(provider)).invocation, { result: 1 })
    assert.equal((await everyone).result, 1)
  },
)

verifies('TOL-15', 'a grant without the permissions of the tool is refused and audited', async (t) => {
  const server = await serveFor(t)
  const { provider, caller } = await open(server, { grants: [], permissions: ['code_execution', 'file_read'] })
  const call = () => caller.call<Call>('tool:call', { name: 'send_mail' })
  await server.call('POST', '/tools/send_mail/grants', { agent: 'caller', permissions: ['file_read'] })
  await assert.rejects(call(), refused(403, 'forbidden'))
  assert.deepEqual(await denials(server), ['caller lacks code_execution for send_mail.'])
  await server.call('POST', '/tools/send_mail/grants', { agent: 'caller', permissions: ['file_read', 'code_execution'] })
  const calling = call()
  await answer(provider, (await invoked(provider)).invocation, { result: null })
  assert.equal((await calling).state, 'succeeded')
})

test('arguments that do not fit the schema never reach the provider', async (t) => {
  const server = await serveFor(t)
  const input_schema = {
    type: 'object',
    properties: { to: { type: 'string' }, copies: { type: 'integer', minimum: 1 } },
    required: ['to'],
  }
  const { provider, caller } = await open(server, { input_schema })
  for (const [given, pointer] of [
    [{}, '/arguments/to'],
    [{ to: 7 }, '/arguments/to'],
    [{ to: 'x', copies: 0 }, '/arguments/copies'],
  ] as const) {
    await assert.rejects(
      caller.call('tool:call', { name: 'send_mail', arguments: given }),
      (error) => refused(422, 'invalid_request')(error) && (error as Refused).problem.errors?.[0]?.pointer === pointer,
    )
  }
  assert.deepEqual(await provider.settled('tool:invoke'), [])
  await assert.rejects(caller.call('tool:call', { name: 'no_such_tool' }), refused(404, 'not_found'))
})

test('the same key never has its effect twice: later calls are answered from the ledger', async (t) => {
  const server = await serveFor(t)
  const { provider, caller } = await open(server)
  const call = (more: object = {}) =>
    caller.call<Call>('tool:call', { name: 'send_mail', arguments: { to: 'x' }, key: 'mail-1', ...more })
  const together = [call(), call(), call()]
  const { invocation, key } = await invoked(provider)
  assert.equal(key, 'mail-1')
  await answer(provider, invocation, { result: 'sent' })
  assert.deepEqual(
    (await Promise.all(together)).map((done) => done.result),
    ['sent', 'sent', 'sent'],
  )
  assert.equal((await call()).result, 'sent')
  assert.deepEqual(await provider.settled('tool:invoke'), [], 'it ran once')
  const [entry, ...others] = await calls(server)
  assert.deepEqual([entry?.attempts, entry?.executions, entry?.state, others], [4, 1, 'succeeded', []])
  await assert.rejects(call({ arguments: { to: 'y' } }), refused(422, 'idempotency_conflict'))
  const [viaHeader] = [server.call<Call>('POST', '/tools/send_mail/call', { arguments: {} }, { key: '"mail-2"' })]
  const second = await invoked(provider)
  assert.equal(second.key, 'mail-2')
  await answer(provider, second.invocation, { result: 2 })
  assert.equal((await viaHeader)?.key, 'mail-2')
  assert.deepEqual(
    await answer(provider, second.invocation, { result: 3 }),
    { accepted: false },
    'a second result changes nothing',
  )
})

test('when the provider is lost in the middle nobody knows the outcome, and nobody tries again by itself', async (t) => {
  const server = await serveFor(t)
  const { provider, caller } = await open(server)
  const call = () => caller.call<Call>('tool:call', { name: 'send_mail', arguments: { to: 'x' }, key: 'mail-1' })
  const calling = assert.rejects(call(), refused(409, 'outcome_unknown'))
  await invoked(provider)
  provider.terminate()
  await calling
  const back = await server.leased('provider')
  await assert.rejects(call(), refused(409, 'outcome_unknown'))
  assert.deepEqual(await back.settled('tool:invoke'), [])
  const [entry] = await calls(server)
  assert.deepEqual([entry?.state, entry?.executions, entry?.error], ['unknown', 1, 'its provider went away'])
})

test('without outside effects a lost call is a failure that may be tried again', async (t) => {
  const server = await serveFor(t)
  const { provider, caller } = await open(server, { once: false })
  const call = () => caller.call<Call>('tool:call', { name: 'send_mail', key: 'k' })
  const calling = assert.rejects(call(), refused(502, 'tool_failed'))
  await invoked(provider)
  provider.terminate()
  await calling
  await assert.rejects(call(), refused(503, 'unavailable'))
  const back = await server.leased('provider')
  const again = call()
  await answer(back, (await invoked(back)).invocation, { result: 'ok' })
  assert.deepEqual([(await again).executions, (await again).attempts], [2, 2])
})

test('an error of the tool is an error of the call, and may be tried again', async (t) => {
  const server = await serveFor(t)
  const { provider, caller } = await open(server)
  const call = () => caller.call<Call>('tool:call', { name: 'send_mail', key: 'k' })
  const calling = assert.rejects(
    call(),
    (error) => refused(502, 'tool_failed')(error) && (error as Refused).problem.detail === 'no such mailbox',
  )
  await answer(provider, (await invoked(provider)).invocation, { error: 'no such mailbox' })
  await calling
  const again = call()
  await answer(provider, (await invoked(provider)).invocation, { result: 1 })
  assert.equal((await again).executions, 2)
})

test('a call waits for its result at most as long as it says', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const { provider, caller } = await open(server)
  const calling = assert.rejects(
    caller.call('tool:call', { name: 'send_mail', key: 'k', timeout_ms: 5_000 }),
    refused(409, 'outcome_unknown'),
  )
  const { invocation } = await invoked(provider)
  await clock.advance(5_001)
  await calling
  assert.deepEqual(await answer(provider, invocation, { result: 'too late' }), { accepted: false })
})

test('results are taken from the provider that was asked, from nobody else', async (t) => {
  const server = await serveFor(t)
  const { provider, caller } = await open(server)
  const calling = caller.call<Call>('tool:call', { name: 'send_mail' })
  const { invocation } = await invoked(provider)
  assert.deepEqual(await answer(caller, invocation, { result: 'forged' }), { accepted: false })
  await answer(provider, invocation, { result: 'true' })
  assert.equal((await calling).result, 'true')
})

verifies('BYD-04', 'in the name of a task the current lease is asked for before anything happens', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const { provider, caller } = await open(server)
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'x', assign_to: 'caller' })
  const { data } = await caller.next<Assignment>('task:assigned')
  const call = (lease: string | undefined) => caller.call<Call>('tool:call', { name: 'send_mail', task_id: id, lease, key: 'k' })
  await assert.rejects(call(`${data.lease}0`), refused(409, 'stale_lease'))
  const calling = call(data.lease)
  const asked = await invoked(provider)
  assert.equal(asked.task_id, id)
  await answer(provider, asked.invocation, { result: 1 })
  assert.equal((await calling).task_id, id)
  assert.deepEqual(
    (await calls(server, `?task_id=${id}`)).map((entry) => entry.state),
    ['succeeded'],
  )
  await clock.advance(31_000)
  await assert.rejects(call(data.lease), refused(409, 'stale_lease'))
})

verifies('REL-01', 'a call that was running when the server died is unknown after its restart', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const config = { data: folder.path }
  const first = await startTestServer({ config })
  const tokens = new Map<string, string>()
  for (const name of ['provider', 'caller'])
    tokens.set(name, (await first.call<{ token: string }>('POST', '/agents/register', { name })).token)
  const { provider, caller } = await open(first)
  const lost = caller.call('tool:call', { name: 'send_mail', key: 'k' }).catch((error: unknown) => error)
  await invoked(provider)
  await first.close()
  await lost
  const second = await serveFor(t, { config })
  const again = await second.leased('caller', { token: tokens.get('caller') })
  const back = await second.leased('provider', { token: tokens.get('provider') })
  await assert.rejects(again.call('tool:call', { name: 'send_mail', key: 'k' }), refused(409, 'outcome_unknown'))
  assert.deepEqual(await back.settled('tool:invoke'), [])
})
