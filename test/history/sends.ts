/** The sending side of a history: which message each send became, what its sender was told, and how it was numbered. */
import type { Delivered, Fact, Invariant, Send, SendFailed, Stored } from './history.ts'

export type Accuse = (invariant: Invariant, fault: string, detail: string, facts: readonly Fact[]) => void

/** A message as far as its sends and deliveries tell. */
export interface Message {
  id: string
  /** The first send that became this message. */
  send: Send
  /** The first answer that named it. */
  stored: Stored | undefined
  /** What gave it its number within the conversation. */
  numbered: Stored | Delivered | undefined
  number: number | undefined
}

interface Call {
  send: Send
  outcome: Stored | SendFailed | undefined
  /** The highest number answered in the conversation before this call began. */
  after: Stored | undefined
}

/** Sends that mean the same effect: those of one key, or one send without a key. */
interface Effort {
  calls: Call[]
  id: string | undefined
  original: Stored | undefined
}

export interface Sends {
  begin(fact: Send): void
  stored(fact: Stored): void
  failed(fact: SendFailed): void
  /** The message a delivery belongs to; undefined, with an accusation, when it was not sent. */
  messageOf(fact: Delivered): Message | undefined
  find(id: string): Message | undefined
  messages(): Iterable<Message>
  /** Sends that may or may not have been stored: nobody was told, and nothing of them was delivered. */
  undecided(): Send[]
  /** Numbering, judged at the end. */
  finish(): void
}

export function makeSends(history: readonly Fact[], accuse: Accuse): Sends {
  const calls = new Map<string, Call>()
  const efforts = new Map<string, Effort>()
  const byBody = new Map<string, Call[]>()
  const byId = new Map<string, Message>()
  const highest = new Map<string, Stored>()

  const effortOf = (send: Send): Effort => {
    const name = send.key === undefined ? `call ${send.call}` : `key ${send.sender} ${send.key}`
    const effort = efforts.get(name) ?? { calls: [], id: undefined, original: undefined }
    efforts.set(name, effort)
    return effort
  }

  function become(id: string, send: Send, evidence: Stored | Delivered): Message {
    const effort = effortOf(send)
    if (effort.id !== undefined && effort.id !== id)
      accuse('N10', 'stored-twice', `one send became ${effort.id} and ${id}`, [
        ...effort.calls.map((call) => call.send),
        evidence,
      ])
    effort.id ??= id
    const known = byId.get(id)
    if (known) {
      if (effortOf(known.send) !== effort)
        accuse('N10', 'two-sends-one-message', `${id} stands for two sends`, [known.send, send, evidence])
      return known
    }
    const message: Message = { id, send, stored: undefined, numbered: undefined, number: undefined }
    byId.set(id, message)
    return message
  }

  function number(message: Message, evidence: Stored | Delivered): void {
    if (evidence.sender_seq === undefined) return
    if (message.number !== undefined && message.number !== evidence.sender_seq)
      accuse('N3', 'number-changed', `${message.id} was number ${message.number} of its conversation`, [
        message.numbered as Fact,
        evidence,
      ])
    message.number ??= evidence.sender_seq
    message.numbered ??= evidence
  }

  return {
    begin(fact) {
      const call: Call = { send: fact, outcome: undefined, after: highest.get(lineOf(fact)) }
      calls.set(fact.call, call)
      effortOf(fact).calls.push(call)
      const same = byBody.get(fact.body)
      if (same) same.push(call)
      else byBody.set(fact.body, [call])
    },

    stored(fact) {
      const call = calls.get(fact.call)
      if (!call) return accuse('N13', 'answer-without-send', `nobody sent ${fact.call}`, [fact])
      const { send } = call
      const effort = effortOf(send)
      const answered = effort.calls.flatMap(({ outcome }) => (outcome?.fact === 'stored' ? [outcome] : []))
      const other = effort.calls.find((each) => !isSame(each.send, send) && each.outcome?.fact === 'stored')
      if (other)
        accuse('N10', 'conflict-accepted', `the key ${send.key} was taken for two different messages`, [other.send, send, fact])
      if (fact.duplicate) {
        if (effort.calls.length < 2)
          accuse('N13', 'duplicate-without-original', 'called a duplicate, but nothing of this key was sent before', [send, fact])
      } else {
        const [first] = answered
        if (first)
          accuse('N13', 'duplicate-not-flagged', 'called new, but this key had been answered before', [first, send, fact])
        effort.original ??= fact
      }
      call.outcome = fact
      const message = become(fact.id, send, fact)
      message.stored ??= fact
      number(message, fact)
      if (fact.sender_seq === undefined) return
      if (!fact.duplicate && call.after && fact.sender_seq <= (call.after.sender_seq ?? 0))
        accuse('N3', 'numbered-out-of-order', 'a later send of the conversation has a number that is not higher', [
          call.after,
          send,
          fact,
        ])
      const line = lineOf(send)
      if (fact.sender_seq > (highest.get(line)?.sender_seq ?? 0)) highest.set(line, fact)
    },

    failed(fact) {
      const call = calls.get(fact.call)
      if (!call) return
      call.outcome = fact
      const { send } = call
      const prior = effortOf(send).calls.filter((each) => each !== call)
      if (fact.code === 'idempotency_conflict' && prior.every((each) => isSame(each.send, send)))
        accuse('N10', 'retry-refused', 'the same request under the same key was refused as another one', [
          ...prior.map((each) => each.send),
          send,
          fact,
        ])
    },

    messageOf(fact) {
      const known = byId.get(fact.id)
      if (known) {
        const { send } = known
        if (fact.body !== send.body)
          accuse('N2', 'content-changed', `${fact.id} was delivered with another content`, [send, fact])
        if (fact.sender !== send.sender) accuse('N2', 'sender-changed', `${fact.id} was sent by ${send.sender}`, [send, fact])
        if (send.conversation !== undefined && fact.conversation !== undefined && fact.conversation !== send.conversation)
          accuse('N2', 'conversation-changed', `${fact.id} was sent in ${send.conversation}`, [send, fact])
        number(known, fact)
        return known
      }
      const matching = (byBody.get(fact.body) ?? []).filter(({ send }) => send.sender === fact.sender)
      const open = matching.filter(
        ({ outcome }) => outcome === undefined || outcome.fact === 'stored' || outcome.code === 'unknown',
      )
      const call = open.find(({ send }) => effortOf(send).id === undefined) ?? open[0]
      if (call) {
        const message = become(fact.id, call.send, fact)
        number(message, fact)
        return message
      }
      const [refused] = matching
      const later = history.find((each) => each.fact === 'send' && each.body === fact.body && each.sender === fact.sender)
      if (refused) accuse('N2', 'refused-but-delivered', 'the send was refused', [refused.send, refused.outcome as Fact, fact])
      else if (later) accuse('N2', 'delivered-before-sent', 'it came before it was sent', [fact, later])
      else accuse('N2', 'never-sent', `nobody sent ${fact.id}`, [fact])
      return undefined
    },

    find: (id) => byId.get(id),
    messages: () => byId.values(),

    undecided: () =>
      [...efforts.values()].flatMap(({ id, calls: [first, ...more] }) =>
        id === undefined && first && [first, ...more].some(({ outcome }) => isUnknown(outcome)) ? [first.send] : [],
      ),

    finish() {
      const lines = new Map<string, Message[]>()
      for (const message of byId.values()) {
        if (message.number === undefined || message.send.conversation === undefined) continue
        const line = lineOf(message.send)
        const members = lines.get(line)
        if (members) members.push(message)
        else lines.set(line, [message])
      }
      const undecided = Map.groupBy(this.undecided(), lineOf)
      for (const [line, members] of lines) {
        members.sort((a, b) => (a.number ?? 0) - (b.number ?? 0))
        judgeLine(members, undecided.get(line)?.length ?? 0, accuse)
      }
    },
  }
}

