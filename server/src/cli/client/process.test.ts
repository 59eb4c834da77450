import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { mainFile, nodeFlags, openHouse } from './probe.suite.ts'

function start(t: TestContext, args: readonly string[], env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [...nodeFlags, mainFile, ...args], { env: { ...process.env, ...env } })
  t.after(() => child.kill('SIGKILL'))
  return child
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code: code as number | null, stdout, stderr }
}

test('in a process of its own: output through pipes, exit codes, no colour', { timeout: 60_000 }, async (t) => {
  const { server } = await openHouse(t)
  const env = { CADRE_URL: server.url }
  const created = await ended(start(t, ['tasks', 'create', 'One', '-q'], env))
  assert.equal(created.code, 0, created.stderr)
  const listed = await ended(start(t, ['tasks', 'ls'], env))
  assert.ok(listed.stdout.includes(created.stdout.trim()))
  assert.ok(!listed.stdout.includes('\u001b'))
  const missing = await ended(start(t, ['tasks', 'get', 'tsk_none'], env))
  assert.deepEqual([missing.code, missing.stdout], [3, ''])
  const away = await ended(start(t, ['status'], { CADRE_URL: 'http://127.0.0.1:9' }))
  assert.equal(away.code, 7)
  assert.match(away.stderr, /npm start/)
  const unknown = await ended(start(t, ['strat'], {}))
  assert.equal(unknown.code, 2)
  assert.match(unknown.stderr, /Did you mean start\?/)
  const misplaced = await ended(start(t, ['start', '--port', '1'], {}))
  assert.equal(misplaced.code, 2)
})

test('Ctrl-C ends what waits with 130', { timeout: 60_000 }, async (t) => {
  const { server, json } = await openHouse(t)
  await json('agents', 'register', 'ada')
  const env = { CADRE_URL: server.url }
  const tail = start(t, ['events', 'tail'], env)
  const tailed = ended(tail)
  await once(tail.stdout!, 'data')
  tail.kill('SIGINT')
  assert.equal((await tailed).code, 130)
})

test('a reader that goes away is no failure', { timeout: 60_000 }, async (t) => {
  const { server } = await openHouse(t)
  const env = { CADRE_URL: server.url }
  const tail = start(t, ['events', 'tail', '--after', '0'], env)
  const closed = once(tail, 'close')
  const errors = text(tail.stderr!)
  await once(tail.stdout!, 'data')
  tail.stdout!.destroy()
  // The next entry meets a closed pipe.
  const poke = start(t, ['memory', 'set', 'k', '1'], env)
  assert.equal((await ended(poke)).code, 0)
  const [code] = await closed
  assert.deepEqual([code, await errors], [0, ''])
})
