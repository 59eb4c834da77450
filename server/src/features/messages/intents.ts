/**
 * What a message does beside arriving: a delegation makes a task, an intent can be listed by, a stop ends agents. All of it becomes true in
 * the commit of the message, and a message that does none of it pays nothing.
 */
import type { ParsedInputOf } from '@cadre/contract'
import type { Caller, Context, NewEntry, WriteTx } from '../../core/context.ts'
import type { EventLog } from '../../core/events.ts'
import type { Tx } from '../../drivers/database/port.ts'
import { messageId } from './envelope.ts'
import { type Destination, refuseField } from './routing.ts'
import { noteIntent } from './rule-store.ts'
import type { Outgoing } from './sending.ts'
import type { Stopping } from './stopping.ts'

/** A new task as `tasks.create` takes it. */
export type NewTask = { [F in keyof Created]?: Created[F] | undefined }
type Created = ParsedInputOf<'tasks.create'>

/** Makes a task in the caller's name, in the transaction. Throws what `tasks.create` would. */
export type Delegate = (tx: WriteTx, context: Context, id: string, task: NewTask) => Promise<void>

type Given = Pick<ParsedInputOf<'messages.send'>, 'intent' | 'task' | 'task_id' | 'content' | 'priority' | 'type'>
type Extras = Pick<Outgoing, 'makes' | 'also'>

export interface IntentsParts {
  log: EventLog
  newId: (prefix: string) => string
  nameOf: (id: number) => string
  isAgent: (id: number) => boolean
  delegate: Delegate
  stopping: Stopping
}

const maxTitle = 120

export function makeIntents(parts: IntentsParts): {
  /** What the message does beside arriving. Throws when it cannot be done, before anything is stored. */
  extras: (context: Context, input: Given, to: Destination, kind: string) => Extras | undefined
} {
  const { stopping } = parts

  function extras(context: Context, input: Given, to: Destination, kind: string): Extras | undefined {
    const { intent } = input
    const stops = kind === 'system' ? stopping.asked(context.caller, input, to.recipients) : undefined
    if (input.task !== undefined && intent !== 'delegate')
      refuseField('/task', 'Only a message with the intent delegate makes a task.')
    if (intent === undefined && stops === undefined) return undefined
    const task = intent === 'delegate' ? delegation(context, input, to) : undefined
    const id = task && parts.newId('tsk')
    return {
      ...(id !== undefined && { makes: id }),
      also: async (tx, row) => {
        if (intent !== undefined) await noteIntent(tx, row.tenant, row.seq, intent)
        if (task === undefined && stops === undefined) return
        await writing(tx, context, async (writer) => {
          if (task && id !== undefined) {
            const links = { message_id: messageId(row.seq), delegated_by: context.caller.name }
            await parts.delegate(writer, context, id, { ...task, metadata: { ...task.metadata, ...links } })
          }
          if (stops) await stopping.begin(writer, stops, row)
        })
      },
    }
  }

  function delegation(context: Context, input: Given, to: Destination): NewTask {
    const [recipient] = to.recipients
    if (to.recipients.length > 1 || to.kind === 'broadcast')
      refuseField('/intent', 'A delegation goes to one agent: name one, or what it is, with a strategy that picks one.')
    const wanted = to.route?.agent_type !== undefined || to.route?.capabilities !== undefined
    if (recipient === undefined && !wanted) refuseField('/to', `Nobody can take it: ${to.unroutable}.`)
    if (recipient !== undefined && !parts.isAgent(recipient))
      refuseField('/to', `${parts.nameOf(recipient)} is no agent; delegate to one.`)
    const {
      title,
      description,
      input: given,
      ...rest
    } = typeof input.task === 'string' ? { title: input.task } : (input.task ?? {})
    const text = textOf(input.content)
    return {
      ...rest,
      title: title ?? titleFrom(input.content) ?? `Delegated by ${context.caller.name}`,
      description: description ?? text ?? '',
      input: given === undefined ? input.content : given,
      ...(input.priority !== undefined && { priority: input.priority }),
      ...(input.task_id !== undefined && { parent_id: input.task_id }),
      // Nobody is there yet: the engine finds one when there is.
      ...(recipient === undefined
        ? { agent_type: to.route?.agent_type, capabilities: to.route?.capabilities }
        : { assign_to: parts.nameOf(recipient) }),
    }
  }

  /** The log entries of what is written follow it in the same transaction. */
  async function writing(tx: Tx, context: Context, work: (tx: WriteTx) => Promise<void>): Promise<void> {
    const entries: NewEntry[] = []
    await work({
      all: (query) => tx.all(query),
      get: (query) => tx.get(query),
      run: (query) => tx.run(query),
      runMany: (text, rows) => tx.runMany(text, rows),
      afterCommit: (callback) => tx.afterCommit(callback),
      emit: (entry) => entries.push(entry),
    })
    const actor: Caller = context.caller
    await parts.log.append(tx, actor, context.trace, entries)
  }

  return { extras }
}

function textOf(content: unknown): string | undefined {
  return typeof content === 'string' && content.trim() !== '' ? content : undefined
}

/** The first line of a text, or what an object calls its title or its task. */
function titleFrom(content: unknown): string | undefined {
  const own = (name: string) =>
    typeof content === 'object' && content !== null && Object.hasOwn(content, name)
      ? textOf((content as Record<string, unknown>)[name])
      : undefined
  const line = (textOf(content) ?? own('title') ?? own('task'))?.trim().split('\n', 1)[0]
  return line !== undefined && line.length > maxTitle ? `${line.slice(0, maxTitle - 3)}...` : line
}