/** Gapless from 1, each number once, and in the order in which the sender meant them. */
function judgeLine(members: readonly Message[], undecided: number, accuse: Accuse): void {
  let before: Message | undefined
  let missing = 0
  for (const message of members) {
    const [number, last] = [message.number ?? 0, before?.number ?? 0]
    const evidence = [before?.numbered, message.numbered].filter((fact) => fact !== undefined)
    if (number === last) accuse('N3', 'number-twice', `two messages are number ${number} of their conversation`, evidence)
    missing += Math.max(0, number - last - 1)
    if (missing > undecided) {
      accuse('N3', 'number-gap', `${missing} numbers before ${number} belong to no send`, evidence)
      return
    }
    const [earlier, later] = [before?.send.position, message.send.position]
    if (earlier !== undefined && later !== undefined && earlier > later)
      accuse('N3', 'sent-order-lost', `position ${earlier} was numbered before position ${later}`, [
        ...(before ? [before.send] : []),
        message.send,
        ...evidence,
      ])
    before = message
  }
}

const lineOf = (send: Send): string => `${send.sender} ${send.conversation ?? `call ${send.call}`}`
const isUnknown = (outcome: Stored | SendFailed | undefined): boolean =>
  outcome === undefined || (outcome.fact === 'send-failed' && outcome.code === 'unknown')
const isSame = (one: Send, other: Send): boolean =>
  one.body === other.body && one.conversation === other.conversation && String(one.to) === String(other.to)
