/** Agents in the server's own process: the door and the deliveries that sockets have, without a socket. The surrounding program is trusted. */
import { CadreError, type OperationName, type OutputOf, closeCodes, registerFrame } from '@cadre/contract'
import type { Access } from '../core/access.ts'
import type { Directory } from '../core/directory.ts'
import type { Door } from '../core/invoke.ts'
import type { Session, Sessions } from '../core/sessions.ts'

/** Deliveries to take up to, and how many more to send, as in the frame `flow`. */
export interface Flow {
  ack?: number | undefined
  credits?: number | undefined
}

export interface EmbeddedParts {
  door: Door
  access: Access
  directory: Directory
  sessions: Sessions
  newId: (prefix: string) => string
  attach: (session: Session, lastSeq: number | undefined) => Promise<unknown>
  flow: (session: Session, flow: Flow) => void
}

/** As in `agent:register`; with `credits` deliveries wait for their acknowledgement, without they count as acknowledged. */
export interface EmbeddedHello {
  name: string
  credits?: number
  [field: string]: unknown
}

export interface EmbeddedAgent {
  /** Runs an operation as this agent. Rejects with `CadreError`. */
  invoke<N extends OperationName>(name: N, input: unknown, key?: string): Promise<OutputOf<N>>
  /** Acknowledges everything up to a delivery's `seq`, and takes so many more. */
  flow(flow: Flow): void
  close(): void
}

/** Registers the agent and hands it the frames of each turn, as text of `cadre.v1`. */
export type Embed = (hello: EmbeddedHello, receive: (frames: readonly string[]) => void) => Promise<EmbeddedAgent>

export function serveEmbedded(parts: EmbeddedParts): { embed: Embed; close(): void } {
  const { door, access, directory, sessions, newId, attach, flow } = parts
  const open = new Set<() => void>()

  const embed: Embed = async (hello, receive) => {
    const { last_seq, credits, short, token: _, ...profile } = registerFrame.parse(hello)
    let frames: string[] = []
    let isOpen = true
    const hand = () => {
      const turn = frames
      frames = []
      if (isOpen) receive(turn)
    }
    const caller = access.operator()
    const session: Session = {
      id: newId('ses'),
      caller,
      agent: undefined,
      mode: credits === undefined ? 'plain' : 'leased',
      credits: credits ?? 0,
      short: short ?? false,
      // Not at once: the frame comes out of a commit, which the receiver's own calls must not enter.
      send: (frame) => {
        if (frames.push(frame) === 1) process.nextTick(hand)
      },
      buffered: () => 0,
      close,
      onClose: new Set(),
    }
    function close() {
      isOpen = false
      open.delete(close)
      sessions.end(session)
    }
    open.add(close)
    sessions.open(session)
    try {
      const { receipt: _receipt, ...agent } = await door.invoke('agents.register', profile, { caller })
      session.caller = { ...directory.agent(caller.tenant, agent.id), role: 'agent' }
      sessions.bind(session, session.caller.id)?.close(closeCodes.replaced, 'A newer session speaks for this agent')
      await attach(session, last_seq)
    } catch (error) {
      close()
      throw error
    }
    return {
      invoke: (name, input, key) =>
        isOpen
          ? door.invoke(name, input, { caller: session.caller, idempotencyKey: key, session })
          : Promise.reject(new CadreError('draining')),
      flow: (next) => {
        if (isOpen) flow(session, next)
      },
      close,
    }
  }
  return {
    embed,
    close: () => {
      for (const end of open) end()
    },
  }
}
