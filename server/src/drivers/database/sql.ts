/**
 * SQL written once: a tagged template whose values are bound, never pasted. Fragments nest. Dialect differences are named functions of
 * `Dialect`, so that a store never asks which database it talks to.
 */
export type SqlValue = string | number | bigint | Uint8Array | null

export interface Sql {
  readonly text: string
  readonly values: readonly SqlValue[]
}

class Fragment implements Sql {
  readonly text: string
  readonly values: readonly SqlValue[]
  constructor(text: string, values: readonly SqlValue[]) {
    this.text = text
    this.values = values
  }
}

type Part = SqlValue | Sql | boolean | undefined

// Most statements have no nested fragment: their text is joined once per call site.
const plainText = new WeakMap<TemplateStringsArray, string>()

/** `?` placeholders; `undefined` binds null and booleans bind 0 or 1. */
export function sql(strings: TemplateStringsArray, ...parts: Part[]): Sql {
  const nested = parts.some((part) => part instanceof Fragment)
  if (!nested) {
    let text = plainText.get(strings)
    if (text === undefined) plainText.set(strings, (text = strings.join('?')))
    return new Fragment(text, parts.map(bound))
  }
  let text = strings[0] as string
  const values: SqlValue[] = []
  parts.forEach((part, index) => {
    if (part instanceof Fragment) {
      text += part.text
      values.push(...part.values)
    } else {
      text += '?'
      values.push(bound(part))
    }
    text += strings[index + 1] as string
  })
  return new Fragment(text, values)
}

function bound(part: Part): SqlValue {
  if (part === undefined) return null
  if (typeof part === 'boolean') return part ? 1 : 0
  return part as SqlValue
}

/** Text from the program itself, never from a client. */
sql.raw = (text: string): Sql => new Fragment(text, [])

sql.join = (items: readonly Sql[], separator = ', '): Sql =>
  new Fragment(
    items.map((item) => item.text).join(separator),
    items.flatMap((item) => [...item.values]),
  )

/** `where a and b`, or nothing. */
sql.where = (conditions: readonly (Sql | undefined)[]): Sql => {
  const given = conditions.filter((condition) => condition !== undefined)
  return given.length === 0 ? sql.raw('') : sql`where ${sql.join(given, ' and ')}`
}
