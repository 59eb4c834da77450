import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { verifies } from '../../../../test/verifies.ts'
import { exitCodes } from './failure.ts'
import { makeProbe, openHouse, startHouse } from './probe.suite.ts'
import { runProgram } from './program.ts'

verifies(
  'SDK-11',
  'spawning, submitting, sending, tailing and checking health work in a terminal',
  async (t) => {
    const { server, cadre, json } = await openHouse(t)
    const spawned = await cadre(['agents', 'spawn', 'rita', 'researcher'])
    assert.equal(spawned.code, 0, spawned.stderr)
    assert.match(spawned.stdout, /^✓ agt_\S+ {2}rita {2}/)

    const tail = makeProbe({ env: { CADRE_URL: server.url } })
    const tailing = runProgram(['events', 'tail', '--after', '0'], tail.terminal)
    await tail.shows('agent.registered')

    const submitted = await cadre(['tasks', 'submit', 'Look into tides', '--priority', 'high', '-q'])
    const id = submitted.stdout.trim()
    assert.match(id, /^tsk_\w+$/)
    assert.equal((await json('task', 'get', id))['priority'], 2)

    await cadre(['agents', 'register', 'bob'])
    const sent = await cadre(['send', 'bob', 'good', 'morning'])
    assert.match(sent.stdout, /^✓ msg_\S+ {2}○ stored {2}operator {2}bob {2}.*good morning\n$/)
    await tail.shows('operator → bob: "good morning"')
    tail.interrupt()
    assert.equal(await tailing, exitCodes.interrupted)

    const health = await cadre(['system', 'health', '--json'])
    assert.equal(JSON.parse(health.stdout).status, 'ok')
    const status = await cadre(['status'])
    assert.equal(status.code, 0)
    assert.match(status.stdout, /^✓ ok {2}Cadre \d/)
    assert.match(status.stdout, /tasks +1 {2}○ 1 ready/)
    assert.match(status.stdout, /messages +1 /)
  },
  { timeout: 60_000 },
)

