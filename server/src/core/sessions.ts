/** Live connections. Features push frames to agents through here and never see a socket. */
import type { Caller } from './context.ts'

export interface Session {
  readonly id: string
  /** Throws `unauthenticated` while nobody has said who is on the line. */
  caller: Caller
  /** The same without a throw; absent where there always is one. */
  readonly identity?: Caller | undefined
  /** When the connection was opened, milliseconds of the clock. */
  readonly since?: number
  /** Requests of the client that are not answered yet. */
  readonly inFlight?: number
  /** The agent this session speaks for once it has registered. */
  agent: number | undefined
  /** Plain: acknowledged on write, leases implied. Leased: credits and acknowledgements. */
  mode: 'plain' | 'leased'
  credits: number
  /** It fills in itself what a delivery leaves out: see `short` in agent:register. */
  short?: boolean
  /** False: it is not told who joins and leaves. */
  presence?: boolean
  /** Sends a frame that is already text; frames of one turn leave in one write. */
  send(frame: string): void
  /** Bytes handed to the socket and not yet taken by the network. */
  buffered(): number
  close(code: number, reason: string): void
  /** Undo what features attached; run once when the connection ends. */
  readonly onClose: Set<() => void>
}

type Listener = (session: Session) => void

export class Sessions {
  readonly #all = new Set<Session>()
  readonly #byAgent = new Map<number, Session>()
  readonly #bound = new Set<Listener>()
  readonly #released = new Set<Listener>()

  get count(): number {
    return this.#all.size
  }

  all(): Iterable<Session> {
    return this.#all
  }

  /** One session speaks for an agent: the newest. */
  forAgent(agent: number): Session | undefined {
    return this.#byAgent.get(agent)
  }

  get agentCount(): number {
    return this.#byAgent.size
  }

  agents(): Iterable<[number, Session]> {
    return this.#byAgent
  }

  open(session: Session): void {
    this.#all.add(session)
  }

  /** Makes the session speak for the agent and answers the one it replaces. */
  bind(session: Session, agent: number): Session | undefined {
    const former = this.#byAgent.get(agent)
    if (former === session) return undefined
    if (session.agent !== undefined) this.#release(session)
    if (former) this.#release(former)
    session.agent = agent
    this.#byAgent.set(agent, session)
    for (const listener of this.#bound) listener(session)
    return former
  }

  end(session: Session): void {
    if (!this.#all.delete(session)) return
    for (const undo of session.onClose) undo()
    session.onClose.clear()
    if (session.agent !== undefined) this.#release(session)
  }

  onBound(listener: Listener): void {
    this.#bound.add(listener)
  }

  onReleased(listener: Listener): void {
    this.#released.add(listener)
  }

  #release(session: Session): void {
    if (session.agent !== undefined && this.#byAgent.get(session.agent) === session) {
      this.#byAgent.delete(session.agent)
      for (const listener of this.#released) listener(session)
    }
  }
}
