/** What a task handler keeps over its attempts, and what it asks people for; against a real server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CadreClientError, Retry, type TaskContext } from '../src/index.ts'
import { openHouse } from './house.ts'

const code = (error: unknown) => (error instanceof CadreClientError ? error.code : error)

test('a later attempt gets the results of finished steps, and does only the rest', async (t) => {
  const house = await openHouse(t)
  const [boss, worker] = [await house.join('boss'), await house.join('worker')]
  const did: string[] = []
  worker.onTask(async (_, { step, attempt }) => {
    const words: string[] = await step('split', (key) => (did.push(key), ['a', 'b']))
    const large = await step('large', () => (did.push('large'), 'x'.repeat(200_000)))
    const nothing: undefined = await step('nothing', () => void did.push('nothing'))
    if (attempt === 1) throw new Retry({ after: 0 })
    return { words, large: large.length, nothing, last: await step('last', async () => 7) }
  })
  const task = await boss.task.create({ title: 'x', assign_to: 'worker' })
  assert.deepEqual(await task.result(), { words: ['a', 'b'], large: 200_000, nothing: null, last: 7 })
  assert.deepEqual(did, [`${task.id}/split`, 'large', 'nothing'])
})

test('a step that fails is not kept; one that is named twice is refused', async (t) => {
  const house = await openHouse(t)
  const [boss, worker] = [await house.join('boss'), await house.join('worker')]
  let tries = 0
  const errors: unknown[] = []
  worker.onTask(async (_, { step, attempt }) => {
    await step('flaky', () => {
      tries += 1
      if (attempt === 1) throw new Retry({ after: 0 })
    })
    await step('flaky', () => {}).catch((error: unknown) => errors.push(error))
    if (attempt === 2) throw new Retry({ after: 0 })
  })
  await (await boss.task.create({ title: 'x', assign_to: 'worker' })).result()
  assert.equal(tries, 2)
  assert.ok(errors[0] instanceof RangeError)
})

test('an answer is waited for outside of the handler, which runs again with it', async (t) => {
  const house = await openHouse(t)
  const [boss, worker] = [await house.join('boss'), await house.join('worker')]
  let runs = 0
  const ends: unknown[] = []
  worker.onTask(async (_, context) => {
    runs += 1
    try {
      const name = await context.input<string>({ prompt: 'Who?', schema: { type: 'string' } })
      const count = await context.input<number>({ prompt: 'How many?', schema: { type: 'integer' } })
      const { approved, by } = await context.approve({ action: 'order', args: { name, count } })
      return { name, count, approved, by }
    } catch (error) {
      ends.push(code(error), code(context.signal.reason))
      throw error
    }
  })
  const task = await boss.task.create({ title: 'x', assign_to: 'worker' })
  const asked: string[] = []
  const answers: Record<string, unknown> = { 'Who?': 'ann', 'How many?': 3 }
  boss.onMessage(async ({ content }) => {
    const { prompt, task_id } = content as { prompt: string; task_id: string }
    asked.push(prompt)
    const refused = boss.task.handle(task_id).provideInput({ not: 'it' })
    assert.equal(await refused.then(() => 'taken', code), 'invalid_request')
    await boss.task.handle(task_id).provideInput(answers[prompt] ?? { approved: false, comment: 'too many' })
  })
  assert.deepEqual(await task.result(), { name: 'ann', count: 3, approved: false, by: 'boss' })
  assert.equal(runs, 4)
  assert.deepEqual(ends, Array(6).fill('input_required'))
  assert.equal(asked.length, 3)
  const { attempt } = await task.status()
  assert.equal(attempt, 1)
})

test('a worker that waits for answers is free for other work', async (t) => {
  const house = await openHouse(t)
  const [boss, worker] = [await house.join('boss'), await house.join('worker', { concurrency: 1 })]
  const handler = (task: { title: string }, context: TaskContext) =>
    task.title === 'asks' ? context.input({ prompt: 'Go on?' }) : 'done'
  worker.onTask(handler)
  const first = await boss.task.create({ title: 'asks', assign_to: 'worker' })
  for await (const { state } of first.events()) if (state === 'input_required') break
  const second = await boss.task.create({ title: 'other', assign_to: 'worker' })
  assert.equal(await second.result(), 'done')
  await first.provideInput('yes')
  assert.equal(await first.result(), 'yes')
})

test('a step whose lease was lost is not reported, and its handler is stopped', async (t) => {
  const house = await openHouse(t)
  const [boss, worker] = [await house.join('boss'), await house.join('worker')]
  const stopped = Promise.withResolvers<unknown>()
  worker.onTask(async (task, { step, signal }) => {
    signal.addEventListener('abort', () => stopped.resolve(code(signal.reason)))
    await step('slow', () => boss.task.cancel(task.id, 'enough'))
  })
  const task = await boss.task.create({ title: 'x', assign_to: 'worker' })
  assert.ok(['cancelled', 'lease_lost'].includes(String(await stopped.promise)))
  const { items } = await boss.call('steps.list', { task_id: task.id })
  assert.deepEqual(
    items.map(({ state }) => state),
    ['begun'],
  )
})

test('a tool call whose end nobody saw is asked about, and its answer is what the handler gets next time', async (t) => {
  const house = await openHouse(t)
  const [boss, worker, provider] = [await house.join('boss'), await house.join('worker'), await house.join('provider')]
  const errors: unknown[] = []
  worker.on('error', (error) => errors.push(error))
  let sent = 0
  const description = { description: 'Sends one', once: true, grants: ['*'] }
  await provider.tools.register('send_mail', description, () => {
    sent += 1
    void provider.close()
    return new Promise(() => {})
  })
  worker.onTask(async (_, { tool }) => (await tool('send_mail', { to: 'x' })).result)
  const task = await boss.task.create({ title: 'x', assign_to: 'worker' })
  for await (const { state } of task.events()) if (state === 'input_required') break
  await task.provideInput({ outcome: 'happened', result: 'mail 7' })
  assert.equal(await task.result(), 'mail 7')
  assert.deepEqual([sent, errors], [1, []])
})

test('a step with an effect that throws Retry did not happen and is done again; one that fails otherwise is asked about', async (t) => {
  const house = await openHouse(t)
  const [boss, worker] = [await house.join('boss'), await house.join('worker')]
  let tries = 0
  worker.onTask((_, { step }) =>
    step(
      'mail',
      () => {
        tries += 1
        if (tries === 1) throw new Retry({ after: 0 })
        throw new Error('cut off')
      },
      { effect: 'once' },
    ),
  )
  const task = await boss.task.create({ title: 'x', assign_to: 'worker' })
  for await (const { state } of task.events()) if (state === 'input_required') break
  assert.equal(tries, 2)
  await task.provideInput({ outcome: 'happened', result: 'sent' })
  assert.equal(await task.result(), 'sent')
  assert.equal(tries, 2)
})
