/**
 * Seeded nonsense over every operation, as frames and as requests. Each is answered with a typed acknowledgement or problem, or a close
 * code of the protocol; the server fails at none, logs no error, and keeps nothing of what it refused.
 *
 * `CADRE_FUZZ_RUNS=50` makes fifty times as many. A failure names its seed: `CADRE_FUZZ_SEED=... CADRE_FUZZ_RUNS=...` runs it again.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { type Operation, type Problem, closeCodes, errors } from '@cadre/contract'
import fc from 'fast-check'
import { verifies } from '../../../test/verifies.ts'
import { ManualClock, type TestServer, type TestServerOptions, serveFor, temporaryFolder } from '../testing.ts'
import { byFrame } from './frames.ts'
import { type Json, type World, allOperations, oddValue, waits, write, wrongInput } from './fuzz.suite.ts'
import { Line, patienceMs } from './line.suite.ts'

const factor = Number(process.env['CADRE_FUZZ_RUNS'] ?? 1)
const seed = Number(process.env['CADRE_FUZZ_SEED'] ?? (factor === 1 ? 20_261_120 : Date.now() % 1e9))
const parameters = <T>(runs: number): fc.Parameters<T> => ({
  seed,
  numRuns: runs * factor,
  // What shrinking repeats has side effects on the server, so the first counterexample says the most.
  endOnFailure: true,
  reporter: (details: fc.RunDetails<T>) => {
    if (!details.failed) return
    const example = JSON.stringify(details.counterexample).slice(0, 4_000)
    throw new Error(`after ${details.numRuns} runs; again with CADRE_FUZZ_SEED=${seed} CADRE_FUZZ_RUNS=${factor}: ${example}`, {
      cause: details.errorInstance,
    })
  },
})
const timeout = 60_000 * Math.max(1, factor)

/** A refusal of these leaves a trace on purpose: who was denied, a call that began, a question that nobody answered. */
const leavesTrace = new Set([
  'forbidden',
  'sender_mismatch',
  'deadline_exceeded',
  'tool_failed',
  'outcome_unknown',
  'model_failed',
  'cancelled',
])
const codes = new Set(Object.keys(errors))
const endings = new Set<number>(Object.values(closeCodes))

function checkProblem(problem: Problem, what: string): void {
  assert.ok(codes.has(problem.code), `${what}: ${JSON.stringify(problem).slice(0, 300)}`)
  assert.notEqual(problem.code, 'internal', what)
  assert.equal(problem.status, errors[problem.code].status)
  assert.ok(problem.detail.length > 0 && !/\.ts:|node:|at Object|SQLITE/i.test(problem.detail), `${what}: ${problem.detail}`)
  if (problem.code === 'invalid_request') assert.ok((problem.errors?.length ?? 0) > 0, `${what} names no field`)
}

interface Census {
  /** Counts of every table that requests fill at once. */
  counts(): string
  /** The same once what an accepted request set going has come to rest. */
  rested(): Promise<string>
  /** Entries of the log in the name of a request. */
  logged(trace: string): number
}

/** Reads beside the server. What goes on behind an accepted request is told apart by its trace in the log, and by being left out of the counts. */
function makeCensus(t: TestContext, folder: string): Census {
  const store = new DatabaseSync(join(folder, 'cadre.db'), { readOnly: true })
  t.after(() => store.close())
  const tables = store.prepare("select name from sqlite_master where type = 'table'").all() as { name: string }[]
  const counted = tables.filter(({ name }) => !/^(sqlite_|chunks|documents$|log$)/.test(name))
  const statements = counted.map(({ name }) => store.prepare(`select '${name}' as name, count(*) as count from "${name}"`))
  const ofTrace = store.prepare('select count(*) as count from log where trace = ?')
  const counts = () => statements.map((statement) => JSON.stringify(statement.get())).join('\n')
  return {
    counts,
    async rested() {
      for (let before = counts(), tries = 0; ; tries++) {
        await new Promise((done) => setTimeout(done, 3))
        const now = counts()
        if (now === before || tries > 100) return now
        before = now
      }
    },
    logged: (trace) => (ofTrace.get(trace) as { count: number }).count,
  }
}

let traces = 0

