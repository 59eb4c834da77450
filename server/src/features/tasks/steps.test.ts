/** Steps whose results are kept: over attempts, leases, agents. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Assignment, InputRequest, LogEntry, OutputOf, Task } from '@cadre/contract'
import { ManualClock, Refused, type Socket, type TestServer, serveFor } from '../../testing.ts'

type Begun = OutputOf<'steps.begin'>
type Steps = OutputOf<'steps.list'>

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}

/** A task under a lease of the agent, begun. */
async function take(server: TestServer, agent: Socket, id?: string): Promise<{ task_id: string; lease: string }> {
  const wanted = id ?? (await server.call<Task>('POST', '/tasks', { title: 'work' })).id
  const [work] = (await agent.call<{ items: Assignment[] }>('tasks.claim', { id: wanted })).items
  assert.ok(work)
  await agent.call('tasks.accept', { id: work.id, lease: work.lease })
  return { task_id: work.id, lease: work.lease }
}
const steps = async (server: TestServer, id: string) => (await server.call<Steps>('GET', `/tasks/${id}/steps`)).items

test('a finished step answers its result to every later attempt and is never new again', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const first = await take(server, ada)
  assert.equal((await ada.call<Begun>('steps.begin', { ...first, name: 'plan' })).state, 'new')
  // Once more under the same lease: the answer was lost on its way.
  assert.equal((await ada.call<Begun>('steps.begin', { ...first, name: 'plan' })).state, 'new')
  const finished = await ada.call<OutputOf<'steps.finish'>>('steps.finish', { ...first, name: 'plan', result: { parts: [1, 2] } })
  assert.deepEqual([finished.state, finished.already], ['done', undefined])
  const again = await ada.call<OutputOf<'steps.finish'>>('steps.finish', { ...first, name: 'plan', result: 'other' })
  assert.equal(again.already, true)
  await ada.call('tasks.release', { id: first.task_id, lease: first.lease })
  const second = await take(server, bob, first.task_id)
  const replayed = await bob.call<Begun>('steps.begin', { ...second, name: 'plan' })
  assert.deepEqual([replayed.state, replayed.result], ['done', { parts: [1, 2] }])
  const [step] = await steps(server, first.task_id)
  assert.deepEqual([step?.name, step?.state, step?.agent, step?.attempt], ['plan', 'finished', 'ada', 1])
  const log = await server.call<{ items: LogEntry[] }>('GET', '/events?types=step.begun&types=step.finished')
  assert.deepEqual(
    log.items.map(({ type, data }) => [type, (data as { step: string }).step]),
    [
      ['step.begun', 'plan'],
      ['step.finished', 'plan'],
    ],
  )
})

test('only the current lease begins and finishes steps', async (t) => {
  const server = await serveFor(t)
  const [ada, bob] = [await server.leased('ada'), await server.leased('bob')]
  const old = await take(server, ada)
  await ada.call('steps.begin', { ...old, name: 'a' })
  await ada.call('tasks.release', { id: old.task_id, lease: old.lease })
  const now = await take(server, bob, old.task_id)
  for (const call of ['steps.begin', 'steps.finish'])
    await assert.rejects(ada.call(call, { ...old, name: 'a', result: 1 }), refused(409, 'stale_lease'))
  await assert.rejects(ada.call('steps.begin', { task_id: old.task_id, name: 'a' }), refused(403, 'forbidden'))
  await assert.rejects(bob.call('steps.begin', { task_id: old.task_id, name: 'a' }), refused(409, 'lease_required'))
  // Large results are refused before their bytes are kept.
  await assert.rejects(ada.call('steps.finish', { ...old, name: 'a', result: 'x'.repeat(100_000) }), refused(409, 'stale_lease'))
  assert.equal((await server.call<{ items: unknown[] }>('GET', '/artifacts')).items.length, 0)
  await assert.rejects(bob.call('steps.finish', { ...now, name: 'a', result: 1 }), refused(409, 'conflict'))
  await assert.rejects(bob.call('steps.finish', { ...now, name: 'b', result: 1 }), refused(404, 'not_found'))
  assert.deepEqual(
    (await steps(server, old.task_id)).map(({ name, state }) => [name, state]),
    [['a', 'begun']],
  )
})

