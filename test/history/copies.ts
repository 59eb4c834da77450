/** The receiving side of a history: what became of each recipient's copy of a message. */
import type { DeadLetter, Delivered, Effect, Expired, Fact, GivenBack, Redriven, Settle, Settled } from './history.ts'
import type { Accuse, Message, Sends } from './sends.ts'

export interface Copy {
  agent: string
  id: string
  /** Since it was sent, or sent again from the dead letters. */
  deliveries: Delivered[]
  /** Whether any delivery was seen, also before it was redriven. */
  seen: boolean
  /** Acknowledgements that began: it may be settled. */
  settling: number
  /** The answer that said it is. */
  settled: Settled | undefined
  ended: DeadLetter | GivenBack | Expired | undefined
  effect: Effect | undefined
}

interface Line {
  /** First deliveries whose copies are not known to have left the inbox. */
  open: { copy: Copy; number: number; fact: Delivered }[]
  last: { number: number; fact: Delivered } | undefined
}

export interface Copies {
  delivered(fact: Delivered): void
  settle(fact: Settle): void
  settled(fact: Settled): void
  givenBack(fact: GivenBack): void
  effect(fact: Effect): void
  ended(fact: DeadLetter | Expired): void
  redriven(fact: Redriven): void
  find(agent: string, id: string): Copy | undefined
}

