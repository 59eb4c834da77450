/**
 * A bus in a few lines that does everything right, one step at a time, and the history of what its clients did and saw. It knows crashes
 * too: answers that are lost, sends that are lost, receivers that forget what they had.
 */
import type { Delivered, Fact } from './history.ts'

/** Numbers choose among what is possible at that moment. */
export type Step =
  | { do: 'send'; sender: number; to: number; conversation: number; lost: 'nothing' | 'answer' | 'request' }
  | { do: 'resend'; pick: number; lost: 'nothing' | 'answer' }
  | { do: 'conflict'; pick: number }
  | { do: 'deliver'; agent: number }
  | { do: 'acknowledge'; pick: number; lost: 'nothing' | 'answer' | 'request' }
  | { do: 'repeat'; pick: number }
  | { do: 'stale'; pick: number }
  | { do: 'reject'; pick: number; dead: boolean }
  | { do: 'crash'; agent: number }
  | { do: 'look'; pick: number }

const senders = ['ada', 'eve']
const receivers = ['bob', 'cid']

interface Copy {
  agent: string
  message: Message
  state: 'ready' | 'leased' | 'settled' | 'dead'
  attempt: number
  effect: boolean
}

interface Message {
  id: string
  sender: string
  conversation: string
  number: number
  body: string
  copies: Copy[]
}

interface Sent {
  sender: string
  to: readonly string[]
  conversation: string
  key: string
  body: string
  message: Message | undefined
  answered: boolean
}

const choose = <T>(list: readonly T[], pick: number): T | undefined => list[pick % Math.max(1, list.length)]
const maxAttempts = 5