test('a step that may be repeated begins again under the next lease, and says that its outcome was unknown', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const ada = await server.leased('ada')
  const bob = await server.leased('bob')
  const first = await take(server, ada)
  await ada.call('steps.begin', { ...first, name: 'fetch', input_hash: 'h1' })
  await clock.advance(31_000)
  const second = await take(server, bob, first.task_id)
  await assert.rejects(bob.call('steps.begin', { ...second, name: 'fetch', input_hash: 'h2' }), refused(409, 'conflict'))
  assert.equal((await bob.call<Begun>('steps.begin', { ...second, name: 'fetch', input_hash: 'h1' })).state, 'unknown')
  await bob.call('steps.finish', { ...second, name: 'fetch', result: 7 })
  await assert.rejects(bob.call('steps.begin', { ...second, name: 'fetch', input_hash: 'h2' }), refused(409, 'conflict'))
  assert.equal((await bob.call<Begun>('steps.begin', { ...second, name: 'fetch' })).result, 7)
})

for (const [said, wanted] of [
  [
    { outcome: 'happened', result: 'mail 7' },
    { state: 'done', result: 'mail 7' },
  ],
  [{ outcome: 'did_not_happen' }, { state: 'new', result: undefined }],
] as const)
  test(`a step with an effect that nobody heard of again asks a person: ${said.outcome}`, async (t) => {
    const server = await serveFor(t)
    const ada = await server.leased('ada')
    const first = await take(server, ada)
    const mail = { name: 'mail', effect: 'once' }
    await ada.call('steps.begin', { ...first, ...mail })
    await ada.call('tasks.release', { id: first.task_id, lease: first.lease })
    const second = await take(server, ada, first.task_id)
    const asked = await ada.call<Begun>('steps.begin', { ...second, ...mail })
    assert.equal(asked.state, 'unknown')
    const waiting = await server.call<Task>('GET', `/tasks/${first.task_id}`)
    assert.deepEqual([waiting.state, waiting.lease_until], ['input_required', null])
    await assert.rejects(ada.call('steps.finish', { ...second, name: 'mail' }), refused(409, 'stale_lease'))
    const [question] = (await server.call<{ items: InputRequest[] }>('GET', '/inputs?state=open')).items
    assert.deepEqual([question?.id, question?.kind, question?.step], [asked.request_id, 'outcome', 'mail'])
    const answerTo = (input: unknown) => server.call('POST', `/tasks/${first.task_id}/input`, { input })
    await assert.rejects(answerTo({ outcome: 'perhaps' }), refused(422, 'invalid_request'))
    await answerTo(said)
    const known = [first.lease, second.lease]
    const back = (await ada.next<Assignment>('task:assigned', ({ lease }) => !known.includes(lease))).data
    const third = { task_id: back.id, lease: back.lease }
    await ada.call('tasks.accept', { id: back.id, lease: back.lease })
    const settled = await ada.call<Begun>('steps.begin', { ...third, ...mail })
    assert.deepEqual({ state: settled.state, result: settled.result }, wanted)
  })

test('a step that was said not to have happened asks again when it is lost again', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  let work = await take(server, ada)
  const known = new Set([work.lease])
  const mail = { name: 'mail', effect: 'once' }
  for (let round = 0; round < 2; round++) {
    assert.equal((await ada.call<Begun>('steps.begin', { ...work, ...mail })).state, 'new')
    await ada.call('tasks.release', { id: work.task_id, lease: work.lease })
    work = await take(server, ada, work.task_id)
    known.add(work.lease)
    assert.equal((await ada.call<Begun>('steps.begin', { ...work, ...mail })).state, 'unknown')
    await server.call('POST', `/tasks/${work.task_id}/input`, { input: { outcome: 'did_not_happen' } })
    const { data } = await ada.next<Assignment>('task:assigned', ({ lease }) => !known.has(lease))
    known.add(data.lease)
    work = { task_id: data.id, lease: data.lease }
    await ada.call('tasks.accept', { id: data.id, lease: data.lease })
  }
  assert.equal((await server.call<{ items: unknown[] }>('GET', '/inputs?kind=outcome')).items.length, 2)
})

