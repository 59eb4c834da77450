import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serveFor } from '../testing.ts'

interface Delivery {
  type: string
  seq: number
  data: { content: unknown; sender: string }
}

/** Frames as they come, for tests that wait for the n-th. */
function collect(): { receive: (frames: readonly string[]) => void; take: (count: number) => Promise<Delivery[]> } {
  const got: Delivery[] = []
  let wake = () => {}
  return {
    receive: (frames) => {
      got.push(...frames.map((frame) => JSON.parse(frame) as Delivery).filter((frame) => frame.type === 'message:received'))
      wake()
    },
    take: async (count) => {
      while (got.length < count) await new Promise<void>((resolve) => (wake = resolve))
      return got.splice(0, count)
    },
  }
}

test('an agent in the process of the server sends, receives and acknowledges as over a socket', async (t) => {
  const server = await serveFor(t)
  const inbox = collect()
  const reader = await server.embed({ name: 'reader', credits: 2 }, inbox.receive)
  const writer = await server.embed({ name: 'writer' }, () => {})
  const [first, again] = await Promise.all(
    ['k1', 'k1'].map((key) => writer.invoke('messages.send', { to: 'reader', content: 1 }, key)),
  )
  assert.equal(first?.id, again?.id)
  await writer.invoke('messages.send', { to: 'reader', content: 2 })
  await writer.invoke('messages.send', { to: 'reader', content: 3 })
  const came = await inbox.take(2)
  assert.deepEqual(
    came.map((frame) => [frame.data.sender, frame.data.content]),
    [
      ['writer', 1],
      ['writer', 2],
    ],
  )
  // No credit is left, so the third waits for one.
  const { messages } = await server.call<{ messages: { leased: number; waiting: number } }>('GET', '/api/v1/metrics')
  assert.deepEqual([messages.leased, messages.waiting], [2, 1])
  reader.flow({ ack: came[1]?.seq, credits: 2 })
  const [third] = await inbox.take(1)
  assert.equal(third?.data.content, 3)
})

test('what an embedded agent held goes to whom speaks for it next, and a closed one is refused', async (t) => {
  const server = await serveFor(t)
  const inbox = collect()
  const former = await server.embed({ name: 'reader', credits: 8 }, inbox.receive)
  const writer = await server.embed({ name: 'writer' }, () => {})
  await writer.invoke('messages.send', { to: 'reader', content: 'kept' })
  await inbox.take(1)
  former.close()
  await assert.rejects(former.invoke('messages.send', { to: 'writer', content: 1 }), { code: 'draining' })
  const socket = await server.leased('reader')
  assert.equal((await socket.next<{ content: string }>('message:received')).data.content, 'kept')
})