/** Asks, and when the answer is a refusal looks for what it left behind. */
async function leavesNothing(census: Census, what: string, ask: (trace: string) => Promise<Problem | undefined>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const trace = `00-${(traces += 1).toString(16).padStart(32, '0')}-00000000000000ff-01`
    const before = census.counts()
    const problem = await ask(trace)
    if (!problem) return void (await census.rested())
    checkProblem(problem, what)
    if (leavesTrace.has(problem.code)) return
    assert.equal(census.logged(trace), 0, `${what} was refused with ${problem.code} and logged something`)
    const after = census.counts()
    if (after === before) return
    // What an accepted request before it set going may have come to its end meanwhile; what it leaves itself it leaves again.
    if (attempt === 3) assert.equal(after, before, `${what} was refused with ${problem.code} and left something`)
    await census.rested()
  }
}

async function populate(
  t: TestContext,
  config: TestServerOptions['config'] = {},
): Promise<{ server: TestServer; world: World; census: Census; clock: ManualClock }> {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  // Nothing happens by itself: the clock moves only while something waits for it.
  const clock = new ManualClock()
  const server = await serveFor(t, { clock, config: { data: folder.path, ...config }, workerCommand: ['cat'] })
  const make = async (path: string, body: object) =>
    (await server.call<{ id: string }>('POST', path, body, { token: server.adminKey })).id
  await make('/agents/register', { name: 'bob' })
  await make('/agents/register', { name: 'ada' })
  const world: World = {
    agent: ['ada', 'bob', 'operator', 'nobody'],
    task: [await make('/tasks', { title: 'open' }), await make('/tasks', { title: 'held', assign_to: 'bob' }), 'tsk_none'],
    message: [await make('/messages', { to: 'bob', content: 'hello' }), 'msg_none'],
    memory: ['k', 'none'],
    tool: ['add', 'none'],
    collection: ['default', 'none'],
    document: ['doc_none'],
    artifact: ['art_none'],
    key: ['none'],
  }
  await server.call('POST', '/memory', { key: 'k', value: 1 }, { token: server.adminKey })
  await server.call('POST', '/knowledge', { content: 'Bridges carry loads.' }, { token: server.adminKey })
  return { server, world, census: makeCensus(t, folder.path), clock }
}

/** The frame types of an operation; `agent:register` is no operation alone. */
const frameTypes = (operation: Operation) => [operation.name, ...(operation.frames ?? [])].filter((type) => byFrame.has(type))

// The log is followed by tests of its own; here its frames would only be noise.
const spoken = allOperations.filter(({ name }) => name !== 'events.watch')

verifies(
  'MSG-25',
  'frames: every operation with anything wrong is answered by type, and nothing of a refused one is stored',
  async (t) => {
    const { server, world, census, clock } = await populate(t)
    let line = await Line.open(server.port)
    let refusals = 0
    const anyFrame = fc.oneof(
      ...spoken.map((operation) =>
        fc.record({
          type: fc.constantFrom(...frameTypes(operation)),
          data: wrongInput(operation, world),
          key: fc.option(fc.constantFrom('k1', 'k2', 'k3'), { nil: undefined, freq: 2 }),
        }),
      ),
    )
    await fc.assert(
      fc.asyncProperty(anyFrame, (frame) =>
        leavesNothing(census, frame.type, async (trace) => {
          if (line.code !== undefined) line = await Line.open(server.port)
          const id = line.acks.length
          line.send(write({ ...frame, id, trace }))
          await line.settled(id + 1, frame.type, clock)
          // Too large for a frame, or the socket spoke for an agent that was ended.
          if (line.code !== undefined) assert.ok(endings.has(line.code), `${frame.type} ended with ${line.code}`)
          const ack = line.acks[id]
          if (ack) assert.equal(ack.ref, id)
          if (ack?.ok !== false) return undefined
          refusals += 1
          return ack.data as unknown as Problem
        }),
      ),
      parameters(1_500),
    )
    assert.ok(refusals > 100)
    assert.deepEqual(server.failures, [])
    assert.equal((await server.request('GET', '/health')).status, 200)
    line.end()
  },
  { timeout },
)

