/**
 * Gathers the calls of one turn of the event loop into one array, so that a hot operation costs one statement and one commit for all of
 * them. Each caller gets its own outcome.
 */
export type Outcome<T> = { value: T } | { error: unknown }

export function coalesce<I, O>(run: (items: I[]) => Promise<Outcome<O>[]>, maximum = 256): (item: I) => Promise<O> {
  let waiting: { item: I; resolve: (value: O) => void; reject: (error: unknown) => void }[] = []
  let scheduled = false

  const flush = () => {
    scheduled = false
    while (waiting.length > 0) {
      const batch = waiting.slice(0, maximum)
      waiting = waiting.slice(maximum)
      run(batch.map((entry) => entry.item)).then(
        (outcomes) => {
          batch.forEach((entry, index) => {
            const outcome = outcomes[index] as Outcome<O>
            if ('value' in outcome) entry.resolve(outcome.value)
            else entry.reject(outcome.error)
          })
        },
        (error: unknown) => {
          for (const entry of batch) entry.reject(error)
        },
      )
    }
  }

  return (item) =>
    new Promise<O>((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (scheduled) return
      scheduled = true
      // When the callback that brought them has ended: all frames of one read are in the batch. Those of other connections meet them in
      // the group commit, so waiting for the turn's end here would only put that off by one more turn.
      process.nextTick(flush)
    })
}
