/** Gathers the frames of one turn into one text message: a write costs ten times what a frame in it costs. */
const quietHops = 4
const maxFrames = 256

export class Turn {
  readonly #write: (text: string) => void
  readonly #collectors: (() => void)[] = []
  #frames: string[] = []
  #characters = 0
  #activity = 0
  #scheduled = false
  /** Half of a third of the largest frame the server takes: a character is at most three bytes. */
  maxCharacters = 170_000

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Runs before each write and may add frames; acknowledgements are gathered there. */
  onFlush(collect: () => void): void {
    this.#collectors.push(collect)
  }

  push(frame: string): void {
    if (this.#frames.length > 0 && this.#characters + frame.length > this.maxCharacters) this.#send()
    this.#frames.push(frame)
    this.#characters += frame.length
    if (this.#frames.length >= maxFrames) this.#send()
    this.touch()
  }

  /** Something will be collected: let this turn end in a write. */
  touch(): void {
    this.#activity += 1
    if (this.#scheduled) return
    this.#scheduled = true
    this.#hop(this.#activity, quietHops)
  }

  flush(): void {
    this.#scheduled = false
    for (const collect of this.#collectors) collect()
    this.#send()
  }

  clear(): void {
    this.#frames = []
    this.#characters = 0
  }

  // Answers that arrive together wake their callers over several microtasks; the write waits until none of them adds a frame.
  #hop(seen: number, left: number): void {
    queueMicrotask(() => {
      if (!this.#scheduled) return
      if (this.#activity !== seen) this.#hop(this.#activity, quietHops)
      else if (left > 1) this.#hop(seen, left - 1)
      else this.flush()
    })
  }

  #send(): void {
    const frames = this.#frames
    if (frames.length === 0) return
    this.clear()
    this.#write(frames.length === 1 ? (frames[0] ?? '') : `[${frames.join(',')}]`)
  }
}
