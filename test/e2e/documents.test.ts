/** The command lines of the platform document, run by curl as they stand there. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import type { LogEntry } from '@cadre/contract'
import { openSocket, temporaryFolder } from '../../server/src/testing.ts'
import { verifies } from '../verifies.ts'
import { launch } from './program.ts'

const run = promisify(execFile)

async function missing(): Promise<string | undefined> {
  const hasCurl = await run('curl', ['--version']).then(
    () => true,
    () => false,
  )
  if (!hasCurl) return 'there is no curl'
  const free = await new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(8000, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
  return free ? undefined : 'port 8000 is taken'
}
const skip = await missing()

const lines = {
  health: 'curl http://localhost:8000/api/v1/health',
  spawn: `curl -X POST http://localhost:8000/api/v1/agents/spawn \\
  -H "Content-Type: application/json" \\
  -d '{
    "agent_type": "research",
    "name": "research-agent-1",
    "capabilities": ["web_search", "document_analysis"]
  }'`,
  submit: `curl -X POST http://localhost:8000/api/v1/tasks/submit \\
  -H "Content-Type: application/json" \\
  -d '{
    "description": "Research the latest developments in multi-agent AI systems",
    "priority": 1,
    "agent_type": "research"
  }'`,
  status: 'curl http://localhost:8000/api/v1/tasks/{task_id}/status',
}

verifies(
  ['API-01', 'API-10', 'API-13', 'API-21', 'API-32'],
  "document 2's curl lines work unchanged on port 8000",
  async (t) => {
    const folder = temporaryFolder()
    const server = await launch({ CADRE_DATA: folder.path, CADRE_PORT: '8000' })
    t.after(async () => {
      await server.end('SIGTERM')
      folder.remove()
    })
    const curl = async (line: string) =>
      JSON.parse(
        (await run('sh', ['-c', `${line.replace(/^curl/, 'curl --silent --show-error --max-time 20')}`])).stdout,
      ) as Record<string, unknown>

    assert.equal((await curl(lines.health))['status'], 'ok')
    const follower = await openSocket(server.socketUrl)
    await follower.call('events.watch', { types: ['agent.joined', 'task.assigned', 'task.started'] })
    const agent = await curl(lines.spawn)
    assert.deepEqual(
      [agent['name'], agent['agent_type'], agent['status'], agent['capabilities']],
      ['research-agent-1', 'research', 'starting', ['web_search', 'document_analysis']],
    )
    assert.equal(agent['agent_id'], agent['id'])
    await follower.next<LogEntry>('event', (entry) => entry.type === 'agent.joined' && entry.subject === agent['id'])
    const task = await curl(lines.submit)
    assert.equal(task['status'], 'pending')
    assert.deepEqual([task['priority'], task['task_id']], [1, task['id']])
    await follower.next<LogEntry>('event', (entry) => entry.type === 'task.started' && entry.subject === task['id'])
    const status = await curl(lines.status.replace('{task_id}', String(task['task_id'])))
    assert.equal(status['task_id'], task['id'])
    assert.equal(status['assigned_to'], 'research-agent-1')
    assert.ok(['running', 'completed', 'failed'].includes(String(status['status'])), String(status['status']))
    follower.terminate()
  },
  { skip, needs: 'curl and port 8000', timeout: 60_000 },
)
