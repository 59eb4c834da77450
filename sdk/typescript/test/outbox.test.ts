/** The durable outbox over a file, against a server whose answers the test writes. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { type TestContext, test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { DurableOutbox, type OutboxStore } from '../src/durable-outbox.ts'
import { CadreClientError } from '../src/errors.ts'
import { lockFile } from '../src/outbox-lock.ts'
import { encodeCall, encodeDone, readLog } from '../src/outbox-log.ts'
import { fileOutbox } from '../src/outbox-file.ts'
import { Refusal, ScriptedServer, join, silence, turn } from './scripted-server.ts'

const code = (expected: string) => (error: unknown) => error instanceof CadreClientError && error.code === expected

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(joinPath(tmpdir(), 'cadre-outbox-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Waits for what really happens on the disk. */
async function until(what: () => boolean): Promise<void> {
  const limit = performance.now() + 10_000
  while (!what()) {
    assert.ok(performance.now() < limit, `did not become true within 10 s: ${what}`)
    await turn()
  }
}

const contents = (server: ScriptedServer) => server.data('messages.send').map(({ content }) => content)

test('what is sent without a connection is on disk, and goes out in order with the next one', async (t) => {
  const path = joinPath(await folder(t), 'agent.outbox')
  const server = new ScriptedServer()
  const outbox = fileOutbox(path)
  const hub = await join(server, { outbox })
  const drains: number[] = []
  hub.on('drain', () => drains.push(hub.outbox.pending()))
  server.accepts = 'refused'
  server.drop()
  const sends = [hub.send('ann', 1), hub.publish('a.b', 2), hub.memory.set('k', 3), hub.send('ann', 4)]
  await until(() => outbox.bytes > 0 && hub.outbox.pending() === 4)
  const queued = await outbox.add('messages.send', { to: 'ann', content: 5 })
  assert.equal(queued.queued, true)
  const onDisk = await readFile(path, 'utf8')
  assert.deepEqual(
    onDisk
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line.slice(9)).seq),
    [1, 2, 3, 4, 5],
  )
  assert.ok(onDisk.includes(queued.key))
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  server.accepts = 'open'
  server.on('messages.send', ({ content }) => ({ id: `msg_${String(content)}` }))
  await server.clock.advance(20_000)
  assert.deepEqual((await Promise.all(sends)).length, 4)
  await until(() => hub.outbox.pending() === 0)
  const went = server.socket.frames.filter(({ key }) => key !== undefined)
  assert.deepEqual(
    went.map(({ type }) => type),
    ['messages.send', 'messages.publish', 'memory.set', 'messages.send', 'messages.send'],
  )
  assert.equal(went.at(-1)?.key, queued.key)
  assert.equal(new Set(went.map(({ key }) => key)).size, 5)
  assert.deepEqual(drains, [0])
  assert.equal(outbox.bytes, 0)
  await hub.close()
})

test('what a hub left is sent by the next one under the same keys, before anything newer', async (t) => {
  const path = joinPath(await folder(t), 'agent.outbox')
  const server = new ScriptedServer()
  const first = await join(server, { outbox: fileOutbox(path) })
  server.on('messages.send', () => silence)
  const lost = [first.send('ann', 1), first.send('ann', 2, { idempotencyKey: 'mine' }), first.send('ann', '\ud800\u2028\0é')]
  const ended = Promise.all(lost.map((send) => assert.rejects(send, code('closed'))))
  await until(() => contents(server).length === 3)
  const keys = server.sent('messages.send').map(({ key }) => key)
  await first.close()
  await ended

  const again = new ScriptedServer()
  const second = await join(again, { outbox: fileOutbox(path) })
  await second.send('ann', 'newer')
  assert.deepEqual(contents(again), [1, 2, '\ud800\u2028\0é', 'newer'])
  assert.deepEqual(
    again
      .sent('messages.send')
      .slice(0, 3)
      .map(({ key }) => key),
    keys,
  )
  assert.equal(keys[1], 'mine')
  await second.close()
  const third = await join(new ScriptedServer(), { outbox: fileOutbox(path) })
  assert.equal(third.outbox.pending(), 0)
  await third.close()
})

