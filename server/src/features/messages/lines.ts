/** The order of a conversation: what its sender said later waits until the earlier has left the inbox. */
import type { Tx } from '../../drivers/database/port.ts'
import { isInFlight } from './lane-store.ts'
import type { Lane } from './lane.ts'
import type { Leases } from './leases.ts'
import { type Line, type MessageRow, advanceLine, hasLine, joinLine } from './store.ts'

type Left = Omit<Line, 'conversation'> & { conversation: string | null }

export interface Lines {
  /**
   * Does a new message of a conversation have to wait for an earlier one of its sender? `first` is the message that the conversation is
   * named by; `lines` remembers the answers of one transaction.
   */
  readonly isBehind: (
    tx: Tx,
    row: MessageRow,
    agent: number,
    first: MessageRow | undefined,
    lines: Set<string>,
  ) => Promise<boolean>
  /** Makes those ready that waited for what just left the inbox. */
  readonly advance: (tx: Tx, left: readonly Left[]) => Promise<void>
}

/** `arrived` is called after the commit that made a delivery of the agent ready. */
export function makeLines({ leases, lane, arrived }: { leases: Leases; lane: Lane; arrived: (agent: number) => void }): Lines {
  return {
    async isBehind(tx, row, agent, first, lines) {
      const line: Line = { tenant: row.tenant, agent, conversation: row.conversation as string, sender: row.actor }
      const name = lineKey(line)
      if (lines.has(name)) return true
      lines.add(name)
      if (first?.actor !== row.actor) return hasLine(tx, line)
      const joined = await joinLine(tx, line, first)
      if (!joined && !(await isInFlight(tx, first, agent))) return hasLine(tx, line)
      leases.addHead({ agent, seq: first.seq })
      // In flight without a row it would stand in no line: a restart, or another that leaves the line, would pass it by.
      const lease = joined ? undefined : leases.get({ agent, seq: first.seq })
      if (lease) await lane.toRows(tx, [lease])
      return true
    },

    async advance(tx, left) {
      const lines = new Map<string, Line>()
      for (const { tenant, agent, conversation, sender } of left) {
        if (conversation === null) continue
        const line = { tenant, agent, conversation, sender }
        lines.set(lineKey(line), line)
      }
      for (const line of lines.values()) {
        if (!(await advanceLine(tx, line))) continue
        tx.afterCommit(() => {
          leases.countBehind(line.agent, -1)
          leases.countReady(line.agent, 1)
          arrived(line.agent)
        })
      }
    },
  }
}

const lineKey = (line: Line): string => `${line.agent}/${line.sender}/${line.conversation}`
