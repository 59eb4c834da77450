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

/**
 * Everybody hears of everybody, so that a thousand agents coming back make a million frames. In a crowd those of this time leave
 * together: the first at once, what follows it in one write to each.
 */
const crowd = 64
const gatherMs = 50

export function forwardEvents({ log, sessions, directory }: PushParts): () => void {
  let gathered: Entry[] = []
  let timer: NodeJS.Timeout | undefined

  const unsubscribe = log.subscribe((entries) => {
    for (const entry of entries) {
      if (frames[entry.type] === undefined) continue
      if (entry.type !== 'memory.updated' && sessions.agentCount > crowd) gather(entry)
      else push([entry])
    }
  })
  return () => {
    unsubscribe()
    clearTimeout(timer)
  }

  function gather(entry: Entry): void {
    if (timer) return void gathered.push(entry)
    push([entry])
    timer = setTimeout(release, gatherMs).unref()
  }

  function release(): void {
    timer = undefined
    if (gathered.length === 0) return
    const entries = gathered
    gathered = []
    push(entries)
    timer = setTimeout(release, gatherMs).unref()
  }

  function push(entries: readonly Entry[]): void {
    const texts = entries.map((entry) => JSON.stringify({ type: frames[entry.type], data: entry.data }))
    for (const [, session] of sessions.agents())
      for (const [index, entry] of entries.entries()) if (isFor(entry, session)) session.send(texts[index] as string)
  }

  function isFor(entry: Entry, session: Session): boolean {
    if (entry.tenant !== session.caller.tenant) return false
    if (entry.type !== 'memory.updated') return session.presence !== false && entry.subject !== session.caller.publicId
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