test('a connection lost in the middle sends again what was not answered, then the rest, each once more', async (t) => {
  const server = new ScriptedServer()
  const hub = await join(server, { outbox: fileOutbox(joinPath(await folder(t), 'o')) })
  const stored = new Map<string, unknown>()
  let answers = 0
  // Of the first connection the server stores everything and answers a third.
  server.on('messages.send', ({ content }, { key }) => {
    if (!stored.has(key ?? '')) stored.set(key ?? '', content)
    answers += 1
    return server.sockets.length === 1 && answers % 3 !== 1 ? silence : { id: `msg_${String(content)}` }
  })
  const sends = Array.from({ length: 700 }, (_, index) => hub.send('ann', index))
  await until(() => stored.size > 100)
  server.drop()
  await server.clock.advance(1000)
  assert.deepEqual(
    (await Promise.all(sends)).map(({ id }) => id),
    Array.from({ length: 700 }, (_, index) => `msg_${index}`),
  )
  assert.deepEqual(
    [...stored.values()],
    Array.from({ length: 700 }, (_, index) => index),
  )
  await hub.close()
})

test('questions, asks and what belongs to a connection do not go through the outbox', async (t) => {
  const path = joinPath(await folder(t), 'o')
  const server = new ScriptedServer()
  const outbox = fileOutbox(path)
  const hub = await join(server, { outbox })
  server.on('messages.ask', () => silence)
  server.on('tasks.list', () => silence)
  for (const call of [hub.ask('ann', 'x'), hub.task.list(), hub.unsubscribe('a')]) call.catch(() => {})
  await turn()
  assert.deepEqual([outbox.pending(), outbox.bytes, (await stat(path)).size], [0, 0, 0])
  await assert.rejects(outbox.add('messages.ask', { to: 'ann', content: 1 }), /cannot be kept/)
  await hub.close()
  await assert.rejects(outbox.add('messages.send', { to: 'ann', content: 1 }), code('closed'))
})

test('a full outbox refuses, or lets wait for room in the order of the calls', async (t) => {
  const place = await folder(t)
  const server = new ScriptedServer()
  server.on('messages.send', () => silence)
  const strict = await join(server, { outbox: fileOutbox(joinPath(place, 'strict'), { maxCalls: 2, maxBytes: 1000 }) })
  const open = [strict.send('ann', 1), strict.send('ann', 2)].map((send) => send.catch(() => {}))
  await assert.rejects(strict.send('ann', 3), code('queue_full'))
  await assert.rejects(strict.send('ann', 'x'.repeat(1000)), code('too_large'))
  await strict.close()
  await Promise.all(open)

  const patientServer = new ScriptedServer()
  const held: (string | number | undefined)[] = []
  patientServer.on('messages.send', (_, { id }) => {
    held.push(id)
    return silence
  })
  const outbox = fileOutbox(joinPath(place, 'patient'), { maxCalls: 2, whenFull: 'wait' })
  const patient = await join(patientServer, { outbox })
  const sends = Array.from({ length: 6 }, (_, index) => patient.send('ann', index))
  const gaveUp = assert.rejects(patient.send('ann', 'late', { timeout: 100 }), (error) => {
    assert.ok(error instanceof CadreClientError)
    return error.code === 'timeout' && error.parameters['queued'] === false && error.retryable
  })
  await until(() => held.length === 2)
  await patientServer.clock.advance(100)
  await gaveUp
  let room = false
  void outbox.ready().then(() => (room = true))
  await turn()
  assert.equal(room, false)
  for (let answered = 0; answered < 6; answered++) {
    await until(() => held.length > 0)
    patientServer.socket.push({ type: 'ack', ref: held.shift(), ok: true, data: { id: 'msg' } })
  }
  await Promise.all(sends)
  assert.equal(room, true)
  assert.deepEqual(contents(patientServer), [0, 1, 2, 3, 4, 5])
  await outbox.ready()
  await patient.close()
})

test('a time-out ends the waiting, not the sending; an abort takes back what has not gone out', async (t) => {
  const server = new ScriptedServer()
  const outbox = fileOutbox(joinPath(await folder(t), 'o'))
  const hub = await join(server, { outbox })
  server.accepts = 'refused'
  server.drop()
  const abort = new AbortController()
  const timedOut = assert.rejects(hub.send('ann', 'kept', { timeout: 50 }), (error) => {
    assert.ok(error instanceof CadreClientError)
    return error.code === 'timeout' && error.parameters['queued'] === true && !error.retryable
  })
  const aborted = assert.rejects(hub.send('ann', 'taken back', { signal: abort.signal }), /changed my mind/)
  const early = new AbortController()
  const never = assert.rejects(hub.send('ann', 'never', { signal: early.signal }), /at once/)
  early.abort(new Error('at once'))
  await never
  await outbox.add('messages.send', { to: 'ann', content: 'added' })
  abort.abort(new Error('changed my mind'))
  await aborted
  await server.clock.advance(50)
  await timedOut
  assert.equal(outbox.pending(), 2)
  await hub.close()
  const next = new ScriptedServer()
  const again = await join(next, { outbox })
  await until(() => outbox.pending() === 0)
  assert.deepEqual(contents(next), ['kept', 'added'])
  await again.close()
})

