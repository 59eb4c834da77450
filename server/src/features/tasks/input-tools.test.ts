/** A tool call in the name of a task whose end nobody saw: a person is asked, and the ledger keeps the answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, InputRequest, OutputOf, Task } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { Refused, type Socket, type TestServer, serveFor } from '../../testing.ts'

type Call = OutputOf<'tools.call'>

const unknown = (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [409, 'outcome_unknown'], error.message)
  return true
}
const mail = { name: 'send_mail', arguments: { to: 'x' }, key: 'mail-1' }

async function offer(server: TestServer): Promise<Socket> {
  const provider = await server.leased('provider')
  await provider.call('tool:register', { name: 'send_mail', description: 'Sends one', once: true, grants: ['*'] })
  return provider
}
async function next(agent: Socket, id: string, known: Set<string>): Promise<{ task_id: string; lease: string }> {
  const { data } = await agent.next<Assignment>('task:assigned', (each) => each.id === id && !known.has(each.lease))
  known.add(data.lease)
  await agent.call('tasks.accept', { id, lease: data.lease })
  return { task_id: id, lease: data.lease }
}

for (const outcome of ['happened', 'did_not_happen'] as const)
  verifies(
    'BYD-05',
    `between a tool call and its record the provider dies: no second mail, the question is asked: ${outcome}`,
    async (t) => {
      const server = await serveFor(t)
      const provider = await offer(server)
      const worker = await server.leased('worker')
      const { id } = await server.call<Task>('POST', '/tasks', { title: 'write', assign_to: 'worker' })
      const known = new Set<string>()
      const proof = await next(worker, id, known)
      const calling = assert.rejects(worker.call('tools.call', { ...mail, ...proof }), unknown)
      await provider.next('tool:invoke')
      provider.terminate()
      await calling
      const back = await server.leased('provider')
      assert.equal((await server.call<Task>('GET', `/tasks/${id}`)).state, 'input_required')
      const [question] = (await server.call<{ items: InputRequest[] }>('GET', '/inputs?state=open')).items
      assert.deepEqual([question?.kind, question?.action, question?.args], ['outcome', 'send_mail', { key: 'mail-1' }])
      // Whoever asks without the task learns the same, and nothing runs.
      await assert.rejects(server.call('POST', '/tools/send_mail/call', mail), unknown)
      assert.deepEqual(await back.settled('tool:invoke'), [])

      const input = outcome === 'happened' ? { outcome, result: { sent: 'yesterday' } } : { outcome }
      await server.call('POST', `/tasks/${id}/input`, { input })
      const again = await next(worker, id, known)
      const called = worker.call<Call>('tools.call', { ...mail, ...again })
      if (outcome === 'did_not_happen') {
        const { data } = await back.next<{ invocation: string; key: string }>('tool:invoke')
        assert.equal(data.key, 'mail-1')
        await back.call('tools.result', { invocation: data.invocation, result: { sent: 'now' } })
      }
      const { state, result, executions } = await called
      assert.deepEqual(
        [state, result, executions],
        outcome === 'happened' ? ['succeeded', { sent: 'yesterday' }, 1] : ['succeeded', { sent: 'now' }, 2],
      )
      assert.deepEqual(await back.settled('tool:invoke'), [])
    },
  )

test('two calls of one attempt that are lost together are asked about one after the other', async (t) => {
  const server = await serveFor(t)
  const provider = await offer(server)
  const worker = await server.leased('worker')
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'write', assign_to: 'worker' })
  const known = new Set<string>()
  let proof = await next(worker, id, known)
  const both = ['mail-1', 'mail-2'].map((key) => assert.rejects(worker.call('tools.call', { ...mail, ...proof, key }), unknown))
  await provider.next('tool:invoke')
  await provider.next('tool:invoke')
  provider.terminate()
  await Promise.all(both)
  await server.leased('provider')
  for (let asked = 0; asked < 2; asked++) {
    await server.call('POST', `/tasks/${id}/input`, { input: { outcome: 'happened' } })
    proof = await next(worker, id, known)
    for (const key of ['mail-1', 'mail-2']) {
      const call = worker.call<Call>('tools.call', { ...mail, ...proof, key })
      const settled: boolean = await call.then(
        () => true,
        (error: unknown) => !unknown(error),
      )
      if (!settled) break
    }
  }
  const calls = await server.call<{ items: Call[] }>('GET', '/tools/calls')
  assert.deepEqual(
    calls.items.map(({ state, executions }) => [state, executions]),
    [
      ['succeeded', 1],
      ['succeeded', 1],
    ],
  )
})
