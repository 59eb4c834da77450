/** The server inside the process of producer and consumer: its door, its store and its deliveries without a socket between them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningServer, startServer } from 'cadre'
import { readConfig } from '../../server/src/config.ts'
import type { MessageDriver, Payload, Taken } from '../lib/drivers.ts'
import { storeDurability, unsettledMessages } from './cadre-state.ts'

const consumerName = 'bench-consumer'
const window = 512

interface Embedding {
  server: RunningServer
  send(payload: Payload): Promise<unknown>
}

let opening: Promise<Embedding> | undefined
let current: Taken | undefined
let folder: string | undefined
process.once('exit', () => folder !== undefined && rmSync(folder, { recursive: true, force: true }))

async function open(): Promise<Embedding> {
  folder = mkdtempSync(join(tmpdir(), 'cadre-bench-embedded-'))
  const config = readConfig({ CADRE_DATA: folder, CADRE_PORT: '0', CADRE_HOST: '127.0.0.1', LOG_LEVEL: 'warn' })
  const server = await startServer({ config, workerCommand: [process.execPath, '-e', ''], assets: folder })
  const consumer = await server.embed({ name: consumerName, credits: window, short: true }, (frames) => {
    let ack = 0
    let taken = 0
    for (const text of frames) {
      const frame = JSON.parse(text) as { type: string; seq: number; data: { content: Payload } }
      if (frame.type !== 'message:received') continue
      current?.take(frame.data.content)
      ack = frame.seq
      taken += 1
    }
    if (taken === 0) return
    consumer.flow({ ack, credits: taken })
    current?.acknowledged(taken)
  })
  const producer = await server.embed({ name: 'bench-producer', credits: 1 }, () => {})
  return {
    server,
    send: (payload) => producer.invoke('messages.send', { to: consumerName, content: payload }, `${payload.run}.${payload.id}`),
  }
}

const opened = () => (opening ??= open())
const urlOf = async () => `http://127.0.0.1:${(await opened()).server.port}`

export const driver: MessageDriver = {
  async openConsumer(_settings, taken) {
    current = taken
    await opened()
    return { close: async () => {} }
  },
  async openProducer() {
    const embedding = await opened()
    return { send: (payload) => embedding.send(payload), close: async () => {} }
  },
  durability: async () => storeDurability(await urlOf()),
  unsettled: async () => unsettledMessages(await urlOf()),
  async end() {
    await (await opening)?.server.close()
  },
}
