/** Judges a history by the invariants N1 to N4, N10, N13 and N16. Pure: the same history, the same violations. */
import { type Copies, type Copy, makeCopies } from './copies.ts'
import type { Bounced, Fact, Final, Status, StatusSeen, Violation } from './history.ts'
import { type Accuse, type Sends, makeSends } from './sends.ts'

/** Every violation, in the order in which the history shows them. Linear in the length of the history. */
export function checkHistory(history: readonly Fact[]): Violation[] {
  const violations: Violation[] = []
  const accuse: Accuse = (invariant, fault, detail, facts) => void violations.push({ invariant, fault, detail, facts })
  const sends = makeSends(history, accuse)
  const copies = makeCopies(history, sends, accuse)
  const statuses = makeStatuses(sends, copies, accuse)
  const bounces: Bounced[] = []
  for (const fact of history) {
    switch (fact.fact) {
      case 'send':
        sends.begin(fact)
        break
      case 'stored':
        sends.stored(fact)
        break
      case 'send-failed':
        sends.failed(fact)
        break
      case 'delivered':
        copies.delivered(fact)
        break
      case 'settle':
        copies.settle(fact)
        break
      case 'settled':
        copies.settled(fact)
        break
      case 'given-back':
        copies.givenBack(fact)
        break
      case 'effect':
        copies.effect(fact)
        break
      case 'dead':
      case 'expired':
        copies.ended(fact)
        break
      case 'redriven':
        copies.redriven(fact)
        statuses.redriven(fact.id)
        break
      case 'status':
        statuses.seen(fact)
        break
      case 'bounced':
        bounces.push(fact)
        break
      case 'final':
        judgeInboxes(fact, sends, copies, accuse)
        statuses.finish(fact)
        judgeBounces(fact, bounces, sends, copies, accuse)
        break
    }
  }
  sends.finish()
  return violations
}

const terminal = new Set<Status>(['acknowledged', 'dead', 'expired', 'unroutable'])

function makeStatuses(sends: Sends, copies: Copies, accuse: Accuse) {
  const last = new Map<string, StatusSeen>()
  const copiesOf = (id: string): (Copy | undefined)[] => {
    const message = sends.find(id)
    return message?.send.to.map((agent) => copies.find(agent, id)) ?? []
  }
  return {
    seen(fact: StatusSeen): void {
      const before = last.get(fact.id)
      if (before && before.status !== fact.status && terminal.has(before.status))
        accuse('N13', 'status-went-back', `${fact.id} was ${before.status}`, [before, fact])
      last.set(fact.id, fact)
      const all = copiesOf(fact.id)
      if (fact.status === 'acknowledged') {
        const early = all.findIndex((copy) => (copy?.settling ?? 0) === 0)
        if (early >= 0) {
          const evidence = all[early]?.deliveries.at(-1)
          accuse('N13', 'acknowledged-too-early', 'a recipient has not acknowledged it', [...(evidence ? [evidence] : []), fact])
        }
      } else if (!terminal.has(fact.status) && all.length > 0 && all.every((copy) => copy?.settled)) {
        accuse('N13', 'status-behind', 'every recipient was told that it is settled', [all[0]?.settled as Fact, fact])
      }
    },
    redriven: (id: string): void => void last.delete(id),
    finish({ drained }: Final): void {
      for (const fact of last.values()) {
        const all = copiesOf(fact.id)
        if (drained && !terminal.has(fact.status)) accuse('N13', 'status-not-final', `${fact.id} is still ${fact.status}`, [fact])
        if (fact.status === 'dead' && !all.some((copy) => copy?.ended && copy.ended.fact !== 'expired'))
          accuse('N13', 'dead-without-letter', `${fact.id} is dead, but no dead letter says why`, [fact])
        const ended = all.find((copy) => copy?.ended)?.ended
        if (fact.status === 'acknowledged' && ended)
          accuse('N13', 'status-hides-an-end', `a copy of ${fact.id} ended otherwise`, [ended, fact])
      }
    },
  }
}

function judgeInboxes(final: Final, sends: Sends, copies: Copies, accuse: Accuse): void {
  const waiting = new Map<string, { id: string; evidence: Fact[] }[]>()
  const perhaps = new Map<string, number>()
  const count = (agent: string) => perhaps.set(agent, (perhaps.get(agent) ?? 0) + 1)
  for (const { id, send, stored } of sends.messages()) {
    for (const agent of send.to) {
      const copy = copies.find(agent, id)
      if (copy?.ended || copy?.settled) continue
      if (copy && copy.settling > 0) {
        count(agent)
        continue
      }
      const evidence = [send, stored, ...(copy?.deliveries ?? [])].filter((fact) => fact !== undefined)
      const list = waiting.get(agent) ?? []
      list.push({ id, evidence })
      waiting.set(agent, list)
    }
  }
  for (const send of sends.undecided()) for (const agent of send.to) count(agent)
  for (const agent of new Set([...Object.keys(final.depths), ...waiting.keys()])) {
    const depth = final.depths[agent] ?? 0
    const held = waiting.get(agent) ?? []
    if (final.drained && depth > 0) accuse('N16', 'not-drained', `${depth} deliveries are left for ${agent}`, [final])
    if (depth < held.length)
      for (const { id, evidence } of final.drained ? held : held.slice(0, 1))
        accuse('N1', 'lost', `${id} is neither with ${agent} nor acknowledged, dead or expired`, [...evidence, final])
    if (depth > held.length + (perhaps.get(agent) ?? 0))
      accuse('N13', 'depth-untrue', `${agent} has ${depth} deliveries, of which ${held.length} are known`, [final])
  }
}

/** Who is told that a copy ended is its sender, it is true, and nobody is left to believe otherwise. */
function judgeBounces(final: Final, bounces: readonly Bounced[], sends: Sends, copies: Copies, accuse: Accuse): void {
  const told = new Set(bounces.map(({ id, recipient }) => `${id} ${recipient}`))
  for (const fact of bounces) {
    const send = sends.find(fact.id)?.send
    if (send?.sender !== fact.agent) accuse('N13', 'bounce-to-another', `${fact.agent} did not send ${fact.id}`, [fact])
    const copy = copies.find(fact.recipient, fact.id)
    if (final.drained && !copy?.ended) {
      const settled = copy?.settled
      accuse('N13', 'bounce-untrue', `the copy of ${fact.recipient} did not end so`, [fact, ...(settled ? [settled] : [])])
    }
  }
  for (const { id, send } of sends.messages()) {
    if (final.told?.includes(send.sender) !== true) continue
    for (const agent of send.to) {
      const ended = copies.find(agent, id)?.ended
      if (ended && !told.has(`${id} ${agent}`))
        accuse('N13', 'end-untold', `${send.sender} was not told that ${id} ended`, [send, ended])
    }
  }
}
