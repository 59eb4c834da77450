/** The message of the benchmark: exactly 256 bytes of JSON. */
import type { Payload } from './drivers.ts'

export const payloadBytes = 256

/** `at` is cut to microseconds. */
export function makePayload(run: number, id: number, at: number): Payload {
  const payload: Payload = {
    run,
    id,
    at: Math.round(at * 1000) / 1000,
    from: 'agent-a',
    to: 'agent-b',
    kind: 'task.note',
    pad: '',
  }
  payload.pad = 'x'.repeat(payloadBytes - JSON.stringify(payload).length)
  return payload
}
