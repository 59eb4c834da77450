/** A process that sends through a file outbox and is killed again and again: nothing it was promised is lost, doubled or out of order. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { readConfig } from '../../../server/src/config.ts'
import { type RunningServer, startServer } from '../../../server/src/server.ts'
import { type Hub, connect } from '../src/index.ts'
import { fileOutbox } from '../src/outbox-file.ts'

interface Told {
  queued: number[]
  stored: number[]
  errors: string[]
}

test('killed at random points, the sender loses nothing, doubles nothing, and keeps its order', {
  timeout: 120_000,
}, async (t) => {
  const place = await mkdtemp(join(tmpdir(), 'cadre-outbox-crash-'))
  const file = join(place, 'sender.outbox')
  let server: RunningServer | undefined
  let sink: Hub | undefined
  const start = async (port: number) => {
    const config = readConfig({ CADRE_DATA: join(place, 'data'), CADRE_PORT: String(port), LOG_LEVEL: 'silent' })
    server = await startServer({ config, workerCommand: ['false'], assets: place })
    return server
  }
  const { url, port } = await start(0)
  t.after(async () => {
    await sink?.close()
    await server?.close()
    await rm(place, { recursive: true, force: true })
  })
  const got: { run: string; n: number; id: string }[] = []
  sink = await connect(url, { agent: 'sink' })
  sink.onMessage((message) => {
    got.push({ ...(message.content as { run: string; n: number }), id: message.id })
  })

  const runs = new Map<string, Told>()
  /** Runs the sender until it has said so many lines, then kills it: somewhere between what it does next. */
  const suffer = async (run: string, enough: number) => {
    const told: Told = { queued: [], stored: [], errors: [] }
    runs.set(run, told)
    const script = join(import.meta.dirname, 'outbox-sender.ts')
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, url, file, run], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    t.after(() => child.kill('SIGKILL'))
    let lines = 0
    const reached = Promise.withResolvers<void>()
    const reading = createInterface({ input: child.stdout })
    reading.on('line', (line) => {
      const [what = '', n] = line.split(' ')
      if (what === 'queued' || what === 'stored') told[what].push(Number(n))
      if (what === 'error') told.errors.push(line)
      if (++lines === enough) reached.resolve()
    })
    await Promise.race([reached.promise, ended.then(() => assert.fail(`the sender of run ${run} ended by itself`))])
    child.kill('SIGKILL')
    await Promise.all([ended, once(reading, 'close')])
  }

  const random = (below: number) => Math.floor(Math.random() * below)
  for (let run = 0; run < 6; run++) {
    await suffer(String(run), 1 + random(200))
    // Once the server is away too: the next sender comes up against a closed door and waits.
    if (run === 2) {
      await server?.close()
      const back = start(port)
      await suffer(`${run}b`, 1 + random(50))
      await back
    }
  }
  const last = fileOutbox(file)
  const heir = await connect(url, { agent: 'sender', outbox: last })
  t.after(() => heir.close())
  const end = await heir.send('sink', { run: 'end', n: 0 }, { conversation_id: 'one-line' })
  await end.acknowledged()
  assert.equal(last.pending(), 0)
  assert.equal(got.at(-1)?.run, 'end')

  // The sink may be told the same message twice after the server's restart; the log has it once.
  assert.equal(new Set(got.map(({ id }) => id)).size, got.length)
  const order = [...runs.keys(), 'end']
  const expected: string[] = []
  for (const [run, { queued, stored, errors }] of runs) {
    assert.deepEqual(errors, [])
    const numbers = got.filter((each) => each.run === run).map(({ n }) => n)
    assert.deepEqual(
      numbers,
      Array.from({ length: numbers.length }, (_, index) => index),
      `run ${run} without gap, in order`,
    )
    const promised = Math.max(-1, ...queued, ...stored)
    assert.ok(numbers.length > promised, `run ${run}: ${promised} was promised, ${numbers.length} came`)
    expected.push(...numbers.map((n) => `${run} ${n}`))
  }
  expected.push('end 0')
  assert.deepEqual(
    got.map(({ run, n }) => `${run} ${n}`),
    expected,
    `in the order of the runs: ${order.join(', ')}`,
  )
  assert.ok(got.length > runs.size)
  t.diagnostic(`${got.length} messages over ${runs.size} kills; the file has ${(await stat(file)).size} bytes left`)
})
