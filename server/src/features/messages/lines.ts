/** The order of a conversation: what its sender said later waits until the earlier has left the inbox. */
import type { Tx } from '../../drivers/database/port.ts'
import { isInFlight } from './lane-store.ts'
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
export function makeLines({ leases, arrived }: { leases: Leases; arrived: (agent: number) => void }): Lines {
  return {
    async isBehind(tx, row, agent, first, lines) {
      const line: Line = { tenant: row.tenant, agent, conversation: row.conversation as string, sender: row.actor }
      const name = lineKey(line)
      if (lines.has(name)) return true
      lines.add(name)
      // The first message has a row that joins the line, or it is in flight without one; both remember what waits for them.
      if (first?.actor === row.actor && ((await joinLine(tx, line, first)) || (await isInFlight(tx, first, agent)))) {
        leases.addHead({ agent, seq: first.seq })
        return true
      }
      return hasLine(tx, line)
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
