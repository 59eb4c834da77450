/**
 * Broadcasts to registered agents, in plain mode (acknowledged on write) and leased (short frames, each
 * acknowledged at once), and followers of the log
 * (one event a message). `connected` registers nobody.
 */
import type { FanDriver, FanVoice, Payload } from '../lib/drivers.ts'
import { storeDurability } from './cadre-state.ts'

const delivered = Buffer.from('{"type":"message:received"')
const event = Buffer.from('{"type":"event"')
const comma = 0x2c
const bracket = 0x5b
const senderName = 'bench-sender'
const credits = 256

/** How often the mark stands in a frame that may be an array of frames. Contents of the benchmark hold no marks. */
function countOf(frame: Buffer, mark: Buffer): number {
  if (frame[0] !== bracket) return frame.subarray(0, mark.length).equals(mark) ? 1 : 0
  let count = 0
  for (let at = frame.indexOf(mark); at >= 0; at = frame.indexOf(mark, at + mark.length)) count += 1
  return count
}

/** Number of the last delivery in the frame. */
function lastNumber(frame: Buffer): number {
  const at = frame.lastIndexOf(delivered)
  const from = frame.indexOf('"seq":', at) + 6
  return Number(frame.toString('latin1', from, frame.indexOf(comma, from)))
}

function isGreeted(frame: Buffer): boolean {
  if (!frame.includes('"type":"ack"')) return false
  if (frame.includes('"ok":false')) throw new Error(frame.toString('utf8').slice(0, 300))
  return true
}

const register = (data: object) => JSON.stringify({ type: 'agent:register', id: 'r', data })
const control = { path: '/ws', greeting: register({ name: senderName }) }
const sends = (fields: object) => (contents: readonly Payload[]) => {
  const frames = contents.map((content) => ({
    type: 'message:send',
    id: content.id,
    key: `fan.${content.id}`,
    // A message to thousands keeps the server busy for a while, which then refuses what is not urgent.
    data: { ...fields, priority: 'critical', content },
  }))
  return JSON.stringify(frames.length === 1 ? frames[0] : frames)
}

const agents = (mode: string, more: object): FanVoice => ({
  path: '/ws',
  greeting: (index) => register({ name: `fan-${mode}-${index}`, ...more }),
  isGreeted,
  count: (frame) => countOf(frame, delivered),
  control,
  order: sends({ broadcast: true }),
})

const voices: Readonly<Record<string, () => FanVoice>> = {
  plain: () => agents('plain', {}),
  leased: () => ({
    ...agents('leased', { credits, short: true, presence: false }),
    answer: (frame, deliveries) => `{"type":"flow","ack":${lastNumber(frame)},"credits":${deliveries}}`,
  }),
  watch: () => ({
    path: '/ws',
    greeting: () => JSON.stringify({ type: 'events:watch', id: 'w', data: { types: ['message.sent'] } }),
    isGreeted,
    count: (frame) => countOf(frame, event),
    control,
    // To itself: one delivery, beside one event for each follower.
    order: sends({ to: senderName }),
  }),
  connected: () => ({ path: '/ws', count: () => 0, control, order: sends({ to: senderName }) }),
}

export const driver: FanDriver = {
  voice(mode) {
    const voice = voices[mode]
    if (!voice) throw new Error(`no such mode: ${mode}`)
    return voice()
  },
  durability: storeDurability,
}
