/** The cursors of groups: opaque text that says what a read covered, and of which group and store it was. */
import { CadreError } from '@cadre/contract'

export interface Cursor {
  group: string
  generation: number
  /** Everything up to here was read, of the slots in `mask`. */
  through: number
  /** Bit n: the n-th partition of the group's topics. Six topics have 17 at most. */
  mask: number
}

export const encodeCursor = ({ group, generation, through, mask }: Cursor, epoch: string): string =>
  Buffer.from([epoch, group, generation, through, mask].join(' ')).toString('base64url')

/** Throws `invalid_request` for what is no cursor, and `stale_cursor` for one of another store. */
export function decodeCursor(text: string, epoch: string): Cursor {
  const match = /^(\w+) (\w+) (\d{1,15}) (\d{1,15}) (\d{1,9})$/.exec(Buffer.from(text, 'base64url').toString())
  if (!match)
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: '/cursor', detail: 'Pass the cursor of a read unchanged.' }] },
    )
  if (match[1] !== epoch)
    throw new CadreError('stale_cursor', {
      reason: 'The store was replaced since this cursor was read; read the group again, or seek it to a time first.',
    })
  return { group: match[2] as string, generation: Number(match[3]), through: Number(match[4]), mask: Number(match[5]) }
}
