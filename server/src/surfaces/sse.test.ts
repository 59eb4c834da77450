/** The log as server-sent events. */
import assert from 'node:assert/strict'
import { type IncomingMessage, request } from 'node:http'
import { type TestContext, test } from 'node:test'
import type { LogEntry } from '@cadre/contract'
import { verifies } from '../../../test/verifies.ts'
import { ManualClock, Refused, type TestServer, serveFor, startTestServer } from '../testing.ts'

interface Told {
  id: string | undefined
  event: string
  data: unknown
}

/** A client of an event stream on a bare connection: what it was told stays in `told` until it is taken. */
class Follower {
  readonly incoming: IncomingMessage
  readonly told: Told[] = []
  comments = 0
  hasEnded = false
  readonly #waiting = new Set<() => void>()
  #text = ''

  constructor(incoming: IncomingMessage) {
    this.incoming = incoming
    incoming.setEncoding('utf8')
    incoming.on('data', (text: string) => this.#read(text))
    incoming.on('error', () => undefined)
    incoming.on('close', () => {
      this.hasEnded = true
      this.#wake()
    })
  }

  #read(text: string): void {
    this.#text += text
    const blocks = this.#text.split('\n\n')
    this.#text = blocks.pop() as string
    for (const block of blocks) {
      const fields = new Map(
        block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      )
      if (fields.has('')) this.comments += 1
      if (fields.has('data'))
        this.told.push({
          id: fields.get('id'),
          event: fields.get('event') ?? 'message',
          data: JSON.parse(fields.get('data') as string),
        })
    }
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  async until(done: () => boolean, what: string): Promise<void> {
    const limit = AbortSignal.timeout(10_000)
    while (!done()) {
      if (limit.aborted) throw new Error(`${what} did not come; there is ${JSON.stringify(this.told).slice(0, 2_000)}`)
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake)
          limit.removeEventListener('abort', wake)
          resolve()
        }
        this.#waiting.add(wake)
        limit.addEventListener('abort', wake)
      })
    }
  }

  async next(event?: string): Promise<Told> {
    const at = () => this.told.findIndex((told) => event === undefined || told.event === event)
    await this.until(() => at() >= 0 || this.hasEnded, event ?? 'an event')
    assert.ok(at() >= 0, `the stream ended before ${event}`)
    return this.told.splice(at(), 1)[0] as Told
  }
}

function follow(t: TestContext, server: TestServer, query = '', headers: Record<string, string> = {}): Promise<Follower> {
  return new Promise((resolve, reject) => {
    const path = `/api/v1/events/stream?${query}`
    const outgoing = request({
      host: '127.0.0.1',
      port: server.port,
      path,
      headers: { accept: 'text/event-stream', ...headers },
      agent: false,
    })
    t.after(() => outgoing.destroy())
    outgoing.on('error', reject)
    outgoing.on('response', (incoming) => {
      if (incoming.statusCode === 200) return resolve(new Follower(incoming))
      let text = ''
      incoming.on('data', (bytes) => (text += String(bytes)))
      incoming.on('end', () => reject(new Refused(JSON.parse(text))))
    })
    outgoing.end()
  })
}

function statusOfHead(server: TestServer, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const path = '/api/v1/events/stream'
    request({ host: '127.0.0.1', port: server.port, path, method: 'HEAD', headers, agent: false })
      .on('response', (incoming) => resolve(incoming.resume().statusCode))
      .on('error', reject)
      .end()
  })
}

const refused = (status: number, code: string) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error))
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
const write = (server: TestServer, key: string, value: unknown = 1) => server.call('POST', '/memory', { key, value })

verifies('API-30', 'a client follows the log over server-sent events, and after a cut goes on by its last id', async (t) => {
  const server = await serveFor(t)
  await write(server, 'a')
  await write(server, 'b')
  const first = await follow(t, server, 'after=0&types=memory.updated')
  assert.match(String(first.incoming.headers['content-type']), /^text\/event-stream/)
  assert.equal(first.incoming.headers['cache-control'], 'no-store')
  assert.equal((await first.next('ready')).id, '0')
  const seen = [await first.next(), await first.next()]
  await write(server, 'c')
  seen.push(await first.next())
  first.incoming.destroy()
  await write(server, 'd')
  // The address is the one it began with, as browsers have it.
  const second = await follow(t, server, 'after=0&types=memory.updated', { 'last-event-id': seen.at(-1)?.id as string })
  await write(server, 'e')
  await second.next('ready')
  seen.push(await second.next(), await second.next())
  const { items } = await server.call<{ items: LogEntry[] }>('GET', '/events?types=memory.updated')
  assert.deepEqual(
    seen.map(({ id, event, data }) => [id, event, data]),
    items.map((entry) => [String(entry.seq), 'memory.updated', entry]),
  )
  assert.deepEqual(
    items.map(({ subject }) => subject),
    ['a', 'b', 'c', 'd', 'e'],
  )
})

