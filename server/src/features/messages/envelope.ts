/** Between a stored row and what clients see. Content is JSON text all the way: it is parsed for REST and sliced into socket frames. */
import { CadreError, type Delivery, type Message, type MessageIntent } from '@cadre/contract'
import { base32, fromBase32, iso, isoOrNull } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import { type StoredRoute, routeOf } from './routes.ts'
import type { MessageRow } from './store.ts'

const maxNamed = 100

export interface Meta {
  metadata?: Record<string, unknown>
  artifacts?: string[]
  /** Absolute deadline of a request; a reply after it is late. */
  deadline?: number
  unroutable?: string
  /** Absent where the row itself says why it went where it did. */
  route?: StoredRoute
  purpose?: Purpose
}

/** What the sender wants of the message, as it said so. */
export interface Purpose {
  intent?: MessageIntent
  context?: Record<string, unknown>
  expected_response?: string
  /** What a delegation told of its task. */
  task?: unknown
}

/** The id is the position in the log, so that finding a message needs no index of its own. */
export const messageId = (seq: number): string => `msg_${base32(seq, 11)}`

export function messageSeq(id: string): number | undefined {
  const seq = id.startsWith('msg_') ? fromBase32(id.slice(4)) : Number.NaN
  return Number.isSafeInteger(seq) && seq > 0 ? seq : undefined
}

export function requireSeq(id: string): number {
  const seq = messageSeq(id)
  if (seq === undefined) throw new CadreError('not_found', { entity: 'message', id })
  return seq
}

export const recipientsOf = (row: Pick<MessageRow, 'recipient' | 'recipients'>): number[] =>
  row.recipient !== null ? [row.recipient] : row.recipients === null ? [] : (JSON.parse(row.recipients) as number[])

export const metaOf = (row: Pick<MessageRow, 'meta'>): Meta => (row.meta === null ? {} : (JSON.parse(row.meta) as Meta))

/** All fields but the content, which stands last so that its text can be spliced in. */
export function headOf(row: MessageRow, directory: Directory) {
  const meta = metaOf(row)
  const id = messageId(row.seq)
  const sender = directory.byId(row.actor)
  return {
    id,
    message_id: id,
    sender_id: sender.publicId,
    sender: sender.name,
    topic: row.topic,
    kind: row.kind as Message['kind'],
    type: row.message_type,
    message_type: row.message_type,
    priority: row.priority,
    metadata: { ...meta.metadata, ...(meta.unroutable !== undefined && { unroutable_reason: meta.unroutable }) },
    conversation_id: row.conversation ?? id,
    sender_seq: row.sender_seq,
    reply_to: row.reply_to === null ? null : messageId(row.reply_to),
    task_id: row.task,
    artifacts: meta.artifacts ?? [],
    late: row.late === 1,
    created_at: iso(row.at),
    expires_at: isoOrNull(row.expires_at),
    // Deliveries are told what is out of the ordinary; a message that is asked for is told all.
    ...(meta.route !== undefined && { route: routeOf(row, meta) }),
    ...(meta.purpose !== undefined && {
      intent: meta.purpose.intent,
      context: meta.purpose.context,
      expected_response: meta.purpose.expected_response,
    }),
  }
}

export function toMessage(row: MessageRow, status: Message['status'], directory: Directory): Message {
  const recipients = recipientsOf(row)
  return {
    ...headOf(row, directory),
    route: routeOf(row, metaOf(row)),
    recipients: recipients.slice(0, maxNamed).map((id) => directory.nameOf(id) ?? 'unknown'),
    recipient_count: recipients.length,
    status,
    content: JSON.parse(row.body) as unknown,
  }
}

export interface Handed {
  receipt: string
  attempt: number
  lease_until: string
  replay: boolean
}

export function toDelivery(row: MessageRow, handed: Handed, directory: Directory): Delivery {
  return { ...headOf(row, directory), ...handed, content: JSON.parse(row.body) as unknown }
}

export interface Place {
  tenant: number
  agent: number
  priority: number
  seq: number
  attempt: number
}

/** Opaque to clients: names one attempt to deliver one message to one agent in this store. */
export const encodeReceipt = (place: Omit<Place, 'tenant'>, epoch: string): string =>
  `rcp_${base32(place.seq, 11)}_${place.agent.toString(36)}_${place.priority}_${place.attempt}_${epoch}`

export function decodeReceipt(receipt: string, tenant: number, epoch: string): Place {
  const match = /^rcp_([0-9a-z]{11})_([0-9a-z]{1,8})_(\d{1,2})_(\d{1,4})_(\w+)$/.exec(receipt)
  const seq = match ? fromBase32(match[1] as string) : Number.NaN
  if (!match || !Number.isSafeInteger(seq)) {
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: '/receipt', detail: 'Echo the receipt of a delivery unchanged.' }] },
    )
  }
  if (match[5] !== epoch) throw new CadreError('stale_receipt', { receipt })
  return { tenant, seq, agent: Number.parseInt(match[2] as string, 36), priority: Number(match[3]), attempt: Number(match[4]) }
}
