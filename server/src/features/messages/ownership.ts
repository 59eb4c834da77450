/** Whose inbox, delivery or message it is: agents reach their own, operators all. */
import { CadreError } from '@cadre/contract'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Database } from '../../drivers/database/port.ts'
import { type Place, decodeReceipt, recipientsOf, requireSeq } from './envelope.ts'
import { type MessageRow, getMessage } from './store.ts'

export interface Ownership {
  /** The inbox the caller may act on: its own, or any for operators. Throws `forbidden`. */
  readonly inboxOwner: (context: Context, reference: string | undefined) => number
  /** The delivery a receipt names. Throws `forbidden` when it is another agent's, `stale_receipt` when it is of another store. */
  readonly ownPlace: (context: Context, receipt: string) => Place
  /** A message that the caller sent or received, any for operators. Throws `not_found`. */
  readonly visible: (context: Context, id: string) => Promise<MessageRow>
}

export function makeOwnership(parts: { database: Database; directory: Directory; epoch: string }): Ownership {
  const { database, directory } = parts

  function inboxOwner(context: Context, reference: string | undefined): number {
    if (context.caller.role !== 'agent')
      return reference === undefined ? context.caller.id : directory.agent(context.tenant, reference).id
    if (reference !== undefined && directory.find(context.tenant, reference)?.id !== context.caller.id) {
      throw new CadreError('forbidden', { reason: `You act as ${context.caller.name}; other inboxes are closed to you.` })
    }
    return context.caller.id
  }

  function ownPlace(context: Context, receipt: string): Place {
    const place = decodeReceipt(receipt, context.tenant, parts.epoch)
    if (context.caller.role === 'agent' && place.agent !== context.caller.id)
      throw new CadreError('forbidden', { reason: 'The receipt belongs to another agent.' })
    return place
  }

  async function visible(context: Context, id: string): Promise<MessageRow> {
    const row = await getMessage(database, context.tenant, requireSeq(id))
    const mine =
      row && (context.caller.role !== 'agent' || row.actor === context.caller.id || recipientsOf(row).includes(context.caller.id))
    if (!row || !mine) throw new CadreError('not_found', { entity: 'message', id })
    return row
  }

  return { inboxOwner, ownPlace, visible }
}
