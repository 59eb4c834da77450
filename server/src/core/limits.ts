/** Bounds of values that clients send. */
import { CadreError } from '@cadre/contract'

export const maxMessageBytes = 256 * 1024
const maxDepth = 64
const maxKeys = 10_000

/** Serialises a value once; refuses what is too large, too deep or has too many keys. `field` names it in the refusal. */
export function serialise(value: unknown, field: string, maxBytes: number): string {
  if (value === undefined)
    throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail: 'This field is required.' }] })
  if (value !== null && typeof value === 'object') checkShape(value, field)
  const text = JSON.stringify(value)
  // Three bytes a unit is the most UTF-8 can take; only near the limit is the exact size worth counting.
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) {
    throw new CadreError('too_large', { what: field, limit: `${Math.floor(maxBytes / 1024)} KiB` })
  }
  return text
}

function checkShape(root: object, field: string): void {
  let keys = 0
  let level: object[] = [root]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > maxDepth) refuse(field, `Nesting is limited to ${maxDepth} levels.`)
    const next: object[] = []
    for (const node of level) {
      const values = Array.isArray(node) ? node : Object.values(node)
      if (!Array.isArray(node)) keys += values.length
      if (keys > maxKeys) refuse(field, `At most ${maxKeys} keys.`)
      for (const value of values) if (value !== null && typeof value === 'object') next.push(value as object)
    }
    level = next
  }
}

function refuse(field: string, detail: string): never {
  throw new CadreError('invalid_request', {}, { fields: [{ pointer: `/${field}`, detail }] })
}
