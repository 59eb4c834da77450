/** What each connected agent was sent and has not settled, and how much more it takes. */
import type { Session, Sessions } from '../../core/sessions.ts'
import type { Place } from './envelope.ts'

const maxPlainWindow = 1_000
/** Two million starts, each with four thousand million deliveries to an agent, stay exact in a double. */
const numbersOfAStart = 2 ** 32
const maxBuffered = 1024 * 1024

/** Deliveries in flight to one agent. */
export interface Window {
  session: Session
  /** Credits promised to messages whose transaction runs. */
  reserved: number
  /** Delivery number -> entry, in rising order. */
  sent: Map<number, Place>
  pumping: boolean
  again: boolean
}

export class Windows {
  readonly #windows = new Map<number, Window>()
  readonly #numbers = new Map<number, number>()
  #firstNumber = 0

  constructor(sessions: Sessions) {
    sessions.onReleased((session) => {
      if (session.agent !== undefined && this.#windows.get(session.agent)?.session === session)
        this.#windows.delete(session.agent)
    })
  }

  /** Delivery numbers rise over restarts too: every start of the server has a range of its own. */
  begin(start: number): void {
    this.#firstNumber = start * numbersOfAStart
  }

  get(agent: number): Window | undefined {
    return this.#windows.get(agent)
  }

  /** The window of the session, while it is the one that speaks for its agent. */
  of(session: Session): Window | undefined {
    const window = session.agent === undefined ? undefined : this.#windows.get(session.agent)
    return window?.session === session ? window : undefined
  }

  agents(): Iterable<number> {
    return this.#windows.keys()
  }

  open(agent: number, session: Session, sent: Map<number, Place>): void {
    this.#windows.set(agent, { session, reserved: 0, sent, pumping: false, again: false })
  }

  /** The last delivery number the agent was given. */
  head(agent: number): number {
    return this.#numbers.get(agent) ?? this.#firstNumber
  }

  /** Was this number given to the agent by this process? */
  isKnown(agent: number, number: number): boolean {
    return number > this.#firstNumber && number <= this.head(agent)
  }

  nextNumber(agent: number): number {
    const number = this.head(agent) + 1
    this.#numbers.set(agent, number)
    return number
  }
}

/** How many more deliveries the agent takes now. */
export function roomIn(window: Window): number {
  if (window.session.buffered() > maxBuffered) return 0
  return (window.session.mode === 'plain' ? maxPlainWindow - window.sent.size : window.session.credits) - window.reserved
}