test('a refusal reaches who waits; where nobody does it is tried again if it may pass, and told otherwise', async (t) => {
  const server = new ScriptedServer()
  const outbox = fileOutbox(joinPath(await folder(t), 'o'))
  const hub = await join(server, { outbox })
  const told: CadreClientError[] = []
  hub.on('error', (error) => told.push(error as CadreClientError))
  server.on('messages.send', () => new Refusal('inbox_full', { retryable: true }))
  await assert.rejects(hub.send('ann', 1), code('inbox_full'))
  assert.equal(outbox.pending(), 0)
  const { key } = await outbox.add('messages.send', { to: 'ann', content: 2 })
  await until(() => contents(server).length === 2)
  await turn()
  // Behind one that waits for its next try nothing goes out.
  const after = hub.send('ann', 3)
  await until(() => outbox.pending() === 2)
  for (let hops = 0; hops < 20; hops++) await turn()
  assert.deepEqual(contents(server), [1, 2])
  server.on('messages.send', () => ({ id: 'msg' }))
  await server.clock.advance(1000)
  await after
  assert.deepEqual(contents(server), [1, 2, 2, 3])
  assert.deepEqual(
    new Set(
      server
        .sent('messages.send')
        .slice(1, 3)
        .map((frame) => frame.key),
    ),
    new Set([key]),
  )
  server.on('messages.send', () => new Refusal('not_found'))
  const gone = await outbox.add('messages.send', { to: 'nobody', content: 4 })
  await until(() => told.length === 1)
  assert.deepEqual([told[0]?.code, told[0]?.parameters], ['not_found', { operation: 'messages.send', idempotency_key: gone.key }])
  assert.equal(outbox.pending(), 0)
  await hub.close()
})

test('one process at a time; what a process left that is gone is taken over', async (t) => {
  const place = await folder(t)
  const path = joinPath(place, 'o')
  const hub = await join(new ScriptedServer(), { outbox: fileOutbox(path) })
  await assert.rejects(join(new ScriptedServer(), { outbox: fileOutbox(path) }), (error) => {
    assert.ok(error instanceof CadreClientError)
    assert.match(error.message, new RegExp(`in use by process ${process.pid}`))
    return error.code === 'outbox_locked'
  })
  // The refused one took nothing away from the one that has it.
  await hub.send('ann', 1)
  await hub.close()
  // The same number as ours, of a process that was started at another time, as in a container that came back.
  const owner = { pid: process.pid, started: 'long ago', host: hostname() }
  await writeFile(`${path}.lock-7`, JSON.stringify(owner))
  const again = await join(new ScriptedServer(), { outbox: fileOutbox(path) })
  assert.deepEqual((await readdir(place)).toSorted(), ['o', 'o.lock-8'])
  await again.close()
  await writeFile(`${path}.lock-9`, JSON.stringify({ ...owner, host: 'elsewhere' }))
  await assert.rejects(join(new ScriptedServer(), { outbox: fileOutbox(path) }), /on elsewhere/)
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(`${path}.lock-9`, longAgo, longAgo)
  const shared = fileOutbox(path)
  const one = await join(new ScriptedServer(), { outbox: shared })
  await assert.rejects(join(new ScriptedServer(), { outbox: shared }), code('outbox_locked'))
  await one.close()
})

test('of many that find the same leftover, one gets it', async (t) => {
  const path = joinPath(await folder(t), 'o.lock')
  await writeFile(`${path}-4`, JSON.stringify({ pid: 2 ** 22 + 1, started: '', host: hostname() }))
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => lockFile(path)))
  const won = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  assert.equal(won.length, 1)
  for (const each of tries) if (each.status === 'rejected') assert.ok(code('outbox_locked')(each.reason))
  await won[0]?.check()
  await won[0]?.release()
  const next = await lockFile(path)
  await next.release()
})

