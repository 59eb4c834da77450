/** What a driver offers to the client processes. A driver runs inside a client process and speaks to its own system only. */

/**
 * When a write counts as done. sync: on stable storage before the producer is told. async: survives a crash of the process, not a
 * power cut. none: memory.
 */
export type Durability = 'sync' | 'async' | 'none'

/** 256 bytes as JSON text. */
export interface Payload {
  run: number
  id: number
  /** When it was due to be sent, by the monotonic clock. */
  at: number
  from: string
  to: string
  kind: string
  pad: string
}

export interface RunSettings {
  /** Address of the system under test. */
  url: string
  /** Number of this run; names its queue. */
  run: number
  inFlight: number
}

export interface Producer {
  /** Resolves when the system has stored the message. */
  send(payload: Payload): Promise<unknown>
  close(): Promise<void>
}

export interface Consumer {
  close(): Promise<void>
}

export interface Taken {
  take(payload: Payload): void
  /** So many more were acknowledged. */
  acknowledged(count: number): void
}

export interface MessageDriver {
  openConsumer(settings: RunSettings, taken: Taken): Promise<Consumer>
  openProducer(settings: RunSettings): Promise<Producer>
  /** Read back from the running system, after the first write. */
  durability(url: string): Promise<Durability>
  /** After a run: why the system does not agree that everything was acknowledged. */
  unsettled?(url: string): Promise<string | undefined>
  /** Called once before the process ends. */
  end?(): Promise<void>
}

export interface Submitter {
  /** Each resolves once the system has told that the last task is completed. */
  task(name: string): Promise<void>
  /** Undefined where the system has no such thing. */
  chain: ((name: string, length: number) => Promise<void>) | undefined
  /** `width` tasks side by side and one that waits for them all. */
  fan: ((name: string, width: number) => Promise<void>) | undefined
  /** Many at once, in the way that suits the system best: all stored, and only then worked on until the last is completed. */
  bulk?: {
    enqueue(name: string, count: number): Promise<void>
    drain(name: string, count: number): Promise<void>
  }
  close(): Promise<void>
}

export interface TaskDriver {
  /** Undefined: the submitter runs the tasks in its own process. */
  openWorker: ((settings: RunSettings, ran: (name: string) => void) => Promise<Consumer>) | undefined
  openSubmitter(settings: RunSettings, ran: (name: string) => void): Promise<Submitter>
  durability(url: string): Promise<Durability>
  end?(): Promise<void>
}

/** How the many connections of the `fanout` scenario speak to one system, and the one that makes it send to them. */
export interface FanVoice {
  /** Of the many; the path they connect to. */
  path: string
  /** First words of a connection; undefined when it is ready by being open. */
  greeting?(index: number): string
  /** Is this the answer to them? Throws when it is a refusal. */
  isGreeted?(frame: Buffer): boolean
  /** Deliveries in a frame. */
  count(frame: Buffer): number
  /** What is said to the last frame of a read that brought `deliveries`. */
  answer?(frame: Buffer, deliveries: number): string
  control: { path: string; greeting?: string }
  /** Text that makes the system send so many messages to all. */
  order(contents: readonly Payload[]): string
}

export interface FanDriver {
  voice(mode: string): FanVoice
  /** Of what is delivered. */
  durability(url: string): Promise<Durability>
}
