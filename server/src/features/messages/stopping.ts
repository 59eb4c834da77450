/**
 * A system message that says STOP. From an operator it ends the agents it goes to: each takes no new task from the commit on, and ends when
 * it has acknowledged the message and finished its tasks, or is not there to acknowledge anything, or a grace has passed.
 */
import { Background } from '../../core/background.ts'
import type { Clock } from '../../core/clock.ts'
import type { Caller, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Logger } from '../../core/logger.ts'
import type { Sessions } from '../../core/sessions.ts'
import { messageId } from './envelope.ts'
import type { MessageRow } from './store.ts'

/** How an agent is ended. */
export interface Ending {
  /** From now on it takes nothing new. False when it is ending already, or is no agent. */
  begin: (tx: WriteTx, agent: number, reason: string) => Promise<boolean>
  /** Ends it, if it has no task left; otherwise it ends with its last one. */
  finish: (agent: number, reason: string) => Promise<void>
}

export interface Stopping {
  /** Who is to be stopped by a system message; undefined when it says something else, or its sender may not. */
  asked(
    caller: Caller,
    message: { type?: string | undefined; content: unknown },
    recipients: readonly number[],
  ): readonly number[] | undefined
  begin(tx: WriteTx, agents: readonly number[], row: MessageRow): Promise<void>
  close(): Promise<void>
}

export interface StoppingParts {
  logger: Logger
  clock: Clock
  log: EventLog
  directory: Directory
  sessions: Sessions
  ending: Ending
}

const graceMs = 10_000
const reason = 'stopped by a message'

export function makeStopping(parts: StoppingParts): Stopping {
  const { clock, log, directory, sessions, ending } = parts
  const background = new Background(parts.logger, 'an agent that was told to stop could not be ended')
  /** Agents that have not acknowledged their stop yet. */
  const waiting = new Map<number, { message: string; cancel: () => void }>()

  const unsubscribe = log.subscribe((entries) => {
    if (waiting.size === 0) return
    for (const entry of entries) {
      if (entry.type !== 'message.settled') continue
      const { state, message_ids: ids } = entry.data as { state: string; message_ids: string[] }
      const stop = waiting.get(entry.actor)
      if (state === 'acknowledged' && stop && ids.includes(stop.message)) end(entry.actor)
    }
  })
  sessions.onReleased(({ agent }) => {
    if (agent !== undefined && waiting.has(agent)) end(agent)
  })

  function end(agent: number): void {
    waiting.get(agent)?.cancel()
    waiting.delete(agent)
    background.run(ending.finish(agent, reason))
  }

  return {
    asked(caller, { type, content }, recipients) {
      if (caller.role !== 'admin' && caller.role !== 'operator') return undefined
      const says = (value: unknown) => typeof value === 'string' && value.toLowerCase() === 'stop'
      return says(type) || says(content) ? recipients.filter((id) => directory.byId(id).kind === 'agent') : undefined
    },

    async begin(tx, agents, row) {
      for (const agent of agents) {
        if (!(await ending.begin(tx, agent, reason))) continue
        tx.afterCommit(() => {
          const cancel = clock.after(graceMs, () => end(agent))
          waiting.set(agent, { message: messageId(row.seq), cancel })
          if (sessions.forAgent(agent) === undefined) end(agent)
        })
      }
    },

    async close() {
      unsubscribe()
      for (const { cancel } of waiting.values()) cancel()
      waiting.clear()
      await background.idle()
    },
  }
}
