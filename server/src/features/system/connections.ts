/** Who is connected to this process. */
import { iso } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Session, Sessions } from '../../core/sessions.ts'

export function makeConnections(parts: { sessions: Sessions; directory: Directory }): {
  handlers: Pick<Handlers, 'system.connections'>
} {
  const { sessions, directory } = parts
  const identityOf = (session: Session) => ('identity' in session ? session.identity : session.caller)
  // By their opening, as text of one width.
  const keyOf = (session: Session) => `${String(session.since ?? 0).padStart(15, '0')} ${session.id}`

  return {
    handlers: {
      'system.connections': async ({ tenant }, input) => {
        const after = String(decodeCursor(input.cursor) ?? '')
        const agent = input.agent === undefined ? undefined : directory.agent(tenant, input.agent).id
        const rows = [...sessions.all()]
          .filter((session) => (identityOf(session)?.tenant ?? tenant) === tenant)
          .filter((session) => agent === undefined || session.agent === agent)
          .map((session) => ({ session, key: keyOf(session) }))
          .filter(({ key }) => key > after)
          .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        return toPage(
          rows.slice(0, input.limit + 1),
          input.limit,
          ({ key }) => key,
          ({ session }) => ({
            id: session.id,
            name: identityOf(session)?.name ?? null,
            agent_id: session.agent === undefined ? null : directory.byId(session.agent).publicId,
            since: session.since === undefined ? null : iso(session.since),
            mode: session.mode,
            credits: session.credits,
            buffered_bytes: session.buffered(),
            in_flight: session.inFlight ?? 0,
          }),
        )
      },
    },
  }
}
