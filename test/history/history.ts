/**
 * A history: what clients did and saw, in the order in which it happened. It holds nothing that only the server knows, so that judging
 * it trusts nothing the server says about itself.
 *
 * Two rules for those who record make the order sound across processes: what a client does is noted before it does it (`send`, `settle`),
 * what it sees is noted when it sees it.
 */
export type Fact =
  | Send
  | Stored
  | SendFailed
  | Delivered
  | Settle
  | Settled
  | GivenBack
  | Effect
  | DeadLetter
  | Expired
  | Redriven
  | StatusSeen
  | Bounced
  | Final

/** A send begins. Calls that repeat one another share their key and have names of their own. */
export interface Send {
  fact: 'send'
  call: string
  sender: string
  to: readonly string[]
  key?: string
  /** The content as text. A send whose outcome stays unknown is recognised by it, so it is different for each message. */
  body: string
  conversation?: string
  /** The order the sender meant within the conversation, when it does not wait for one answer before the next send. */
  position?: number
  /** It may end by itself: it was given a time to live. */
  mortal?: boolean
}

/** The server told the sender that it is stored. */
export interface Stored {
  fact: 'stored'
  call: string
  id: string
  seq: number
  duplicate: boolean
  sender_seq?: number
}

/** `unknown`: no answer came. Otherwise the code with which it was refused, and nothing may have been stored. */
export interface SendFailed {
  fact: 'send-failed'
  call: string
  code: string
}

export interface Delivered {
  fact: 'delivered'
  agent: string
  session: string
  id: string
  sender: string
  body: string
  receipt: string
  attempt: number
  replay: boolean
  conversation?: string
  sender_seq?: number
  /** The number of the delivery; absent when it came as the answer to a call. */
  seq?: number
  /** A session in plain mode: what was written to it is acknowledged. */
  plain?: boolean
}

/** The receiver begins to acknowledge these receipts; the outcome is not known yet. */
export interface Settle {
  fact: 'settle'
  agent: string
  receipts: readonly string[]
}

/** The answer to an acknowledgement of one receipt. */
export interface Settled {
  fact: 'settled'
  agent: string
  receipt: string
  outcome: 'acknowledged' | 'already' | 'stale'
}

/** The answer to a rejection. */
export interface GivenBack {
  fact: 'given-back'
  agent: string
  receipt: string
  outcome: 'ready' | 'dead' | 'stale'
}

/** The receiver did what the message asks for. */
export interface Effect {
  fact: 'effect'
  agent: string
  id: string
}

/** Seen in the list of dead letters. */
export interface DeadLetter {
  fact: 'dead'
  agent: string
  id: string
  reason: string
}

export interface Expired {
  fact: 'expired'
  agent: string
  id: string
}

export interface Redriven {
  fact: 'redriven'
  agent: string
  id: string
}

export type Status = 'stored' | 'delivered' | 'acknowledged' | 'dead' | 'expired' | 'unroutable'

/** What the sender was told about its message. */
export interface StatusSeen {
  fact: 'status'
  id: string
  status: Status
}

/** A notice that came to the sender: this recipient's copy ended so. */
export interface Bounced {
  fact: 'bounced'
  /** Who was told. */
  agent: string
  id: string
  recipient: string
  status: 'dead' | 'expired'
}

/** After everything healed: how many deliveries each inbox still holds. `drained` says that there should be none. */
export interface Final {
  fact: 'final'
  depths: Readonly<Record<string, number>>
  drained: boolean
  /** Senders that read their notices: each must have been told of each copy that ended without being acknowledged. */
  told?: readonly string[]
}

export type Invariant = 'N1' | 'N2' | 'N3' | 'N4' | 'N10' | 'N13' | 'N16'

export interface Violation {
  invariant: Invariant
  /** A short name of what went wrong, stable for tests. */
  fault: string
  detail: string
  /** The facts that prove it. */
  facts: readonly Fact[]
}

/** One line for each violation, and below it the facts that prove it. */
export function describe(violations: readonly Violation[], most = 10): string {
  const shown = violations
    .slice(0, most)
    .map(
      ({ invariant, fault, detail, facts }) =>
        `${invariant} ${fault}: ${detail}${facts.map((fact) => `\n    ${JSON.stringify(fact)}`).join('')}`,
    )
  const more = violations.length > most ? [`and ${violations.length - most} more`] : []
  return [...shown, ...more].join('\n')
}

/** Facts recorded by several processes with the time of one shared clock, as one history. */
export function merge(parts: readonly (readonly { at: number; fact: Fact }[])[]): Fact[] {
  return parts
    .flat()
    .toSorted((a, b) => a.at - b.at)
    .map(({ fact }) => fact)
}
