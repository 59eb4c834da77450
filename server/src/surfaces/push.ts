/** Facts of the log that the protocol pushes to agents unasked: who joined and left, and memory for plain clients. */
import type { Directory } from '../core/directory.ts'
import type { Entry, EventLog } from '../core/events.ts'
import type { Session, Sessions } from '../core/sessions.ts'

interface PushParts {
  log: EventLog
  sessions: Sessions
  directory: Directory
}

const frames: Readonly<Record<string, string>> = {
  'agent.joined': 'agent:joined',
  'agent.left': 'agent:left',
  'memory.updated': 'memory:updated',
}

export function forwardEvents({ log, sessions, directory }: PushParts): () => void {
  return log.subscribe((entries) => {
    for (const entry of entries) {
      const type = frames[entry.type]
      if (type === undefined) continue
      const frame = JSON.stringify({ type, data: entry.data })
      for (const [, session] of sessions.agents()) if (isFor(entry, session)) session.send(frame)
    }
  })

  function isFor(entry: Entry, session: Session): boolean {
    if (entry.tenant !== session.caller.tenant) return false
    if (entry.type !== 'memory.updated') return entry.subject !== session.caller.publicId
    // Plain clients know no watch, so they hear of every key they may read.
    return session.mode === 'plain' && mayRead(entry, session)
  }

  function mayRead(entry: Entry, session: Session): boolean {
    const { access_control } = entry.data as { access_control?: { read?: string[] } }
    const readers = access_control?.read
    if (readers === undefined || entry.actor === session.caller.id) return true
    return readers.some((reference) => directory.find(entry.tenant, reference)?.id === session.caller.id)
  }
}
