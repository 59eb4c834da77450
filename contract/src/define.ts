/**
 * The four declarations everything else is derived from. Vocabulary:
 * operation: one thing a client may ask for; its declaration yields the REST route, the OpenAPI entry, the socket frame, the SDK
 * call and the CLI sub-command. event: one fact in the log. lifecycle: the states of an entity and its legal moves.
 */
import type { z } from 'zod'
import type { EventTopic } from './event-topics.ts'

export type OperationKind = 'query' | 'command' | 'stream'
export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface Route {
  method: HttpMethod
  /** Path under `/api/v1` (canonical) and `/api` (alias), with `{name}` parameters that are fields of the input. */
  path: string
}

export interface OperationSpec<I extends z.ZodType, O extends z.ZodType> {
  /** `<subject>.<verb>`; also the SDK path, the CLI sub-command and the generic socket frame type. */
  name: string
  kind: OperationKind
  summary: string
  description?: string
  /** What the caller must hold; `public` needs no credential. */
  permission: Permission
  /** Canonical route first, further routes of the source documents after it. Absent: reachable by socket and SDK only. */
  routes?: readonly Route[]
  /** HTTP status of success; 200 unless given. */
  status?: 200 | 201 | 202
  /** Socket frame types of the protocol that carry this operation, beside its own name. */
  frames?: readonly string[]
  /** Repeating the call with the same input has no further effect. */
  idempotent: boolean
  /** Removes or ends something; clients ask before calling it. */
  destructive: boolean
  /** Input fields that name entities, for completion, linking and access checks. */
  refs?: Readonly<Record<string, EntityKind>>
  /** Other spellings of top-level input fields, `{ alias: field }`. Never reaches inside free-form values. */
  aliases?: Readonly<Record<string, string>>
  /** Raw bodies (files) travel outside JSON: `upload` takes the request body, `download` answers bytes. */
  body?: 'json' | 'upload' | 'download'
  input: I
  output: O
}

export interface Operation<N extends string = string, I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType>
  extends OperationSpec<I, O> {
  name: N
}

export type EntityKind = 'agent' | 'task' | 'message' | 'memory' | 'collection' | 'document' | 'tool' | 'artifact' | 'key'

export const permissions = [
  'public',
  'agents:read',
  'agents:write',
  'agents:register',
  'messages:read',
  'messages:write',
  'rules:read',
  'rules:write',
  'tasks:read',
  'tasks:write',
  'memory:read',
  'memory:write',
  'knowledge:read',
  'knowledge:write',
  'tools:read',
  'tools:write',
  'tools:call',
  'artifacts:read',
  'artifacts:write',
  'models:call',
  'events:read',
  'events:write',
  'keys:admin',
  'system:read',
] as const
export type Permission = (typeof permissions)[number]

/** Declares an operation. The type keeps the literal name so that a handler table over all operations is exhaustive. */
export function operation<const N extends string, I extends z.ZodType, O extends z.ZodType>(
  spec: OperationSpec<I, O> & { name: N },
): Operation<N, I, O> {
  return Object.freeze(spec)
}

export interface EventSpec<N extends string = string, D extends z.ZodType = z.ZodType> {
  /** `noun.past-verb`. */
  name: N
  /** Raised when a field changes meaning; consumers read it before the data. */
  schema_version: number
  summary: string
  /** One of the six named topics that outside consumers subscribe to. */
  topic: EventTopic
  /** The socket frame type this event is pushed as, where the protocol names one. */
  frame?: string
  data: D
}

export function event<const N extends string, D extends z.ZodType>(spec: EventSpec<N, D>): EventSpec<N, D> {
  return Object.freeze(spec)
}

export interface Lifecycle<S extends string> {
  entity: string
  initial: readonly S[]
  terminal: readonly S[]
  moves: Readonly<Record<S, readonly S[]>>
  states: readonly S[]
}

/** A lifecycle is one table; terminal states are those without a move. */
export function lifecycle<const S extends string>(
  entity: string,
  initial: readonly NoInfer<S>[],
  moves: Readonly<Record<S, readonly NoInfer<S>[]>>,
): Lifecycle<S> {
  const states = Object.keys(moves) as S[]
  return Object.freeze({ entity, initial, moves, states, terminal: states.filter((state) => moves[state].length === 0) })
}

export const canMove = <S extends string>(table: Lifecycle<S>, from: S, to: S): boolean => table.moves[from].includes(to)