/** The history of these steps, after which everything is sent again until it is answered, delivered, and acknowledged. */
export function simulate(steps: readonly Step[]): Fact[] {
  const facts: Fact[] = []
  const sent: Sent[] = []
  const copies: Copy[] = []
  const given: { copy: Copy; fact: Delivered }[] = []
  const deliveryNumbers = new Map<string, number>()
  let calls = 0

  function request(each: Sent, lost: 'nothing' | 'answer' | 'request', conflicting = false): void {
    calls += 1
    const { sender, to, conversation, key } = each
    const call = `call ${calls}`
    facts.push({ fact: 'send', call, sender, to, conversation, key, body: conflicting ? `other ${calls}` : each.body })
    if (lost === 'request') return void facts.push({ fact: 'send-failed', call, code: 'unknown' })
    if (conflicting) return void facts.push({ fact: 'send-failed', call, code: 'idempotency_conflict' })
    const duplicate = each.message !== undefined
    const message = (each.message ??= store(each))
    if (lost === 'answer') return void facts.push({ fact: 'send-failed', call, code: 'unknown' })
    each.answered = true
    const seq = Number(message.id.slice(1))
    facts.push({ fact: 'stored', call, id: message.id, seq, duplicate, sender_seq: message.number })
  }

  let stored = 0
  const numbers = new Map<string, number>()
  function store({ sender, to, conversation, body }: Sent): Message {
    stored += 1
    const line = `${sender} ${conversation}`
    const number = (numbers.get(line) ?? 0) + 1
    numbers.set(line, number)
    const message: Message = { id: `m${stored}`, sender, conversation, number, body, copies: [] }
    message.copies = to.map((agent) => ({ agent, message, state: 'ready', attempt: 0, effect: false }))
    copies.push(...message.copies)
    return message
  }

  const isBehind = ({ agent, message }: Copy): boolean =>
    copies.some(
      (other) =>
        other.agent === agent &&
        other.message.sender === message.sender &&
        other.message.conversation === message.conversation &&
        other.message.number < message.number &&
        (other.state === 'ready' || other.state === 'leased'),
    )

  function deliver(agent: string): boolean {
    const copy = copies.find((each) => each.agent === agent && each.state === 'ready' && !isBehind(each))
    if (!copy) return false
    copy.state = 'leased'
    copy.attempt += 1
    const { id, sender, body, conversation, number } = copy.message
    const seq = (deliveryNumbers.get(agent) ?? 0) + 1
    deliveryNumbers.set(agent, seq)
    const fact: Delivered = {
      fact: 'delivered',
      agent,
      session: 's',
      id,
      sender,
      body,
      receipt: `${id}/${agent}/${copy.attempt}`,
      attempt: copy.attempt,
      replay: false,
      conversation,
      sender_seq: number,
      seq,
    }
    facts.push(fact)
    given.push({ copy, fact })
    return true
  }

  const current = () => given.filter(({ copy, fact }) => copy.state === 'leased' && copy.attempt === fact.attempt)

  function acknowledge({ copy, fact }: { copy: Copy; fact: Delivered }, lost: 'nothing' | 'answer' | 'request'): void {
    const { agent, receipt } = fact
    if (!copy.effect) facts.push({ fact: 'effect', agent, id: copy.message.id })
    copy.effect = true
    facts.push({ fact: 'settle', agent, receipts: [receipt] })
    if (lost === 'request') return
    copy.state = 'settled'
    if (lost === 'nothing') facts.push({ fact: 'settled', agent, receipt, outcome: 'acknowledged' })
  }

  function giveBack(copy: Copy): void {
    copy.state = copy.attempt >= maxAttempts ? 'dead' : 'ready'
  }

  function statusOf(message: Message): 'stored' | 'delivered' | 'acknowledged' | 'dead' {
    const states = new Set(message.copies.map(({ state }) => state))
    return states.has('ready') ? 'stored' : states.has('leased') ? 'delivered' : states.has('dead') ? 'dead' : 'acknowledged'
  }

  const look = (message: Message) => void facts.push({ fact: 'status', id: message.id, status: statusOf(message) })

  function run(step: Step): void {
    switch (step.do) {
      case 'send': {
        const number = sent.length + 1
        const to = step.to % 3 === 2 ? receivers : [choose(receivers, step.to) as string]
        const sender = choose(senders, step.sender) as string
        const conversation = `talk ${step.conversation % 3}`
        const each: Sent = {
          sender,
          to,
          conversation,
          key: `key ${number}`,
          body: `body ${number}`,
          message: undefined,
          answered: false,
        }
        sent.push(each)
        return request(each, step.lost)
      }
      case 'resend': {
        const each = choose(sent, step.pick)
        return each && request(each, step.lost)
      }
      case 'conflict': {
        const each = choose(
          sent.filter(({ message }) => message !== undefined),
          step.pick,
        )
        return each && request(each, 'nothing', true)
      }
      case 'deliver':
        return void deliver(choose(receivers, step.agent) as string)
      case 'acknowledge': {
        const held = choose(current(), step.pick)
        return held && acknowledge(held, step.lost)
      }
      case 'repeat': {
        const held = choose(
          given.filter(({ copy, fact }) => copy.state === 'settled' && copy.attempt === fact.attempt),
          step.pick,
        )
        if (!held) return
        const { agent, receipt } = held.fact
        facts.push({ fact: 'settle', agent, receipts: [receipt] }, { fact: 'settled', agent, receipt, outcome: 'already' })
        return
      }
      case 'stale': {
        const held = choose(
          given.filter(({ copy, fact }) => copy.state !== 'settled' && copy.attempt > fact.attempt),
          step.pick,
        )
        if (held) facts.push({ fact: 'settled', agent: held.fact.agent, receipt: held.fact.receipt, outcome: 'stale' })
        return
      }
      case 'reject': {
        const held = choose(current(), step.pick)
        if (!held) return
        if (step.dead) held.copy.state = 'dead'
        else giveBack(held.copy)
        const { agent, receipt } = held.fact
        facts.push({ fact: 'given-back', agent, receipt, outcome: held.copy.state === 'dead' ? 'dead' : 'ready' })
        return
      }
      case 'crash':
        for (const { copy } of current()) if (copy.agent === choose(receivers, step.agent)) giveBack(copy)
        return
      case 'look': {
        const message = choose(
          sent.flatMap((each) => each.message ?? []),
          step.pick,
        )
        return message && look(message)
      }
    }
  }

  for (const step of steps) run(step)
  for (const each of sent) if (!each.answered) request(each, 'nothing')
  for (;;) {
    for (const held of current()) acknowledge(held, 'nothing')
    const moved = receivers.map(deliver)
    if (!moved.includes(true)) break
  }
  for (const { agent, message, state } of copies) {
    if (state !== 'dead') continue
    const { id, sender } = message
    facts.push(
      { fact: 'dead', agent, id, reason: 'too many attempts' },
      { fact: 'bounced', agent: sender, id, recipient: agent, status: 'dead' },
    )
  }
  for (const { message } of sent) if (message) look(message)
  facts.push({ fact: 'final', depths: Object.fromEntries(receivers.map((agent) => [agent, 0])), drained: true, told: senders })
  return facts
}
