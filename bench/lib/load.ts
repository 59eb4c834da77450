/** Load: a closed loop keeps so many calls on their way; a fixed rate sends when it is due, whatever the answers do. */
import { now } from './now.ts'

export interface Sent {
  count: number
  firstAt: number
  failed: number
  failure: string | undefined
}

/** For `ms`, or `most` calls. `at` is the time at which the call is made. */
export async function closedLoop(
  { inFlight, ms, most }: { inFlight: number; ms: number; most: number },
  call: (id: number, at: number) => Promise<unknown>,
): Promise<Sent> {
  const firstAt = now()
  const sent: Sent = { count: 0, firstAt, failed: 0, failure: undefined }
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (let at = now(); at - firstAt < ms && sent.count < most; at = now()) await guarded(sent, call(sent.count++, at))
    }),
  )
  return sent
}

export async function fixedRate(
  { perSecond, ms }: { perSecond: number; ms: number },
  call: (id: number, at: number) => Promise<unknown>,
): Promise<Sent> {
  const firstAt = now() + 5
  const gap = 1000 / perSecond
  const total = Math.floor(ms / gap)
  const sent: Sent = { count: 0, firstAt, failed: 0, failure: undefined }
  const calls: Promise<void>[] = []
  await new Promise<void>((resolve) => {
    const tick = () => {
      while (sent.count < total && firstAt + sent.count * gap <= now()) {
        const id = sent.count++
        calls.push(guarded(sent, call(id, firstAt + id * gap)))
      }
      if (sent.count < total) setTimeout(tick, 1)
      else resolve()
    }
    tick()
  })
  await Promise.all(calls)
  return sent
}

async function guarded(sent: Sent, call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (error) {
    sent.failed += 1
    sent.failure ??= error instanceof Error ? error.message : String(error)
  }
}
