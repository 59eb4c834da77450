/** What comes by callback, as async iterators. */
import type { Delivery, LogEntry } from '@cadre/contract'
import { Retry } from './errors.ts'
import type { MessageHandler } from './handlers.ts'
import { untaken } from './inbox.ts'

type Detach = () => unknown
interface Ending {
  signal?: AbortSignal | undefined
  closed?: Promise<void> | undefined
}

/** Items kept for a slow reader, where the server does not stop by itself. */
const ahead = 1000

/**
 * Begins with the first pull; ends once `closed` settled or `end` was called and what came before is read; throws the reason of
 * `signal`. Detaches however it ends. `push` answers how many items wait; with `newest` the last of too many makes room for the next.
 */
export async function* iterate<T>(
  attach: (push: (item: T) => number, end: () => void) => Detach | Promise<Detach>,
  { signal, closed, newest }: Ending & { newest?: boolean },
): AsyncGenerator<T, void> {
  const queue: T[] = []
  let ended = false
  let wake = (): void => {}
  const poke = () => wake()
  const end = () => {
    ended = true
    wake()
  }
  void closed?.then(end)
  signal?.addEventListener('abort', poke)
  let detach: Detach | undefined
  try {
    signal?.throwIfAborted()
    detach = await attach((item) => {
      if (newest && queue.length >= ahead) queue.pop()
      wake()
      return queue.push(item)
    }, end)
    for (;;) {
      signal?.throwIfAborted()
      if (queue.length > 0) yield queue.shift() as T
      else if (ended) return
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    signal?.removeEventListener('abort', poke)
    await detach?.()
  }
}

/** A message taken by a loop. */
export type Taken = Delivery & {
  /** Done with it now, whatever the loop does next. Otherwise it is acknowledged when the next one is asked for. */
  acknowledge(): void
}

interface Held {
  message: Delivery
  done: () => void
  back: (error: unknown) => void
}

/**
 * Each message is acknowledged when the next is asked for. The one a loop ends at is given back; those it never saw count no attempt:
 * they wait here, leased, for the next loop or handler.
 */
export async function* takeMessages(
  attach: (handler: MessageHandler) => Detach | Promise<Detach>,
  ending: Ending,
): AsyncGenerator<Taken, void> {
  const open = new Set<Held>()
  let current: Held | undefined
  const all = iterate<Held>(async (push) => {
    const detach = await attach(
      (message) =>
        new Promise<void>((done, back) => {
          const held = { message, done, back }
          open.add(held)
          push(held)
        }),
    )
    return () => {
      const gone = detach()
      for (const held of open) held.back(held === current ? new Retry({ after: 0, reason: 'the loop ended at it' }) : untaken)
      return gone
    }
  }, ending)
  for await (const held of all) {
    current = held
    const acknowledge = () => {
      open.delete(held)
      held.done()
    }
    yield Object.defineProperty(held.message, 'acknowledge', { value: acknowledge }) as Taken
    acknowledge()
  }
}

/** When too many entries wait the watch rests, and goes on from there once they are read. */
export async function* followLog(
  watch: (handler: (entry: LogEntry) => void, options: { after?: number }) => () => void,
  after: number | undefined,
  ending: Ending,
): AsyncGenerator<LogEntry, void> {
  for (let full = true; full; ) {
    full = false
    yield* iterate<LogEntry>((push, end) => {
      const stop = watch(
        (entry) => {
          if (full) return
          if (entry.seq > 0) after = entry.seq
          if (push(entry) < ahead) return
          full = true
          stop()
          end()
        },
        after === undefined ? {} : { after },
      )
      return stop
    }, ending)
  }
}