test('without a position a stream begins now, and its first id is a position to come back to', async (t) => {
  const server = await serveFor(t)
  await write(server, 'before')
  const stream = await follow(t, server, 'topic=agent.state')
  const ready = await stream.next('ready')
  stream.incoming.destroy()
  await server.call('POST', '/tasks', { title: 'of another topic' })
  await write(server, 'meanwhile')
  const again = await follow(t, server, 'topic=agent.state', { 'last-event-id': ready.id as string })
  await again.next('ready')
  assert.equal(((await again.next()).data as LogEntry).subject, 'meanwhile')
})

test('what is not in the log has no id', async (t) => {
  const server = await serveFor(t)
  const ada = await server.leased('ada')
  const stream = await follow(t, server, 'topic=agent.communication')
  await server.call('POST', '/messages', { to: 'ada', content: 1 })
  const { seq } = await ada.next('message:received')
  ada.send({ type: 'flow', ack: seq })
  assert.match((await stream.next('message.sent')).id as string, /^\d+$/)
  assert.equal((await stream.next('message.settled')).id, undefined)
})

test('a stream is for those who may read the log, through the same door', async (t) => {
  const server = await serveFor(t, { config: { auth: 'required', allowedHosts: [] } })
  const admin = server.adminKey as string
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const key = await server.call<{ id: string; key: string }>('POST', '/keys', { name: 'v', role: 'viewer' }, { token: admin })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'ada' }, { token: admin })
  await assert.rejects(follow(t, server), refused(401, 'unauthenticated'))
  await assert.rejects(follow(t, server, '', bearer(token)), refused(403, 'forbidden'))
  await assert.rejects(follow(t, server, 'topic=nothing', bearer(admin)), refused(422, 'invalid_request'))
  await assert.rejects(follow(t, server, 'after=x', bearer(admin)), refused(422, 'invalid_request'))
  await assert.rejects(follow(t, server, '', { ...bearer(admin), accept: 'application/json' }), refused(400, 'malformed'))
  assert.equal(await statusOfHead(server, bearer(admin)), 404)
  const page = await server.request('GET', new URL(server.signInUrl()).pathname)
  const cookie = String(page.headers['set-cookie']).split(';', 1)[0] as string
  const browser = await follow(t, server, '', { cookie, 'sec-fetch-site': 'same-origin' })
  await browser.next('ready')
  const stream = await follow(t, server, '', bearer(key.key))
  await stream.next('ready')
  await server.call('DELETE', `/keys/${key.id}`, undefined, { token: admin })
  assert.equal((await stream.next('unauthorised')).id, undefined)
  await stream.until(() => stream.hasEnded, 'the end')
  assert.equal(browser.hasEnded, false)
})

test('streams of one key are counted, and a closed one gives its place back', async (t) => {
  const server = await serveFor(t)
  const streams = await Promise.all(Array.from({ length: 16 }, () => follow(t, server)))
  await assert.rejects(follow(t, server), refused(429, 'too_many_connections'))
  streams[0]?.incoming.destroy()
  let stream: Follower | undefined
  // The server hears of the end when its side of the connection closes.
  for (let attempt = 0; attempt < 200 && !stream; attempt++) stream = await follow(t, server).catch(() => undefined)
  assert.ok(stream)
})

test('a quiet stream carries comments, so that what lies between does not close it', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const stream = await follow(t, server)
  await stream.next('ready')
  await clock.advance(15_000)
  await clock.advance(15_000)
  await stream.until(() => stream.comments === 2, 'two comments')
})

test('who does not read is cut off in the end, told so, and has lost nothing', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const stream = await follow(t, server, 'types=memory.updated')
  const ready = await stream.next('ready')
  stream.incoming.pause()
  const count = 40
  for (let index = 0; index < count; index++) await write(server, `k${index}`, 'x'.repeat(500_000))
  for (let beat = 0; beat < 4; beat++) await clock.advance(15_000)
  stream.incoming.resume()
  const cut = await stream.next('slow_consumer')
  assert.match((cut.data as { reason: string }).reason, /connect again/)
  await stream.until(() => stream.hasEnded, 'the end')
  const ids = stream.told.map(({ id }) => Number(id))
  assert.ok(ids.length < count, 'the rest stayed in the log')
  const again = await follow(t, server, 'types=memory.updated', { 'last-event-id': String(ids.at(-1) ?? ready.id) })
  await again.next('ready')
  const limit = AbortSignal.timeout(10_000)
  while (ids.length < count && !limit.aborted) {
    // While the client takes what it has, the server looks again by its clock.
    await clock.advance(100)
    ids.push(...again.told.splice(0).map(({ id }) => Number(id)))
  }
  const { items } = await server.call<{ items: LogEntry[] }>('GET', '/events?types=memory.updated&limit=4')
  assert.deepEqual(
    ids.slice(0, items.length),
    items.map(({ seq }) => seq),
  )
  assert.equal(new Set(ids).size, count)
})

test('streams end with the server, and say so', async (t) => {
  const server = await startTestServer()
  const stream = await follow(t, server)
  await stream.next('ready')
  await server.close()
  assert.match(((await stream.next('draining')).data as { reason: string }).reason, /connect again/)
  await stream.until(() => stream.hasEnded, 'the end')
})
