/** Cron schedules: each time once, over restarts and silences. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { OutputOf, Run, Schedule, Task } from '@cadre/contract'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer, temporaryFolder } from '../../testing.ts'
import { readCron } from '../../drivers/cron/croner.ts'
import { dueTimes } from './schedules-times.ts'

const start = Date.UTC(2026, 0, 1)
const minute = 60_000
const refused = (code: string, pointer?: string) => (error: unknown) =>
  error instanceof Refused && error.code === code && (pointer === undefined || error.problem.errors?.[0]?.pointer === pointer)

async function open(t: TestContext) {
  const clock = new ManualClock(start)
  return { clock, server: await serveFor(t, { clock }) }
}
const create = (server: TestServer, body: object = {}) =>
  server.call<Schedule>('POST', '/schedules', { name: 'nightly', cron: '*/10 * * * *', task: { title: 'sweep' }, ...body })
const made = async (server: TestServer, id: string) =>
  (await server.call<{ items: Task[] }>('GET', '/tasks?limit=500')).items.filter((task) => task.schedule_id === id)
/** Lets a sweep run and its writes settle: an answer comes after everything that was written before it. */
const settle = async (server: TestServer, clock: ManualClock, ms = 500) => {
  await clock.advance(ms)
  return server.call('GET', '/schedules')
}

test('of the times that passed, none, the last, or all up to a hundred', () => {
  const cron = readCron('* * * * *', 'UTC')
  const due = (rule: 'none' | 'last' | 'all', minutes: number, late = 0) => {
    const { times, leftOut, next } = dueTimes(cron, rule, start + minute, start + minutes * minute + late)
    return [times.map((time) => (time - start) / minute), leftOut, next === null ? null : (next - start) / minute]
  }
  assert.deepEqual(due('none', 5, 1_000), [[5], 4, 6])
  const rare = readCron('0 * * * *', 'UTC')
  assert.deepEqual(dueTimes(rare, 'none', start, start + 61_000).times, [])
  assert.deepEqual(due('last', 5, 1_000), [[5], 4, 6])
  assert.deepEqual(due('all', 3), [[1, 2, 3], 0, 4])
  const [times, leftOut, next] = due('all', 1_000) as [number[], number, number]
  assert.deepEqual([times.length, times[0], times.at(-1), leftOut, next], [100, 901, 1_000, 900, 1_001])
  // A year of minutes: the newest are found without walking through all.
  const year = dueTimes(cron, 'all', start + minute, start + 525_600 * minute)
  assert.deepEqual([year.times.length, year.times.at(-1), year.next], [100, start + 525_600 * minute, start + 525_601 * minute])
})

test('each time makes the task once, in the name of who made the schedule', async (t) => {
  const { clock, server } = await open(t)
  const ann = await server.leased('ann')
  const schedule = await ann.call<Schedule>('schedules.create', {
    name: 'n',
    cron: '*/10 * * * *',
    task: { title: 'sweep', priority: 'high' },
  })
  assert.deepEqual([schedule.next_at, schedule.zone, schedule.created_by], ['2026-01-01T00:10:00.000Z', 'UTC', 'ann'])
  await settle(server, clock, 10 * minute - 1_000)
  assert.deepEqual(await made(server, schedule.id), [])
  for (let tens = 1; tens <= 3; tens++) await settle(server, clock, 10 * minute)
  const tasks = await made(server, schedule.id)
  assert.deepEqual(
    tasks.map(({ title, priority, creator, state }) => [title, priority, creator, state]),
    Array.from({ length: 3 }, () => ['sweep', 2, 'ann', 'ready']),
  )
  const now = await server.call<Schedule>('GET', `/schedules/${schedule.id}`)
  assert.deepEqual(
    [now.fired, now.last_at, now.next_at, now.last_made],
    [3, '2026-01-01T00:30:00.000Z', '2026-01-01T00:40:00.000Z', tasks[0]?.id],
  )
  const events = await server.call<{ items: { data: { for: string; task_id: string } }[] }>('GET', '/events?types=schedule.fired')
  assert.deepEqual(
    events.items.map(({ data }) => [data.for.slice(11, 16), data.task_id]),
    [
      ['00:10', tasks[2]?.id],
      ['00:20', tasks[1]?.id],
      ['00:30', tasks[0]?.id],
    ],
  )
})

test('a graph by schedule is a run that knows it', async (t) => {
  const { clock, server } = await open(t)
  const graph = { name: 'report', on_failure: 'fail_fast', tasks: [{ key: 'a' }, { key: 'b', depends_on: ['a'] }] }
  const schedule = await create(server, { task: undefined, graph })
  await settle(server, clock, 10 * minute)
  const { items } = await server.call<{ items: Run[] }>('GET', `/runs?schedule_id=${schedule.id}`)
  assert.deepEqual(
    items.map(({ name, on_failure, counts }) => [name, on_failure, counts.total]),
    [['report', 'fail_fast', 2]],
  )
  assert.deepEqual(new Set((await made(server, schedule.id)).map((task) => task.key)), new Set(['a', 'b']))
})

