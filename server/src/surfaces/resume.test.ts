/** A line that breaks anywhere, again and again: every message once, in order. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket as Line, connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import { verifies } from '../../../test/verifies.ts'
import { ManualClock, type Received, type TestServer, serveFor } from '../testing.ts'

interface Proxy {
  url: string
  /** The next line is cut after so many bytes towards the client, and so many from it. */
  cutAfter(down: number, up: number): void
}

/** Stands between client and server, and breaks the line in the middle of whatever is on it. */
async function proxyTo(t: TestContext, port: number): Promise<Proxy> {
  let limits = { down: Number.POSITIVE_INFINITY, up: Number.POSITIVE_INFINITY }
  const proxy: Server = createServer((client: Line) => {
    const { down, up } = limits
    const upstream = connect(port, '127.0.0.1')
    const cut = () => {
      client.destroy()
      upstream.destroy()
    }
    const forward = (from: Line, to: Line, limit: number) => {
      let passed = 0
      from.on('data', (bytes: Buffer) => {
        to.write(bytes.subarray(0, Math.max(0, limit - passed)))
        passed += bytes.length
        if (passed >= limit) cut()
      })
      from.on('error', cut)
      from.on('close', cut)
    }
    forward(client, upstream, up)
    forward(upstream, client, down)
  }).listen(0, '127.0.0.1')
  t.after(() => proxy.close())
  await once(proxy, 'listening')
  return {
    url: `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}/ws`,
    cutAfter: (down, up) => (limits = { down, up }),
  }
}

/** One line of the client's: what it was sent, each taken and acknowledged at once, until `enough` or the end. */
function takeTurn(
  url: string,
  hello: object,
  onDelivery: (frame: Received) => void,
  enough: () => boolean,
): Promise<Received | undefined> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url)
    let answer: Received | undefined
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.on('open', () => socket.send(JSON.stringify({ type: 'agent:register', id: 1, data: hello })))
    socket.on('message', (bytes: Buffer) => {
      for (const frame of [JSON.parse(bytes.toString()) as Received | Received[]].flat()) {
        if (frame.ref === 1) answer = frame
        if (frame.type !== 'message:received') continue
        onDelivery(frame)
        socket.send(JSON.stringify({ type: 'flow', ack: frame.seq, credits: 1 }))
      }
      if (enough()) socket.close()
    })
  })
}

const register = async (server: TestServer, name: string) =>
  (await server.call<{ token: string }>('POST', '/agents/register', { name })).token

verifies('WSE-18', 'wherever the line breaks, nothing is missed and nothing comes twice', async (t) => {
  const clock = new ManualClock()
  const server = await serveFor(t, { clock })
  const proxy = await proxyTo(t, server.port)
  let runs = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ down: fc.integer({ min: 200, max: 30_000 }), up: fc.integer({ min: 300, max: 5_000 }), sent: fc.nat(15) }),
        {
          minLength: 1,
          maxLength: 6,
        },
      ),
      fc.integer({ min: 1, max: 40 }),
      async (breaks, credits) => {
        const name = `bob${(runs += 1)}`
        const token = await register(server, name)
        const seen: unknown[] = []
        let last: number | undefined
        let sent = 0
        const send = async (count: number) => {
          for (let index = 0; index < count; index++) await server.call('POST', '/messages', { to: name, content: sent++ })
        }
        const onDelivery = (frame: Received) => {
          seen.push(frame.data['content'])
          last = frame.seq
        }
        const turn = (enough: () => boolean) =>
          takeTurn(proxy.url, { name, token, credits, ...(last !== undefined && { last_seq: last }) }, onDelivery, enough)
        await send(10)
        for (const { down, up, sent: more } of breaks) {
          proxy.cutAfter(down, up)
          // Some while it is connected, some while it is away. What it was given by now ends the line when nothing cut it.
          const line = turn(() => seen.length === sent)
          await send(more)
          await line
          await send(3)
          await clock.advance(2_000)
        }
        proxy.cutAfter(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
        const hello = await turn(() => seen.length >= sent)
        assert.equal(hello?.ok, true)
        assert.equal(hello.data['gap'], false)
        assert.deepEqual(
          seen,
          Array.from({ length: sent }, (_, index) => index),
        )
      },
    ),
    { numRuns: 15, seed: 18, endOnFailure: true },
  )
})

test('a position that the server cannot know is answered with a gap, and what waits comes', async (t) => {
  const server = await serveFor(t)
  const token = await register(server, 'bob')
  await server.call('POST', '/messages', { to: 'bob', content: 'waiting' })
  const got: Received[] = []
  const url = `ws://127.0.0.1:${server.port}/ws`
  const hello = await takeTurn(
    url,
    { name: 'bob', token, credits: 5, last_seq: 4_000_000 },
    (frame) => got.push(frame),
    () => got.length === 1,
  )
  assert.deepEqual([hello?.data['resumed'], hello?.data['gap']], [false, true])
  assert.equal(got[0]?.data['content'], 'waiting')
})
