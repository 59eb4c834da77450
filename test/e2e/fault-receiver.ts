/**
 * A receiver that may be killed at any moment. What a message asks for is done once: its id is on disk, synced, before it is acknowledged,
 * and an id that is there already is acknowledged without doing it again.
 */
import { existsSync, fsync, openSync, readFileSync, writeSync } from 'node:fs'
import { Reject, connect } from '../../sdk/typescript/src/index.ts'
import type { Content } from './fault-sender.ts'
import { openJournal } from './journal.ts'
import { recordedSocket } from './wire-record.ts'

export interface ReceiverOrders {
  url: string
  agent: string
  token: string
  journal: string
  effects: string
}

/** Appends lines; each promise resolves when its line is on disk. Lines that come during a sync share the next. */
function openSynced(path: string): (line: string) => Promise<void> {
  const file = openSync(path, 'a')
  let waiting: PromiseWithResolvers<void>[] = []
  let running = false
  const sync = () => {
    const batch = waiting
    waiting = []
    running = batch.length > 0
    if (!running) return
    fsync(file, (error) => {
      for (const { resolve, reject } of batch) {
        if (error) reject(error)
        else resolve()
      }
      sync()
    })
  }
  return (line) => {
    const done = Promise.withResolvers<void>()
    writeSync(file, `${line}\n`)
    waiting.push(done)
    if (!running) sync()
    return done.promise
  }
}

async function main({ url, agent, token, journal, effects }: ReceiverOrders): Promise<void> {
  const done = new Set(existsSync(effects) ? readFileSync(effects, 'utf8').split('\n') : [])
  const { note } = openJournal(journal)
  const effect = openSynced(effects)
  const hub = await connect(url, {
    agent,
    token,
    window: 64,
    random: () => 0,
    WebSocket: recordedSocket(agent, note, () => undefined),
  })
  hub.onMessage(async ({ id, content }) => {
    if ((content as Content).poison) throw new Reject('poison')
    if (done.has(id)) return
    done.add(id)
    const written = effect(id)
    note({ fact: 'effect', agent, id })
    await written
  })
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as ReceiverOrders)
