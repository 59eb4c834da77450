/** What a list shows while it is held still: the rows it had, in their places, each in its newest form; and how many wait. */
export function heldRows<T extends { id: string }>(
  held: readonly T[] | null,
  current: readonly T[],
): { rows: readonly T[]; waiting: number } {
  if (held === null) return { rows: current, waiting: 0 }
  const byId = new Map(current.map((row) => [row.id, row]))
  const known = new Set(held.map((row) => row.id))
  return {
    rows: held.map((row) => byId.get(row.id) ?? row),
    waiting: current.reduce((count, row) => count + (known.has(row.id) ? 0 : 1), 0),
  }
}
