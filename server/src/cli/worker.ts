/** `cadre worker`: one agent in this process. Its assignment is the first line of standard input; when the pipe closes it ends. */
import { createInterface } from 'node:readline'
import { type WorkerAssignment, startAgent } from '@cadre/agents'

const drainMs = 5_000

export async function worker(): Promise<number> {
  const lines = createInterface({ input: process.stdin })
  const ended = new Promise<void>((resolve) => {
    lines.once('close', resolve)
    process.once('SIGTERM', () => resolve())
    // Ctrl-C goes to the whole group: the server decides when its workers end.
    process.on('SIGINT', () => {})
  })
  const first = await Promise.race([new Promise<string>((resolve) => lines.once('line', resolve)), ended])
  if (typeof first !== 'string') return 0
  const agent = await startAgent(JSON.parse(first) as WorkerAssignment)
  await Promise.race([ended, agent.closed])
  lines.close()
  process.stdin.destroy()
  const overdue = setTimeout(() => process.exit(0), drainMs)
  overdue.unref()
  await agent.close()
  return 0
}