export function makeCopies(history: readonly Fact[], sends: Sends, accuse: Accuse): Copies {
  const copies = new Map<string, Copy>()
  const byReceipt = new Map<string, { copy: Copy; fact: Delivered }>()
  const lines = new Map<string, Line>()
  const numbers = new Map<string, Delivered>()
  // The server decides by itself when these end, and nobody sees the moment: seen anywhere, they excuse what came after in their line.
  const mortals = new Set(
    history.flatMap((fact) => (fact.fact === 'dead' || fact.fact === 'expired' ? [`${fact.agent} ${fact.id}`] : [])),
  )

  function copyOf(agent: string, id: string): Copy {
    const name = `${agent} ${id}`
    const copy = copies.get(name) ?? {
      agent,
      id,
      deliveries: [],
      seen: false,
      settling: 0,
      settled: undefined,
      ended: undefined,
      effect: undefined,
    }
    copies.set(name, copy)
    return copy
  }

  const hasLeft = (copy: Copy): boolean =>
    copy.settling > 0 || copy.ended !== undefined || mortals.has(`${copy.agent} ${copy.id}`)

  function judgeOrder(copy: Copy, fact: Delivered): void {
    const number = fact.sender_seq
    if (number === undefined || fact.conversation === undefined) return
    const name = `${fact.agent} ${fact.sender} ${fact.conversation}`
    const line = lines.get(name) ?? { open: [], last: undefined }
    lines.set(name, line)
    if (line.last && number < line.last.number)
      accuse('N3', 'inversion', `number ${number} first came after number ${line.last.number}`, [line.last.fact, fact])
    line.open = line.open.filter((each) => !hasLeft(each.copy))
    const [waiting] = line.open
    if (waiting && waiting.number < number)
      accuse('N3', 'not-waited', `number ${number} came while ${waiting.number} was not settled`, [waiting.fact, fact])
    line.open.push({ copy, number, fact })
    if (!line.last || number > line.last.number) line.last = { number, fact }
  }

  function judgeAttempt(copy: Copy, fact: Delivered): void {
    const before = copy.deliveries.at(-1)
    const owner = byReceipt.get(fact.receipt)
    if (owner && owner.copy !== copy) accuse('N4', 'receipt-shared', 'one receipt names two deliveries', [owner.fact, fact])
    if (before && fact.attempt <= before.attempt)
      accuse('N4', 'attempt-repeated', `attempt ${fact.attempt} came after attempt ${before.attempt}`, [before, fact])
    else if (before?.receipt === fact.receipt)
      accuse('N4', 'receipt-repeated', 'a new attempt came under the old receipt', [before, fact])
    if (copy.settled) accuse('N4', 'delivered-after-acknowledged', `${copy.id} had been acknowledged`, [copy.settled, fact])
    if (copy.ended)
      accuse('N4', copy.ended.fact === 'expired' ? 'delivered-after-expired' : 'delivered-after-dead', `${copy.id} had ended`, [
        copy.ended,
        fact,
      ])
  }

  /** The newest delivery of the copy, when the receipt is of an older one. */
  function newer(copy: Copy, fact: Delivered): Delivered | undefined {
    const last = copy.deliveries.at(-1)
    return last && last !== fact && last.attempt > fact.attempt && copy.deliveries.includes(fact) ? last : undefined
  }

  return {
    delivered(fact) {
      const message: Message | undefined = sends.messageOf(fact)
      if (fact.seq !== undefined) {
        const last = numbers.get(fact.agent)
        if (last && fact.seq <= (last.seq ?? 0))
          accuse('N3', 'delivery-number-not-rising', `delivery ${fact.seq} came after delivery ${last.seq}`, [last, fact])
        numbers.set(fact.agent, fact)
      }
      if (!message) return
      if (!message.send.to.includes(fact.agent))
        accuse('N2', 'wrong-recipient', `${fact.id} was sent to ${message.send.to.join(', ')}`, [message.send, fact])
      // A copy on request touches nothing.
      if (fact.replay) return
      const copy = copyOf(fact.agent, fact.id)
      judgeAttempt(copy, fact)
      if (!copy.seen) judgeOrder(copy, fact)
      copy.seen = true
      copy.deliveries.push(fact)
      byReceipt.set(fact.receipt, { copy, fact })
      if (fact.plain === true) copy.settling += 1
    },

    settle(fact) {
      for (const receipt of fact.receipts) {
        const named = byReceipt.get(receipt)
        if (named?.copy.deliveries.includes(named.fact)) named.copy.settling += 1
      }
    },

    settled(fact) {
      const named = byReceipt.get(fact.receipt)
      if (!named) {
        if (fact.outcome !== 'stale') accuse('N4', 'unknown-receipt-accepted', 'nothing was delivered under this receipt', [fact])
        return
      }
      const { copy } = named
      const late = newer(copy, named.fact)
      if (fact.outcome === 'acknowledged') {
        if (copy.settled) accuse('N4', 'settled-twice', `${copy.id} was settled before`, [copy.settled, fact])
        if (late) accuse('N4', 'stale-receipt-accepted', `attempt ${late.attempt} was under way`, [named.fact, late, fact])
        if (copy.ended) accuse('N4', 'acknowledged-after-end', `${copy.id} had ended`, [copy.ended, fact])
        copy.settled = fact
      } else if (fact.outcome === 'already') {
        if (copy.settling < 2 && !copy.settled)
          accuse('N13', 'already-without-first', `nobody acknowledged ${copy.id} before`, [named.fact, fact])
        copy.settled ??= fact
      } else if (copy.settled?.receipt === fact.receipt && copy.deliveries.includes(named.fact))
        accuse('N13', 'repeat-refused', 'the same acknowledgement was fine before', [copy.settled, fact])
    },

    givenBack(fact) {
      const named = byReceipt.get(fact.receipt)
      if (!named || fact.outcome === 'stale') return
      const { copy } = named
      const late = newer(copy, named.fact)
      if (late) accuse('N4', 'stale-receipt-accepted', `attempt ${late.attempt} was under way`, [named.fact, late, fact])
      if (copy.settled) accuse('N4', 'given-back-after-acknowledged', `${copy.id} was settled`, [copy.settled, fact])
      if (fact.outcome === 'dead') copy.ended = fact
    },

    effect(fact) {
      const copy = copies.get(`${fact.agent} ${fact.id}`)
      if (!copy?.seen) return accuse('N2', 'effect-without-delivery', `${fact.id} never came to ${fact.agent}`, [fact])
      if (copy.effect) accuse('N10', 'effect-twice', `${fact.id} had its effect before`, [copy.effect, fact])
      copy.effect = fact
    },

    ended(fact) {
      const copy = copyOf(fact.agent, fact.id)
      if (copy.settled)
        accuse(
          'N13',
          fact.fact === 'dead' ? 'acknowledged-but-dead' : 'acknowledged-but-expired',
          'its receiver was told otherwise',
          [copy.settled, fact],
        )
      if (fact.fact === 'dead' && fact.reason === '')
        accuse('N13', 'dead-without-reason', `${fact.id} is dead, nobody says why`, [fact])
      const send = sends.find(fact.id)?.send
      if (fact.fact === 'expired' && send && send.mortal !== true)
        accuse('N1', 'expired-without-ttl', `${fact.id} had no time to live`, [send, fact])
      copy.ended = fact
    },

    redriven(fact) {
      const copy = copyOf(fact.agent, fact.id)
      copy.deliveries = []
      copy.settling = 0
      copy.settled = undefined
      copy.ended = undefined
    },

    find: (agent, id) => copies.get(`${agent} ${id}`),
  }
}
