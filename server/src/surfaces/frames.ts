/** The frames of `cadre.v1`: which operation each names, and what a client may leave out of one. */
import { type OperationName, operations } from '@cadre/contract'

export const subprotocol = 'cadre.v1.json'
export const maxFrame = 1024 * 1024

export interface Frame {
  type: string
  id?: string | number
  key?: string
  data?: unknown
  trace?: string
}

/** Frame type -> operation: every operation by its own name, and by the names the protocol gives it. */
export const byFrame = new Map<string, OperationName>(
  Object.values(operations).flatMap((operation) => {
    const frames: readonly string[] = 'frames' in operation ? operation.frames : []
    return [operation.name, ...frames].map((frame): [string, OperationName] => [frame, operation.name])
  }),
)

const envelope = new Set(['type', 'id', 'key', 'data', 'trace', 'ref', 'seq'])

/** Hand-written clients put the fields beside the type; a frame without data and with other fields means those. */
export function withData(frame: Frame): Frame {
  if (frame.data !== undefined || frame.type === 'flow') return frame
  const fields = Object.entries(frame).filter(([name]) => !envelope.has(name))
  return fields.length === 0 ? frame : { ...frame, data: Object.fromEntries(fields) }
}

export function isFrame(value: unknown): value is Frame {
  if (typeof value !== 'object' || value === null) return false
  const { type, id, key, trace } = value as Record<string, unknown>
  const text = (field: unknown, max: number) =>
    field === undefined || (typeof field === 'string' && field.length <= max && field.isWellFormed())
  return (
    typeof type === 'string' &&
    type.length <= 128 &&
    (text(id, 128) || (typeof id === 'number' && Number.isFinite(id))) &&
    text(key, 256) &&
    text(trace, 256)
  )
}
