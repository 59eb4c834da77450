import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { serveFor, temporaryFolder } from 'cadre/testing'
import { startServer } from 'cadre'
import { readConfig } from '../server/src/config.ts'
import { driver } from './drivers/cadre-inprocess.ts'
import { Scope } from './lib/scope.ts'
import { type Executions, type TaskOutcome, serveTasks } from './lib/task-client.ts'
import { addFinished } from './lib/task-history.ts'
import { type TaskCell, taskSubject } from './lib/task-subject.ts'

test('tasks of an agent in the process of the server: one by one, chain, fan and bulk; each runs once and is durable', async () => {
  const call = serveTasks(driver)
  try {
    await call('submitter', { url: '', run: 1, inFlight: 4 })
    for (const [run, shape, size, each] of [
      [1, 'task', 1, 1],
      [2, 'chain', 10, 10],
      [3, 'fan', 20, 21],
      [4, 'bulk', 50, 1],
    ] as const) {
      const outcome = (await call('load', { run, shape, inFlight: 4, ms: 1, size })) as TaskOutcome
      assert.deepEqual([outcome.failed, outcome.failure], [0, undefined], shape)
      assert.ok(outcome.count > 0 && outcome.seconds > 0, shape)
      assert.equal(outcome.enqueuedPerSecond !== undefined, shape === 'bulk')
      const executions = (await call('executions', { run })) as Executions
      assert.deepEqual(executions, { unique: outcome.count * each, repeated: 0 }, shape)
    }
    assert.equal(await call('durability', ''), 'sync')
  } finally {
    await call('end', undefined)
  }
})

test('a run whose tasks do not all run, once, is void', async () => {
  const scope = new Scope()
  const faulty = new URL('./faulty-tasks.suite.ts', import.meta.url)
  const cellOf = (size: number): TaskCell => ({ key: 'k', suffix: '', inFlight: 1, shape: 'chain', size })
  try {
    const system = { name: 'faulty', ours: true, server: undefined, driver: faulty, remote: false, shapes: [] }
    const subject = taskSubject(scope, system)
    const faults = []
    for (const size of [1, 2, 3]) faults.push((await subject.measure(cellOf(size), 1)).fault)
    assert.match(faults[0] ?? '', /^0 of \d+ tasks ran$/)
    assert.match(faults[1] ?? '', /^\d+ of \d+ tasks ran more than once$/)
    assert.equal(faults[2], undefined)
  } finally {
    await scope.close()
  }
})

test('a store with a past: what was added counts as completed, and the server goes on in it', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const config = readConfig({ CADRE_DATA: folder.path, CADRE_PORT: '0', LOG_LEVEL: 'silent' })
  const options = { config, workerCommand: [process.execPath, '-e', ''] as [string, ...string[]], assets: folder.path }
  const first = await startServer(options)
  const before = await first.embed({ name: 'before', credits: 1 }, () => {})
  const { id } = await before.invoke('tasks.create', { title: 'the model' })
  const [taken] = (await before.invoke('tasks.claim', { id })).items
  await before.invoke('tasks.complete', { id, lease: taken?.lease })
  await first.close()

  addFinished(join(folder.path, 'cadre.db'), 25)

  const server = await serveFor(t, { config: { data: folder.path } })
  const agent = await server.embed({ name: 'after', credits: 1 }, () => {})
  const { items } = await agent.invoke('tasks.list', { state: 'completed', limit: 100 })
  assert.equal(items.length, 26)
  const copy = items.find((item) => item.id !== id)
  const { attempts } = await agent.invoke('tasks.get', { id: copy?.id })
  assert.deepEqual(
    attempts.map(({ outcome, agent: by }) => [outcome, by]),
    [['completed', 'before']],
  )
  const next = await agent.invoke('tasks.create', { title: 'another' })
  const [won] = (await agent.invoke('tasks.claim', { id: next.id })).items
  assert.equal((await agent.invoke('tasks.complete', { id: next.id, lease: won?.lease })).state, 'completed')
})
