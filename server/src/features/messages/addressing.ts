/** What of an envelope says to whom a message goes, and what kind it is. */
import { CadreError, type ParsedInputOf, toPriority } from '@cadre/contract'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Facts } from './predicate.ts'
import { type Destination, type Routing, refuseField } from './routing.ts'

export type Envelope =
  | ParsedInputOf<'messages.send'>
  | ParsedInputOf<'messages.ask'>
  | ParsedInputOf<'messages.reply'>
  | ParsedInputOf<'messages.publish'>

const kinds = new Set(['request', 'response', 'broadcast', 'system', 'event'])
const envelopeFields = new Set([
  'return',
  'content',
  'kind',
  'type',
  'priority',
  'conversation_id',
  'task_id',
  'lease',
  'reply_to',
  'artifacts',
  'metadata',
  'intent',
  'context',
  'expected_response',
  'task',
  'ttl',
  'sender_id',
  'to',
  'recipients',
  'broadcast',
  'topic',
  'timeout_ms',
  'receipt',
  'token',
  'return',
])
/** Those of send and ask. */
const addressedFields = new Set([...envelopeFields, 'agent_type', 'capabilities', 'strategy'])

export interface Addressing {
  /** Where a message that is sent goes: whom it names, whoever is what it asks for, by a rule, or to all. */
  readonly addressee: (context: Context, input: ParsedInputOf<'messages.send'>) => Destination
  /** The one agent that is asked. Throws when there is none: nobody would ever answer. */
  readonly asked: (context: Context, input: ParsedInputOf<'messages.ask'>) => Destination
}

export function makeAddressing({ directory, routing }: { directory: Directory; routing: Routing }): Addressing {
  function addressee(context: Context, input: ParsedInputOf<'messages.send'>): Destination {
    const named = [
      ...(input.to === undefined ? [] : Array.isArray(input.to) ? input.to : [input.to]),
      ...(input.recipients ?? []),
    ]
    const kind = chosenKind(input)
    const isAsked = input.agent_type !== undefined || input.capabilities !== undefined
    if (isAsked && named.length > 0) refuseField('/agent_type', 'Name agents, or say what they have to be: not both.')
    if (input.broadcast === true && (named.length > 0 || isAsked))
      refuseField('/broadcast', 'A broadcast goes to everyone: leave out the recipients, or leave out broadcast.')
    if ('topic' in input) refuseField('/topic', 'Send to a topic with messages.publish: POST /topics/{topic}/publish.')
    const escalates = input.intent === 'escalate'
    const to =
      input.broadcast === true
        ? routing.everyone(context, kind)
        : named.length > 0
          ? input.strategy === undefined
            ? routing.named(context, named, kind)
            : routing.among(context, named, input.strategy)
          : isAsked
            ? routing.whoIs(context, input, input.strategy)
            : escalates
              ? undefined
              : unaddressed(context, input, kind)
    return escalates || to === undefined ? routing.escalated(context, to) : to
  }

  /** It names nobody: a rule decides, unless it says itself that it is for everyone. */
  function unaddressed(context: Context, input: ParsedInputOf<'messages.send'>, kind: string | undefined): Destination {
    const facts = (): Facts => ({
      type: input.type ?? 'message',
      topic: null,
      intent: input.intent,
      kind: kind ?? 'event',
      priority: toPriority(input.priority),
      sender: context.caller.name,
      metadata: metadataOf(context, input) ?? {},
      content: input.content,
    })
    const byRule = kind === 'broadcast' ? undefined : routing.byRule(context, facts)
    return byRule ?? routing.everyone(context, kind)
  }

  function asked(context: Context, input: ParsedInputOf<'messages.ask'>): Destination {
    const escalates = input.intent === 'escalate'
    const isAsked = input.agent_type !== undefined || input.capabilities !== undefined
    if (input.to !== undefined) {
      if (isAsked) refuseField('/agent_type', 'Name an agent, or say what it has to be: not both.')
      const recipient = directory.agent(context.tenant, input.to)
      if (!escalates) return routing.named(context, [recipient.publicId], chosenKind(input))
      if (recipient.id !== directory.agent(context.tenant, 'operator').id)
        refuseField('/to', 'A question has one answer: leave out the recipient to ask the operator, or send instead of asking.')
    }
    if (escalates) {
      if (isAsked) refuseField('/agent_type', 'A question that is escalated goes to the operator alone.')
      return routing.escalated(context, undefined)
    }
    if (!isAsked) refuseField('/to', 'Name the agent to ask, or what it has to be.')
    if (input.strategy === 'all') refuseField('/strategy', 'One agent is asked; send to all instead.')
    const to = routing.whoIs(context, input, input.strategy)
    if (to.recipients.length === 0) throw new CadreError('unavailable', { reason: sentence(to.unroutable ?? 'nobody is there') })
    return to
  }

  return { addressee, asked }
}

/** The kind its sender gave it: as such, or by a type that is one. */
export function chosenKind({ kind, type }: Envelope): string | undefined {
  if (kind !== undefined || type === undefined) return kind
  const alias = type === 'agent' ? 'broadcast' : type
  return kinds.has(alias) ? alias : undefined
}

/** Fields we do not know are kept with the message rather than dropped. */
export function metadataOf(context: Context, input: Envelope): Record<string, unknown> | undefined {
  const isAddressed = context.operation === 'messages.send' || context.operation === 'messages.ask'
  const known = isAddressed ? addressedFields : envelopeFields
  const unknown = unknownFields(input, known)
  return unknown === undefined ? input.metadata : { ...unknown, ...input.metadata }
}

// Nearly no message has any, so nothing is made before one is found.
function unknownFields(input: Envelope, known: ReadonlySet<string>): Record<string, unknown> | undefined {
  for (const field in input)
    if (!known.has(field)) return Object.fromEntries(Object.entries(input).filter(([name]) => !known.has(name)))
  return undefined
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
