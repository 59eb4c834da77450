/** Checks values against JSON Schemas that agents wrote. */
import { CadreError } from '@cadre/contract'
import { z } from 'zod'

/**
 * Undefined for `{}`, which takes anything. Throws `invalid_request` under `/<field>` for an unreadable schema, and for one with regular
 * expressions: an agent's `^(a+)+$` held the whole process for half a minute over 29 letters.
 */
export function readSchema(schema: Record<string, unknown>, field: string): z.ZodType | undefined {
  if (Object.keys(schema).length === 0) return undefined
  if (hasPattern(schema)) throw refusal(field, 'Schemas may not use pattern, patternProperties or propertyNames.')
  try {
    return z.fromJSONSchema(schema)
  } catch (cause) {
    throw refusal(field, 'Give a JSON Schema.', cause)
  }
}

/** Throws `invalid_request` with the first twenty differences; their pointers begin with `/<field>`. */
export function requireFit(schema: Record<string, unknown>, field: string, value: unknown): void {
  const outcome = readSchema(schema, field)?.safeParse(value)
  if (!outcome || outcome.success) return
  const fields = outcome.error.issues
    .slice(0, 20)
    .map((issue) => ({ pointer: ['', field, ...issue.path].join('/'), detail: issue.message }))
  throw new CadreError('invalid_request', {}, { fields })
}

const refusal = (field: string, detail: string, cause?: unknown): CadreError =>
  new CadreError('invalid_request', {}, { cause, fields: [{ pointer: `/${field}`, detail }] })

function hasPattern(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false
  if (Array.isArray(node)) return node.some(hasPattern)
  const { properties, $defs, definitions, ...rest } = node as Record<string, unknown>
  if ('pattern' in rest || 'patternProperties' in rest || 'propertyNames' in rest) return true
  // Under these the keys are names of the schema's own, and `pattern` is as good a name as any.
  const named = [properties, $defs, definitions].flatMap((group) =>
    typeof group === 'object' && group !== null ? Object.values(group) : [],
  )
  return [...named, ...Object.values(rest)].some(hasPattern)
}