test('a step that is said not to have happened by its own worker begins anew', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const first = await take(server, ada)
  const mail = { name: 'mail', effect: 'once' }
  await ada.call('steps.begin', { ...first, ...mail })
  const voided = await ada.call<OutputOf<'steps.finish'>>('steps.finish', { ...first, name: 'mail', void: true })
  assert.deepEqual([voided.state, voided.already], ['void', undefined])
  const again = await ada.call<OutputOf<'steps.finish'>>('steps.finish', { ...first, name: 'mail', void: true })
  assert.equal(again.already, true)
  await assert.rejects(ada.call('steps.finish', { ...first, name: 'mail', result: 1 }), refused(409, 'conflict'))
  assert.deepEqual((await steps(server, first.task_id))[0]?.state, 'void')
  await ada.call('tasks.release', { id: first.task_id, lease: first.lease })
  const second = await take(server, ada, first.task_id)
  assert.equal((await ada.call<Begun>('steps.begin', { ...second, ...mail })).state, 'new')
  await ada.call('steps.finish', { ...second, name: 'mail', result: 1 })
  await assert.rejects(ada.call('steps.finish', { ...second, name: 'mail', void: true }), refused(409, 'conflict'))
})

test('a large result is kept as an artifact of the task and comes back whole; one over a megabyte is refused', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const first = await take(server, ada)
  const result = { text: 'ä'.repeat(100_000) }
  for (const name of ['small', 'large', 'same']) await ada.call('steps.begin', { ...first, name })
  await ada.call('steps.finish', { ...first, name: 'small', result: 'x'.repeat(60_000) })
  await ada.call('steps.finish', { ...first, name: 'large', result })
  await ada.call('steps.finish', { ...first, name: 'same', result })
  const [small, large, same] = await steps(server, first.task_id)
  assert.equal(small?.artifact_id, null)
  assert.deepEqual([large?.result, large?.size], [null, 200_011])
  assert.equal(large?.artifact_id, same?.artifact_id)
  const stored = await server.call<{ items: { id: string }[] }>('GET', `/artifacts?task_id=${first.task_id}`)
  assert.deepEqual(
    stored.items.map(({ id }) => id),
    [large?.artifact_id],
  )
  assert.deepEqual((await ada.call<Begun>('steps.begin', { ...first, name: 'large' })).result, result)
  await ada.call('steps.begin', { ...first, name: 'huge' })
  const over = { ...first, name: 'huge', result: 'x'.repeat(1024 * 1024) }
  await assert.rejects(server.call('POST', `/tasks/${first.task_id}/steps/finish`, over), refused(413, 'too_large'))
})

test('a task has at most 10,000 steps, listed page by page in their order', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const work = await take(server, ada)
  const calls = 500
  for (let at = 0; at < 10_000; at += calls)
    await Promise.all(Array.from({ length: calls }, (_, index) => ada.call('steps.begin', { ...work, name: `s${at + index}` })))
  await assert.rejects(ada.call('steps.begin', { ...work, name: 'one more' }), refused(413, 'too_large'))
  assert.equal((await ada.call<Begun>('steps.begin', { ...work, name: 's42' })).state, 'new')
  const names: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Steps = await server.call<Steps>(
      'GET',
      `/tasks/${work.task_id}/steps?limit=500${cursor === '' ? '' : `&cursor=${cursor}`}`,
    )
    names.push(...page.items.map(({ name }) => name))
    cursor = page.next
  }
  assert.deepEqual(
    names,
    Array.from({ length: 10_000 }, (_, index) => `s${index}`),
  )
})
