/** Agents that join while there is work. */
import assert from 'node:assert/strict'
import type { Assignment, OutputOf } from '@cadre/contract'
import { verifies } from '../../../../test/verifies.ts'
import { ManualClock, type Socket, serveFor } from '../../testing.ts'
import { submit, until } from './strategies.suite.ts'

verifies('COL-08', 'two more workers beside two halve the time in the queue, while it runs', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const workers: Socket[] = [await server.leased('w1', { type: 'w' }), await server.leased('w2', { type: 'w' })]
  const held = new Map<Socket, Assignment>()

  /** One second of the clock, which is what a task takes: each worker ends what it has, and gets the next. */
  async function second(): Promise<number> {
    for (const worker of workers) if (!held.has(worker)) held.set(worker, (await worker.next<Assignment>('task:assigned')).data)
    await clock.advance(1_000)
    for (const [worker, { id, lease }] of held) await worker.call('tasks.complete', { id, lease })
    const ended = held.size
    held.clear()
    return ended
  }

  /** Seconds until `tasks` more have ended. */
  async function secondsFor(tasks: number): Promise<number> {
    let [seconds, ended] = [0, 0]
    for (; ended < tasks; seconds++) ended += await second()
    return seconds
  }

  await submit(server, 40, { agent_type: 'w' })
  const before = await secondsFor(20)
  for (const name of ['w3', 'w4']) workers.push(await server.leased(name, { type: 'w' }))
  const after = await secondsFor(20)
  assert.deepEqual([before, after], [10, 5])
  const { items } = await server.call<OutputOf<'tasks.list'>>('GET', '/tasks?state=completed&limit=100')
  await until(async () => items.length === 40, 'the end of all tasks')
  const newcomers = items.filter(({ assigned_to }) => assigned_to === 'w3' || assigned_to === 'w4')
  assert.equal(newcomers.length, 10)
})
