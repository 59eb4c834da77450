/** The other agents. */
import type { Agent, InputOf, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { forwards } from './forwarding.ts'

export interface Presence {
  joined: boolean
  agent_id: string
  name: string
  /** Why it left. */
  reason?: string
}

export interface Agents {
  list(query?: InputOf<'agents.list'> & CallOptions): Promise<OutputOf<'agents.list'>>
  /** By id or name. */
  get(id: string, options?: CallOptions): Promise<Agent>
  /** Starts an agent that the platform runs. */
  spawn(agent: InputOf<'agents.spawn'> & CallOptions): Promise<OutputOf<'agents.spawn'>>
  /** Registers an agent that runs elsewhere, without becoming it; its token is in the answer. */
  register(agent: InputOf<'agents.register'> & CallOptions): Promise<OutputOf<'agents.register'>>
  setStatus(
    id: string,
    status: InputOf<'agents.set_status'>['status'],
    options?: CallOptions,
  ): Promise<OutputOf<'agents.set_status'>>
  terminate(id: string, given?: { force?: boolean; reason?: string } & CallOptions): Promise<OutputOf<'agents.terminate'>>
  /** Agents coming and going, as told to this agent; the answer stops. */
  watch(handler: (presence: Presence) => void): () => void
}

export const makeAgents = (call: Call, watch: Agents['watch']): Agents => ({
  watch,
  ...forwards<Omit<Agents, 'watch'>>(call, {
    list: 'agents.list',
    get: 'agents.get id',
    spawn: 'agents.spawn',
    register: 'agents.register',
    setStatus: 'agents.set_status id status',
    terminate: 'agents.terminate id',
  }),
})