test('lines: any sequence of frames, bytes and pieces ends in answers or a close code of the protocol', {
  timeout,
}, async (t) => {
  const { server, world, clock } = await populate(t)
  type Sent = { text?: string; bytes?: number[]; pieces?: string[]; answers: number }
  const hello = (fields: object): Sent => ({ text: write({ type: 'agent:register', id: 'hello', data: fields }), answers: 1 })
  const call = fc.oneof(
    ...spoken
      .filter(({ name }) => !['agents.terminate', 'agents.register', 'messages.ask'].includes(name))
      .map((operation) =>
        fc
          .tuple(wrongInput(operation, world), fc.constantFrom<Json>(1, 'same', 0.5, -1))
          .map(([data, id]): object => ({ type: operation.name, id, data })),
      ),
  )
  const piece = fc.oneof(
    { weight: 6, arbitrary: call.map((frame): Sent => ({ text: write(frame), answers: 1 })) },
    {
      weight: 2,
      arbitrary: fc.array(call, { maxLength: 4 }).map((frames): Sent => ({ text: write(frames), answers: frames.length })),
    },
    {
      weight: 2,
      // Out of order, of nothing, of the future.
      arbitrary: fc
        .record({ ack: fc.integer({ min: 0, max: 1e9 }), credits: fc.integer({ min: 0, max: 10_000 }) }, { requiredKeys: [] })
        .map((fields): Sent => ({ text: write({ type: 'flow', ...fields }), answers: 0 })),
    },
    {
      weight: 1,
      arbitrary: oddValue.map((value): Sent => ({ text: write({ type: 'flow', ack: value, credits: value }), answers: 0 })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        hello({ name: 'ada', credits: 5 }),
        hello({ name: 'bob' }),
        hello({ name: 'ada', last_seq: 1e9, credits: 0 }),
      ),
    },
    {
      weight: 1,
      arbitrary: oddValue.map((value): Sent => ({ text: write({ type: 'agent:register', data: value }), answers: 0 })),
    },
    { weight: 1, arbitrary: oddValue.map((value): Sent => ({ text: write(value), answers: 0 })) },
    {
      weight: 1,
      arbitrary: oddValue.map(
        (value): Sent => ({ text: write({ type: value, id: value, key: value, trace: value }), answers: 0 }),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Sent>(
        { text: '{"type":"auth","data":{"token":"cad_a_b"}}', answers: 1 },
        { text: '{"type":"ping"}', answers: 1 },
      ),
    },
    {
      weight: 1,
      arbitrary: call.chain((frame) => fc.nat(60).map((cut): Sent => ({ text: write(frame).slice(0, cut), answers: 0 }))),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes): Sent => ({ bytes: [...bytes], answers: 0 })) },
    {
      weight: 1,
      arbitrary: call.map(
        (frame): Sent => ({
          pieces: write(frame)
            .slice(0, 5_000)
            .split(/(?<=[:,])/),
          answers: 0,
        }),
      ),
    },
    { weight: 1, arbitrary: fc.constant<Sent>({ text: '["\ud800"]', answers: 0 }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 6 }), fc.boolean(), async (pieces, cutOff) => {
      const line = await Line.open(server.port)
      try {
        for (const { text, bytes, pieces: parts } of pieces) {
          if (text !== undefined) line.send(text)
          else if (bytes) line.send(Buffer.from(bytes), { binary: true })
          else for (const [index, part] of (parts ?? []).entries()) line.send(part, { fin: index === (parts?.length ?? 0) - 1 })
        }
        // Gone in the middle of it, or waiting for what was promised.
        if (cutOff) return
        await line.settled(
          pieces.reduce((sum, { answers }) => sum + answers, 0),
          'the line',
          clock,
        )
        for (const { type, ok, data } of line.acks)
          if (type === 'ack' && ok === false) checkProblem(data as unknown as Problem, 'a frame')
        if (line.code !== undefined) assert.ok(endings.has(line.code), `it ended with ${line.code}`)
      } finally {
        line.end()
      }
    }),
    parameters(500),
  )
  assert.deepEqual(server.failures, [])
  const last = await Line.open(server.port)
  last.send('{"type":"system.whoami","id":1}')
  await last.settled(1, 'the last line', clock)
  assert.equal(last.acks[0]?.ok, true)
  last.end()
})

