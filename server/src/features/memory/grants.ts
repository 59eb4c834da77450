/** Who may read and write a key. Operators may everything; of agents, the owner (who created the key) and those listed. */
import type { MemoryEntry } from '@cadre/contract'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { MemoryRow } from './store.ts'

export type AccessControl = MemoryEntry['access_control']
type Owned = Pick<MemoryRow, 'created_by' | 'readers' | 'writers'>

/**
 * Whether an agent of that name may read a key: the question the sockets ask about the `access_control` of a `memory.updated` entry,
 * whose lists name the owner too.
 */
export const mayRead = (access: AccessControl, agent: string): boolean => access.read?.includes(agent) ?? true

type Who = Pick<Context, 'caller'>

export const isOperator = ({ caller }: Who): boolean => caller.role !== 'agent'

const listed = (list: string | null, id: number) => list === null || (JSON.parse(list) as number[]).includes(id)

export const mayReadRow = (context: Who, row: Owned): boolean =>
  isOperator(context) || row.created_by === context.caller.id || listed(row.readers, context.caller.id)

export const mayWriteRow = (context: Context, row: Owned): boolean =>
  isOperator(context) || row.created_by === context.caller.id || listed(row.writers, context.caller.id)

export const owns = (context: Context, row: Owned): boolean => isOperator(context) || row.created_by === context.caller.id

/** Names or ids as given become the interned ids that are stored. Throws `not_found` for an agent that does not exist. */
export function toLists(directory: Directory, tenant: number, access: AccessControl): Pick<MemoryRow, 'readers' | 'writers'> {
  const intern = (list: readonly string[] | undefined) =>
    list === undefined ? null : JSON.stringify([...new Set(list.map((reference) => directory.agent(tenant, reference).id))])
  return { readers: intern(access.read), writers: intern(access.write) }
}

/** The lists as names. `withOwner` adds who may anyway, so that the lists alone decide. */
export function toAccessControl(directory: Directory, row: Owned, withOwner = false): AccessControl {
  const names = (list: string) => {
    const ids = new Set(JSON.parse(list) as number[])
    if (withOwner) ids.add(row.created_by)
    return [...ids].flatMap((id) => directory.nameOf(id) ?? [])
  }
  return { ...(row.readers !== null && { read: names(row.readers) }), ...(row.writers !== null && { write: names(row.writers) }) }
}
