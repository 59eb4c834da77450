/** The life of the process: quick to start, small, gone without a trace. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openSocket, startTestServer, temporaryFolder } from '../../server/src/testing.ts'
import { verifies } from '../verifies.ts'
import { launch, program, residentMb } from './program.ts'

// The promise is 1.0 s and 120 MB on an idle machine; a shared one gets three times as much.
verifies(['OPS-01'], 'one command starts it in a moment, and it stays small', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const server = await launch({ CADRE_DATA: folder.path })
  t.after(() => server.end('SIGKILL'))
  assert.equal((await server.call('GET', '/health'))['status'], 'ok')
  const mb = residentMb(server.child.pid as number)
  t.diagnostic(`ready after ${Math.round(server.readyMs)} ms, ${Math.round(mb ?? 0)} MB resident (${program})`)
  assert.ok(server.readyMs < 3_000, `ready after ${server.readyMs} ms`)
  assert.ok(mb === undefined || mb < 360, `${mb} MB`)
  assert.deepEqual(readdirSync(folder.path).toSorted(), [
    'blobs',
    'cadre.db',
    'cadre.db-shm',
    'cadre.db-wal',
    'lock.db',
    'lock.db-journal',
    'secret.key',
  ])
  assert.match(server.said(), /control room {2}http:\/\/localhost:\d+\/sign-in\/[\w-]+/)
})

verifies(
  ['AGT-34'],
  'SIGTERM drains: sockets are told, what was answered is kept, and it exits with 0',
  async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const first = await launch({ CADRE_DATA: folder.path })
    t.after(() => first.end('SIGKILL'))
    const agent = await openSocket(first.socketUrl)
    await agent.call('agent:register', { name: 'bob', credits: 1 })
    const { id } = await first.call('POST', '/messages', { to: 'bob', content: 'kept' })
    await agent.next('message:received')
    const ended = first.end('SIGTERM')
    await agent.next('system:draining')
    assert.equal((await agent.closed).code, 4503)
    assert.equal(await ended, 0)
    assert.deepEqual(readdirSync(folder.path).toSorted(), ['blobs', 'cadre.db', 'lock.db', 'secret.key'])

    const second = await launch({ CADRE_DATA: folder.path })
    t.after(() => second.end('SIGKILL'))
    const again = await openSocket(second.socketUrl)
    await again.call('agent:register', { name: 'bob', credits: 1 })
    assert.equal((await again.next('message:received')).data['id'], id)
    again.terminate()
    assert.equal(await second.end('SIGINT'), 0)
  },
  { timeout: 60_000 },
)

test('a setting that cannot be used, or a port that is taken, ends it with one sentence', { timeout: 60_000 }, async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const server = await launch({ CADRE_DATA: folder.path })
  t.after(() => server.end('SIGKILL'))
  const other = temporaryFolder()
  t.after(() => other.remove())
  const refusals: [settings: Record<string, string>, says: RegExp][] = [
    [
      { CADRE_DATA: other.path, CADRE_PORT: String(server.port) },
      /^The server ended: Port \d+ is taken; stop what uses it or set CADRE_PORT to another\.\n$/,
    ],
    [{ CADRE_DATA: folder.path }, /^The server ended: Another Cadre server uses the data folder .*\n$/],
    [{ CADRE_DATA: other.path, CADRE_PORT: 'eighty' }, /^The server ended: CADRE_PORT cannot be used: .*\n$/],
    [
      { CADRE_DATA: other.path, CADRE_HOST: '0.0.0.0', CADRE_AUTH: 'local' },
      /^The server ended: CADRE_AUTH=local works on this machine only; .*\n$/,
    ],
    [{ CADRE_DATA: join(folder.path, 'secret.key', 'below') }, /^The server ended: The data folder .* cannot be made; .*\n$/],
  ]
  for (const [settings, says] of refusals) await assert.rejects(launch(settings), { message: says })
})

test('twenty starts and stops leave no handle, no timer and no temporary file behind', { timeout: 120_000 }, async (t) => {
  const folder = temporaryFolder()
  const temporary = temporaryFolder()
  const usual = process.env['TMPDIR']
  // A folder of temporary files of its own: other tests run at the same time.
  process.env['TMPDIR'] = temporary.path
  t.after(() => {
    if (usual === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = usual
    folder.remove()
    temporary.remove()
  })
  const cycle = async (data: string) => {
    const server = await startTestServer({ config: { data } })
    const agent = await server.leased('bob')
    await server.call('POST', '/messages', { to: 'bob', content: 1 })
    await server.call('POST', '/tasks', { title: 'x', assign_to: 'bob' })
    await agent.next('task:assigned')
    const waiting = server.request('POST', '/agents/bob/inbox/receive', { wait_ms: 30_000 }).catch(() => undefined)
    await server.call('GET', '/metrics')
    await server.close()
    await waiting
    await agent.closed
  }
  const resources = async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done))
    return process
      .getActiveResourcesInfo()
      .filter((name) => name !== 'Immediate')
      .toSorted()
  }
  await cycle(':memory:')
  const before = {
    resources: await resources(),
    listeners: process.eventNames().map((name) => [name, process.listenerCount(name)]),
  }
  for (let round = 0; round < 20; round++) await cycle(round % 2 === 0 ? ':memory:' : folder.path)
  assert.deepEqual(await resources(), before.resources)
  assert.deepEqual(readdirSync(temporary.path), [])
  assert.deepEqual(
    process.eventNames().map((name) => [name, process.listenerCount(name)]),
    before.listeners,
  )
})
