/** kill -9 of the server at random moments under load: nothing that was acknowledged is lost, nothing is handled twice. */
import assert from 'node:assert/strict'
import type { Delivery, OutputOf } from '@cadre/contract'
import { Refused, type Socket, openSocket, temporaryFolder } from '../../server/src/testing.ts'
import { verifies } from '../verifies.ts'
import { type Running, launch } from './program.ts'

const full = process.env['CADRE_TEST_FULL'] === '1'
const sends = full ? 5_000 : 1_000
const kills = full ? 20 : 5
const lanes = 16
const seed = 20_260_101

/** A fixed sequence of numbers below 1. */
function makeRandom(start: number): () => number {
  let state = start
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

verifies(
  'REL-01',
  `${sends} keyed sends and ${kills} kills of the server: each acknowledged message is handled once`,
  async (t) => {
    const folder = temporaryFolder()
    const random = makeRandom(seed)
    const settings = { CADRE_DATA: folder.path, LOG_LEVEL: 'silent' }
    let current: Promise<Running> = launch(settings)
    t.after(async () => {
      await (await current).end('SIGKILL')
      folder.remove()
    })
    const { token } = await (await current).call<{ token: string }>('POST', '/agents/register', { name: 'receiver' })

    const acknowledged = new Map<number, string>()
    const handled = new Map<string, unknown>()
    let repeated = 0
    const { promise: allHandled, resolve: finish } = Promise.withResolvers<void>()
    const check = () => {
      if (acknowledged.size === sends && [...acknowledged.values()].every((id) => handled.has(id))) finish()
    }
    let ended = false

    const receive = async () => {
      while (!ended) {
        const server = await current
        try {
          const socket = await openSocket(server.socketUrl)
          await socket.call('agent:register', { name: 'receiver', token, credits: 64 })
          while (!ended) {
            const { seq, data } = await socket.next<Delivery>('message:received')
            if (handled.has(data.id)) repeated += 1
            handled.set(data.id, data.content)
            socket.send({ type: 'flow', ack: seq, credits: 1 })
            check()
          }
          socket.terminate()
        } catch (error) {
          if (ended || error instanceof Refused) return
        }
      }
    }

    // When so many have been acknowledged, the server is killed.
    const moments = Array.from({ length: kills }, () => Math.floor(random() * sends * 0.9) + 10).toSorted((a, b) => a - b)
    let killing: Promise<void> | undefined
    const killIfDue = () => {
      if (killing || moments[0] === undefined || acknowledged.size < moments[0]) return
      moments.shift()
      killing = (async () => {
        const server = await current
        const again = server.end('SIGKILL').then((by) => {
          assert.equal(by, 'SIGKILL')
          return launch(settings)
        })
        current = again
        await again
      })().finally(() => (killing = undefined))
    }

    let next = 0
    const sockets = new Map<Running, Promise<Socket>>()
    const socketOf = (server: Running) => {
      const open = sockets.get(server) ?? openSocket(server.socketUrl)
      sockets.set(server, open)
      return open
    }
    const lane = async () => {
      while (next < sends) {
        const number = next
        next += 1
        // A lost connection leaves the outcome open: the same key asks again until there is an answer.
        for (;;) {
          const server = await current
          try {
            const sent = await (await socketOf(server)).call<OutputOf<'messages.send'>>(
              'message:send',
              { to: 'receiver', content: number },
              `send-${number}`,
            )
            acknowledged.set(number, sent.id)
            break
          } catch (error) {
            if (error instanceof Refused) throw error
          }
        }
        killIfDue()
        check()
      }
    }

    const receiving = receive()
    await Promise.all(Array.from({ length: lanes }, lane))
    await killing
    await allHandled
    ended = true
    const server = await current
    for (const open of sockets.values())
      await open.then(
        (socket) => socket.terminate(),
        () => undefined,
      )
    await server.call('POST', '/messages', { to: 'receiver', content: 'end' })
    await receiving

    assert.equal(moments.length, 0, 'every kill took place')
    assert.equal(new Set(acknowledged.values()).size, sends, 'each send has a message of its own')
    for (const [number, id] of acknowledged) assert.equal(handled.get(id), number)
    assert.equal(
      [...handled.values()].filter((content) => content !== 'end').length,
      sends,
      'nothing was handled that was not sent, and no send became two messages',
    )
    const metrics = await server.call<OutputOf<'system.metrics'>>('GET', '/metrics'.replace('/', '/api/v1/'))
    assert.equal(metrics.messages.total, sends + 1)
    t.diagnostic(`${repeated} deliveries came again and were recognised by their id`)
  },
  { timeout: 180_000 },
)