test('who lost the file to another process writes nothing more into it', async (t) => {
  const path = joinPath(await folder(t), 'o')
  const hub = await join(new ScriptedServer(), { outbox: fileOutbox(path) })
  await writeFile(`${path}.lock-2`, JSON.stringify({ pid: 1, started: '', host: 'elsewhere' }))
  await assert.rejects(hub.send('ann', 1), code('outbox_failed'))
  assert.equal((await readFile(path, 'utf8')).length, 0)
  await hub.close()
  assert.ok((await readFile(`${path}.lock-2`, 'utf8')).includes('elsewhere'))
})

test('the file shrinks when what it holds has been answered', async (t) => {
  const path = joinPath(await folder(t), 'o')
  const outbox = fileOutbox(path)
  const server = new ScriptedServer()
  const hub = await join(server, { outbox })
  const text = 'x'.repeat(2000)
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 50 }, () => hub.send('ann', text)))
    await outbox.settled()
  }
  const { size } = await stat(path)
  assert.equal(contents(server).length, 1000)
  assert.ok(size < 600_000, `${size} bytes after 2 MB went through`)
  await hub.close()
})

test('a write that fails is told to the caller, and later ones work', async () => {
  let full = true
  const written: number[] = []
  const store: OutboxStore = {
    open: async () => ({ calls: [], damaged: 0 }),
    async write(added) {
      if (full) throw new Error('no space left')
      written.push(...added.map(({ seq }) => seq))
    },
    close: async () => {},
  }
  const outbox = new DurableOutbox(store)
  const hub = await join(new ScriptedServer(), { outbox })
  await assert.rejects(hub.send('ann', 1), (error) => code('outbox_failed')(error) && /no space left/.test(String(error)))
  await assert.rejects(outbox.add('messages.send', { to: 'ann', content: 2 }), code('outbox_failed'))
  assert.equal(outbox.pending(), 0)
  full = false
  await hub.send('ann', 3)
  assert.deepEqual(written, [3])
  await hub.close()
})

test('a file that cannot be opened fails the connection, not the process', async (t) => {
  const place = await folder(t)
  await assert.rejects(join(new ScriptedServer(), { outbox: fileOutbox(joinPath(place, 'no', 'such', 'folder')) }), /ENOENT/)
  const path = joinPath(place, 'o')
  await writeFile(path, 'what is this\n')
  await chmod(path, 0o644)
  const told: unknown[] = []
  const server = new ScriptedServer()
  const hub = await join(server, { outbox: fileOutbox(path) })
  hub.on('error', (error) => told.push((error as CadreClientError).parameters))
  await hub.send('ann', 1)
  await server.clock.advance(0)
  assert.deepEqual(told, [{ damaged: 1, kept: 0 }])
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await readFile(`${path}.damaged`, 'utf8'), 'what is this\n')
  await hub.close()
})

const checksum = (text: string) => crc32(text)

test('a log cut anywhere gives back a prefix; a damaged record costs itself alone', () => {
  const calls = fc.array(fc.record({ key: fc.string({ unit: 'binary' }), data: fc.json() }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(calls, fc.array(fc.nat(7), { maxLength: 4 }), fc.nat(), (given, answered, place) => {
      const all = given.map((call, index) => ({ seq: index + 1, name: 'messages.send', ...call }))
      const lines = all.map((call) => encodeCall(call, checksum))
      const done = [...new Set(answered)].filter((index) => index < all.length).map((index) => index + 1)
      const whole = lines.join('') + encodeDone(done, checksum)
      assert.deepEqual(
        [...readLog(whole, checksum).live.values()],
        all.filter(({ seq }) => !done.includes(seq)),
      )
      const cut = place % lines.join('').length
      const prefix = readLog(lines.join('').slice(0, cut), checksum)
      assert.equal(prefix.damaged, 0)
      assert.deepEqual([...prefix.live.values()], all.slice(0, prefix.live.size))
      const victim = place % lines.length
      const line = lines[victim] ?? ''
      const at = 9 + (place % (line.length - 10))
      const flipped = line.slice(0, at) + (line[at] === 'q' ? 'r' : 'q') + line.slice(at + 1)
      const rest = readLog(lines.with(victim, flipped).join(''), checksum)
      assert.deepEqual([rest.damaged, rest.live.size], [1, all.length - 1])
    }),
  )
})