verifies(
  'SDK-12',
  'REST, socket and command line demand the same credentials and give the same results',
  async (t) => {
    const { server, cadre } = await openHouse(t, { CADRE_AUTH: 'required' })
    const key = server.adminKey as string
    const asAdmin = { env: { CADRE_TOKEN: key } }
    const created = await cadre(['tasks', 'create', 'One', '--json'], asAdmin)
    assert.equal(created.code, 0, created.stderr)

    const rest = (token?: string) =>
      fetch(`${server.url}/api/v1/tasks`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })
    const overSocket = (token?: string) =>
      new Promise<{ ok: boolean; data: Record<string, unknown> }>((resolve, reject) => {
        const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
        const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws`, { headers })
        const refused = () => resolve({ ok: false, data: { code: 'unauthenticated' } })
        socket.on('open', () => socket.send(JSON.stringify({ type: 'tasks.list', id: '1', data: {} })))
        socket.on('message', (data) => {
          const frames = [JSON.parse(String(data))].flat() as { ref?: string; ok: boolean; data: Record<string, unknown> }[]
          const ack = frames.find((frame) => frame.ref === '1')
          if (!ack) return
          resolve(ack)
          socket.terminate()
        })
        socket.on('unexpected-response', (_request, response) =>
          response.statusCode === 401 ? refused() : reject(new Error(String(response.statusCode))),
        )
        socket.on('close', (code) => (code === 4401 ? refused() : undefined))
        socket.on('error', () => {})
      })

    for (const token of [undefined, 'cad_no_such_key']) {
      assert.equal((await rest(token)).status, 401)
      const answer = await overSocket(token)
      assert.deepEqual([answer.ok, answer.data['code']], [false, 'unauthenticated'])
      const run = await cadre(['tasks', 'list'], { env: token === undefined ? {} : { CADRE_TOKEN: token } })
      assert.deepEqual([run.code, run.stdout], [exitCodes.denied, ''])
    }

    const viewer = await cadre(['keys', 'create', 'watcher', '--role', 'viewer', '--json'], asAdmin)
    const viewerKey = JSON.parse(viewer.stdout).key as string
    const denied = await cadre(['tasks', 'create', 'Two', '--token', viewerKey])
    assert.equal(denied.code, exitCodes.denied)

    for (const token of [key, viewerKey]) {
      const byRest = await (await rest(token)).json()
      const bySocket = await overSocket(token)
      const byCommand = await cadre(['tasks', 'list', '--json', '--token', token])
      assert.deepEqual(bySocket.data, byRest)
      assert.deepEqual(JSON.parse(byCommand.stdout), byRest)
      assert.equal((byRest as { items: unknown[] }).items.length, 1)
    }
    const counts = await cadre(['status'])
    assert.equal(counts.code, 0)
    assert.match(counts.stderr, /The counts need a key/)
  },
  { timeout: 60_000 },
)

test('--json is the bytes of the server; --jsonl an item a line; --quiet ids', async (t) => {
  const { server, cadre } = await openHouse(t)
  for (const title of ['a', 'b', 'c']) await cadre(['tasks', 'create', title])
  const raw = await (await fetch(`${server.url}/api/v1/tasks?limit=2`)).text()
  assert.equal((await cadre(['tasks', 'ls', '--limit', '2', '--json'])).stdout, `${raw}\n`)
  const lines = (await cadre(['tasks', 'ls', '--jsonl'])).stdout.trimEnd().split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).title),
    ['c', 'b', 'a'],
  )
  const ids = lines.map((line) => JSON.parse(line).id)
  assert.deepEqual((await cadre(['tasks', 'ls', '-q'])).stdout.trimEnd().split('\n'), ids)
  // Page by page comes to the same, and shared options may stand before the command.
  const all = await cadre(['--quiet', 'tasks', '--jsonl', 'ls', '--limit', '1', '--all'])
  assert.deepEqual(
    all.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).id),
    ids,
  )
})

test('values come as text, JSON, from files, from standard input and as one object', async (t) => {
  const { folder, cadre, json } = await openHouse(t)
  const value = async (...args: string[]) => (await json('memory', 'set', ...args))['value']
  assert.deepEqual(await value('k', '{"a":[1]}'), { a: [1] })
  assert.equal(await value('k', 'plain text'), 'plain text')
  assert.equal(await value('k', '@@ada'), '@ada')
  assert.equal(await value('k', '42'), 42)
  await writeFile(join(folder, 'v.json'), '{"from":"file"}')
  assert.deepEqual(await value('k', `@${join(folder, 'v.json')}`), { from: 'file' })
  const piped = await cadre(['memory', 'set', 'k', '-', '--json'], { stdin: 'grüße\n' })
  assert.equal(JSON.parse(piped.stdout).value, 'grüße\n')
  const whole = await cadre(['tasks', 'create', '--data', '-', '--title', 'wins', '--json'], {
    stdin: '{"title":"loses","required_capabilities":["read"],"task_type":"probe"}',
  })
  const task = JSON.parse(whole.stdout)
  assert.deepEqual([task.title, task.capabilities, task.type], ['wins', ['read'], 'probe'])
  const lists = await json('tasks', 'create', 'x', '--capabilities', 'a,b', '--capabilities', '["c,d"]')
  assert.deepEqual(lists['capabilities'], ['a', 'b', 'c,d'])
  for (const key of ['..', 'a/b', 'ä#?&', '.']) {
    await json('memory', 'set', key, '1')
    assert.equal((await json('memory', 'get', key))['key'], key)
  }
})

test('files go up and come down unchanged, and nothing is overwritten', async (t) => {
  const { folder, cadre, json } = await openHouse(t)
  const bytes = Buffer.from([0, 255, 10, 13, 10, 200])
  await writeFile(join(folder, 'in.json'), bytes)
  const stored = await json('artifacts', 'upload', join(folder, 'in.json'))
  assert.deepEqual([stored['size'], stored['name'], stored['media_type']], [6, 'in.json', 'application/json'])
  const out = join(folder, 'out.bin')
  assert.equal((await cadre(['artifacts', 'download', String(stored['id']), '-o', out])).code, 0)
  assert.deepEqual(await readFile(out), bytes)
  assert.equal((await cadre(['artifacts', 'download', String(stored['id']), '-o', out])).code, exitCodes.conflict)
  assert.equal((await cadre(['artifacts', 'download', String(stored['id']), '--json'])).code, exitCodes.usage)
})

test('each way of failing has its exit code, its sentence and no stack', async (t) => {
  const { cadre, json } = await openHouse(t)
  await json('memory', 'set', 'k', '1')
  await json('agents', 'register', 'ada')
  const cases: [args: string[], code: number, says: RegExp][] = [
    [['tasks', 'get', 'tsk_none'], exitCodes.notFound, /✗ Not found: There is no task tsk_none/],
    [['memory', 'set', 'k', '2', '--if-version', '9'], exitCodes.conflict, /version of k is 1[^]*trace 00-/],
    [['ask', 'ada', 'hello', '--timeout', '0.2'], exitCodes.timeout, /No answer in time/],
    [['tasks', 'create'], exitCodes.usage, /\/title: Give a title/],
    [
      ['status', '--url', 'http://127.0.0.1:9'],
      exitCodes.unavailable,
      /No server answers at http:\/\/127\.0\.0\.1:9\.\n.*npm start/,
    ],
    [['events', 'watch', '--url', 'http://127.0.0.1:9'], exitCodes.unavailable, /npm start/],
  ]
  for (const [args, code, says] of cases) {
    const run = await cadre(args)
    assert.deepEqual([run.code, run.stdout], [code, ''], args.join(' '))
    assert.match(run.stderr, says)
    assert.doesNotMatch(run.stderr, /\n {4}at /)
  }
  const problem = JSON.parse((await cadre(['tasks', 'get', 'tsk_none', '--json'])).stderr)
  assert.deepEqual([problem.status, problem.code], [404, 'not_found'])
})

test('what ends something is asked for on a terminal, and not in a script', async (t) => {
  const { cadre, json } = await openHouse(t)
  const set = () => json('memory', 'set', 'k', '1')
  await set()
  const no = await cadre(['memory', 'rm', 'k'], { canAsk: true, stdin: 'n\n' })
  assert.equal(no.code, exitCodes.failed)
  assert.match(no.stderr, /Delete a key: k\? \[y\/N\] /)
  assert.equal((await json('memory', 'get', 'k'))['value'], 1)
  const unasked = [{ canAsk: true, stdin: 'y\n' }, {}]
  for (const options of unasked) {
    assert.equal((await cadre(['memory', 'rm', 'k'], options)).code, 0)
    await set()
  }
  const yes = await cadre(['memory', 'rm', 'k', '--yes'], { canAsk: true })
  assert.deepEqual([yes.code, yes.stderr], [0, ''])
})

test('a text from an agent cannot steer the terminal', async (t) => {
  const { cadre } = await openHouse(t)
  await cadre(['memory', 'set', 'k', '"\\u001b[2Jgone\\u202e"'])
  for (const args of [
    ['memory', 'get', 'k'],
    ['memory', 'ls'],
    ['events', 'tail', '--after', '0', '--no-follow'],
  ]) {
    const { stdout } = await cadre(args, { size: { columns: 100, rows: 30 } })
    assert.ok(stdout.includes('[2Jgone'), stdout)
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout, /[\u001b\u202e]/)
  }
})

const graph = JSON.stringify([
  { key: 'one', title: 'First step', assign_to: 'ada' },
  { key: 'two', title: 'Second step', assign_to: 'ada', depends_on: ['one'], max_retries: 0 },
])

test('watch tells every change of a run and ends with it', async (t) => {
  const { server, json } = await openHouse(t)
  await json('agents', 'register', 'ada')
  const run = String((await json('tasks', 'dag', 'report', graph))['run_id'])
  const env = { CADRE_URL: server.url }
  const lines = makeProbe({ env })
  const events = makeProbe({ env })
  const screen = makeProbe({ env, size: { columns: 90, rows: 20 } })
  const watching = [
    runProgram(['tasks', 'watch', run], lines.terminal),
    runProgram(['tasks', 'watch', run, '--jsonl'], events.terminal),
    runProgram(['task', 'watch', run], screen.terminal),
  ]
  await Promise.all([lines.shows('○ pending  Second step'), events.shows('"pending"'), screen.shows('waits for one')])
  const claim = async () => {
    const { items } = (await json('tasks', 'claim', '--agent', 'ada')) as { items: { id: string; lease: string }[] }
    const [{ id, lease }] = items as [{ id: string; lease: string }]
    await json('tasks', 'accept', id, '--lease', lease)
    return [id, '--lease', lease] as const
  }
  const [one, ...held] = await claim()
  await json('tasks', 'progress', one, '0.5', ...held, '--note', 'half way')
  await json('tasks', 'complete', one, ...held, '--result', '{"ok":true}')
  const [two, ...last] = await claim()
  await json('tasks', 'fail', two, 'the source is gone', ...last)
  assert.deepEqual(await Promise.all(watching), [exitCodes.failed, exitCodes.failed, exitCodes.failed])

  const told = lines
    .stdout()
    .split('\n')
    .map((line) => line.slice(10))
  for (const line of [
    '◔ assigned  First step  ada',
    '◐ running  First step  ada  50 %',
    '✓ completed  First step  ada',
    '✗ failed  Second step  ada  the source is gone',
  ]) {
    assert.ok(told.includes(line), `${line} in\n${told.join('\n')}`)
  }
  assert.match(lines.stderr(), /Second step was failed: the source is gone/)

  const changes = events
    .stdout()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const final = changes.pop()
  assert.equal(final.run_id, run)
  assert.deepEqual(final.tasks.map((task: { state: string }) => task.state).toSorted(), ['completed', 'failed'])
  const states = changes.filter((change) => change.title === 'First step').map((change) => change.state)
  assert.deepEqual([...new Set(states)], ['assigned', 'running', 'completed'])

  const picture = screen.stdout().slice(screen.stdout().lastIndexOf('\u001b[J') + 3)
  assert.match(picture, /━{30} {2}2\/2 {2}100 %/)
  assert.match(picture, /\n ✓ First step +ada/)
  assert.match(picture, /\n ✗ Second step +ada .* the source is gone/)
})

test('watch of a task follows its children, prints its result, and gives up in time', async (t) => {
  const { cadre, json } = await openHouse(t)
  await json('agents', 'register', 'ada')
  const id = String((await json('tasks', 'create', 'Parent', '--assign-to', 'ada'))['id'])
  await json('tasks', 'create', 'Child', '--parent-id', id)
  const late = await cadre(['tasks', 'watch', id, '--timeout', '0.3'])
  assert.equal(late.code, exitCodes.timeout)
  assert.match(late.stdout, /Parent[^]*Child/)
  const { items } = (await json('tasks', 'claim', '--agent', 'ada')) as { items: { lease: string }[] }
  const lease = (items[0] as { lease: string }).lease
  await json('tasks', 'accept', id, '--lease', lease)
  await json('tasks', 'complete', id, '--lease', lease, '--result', 'all well')
  const done = await cadre(['tasks', 'watch', id])
  assert.deepEqual([done.code, done.stdout.trimEnd().split('\n').at(-1)], [0, 'all well'])
  assert.equal((await cadre(['tasks', 'watch', 'run_none'])).code, exitCodes.notFound)
})

test('what has no route goes over the socket', async (t) => {
  const { json } = await openHouse(t)
  assert.deepEqual(await json('events', 'unwatch'), { watching: false })
})

test('tail goes on over a restart of the server without a gap', { timeout: 60_000 }, async (t) => {
  const { server, folder, cadre } = await openHouse(t)
  const tail = makeProbe({ env: { CADRE_URL: server.url } })
  const tailing = runProgram(['events', 'tail', '--after', '0', '--types', 'memory.*'], tail.terminal)
  await cadre(['memory', 'set', 'before', '1'])
  await tail.shows('before')
  await server.close()
  // Written while nobody listens: the first thing the second server does.
  const again = await startHouse(join(folder, 'data'), { CADRE_PORT: String(server.port) })
  t.after(() => again.close())
  await cadre(['memory', 'set', 'between', '1'])
  await cadre(['memory', 'set', 'after', '1'])
  await tail.shows('after')
  tail.interrupt()
  assert.equal(await tailing, exitCodes.interrupted)
  const keys = tail
    .stdout()
    .trimEnd()
    .split('\n')
    .map((line) => /updated +(\w+)/.exec(line)?.[1])
  assert.deepEqual(keys, ['before', 'between', 'after'])
  assert.match(tail.stderr(), /The connection is lost; trying again\.\nThe connection is back\./)
})

test('tail begins with the last entries or after a position, and can be filtered', async (t) => {
  const { cadre } = await openHouse(t)
  for (let number = 1; number <= 12; number++) await cadre(['memory', 'set', `k${number}`, '1'])
  await cadre(['tasks', 'create', 'x'])
  const keys = async (...args: string[]) => {
    const { stdout } = await cadre(['events', 'tail', '--no-follow', '--jsonl', ...args])
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).subject as string)
  }
  const some = await keys('--types', 'memory.*', '-n', '3')
  assert.equal(some.length, 3)
  assert.equal((await keys('--types', 'memory', '--after', '0')).length, 12)
  assert.equal((await keys('-n', '2')).length, 2)
})
