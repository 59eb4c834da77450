/** Registering and spawning: the same call again, and several at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, OutputOf } from '@cadre/contract'
import { Refused, type Socket, serveFor } from '../../testing.ts'

/** The outcomes of several calls that arrive in one turn. */
async function together(socket: Socket, type: string, data: object, count: number): Promise<Record<string, unknown>[]> {
  socket.send(Array.from({ length: count }, (_, index) => ({ type, id: `t${index}`, data })))
  const answers = []
  for (let index = 0; index < count; index++)
    answers.push((await socket.take((frame) => frame.type === 'ack' && frame.ref === `t${index}`, type)).data)
  return answers
}

test('spawning with a key is answered the same way again', async (t) => {
  const server = await serveFor(t)
  const body = { agent_type: 'research', name: 'research-agent-1' }
  const first = await server.request<OutputOf<'agents.spawn'>>('POST', '/agents/spawn', body, { key: 'k' })
  const again = await server.request<OutputOf<'agents.spawn'>>('POST', '/agents/spawn', body, { key: 'k' })
  assert.deepEqual([first.status, again.status], [201, 200], again.text)
  assert.deepEqual([again.body.id, again.body.receipt.duplicate], [first.body.id, true])
  const other = await server.request('POST', '/agents/spawn', body, { key: 'l' })
  assert.equal(other.status, 409)
})

test('two spawns of one name in one turn: one agent, and a refusal', async (t) => {
  const server = await serveFor(t)
  const [first, second] = await together(await server.socket(), 'agents.spawn', { name: 'w', type: 'research' }, 2)
  assert.deepEqual([first?.['status'], second?.['code']], ['starting', 'name_taken'])
  assert.equal((await server.call<{ items: Agent[] }>('GET', '/agents')).items.length, 1)
})

test('registrations of one new name in one turn make one agent', async (t) => {
  const server = await serveFor(t)
  const answers = await together(await server.socket(), 'agents.register', { name: 'ada', capabilities: ['x'] }, 3)
  assert.equal(new Set(answers.map((answer) => answer['id'])).size, 1, JSON.stringify(answers))
  for (const { token } of answers)
    assert.equal((await server.call('GET', '/whoami', undefined, { token: token as string }))['name'], 'ada')
  const agent = await server.call<Agent>('GET', '/agents/ada')
  assert.deepEqual([agent.capabilities, agent.status], [['x'], 'idle'])
})

test('an agent keeps at most 64 KiB of metadata', async (t) => {
  const server = await serveFor(t)
  const metadata = { text: 'x'.repeat(64 * 1024) }
  await assert.rejects(
    server.call('POST', '/agents/register', { name: 'ada', metadata }),
    (error) => error instanceof Refused && error.status === 413,
  )
})