test('by hand, changed, disabled, deleted', async (t) => {
  const { clock, server } = await open(t)
  const schedule = await create(server)
  const fired = await server.call<OutputOf<'schedules.run_now'>>('POST', `/schedules/${schedule.id}/run`, {})
  assert.deepEqual(
    (await made(server, schedule.id)).map((task) => task.id),
    [fired.task_id],
  )
  assert.equal((await server.call<Schedule>('GET', `/schedules/${schedule.id}`)).next_at, schedule.next_at)
  const changed = await server.call<Schedule>('PUT', `/schedules/${schedule.id}`, {
    cron: '0 9 * * *',
    zone: 'Asia/Tokyo',
    task: { title: 'other' },
  })
  assert.deepEqual([changed.next_at, changed.task], ['2026-01-02T00:00:00.000Z', { ...(changed.task as object), title: 'other' }])
  const off = await server.call<Schedule>('PUT', `/schedules/${schedule.id}`, { enabled: false, cron: '* * * * *' })
  assert.equal(off.next_at, null)
  await settle(server, clock, 3 * minute)
  assert.equal((await made(server, schedule.id)).length, 1)
  const on = await server.call<Schedule>('PUT', `/schedules/${schedule.id}`, { enabled: true })
  assert.equal(on.next_at, '2026-01-01T00:04:00.000Z', 'what passed meanwhile is not made up for')
  await server.call('DELETE', `/schedules/${schedule.id}`)
  await settle(server, clock, 3 * minute)
  assert.equal((await made(server, schedule.id)).length, 1)
  await assert.rejects(server.call('GET', `/schedules/${schedule.id}`), refused('not_found'))
})

test('what can never be made is refused when it is written', async (t) => {
  const { server } = await open(t)
  const cycle = { name: 'g', tasks: [{ key: 'a', depends_on: ['a'] }] }
  await assert.rejects(create(server, { cron: '* * * *' }), refused('invalid_request', '/cron'))
  await assert.rejects(create(server, { cron: '61 * * * *' }), refused('invalid_request', '/cron'))
  await assert.rejects(create(server, { cron: '@daily' }), refused('invalid_request', '/cron'))
  await assert.rejects(create(server, { zone: 'Nowhere/City' }), refused('invalid_request', '/zone'))
  await assert.rejects(create(server, { task: {} }), refused('invalid_request', '/title'))
  await assert.rejects(create(server, { task: undefined }), refused('invalid_request', '/task'))
  await assert.rejects(create(server, { graph: cycle }), refused('invalid_request', '/task'))
  await assert.rejects(create(server, { task: undefined, graph: cycle }), refused('cycle'))
  assert.deepEqual((await server.call<{ items: Schedule[] }>('GET', '/schedules')).items, [])
  const bob = await server.leased('bob')
  const schedule = await create(server)
  await assert.rejects(bob.call('schedules.delete', { id: schedule.id }), refused('forbidden'))
})

test('a firing that is refused passes, says why, and the next is tried', async (t) => {
  const { clock, server } = await open(t)
  const before = await server.call<Task>('POST', '/tasks', { title: 'before' })
  const schedule = await create(server, { task: { title: 'x', parent_id: before.id, assign_to: 'ghost' } })
  await settle(server, clock, 10 * minute)
  const failed = await server.call<Schedule>('GET', `/schedules/${schedule.id}`)
  assert.deepEqual(
    [failed.fired, failed.next_at, failed.last_error],
    [0, '2026-01-01T00:20:00.000Z', 'There is no agent ghost; list them to see what exists.'],
  )
  const events = await server.call<{ items: { data: { reason: string } }[] }>('GET', '/events?types=schedule.failed')
  assert.equal(events.items.length, 1)
  await server.call('POST', '/agents/register', { name: 'ghost' })
  await settle(server, clock, 10 * minute)
  const good = await server.call<Schedule>('GET', `/schedules/${schedule.id}`)
  assert.deepEqual([good.fired, good.last_error], [1, null])
})

test('over restarts each time is made once; what passed in between by its rule', async () => {
  const folder = temporaryFolder()
  let now = start
  const serve = async (work: (server: TestServer, clock: ManualClock) => Promise<void>) => {
    const clock = new ManualClock(now)
    const server = await startTestServer({ config: { data: folder.path }, clock })
    try {
      await work(server, clock)
    } finally {
      now = clock.now()
      await server.close()
    }
  }
  try {
    const ids: Record<string, string> = {}
    await serve(async (server, clock) => {
      for (const catch_up of ['none', 'last', 'all']) ids[catch_up] = (await create(server, { catch_up })).id
      await settle(server, clock, 10 * minute)
    })
    // Down for three times, and back five minutes after the last.
    now += 35 * minute
    const counts = async (server: TestServer) =>
      Promise.all(['none', 'last', 'all'].map(async (rule) => (await made(server, ids[rule] as string)).length))
    await serve(async (server, clock) => {
      assert.deepEqual(await counts(server), [1, 1, 1])
      await settle(server, clock)
      assert.deepEqual(await counts(server), [1, 2, 4])
    })
    await serve(async (server, clock) => {
      await settle(server, clock)
      assert.deepEqual(await counts(server), [1, 2, 4])
      await settle(server, clock, 5 * minute)
      assert.deepEqual(await counts(server), [2, 3, 5])
    })
  } finally {
    folder.remove()
  }
})
