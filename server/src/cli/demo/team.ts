/** The team of the demo: who is in it, and how it comes up. */
import type { Hub } from '@cadre/sdk'
import { DemoFailure } from './failure.ts'

const teamMs = 30_000

/** Two of those whose work can be taken over by a colleague. */
export const team: readonly (readonly [type: string, ...names: string[]])[] = [
  ['coordinator', 'coordinator-1'],
  ['decomposer', 'decomposer-1'],
  ['knowledge', 'knowledge-1'],
  ['researcher', 'researcher-1', 'researcher-2'],
  ['analyst', 'analyst-1', 'analyst-2'],
  ['writer', 'writer-1'],
  ['oversight', 'oversight-1'],
]

/** Starts the team and waits until everybody is there. */
export async function gather(hub: Hub, signal: AbortSignal): Promise<void> {
  const names = team.flatMap(([type, ...members]) => members.map((name) => ({ type, name })))
  await Promise.all(names.map(({ type, name }) => hub.call('agents.spawn', { type, name, capabilities: [type] })))
  const deadline = Date.now() + teamMs
  for (;;) {
    signal.throwIfAborted()
    const { items } = await hub.agents.list({ limit: 100 })
    const { items: tools } = await hub.tools.list()
    const ready = items.filter((agent) => agent.status === 'idle').length
    if (ready === names.length && tools.length > 0) return
    if (Date.now() > deadline) throw new DemoFailure(`Only ${ready} of ${names.length} agents came up within ${teamMs / 1000} s.`)
    await new Promise((done) => setTimeout(done, 50))
  }
}
