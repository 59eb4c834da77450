/** Runs one agent in this process until told to stop. It speaks the public SDK and nothing else. */
import { type Hub, connect } from '@cadre/sdk'
import { analyst } from './roles/analyst.ts'
import { coordinator } from './roles/coordinator.ts'
import { decomposer } from './roles/decomposer.ts'
import { knowledge } from './roles/knowledge.ts'
import { oversight } from './roles/oversight.ts'
import { researcher } from './roles/researcher.ts'
import { writer } from './roles/writer.ts'

const roles: Readonly<Record<string, (hub: Hub) => void | Promise<void>>> = {
  analyst,
  coordinator,
  decomposer,
  knowledge,
  oversight,
  researcher,
  writer,
}

export interface WorkerAssignment {
  url: string
  token: string
  name: string
  type: string
  capabilities?: string[]
  concurrency?: number
  metadata?: Record<string, unknown>
}

/** Connects and takes up the role; the answer ends it. Throws on a type that has no role here. */
export async function startAgent(assignment: WorkerAssignment): Promise<{ close(): Promise<void>; closed: Promise<void> }> {
  const role = roles[assignment.type]
  if (!role) throw new Error(`There is no agent of type ${assignment.type}; known are ${Object.keys(roles).join(', ')}.`)
  const { url, token, name, concurrency } = assignment
  // Its profile stands in the registry already; only what this process must know is repeated.
  const hub = await connect(url, { agent: name, token, concurrency })
  // A connection that has trouble says so by its events; it comes back by itself.
  hub.on('error', () => {})
  await role(hub)
  return { close: () => hub.close({ drain: true }), closed: hub.closed }
}
