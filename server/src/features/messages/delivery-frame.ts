/**
 * `message:received` frames as text. The stored content is spliced in unparsed, what is the same for every recipient of a message is built
 * once, and a session that asked for short frames is not sent what the rest of the frame says or what is nothing: 400 bytes of 900.
 */
import { iso } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import { type Handed, headOf, messageId } from './envelope.ts'
import type { MessageRow } from './store.ts'

/** Frame number `number` of its session. */
export type DeliveryFrames = (row: MessageRow, number: number, handed: Handed, short: boolean) => string

export function makeDeliveryFrames(directory: Directory): DeliveryFrames {
  let lastRow: MessageRow | undefined
  let lastShort = false
  let lastTail = ''

  function tailOf(row: MessageRow, short: boolean): string {
    if (row === lastRow && short === lastShort) return lastTail
    lastRow = row
    lastShort = short
    const trace = row.trace === null ? '' : `,"trace":${JSON.stringify(row.trace)}`
    const fields = short && row.meta === null ? shortFields(row) : JSON.stringify(headOf(row, directory)).slice(1, -1)
    lastTail = `${fields},"content":${row.body}}${trace}}`
    return lastTail
  }

  function shortFields(row: MessageRow): string {
    const sender = directory.byId(row.actor)
    let fields = `"id":"${messageId(row.seq)}","sender_id":"${sender.publicId}","sender":${JSON.stringify(sender.name)},"kind":"${row.kind}","type":${JSON.stringify(row.message_type)},"priority":${row.priority},"created_at":"${iso(row.at)}"`
    if (row.topic !== null) fields += `,"topic":${JSON.stringify(row.topic)}`
    if (row.conversation !== null)
      fields += `,"conversation_id":${JSON.stringify(row.conversation)},"sender_seq":${row.sender_seq}`
    if (row.reply_to !== null) fields += `,"reply_to":"${messageId(row.reply_to)}"`
    if (row.task !== null) fields += `,"task_id":${JSON.stringify(row.task)}`
    if (row.late === 1) fields += ',"late":true'
    if (row.expires_at !== null) fields += `,"expires_at":"${iso(row.expires_at)}"`
    return fields
  }

  return (row, number, { receipt, attempt, lease_until, replay }, short) => {
    const more = short
      ? `${attempt === 1 ? '' : `"attempt":${attempt},`}${replay ? '"replay":true,' : ''}`
      : `"attempt":${attempt},"replay":${replay},`
    return `{"type":"message:received","seq":${number},"data":{"receipt":"${receipt}","lease_until":"${lease_until}",${more}${tailOf(row, short)}`
  }
}
