/**
 * The limit: messages of one turn of the event loop are appended to a file in one write and synced before they are delivered in the
 * same process; acknowledgements are appended with the next write. No database, no network, no second process.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MessageDriver, Payload, Taken } from '../lib/drivers.ts'

interface Waiting {
  text: string
  stored: () => void
}

const folders = new Set<string>()
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

let current: Taken | undefined

export const driver: MessageDriver = {
  openConsumer(_settings, taken) {
    current = taken
    return Promise.resolve({ close: () => Promise.resolve() })
  },
  openProducer() {
    const folder = mkdtempSync(join(tmpdir(), 'cadre-bench-log-'))
    folders.add(folder)
    const file = openSync(join(folder, 'log'), 'w')
    let waiting: Waiting[] = []
    let unacknowledged = 0
    let scheduled = false

    const schedule = () => {
      if (scheduled) return
      scheduled = true
      setImmediate(append)
    }
    const append = () => {
      scheduled = false
      const batch = waiting
      const acknowledged = unacknowledged
      waiting = []
      unacknowledged = 0
      const lines = batch.map((entry) => entry.text)
      if (acknowledged > 0) lines.push(`{"acknowledged":${acknowledged}}`)
      writeSync(file, `${lines.join('\n')}\n`)
      fdatasyncSync(file)
      current?.acknowledged(acknowledged)
      for (const entry of batch) {
        current?.take(JSON.parse(entry.text) as Payload)
        entry.stored()
      }
      unacknowledged += batch.length
      if (batch.length > 0) schedule()
    }

    return Promise.resolve({
      send: (payload) =>
        new Promise<void>((stored) => {
          waiting.push({ text: JSON.stringify(payload), stored })
          schedule()
        }),
      close: () => {
        closeSync(file)
        rmSync(folder, { recursive: true, force: true })
        folders.delete(folder)
        return Promise.resolve()
      },
    })
  },
  // It is what the code above does; there is no setting to read.
  durability: () => Promise.resolve('sync'),
}