test('strangers: whatever they ask they are told to say who they are, and nothing of it is stored', { timeout }, async (t) => {
  const { server, world, census, clock } = await populate(t, { auth: 'required', allowedHosts: [] })
  const anyFrame = fc.oneof(
    ...spoken.map((operation) =>
      fc.record({ type: fc.constantFrom(...frameTypes(operation)), data: wrongInput(operation, world) }),
    ),
    fc.record({ type: fc.constantFrom('agent:register', 'auth'), data: oddValue }),
  )
  await fc.assert(
    fc.asyncProperty(anyFrame, (frame) =>
      leavesNothing(census, frame.type, async (trace) => {
        const line = await Line.open(server.port)
        try {
          line.send(write({ ...frame, id: 1, trace }))
          await line.settled(1, frame.type, clock)
          const [ack] = line.acks
          if (!ack) assert.equal(line.code, closeCodes.too_large, frame.type)
          else assert.equal(ack.ok, false, frame.type)
          await line.ended(frame.type, clock)
          assert.ok(
            line.code === closeCodes.unauthorised || line.code === closeCodes.too_large,
            `${frame.type} ended with ${line.code}`,
          )
          return ack?.data as unknown as Problem | undefined
        } finally {
          line.end()
        }
      }),
    ),
    parameters(300),
  )
  assert.deepEqual(server.failures, [])
})

verifies(
  'MSG-25',
  'requests: every route with anything wrong is answered with a problem, and nothing of a refused one is stored',
  async (t) => {
    const { server, world, census, clock } = await populate(t)
    const broken = fc.constantFrom('', '{', '{"a":', '[]', 'null', '7', '"text"', '{"a":1}}', '\u0000', '[[[[')
    const types = fc.constantFrom('application/json', 'application/json; charset=latin1', 'text/plain', 'application/xml', '')
    const anyRequest = fc.oneof(
      ...allOperations
        .filter(({ body }) => body !== 'upload')
        .flatMap((operation) =>
          (operation.routes ?? []).map((route) =>
            fc.record({
              method: fc.constant(route.method),
              path: fc.constant(route.path),
              input: wrongInput(operation, world),
              // A body without its short wait would wait for as long as is usual.
              raw: waits(operation)
                ? fc.constant(undefined)
                : fc.option(fc.record({ body: broken, type: types }), { nil: undefined, freq: 8 }),
              key: fc.option(fc.constantFrom('k1', '"k2"', '\u00e9', 'x'.repeat(300)), { nil: undefined, freq: 2 }),
            }),
          ),
        ),
    )
    let refusals = 0
    await fc.assert(
      fc.asyncProperty(anyRequest, async ({ method, path, input, raw, key }) => {
        const { url, rest } = address(path, input)
        const inQuery = method === 'GET' || method === 'DELETE'
        const query = inQuery && !Array.isArray(rest) && rest !== null && typeof rest === 'object' ? `?${queryOf(rest)}` : ''
        // Longer heads are the HTTP server's own business.
        if (url.length + query.length > 8_000) return
        const body = inQuery ? undefined : (raw?.body ?? write(rest))
        const what = `${method} ${path}`
        await leavesNothing(census, what, async (traceparent) => {
          let isDone = false
          const asking = server
            .request<Problem>(method, `/api/v1${url}${query}`, body, {
              headers: {
                traceparent,
                ...(raw && body !== undefined && { 'content-type': raw.type }),
                ...(key !== undefined && { 'idempotency-key': key }),
              },
            })
            .finally(() => (isDone = true))
          while (!isDone) {
            await Promise.race([asking, new Promise((done) => setTimeout(done, patienceMs))])
            if (!isDone) await clock.advance(10)
          }
          const { status, headers, text, body: problem } = await asking
          if (status < 400) return undefined
          refusals += 1
          assert.match(String(headers['content-type']), /application\/problem\+json/, `${what}: ${status} ${text.slice(0, 200)}`)
          assert.equal(status, problem.status)
          return problem
        })
      }),
      parameters(1_000),
    )
    assert.ok(refusals > 100)
    assert.deepEqual(server.failures, [])
  },
  { timeout },
)

/** The path with its parameters filled in from the input, and what is left of that. */
function address(path: string, input: Json): { url: string; rest: Json } {
  const rest: Json = input !== null && typeof input === 'object' && !Array.isArray(input) ? { ...input } : input
  const url = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = rest !== null && typeof rest === 'object' && !Array.isArray(rest) ? rest[name] : undefined
    if (rest !== null && typeof rest === 'object' && !Array.isArray(rest)) delete rest[name]
    const text = typeof value === 'string' ? value : JSON.stringify(value ?? 'x')
    return encodeURIComponent(text.toWellFormed())
  })
  return { url, rest }
}

const queryOf = (fields: Record<string, Json>): string =>
  Object.entries(fields)
    .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const)
    .map(([name, value]) => `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(value.toWellFormed())}`)
    .join('&')
