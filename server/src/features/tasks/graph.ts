/** Checks a graph of tasks before anything is stored. */
import { CadreError } from '@cadre/contract'

export interface GraphNode {
  key: string
  depends_on: readonly string[]
}

const maxDepth = 1_000

/** Keys in an order in which every dependency inside the graph comes first. Throws with the named cycle, or the duplicate key. */
export function inOrder(nodes: readonly GraphNode[]): string[] {
  const byKey = new Map<string, GraphNode>()
  for (const [index, node] of nodes.entries()) {
    if (byKey.has(node.key)) {
      throw new CadreError(
        'invalid_request',
        {},
        { fields: [{ pointer: `/tasks/${index}/key`, detail: `The key ${node.key} is used twice.` }] },
      )
    }
    byKey.set(node.key, node)
  }
  const waiting = new Map<string, number>()
  const dependents = new Map<string, string[]>()
  for (const node of nodes) {
    const inside = new Set(node.depends_on.filter((key) => byKey.has(key)))
    waiting.set(node.key, inside.size)
    for (const key of inside) dependents.set(key, [...(dependents.get(key) ?? []), node.key])
  }
  const order = nodes.filter((node) => waiting.get(node.key) === 0).map((node) => node.key)
  const depth = new Map(order.map((key) => [key, 1]))
  for (const key of order) {
    for (const dependent of dependents.get(key) ?? []) {
      depth.set(dependent, Math.max(depth.get(dependent) ?? 1, (depth.get(key) ?? 1) + 1))
      const left = (waiting.get(dependent) ?? 0) - 1
      waiting.set(dependent, left)
      if (left === 0) order.push(dependent)
    }
  }
  if (order.length < nodes.length) throw new CadreError('cycle', { path: cycleAmong(nodes, new Set(order), byKey).join(' -> ') })
  if (Math.max(...depth.values()) > maxDepth) {
    throw new CadreError(
      'invalid_request',
      {},
      { fields: [{ pointer: '/tasks', detail: `A graph may be ${maxDepth} tasks deep at most.` }] },
    )
  }
  return order
}

/** Every node left over has an unplaced dependency; following them must come round. */
function cycleAmong(nodes: readonly GraphNode[], placed: ReadonlySet<string>, byKey: ReadonlyMap<string, GraphNode>): string[] {
  let current = nodes.find((node) => !placed.has(node.key))
  const path: string[] = []
  while (current && !path.includes(current.key)) {
    path.push(current.key)
    const next: string | undefined = current.depends_on.find((key) => byKey.has(key) && !placed.has(key))
    current = next === undefined ? undefined : byKey.get(next)
  }
  return current ? [...path.slice(path.indexOf(current.key)), current.key] : path
}
