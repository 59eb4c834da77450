import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serveFor } from '../testing.ts'

test('in a crowd everybody still hears once of each who comes and goes after it, and nobody of itself', async (t) => {
  const server = await serveFor(t)
  const names = Array.from({ length: 90 }, (_, index) => `a${String(index).padStart(2, '0')}`)
  const first = await server.plain('first')
  const sockets = []
  for (const name of names) sockets.push(await server.leased(name))
  const heard = []
  for (const _ of names) heard.push((await first.next<{ name: string }>('agent:joined')).data.name)
  assert.deepEqual(heard, names)
  // One that came when the crowd was there already.
  const late = sockets[80]
  const after = []
  for (const _ of names.slice(81))
    after.push((await late?.next<{ name: string }>('agent:joined', ({ name }) => name > 'a80'))?.data.name)
  assert.deepEqual(after, names.slice(81))
  assert.ok(!late?.frames.some(({ type, data }) => type === 'agent:joined' && data['name'] === 'a80'))
  for (const socket of sockets.slice(0, 20)) socket.terminate()
  const left = new Set()
  for (let count = 0; count < 20; count++) left.add((await first.next<{ name: string }>('agent:left')).data.name)
  assert.deepEqual(left, new Set(names.slice(0, 20)))
  assert.deepEqual(await first.settled('agent:left'), [])
})

test('who does not want to hear of others is not told, until it asks', async (t) => {
  const server = await serveFor(t)
  const quiet = await server.leased('quiet', { presence: false })
  const other = await server.leased('other')
  await other.call('agents.list', {})
  assert.deepEqual(await quiet.settled('agent:joined'), [])
  await quiet.call('agent:watch', {})
  const joined = quiet.next<{ name: string }>('agent:joined')
  await server.leased('third')
  assert.equal((await joined).data.name, 'third')
})
