/**
 * The one door. Every surface ends here: authorise, validate, run, audit. A surface translates; it never authorises, validates or
 * decides an error code. The audit is the log: each accepted change is an entry with its actor, each refusal an `access.denied`.
 */
import { createHash } from 'node:crypto'
import { CadreError, type OperationName, type OutputOf, type ParsedInputOf, type Receipt, operations } from '@cadre/contract'
import type { z } from 'zod'
import type { Database, Tx } from '../drivers/database/port.ts'
import { sql } from '../drivers/database/sql.ts'
import type { Access } from './access.ts'
import { canonicalJson } from './canonical.ts'
import type { Clock } from './clock.ts'
import type { Caller, Context, NewEntry, WriteTx } from './context.ts'
import type { EventLog } from './events.ts'
import type { LoadGuard } from './load.ts'
import type { Logger } from './logger.ts'
import type { RateLimits } from './rate.ts'
import type { Keyring } from './secrets.ts'
import type { Session } from './sessions.ts'

/** One handler an operation; a missing one does not compile. */
export type Handlers = { [N in OperationName]: (context: Context, input: ParsedInputOf<N>) => Promise<OutputOf<N>> }

export interface Call {
  caller: Caller
  trace?: string | undefined
  idempotencyKey?: string | undefined
  session?: Session | undefined
  signal?: AbortSignal | undefined
  upload?: AsyncIterable<Uint8Array> | undefined
  delta?: ((index: number, data: unknown) => void) | undefined
}

export interface Door {
  invoke<N extends OperationName>(name: N, input: unknown, call: Call): Promise<OutputOf<N>>
  /** The context in which the engine itself acts. */
  engine(caller: Caller): Context
}

export interface DoorParts {
  database: Database
  log: EventLog
  access: Access
  clock: Clock
  keyring: Keyring
  logger: Logger
  storeEpoch: string
  newTrace: () => string
  /** Absent: no limits. */
  rate?: RateLimits | undefined
  load?: LoadGuard | undefined
  /** Tests check every answer against its schema. */
  validateOutput?: boolean
}

const neverAborted = new AbortController().signal
const deniedPerMinute = 600

export function makeDoor(parts: DoorParts, handlers: () => Handlers): Door {
  const { database, log, access, clock, logger, rate, load } = parts
  let deniedWindow = 0
  let denied = 0

  const engine = (caller: Caller): Context => new CallContext('engine', { caller }, undefined, parts)

  async function invoke<N extends OperationName>(name: N, raw: unknown, call: Call): Promise<OutputOf<N>> {
    const declared = operations[name]
    try {
      access.authorise(call.caller, declared.permission)
      rate?.take(name, call.caller)
      const input = parseInput(name, raw)
      if (load?.isShedding) load.check(name, input)
      const handler = handlers()[name] as (context: Context, input: unknown) => Promise<OutputOf<N>>
      const output = await handler(new CallContext(name, call, input, parts), input)
      return parts.validateOutput ? (declared.output.parse(output) as OutputOf<N>) : output
    } catch (error) {
      // Whoever asked has gone, and the work has ended with it: no failure of ours.
      if (call.signal?.aborted && (error as { name?: string } | null)?.name === 'AbortError')
        throw new CadreError('cancelled', { entity: 'call', id: name }, { cause: error })
      if (error instanceof CadreError && (error.code === 'forbidden' || error.code === 'sender_mismatch'))
        await audit(name, call, error)
      throw error
    }
  }

  // Refusals are audited too, but a hostile client must not fill the disk with them.
  async function audit(operation: OperationName, call: Call, error: CadreError): Promise<void> {
    const minute = Math.floor(clock.now() / 60_000)
    if (minute !== deniedWindow) {
      deniedWindow = minute
      denied = 0
    }
    denied += 1
    if (denied > deniedPerMinute) return
    const { caller } = call
    const entry = {
      type: 'access.denied',
      subject: caller.publicId,
      data: { operation, reason: error.message, agent: caller.kind === 'agent' ? caller.name : null },
    }
    try {
      await database.transaction((tx) => log.append(tx, caller, call.trace ?? null, [entry]))
    } catch (cause) {
      logger.error('a refusal could not be audited', { operation, cause })
    }
  }

  return { invoke, engine }
}

/** A class, because every call makes one: with closures for what few calls use it cost twice as much as the rest of the door. */
class CallContext implements Context {
  readonly caller: Caller
  readonly tenant: number
  readonly operation: Context['operation']
  readonly givenTrace: string | undefined
  readonly signal: AbortSignal
  readonly idempotencyKey: string | undefined
  readonly session: Session | undefined
  readonly upload: Context['upload']
  readonly delta: Context['delta']
  readonly #input: unknown
  readonly #parts: DoorParts
  #trace: string | undefined

  constructor(operation: Context['operation'], call: Call, input: unknown, parts: DoorParts) {
    this.caller = call.caller
    this.tenant = call.caller.tenant
    this.operation = operation
    this.givenTrace = call.trace
    this.signal = call.signal ?? neverAborted
    this.idempotencyKey = call.idempotencyKey
    this.session = call.session
    this.upload = call.upload
    this.delta = call.delta
    this.#input = input
    this.#parts = parts
    this.#trace = call.trace
  }

  get trace(): string {
    return (this.#trace ??= this.#parts.newTrace())
  }

  write<T extends object>(
    work: (tx: WriteTx) => Promise<T>,
    options?: { keyed: false },
  ): Promise<T & { receipt: Receipt | null }> {
    const { database, log, keyring, clock, storeEpoch } = this.#parts
    const { caller, operation } = this
    // An operation that is idempotent by nature needs no record of its keys.
    const key =
      operation === 'engine' || operations[operation].idempotent || options?.keyed === false ? undefined : this.idempotencyKey
    return database.transaction(async (tx) => {
      const prior = key === undefined ? undefined : await this.#earlier(tx, key)
      if (prior) return prior as never
      const entries: NewEntry[] = []
      const value = await work(withEmit(tx, entries))
      const last = await log.append(tx, caller, this.trace, entries)
      const receipt: Receipt | null =
        entries.length === 0 ? null : { id: identify(value, last), seq: last, store_epoch: storeEpoch, duplicate: false }
      const answer = { ...value, receipt }
      if (key !== undefined) {
        const text = JSON.stringify(answer)
        const secret = 'token' in answer || ('key' in answer && operation === 'keys.create')
        await tx.run(sql`insert into idempotency (tenant, actor, operation, key, hash, response, at)
          values (${caller.tenant}, ${caller.id}, ${operation}, ${key}, ${canonicalHash(this.#input)}, ${secret ? `~${keyring.seal(text)}` : text}, ${clock.now()})`)
      }
      return answer
    })
  }

  async #earlier(tx: Tx, key: string): Promise<object | undefined> {
    const { caller } = this
    const row = await tx.get<{ hash: string; response: string }>(sql`select hash, response from idempotency
      where tenant = ${caller.tenant} and actor = ${caller.id} and operation = ${this.operation} and key = ${key}`)
    if (!row) return undefined
    if (row.hash !== canonicalHash(this.#input)) throw new CadreError('idempotency_conflict', { key })
    const text = row.response.startsWith('~') ? this.#parts.keyring.open(row.response.slice(1)) : row.response
    const answer = JSON.parse(text) as { receipt: Receipt | null }
    return { ...answer, receipt: answer.receipt && { ...answer.receipt, duplicate: true } }
  }
}

function withEmit(tx: Tx, entries: NewEntry[]): WriteTx {
  return {
    all: (query) => tx.all(query),
    get: (query) => tx.get(query),
    run: (query) => tx.run(query),
    runMany: (text, rows) => tx.runMany(text, rows),
    afterCommit: (callback) => tx.afterCommit(callback),
    emit: (entry) => entries.push(entry),
  }
}

function identify(value: object, seq: number): string {
  const { id, key } = value as { id?: unknown; key?: unknown }
  return typeof id === 'string' ? id : typeof key === 'string' ? key : `log_${seq}`
}

/** Aliases are folded at the top level only, so that free-form values are never touched. Fields of the contract win over their aliases. */
export function parseInput<N extends OperationName>(name: N, raw: unknown): ParsedInputOf<N> {
  const declared = operations[name]
  const aliases: Readonly<Record<string, string>> = ('aliases' in declared && declared.aliases) || {}
  let input = raw ?? {}
  if (typeof input === 'object' && !Array.isArray(input) && hasAlias(input as object, aliases)) {
    const folded: Record<string, unknown> = {}
    for (const [field, value] of Object.entries(input as Record<string, unknown>)) {
      const target = (Object.hasOwn(aliases, field) ? aliases[field] : undefined) ?? field
      if (target === field || !Object.hasOwn(input as object, target)) setOwn(folded, target, value)
    }
    input = folded
  }
  const result = (declared.input as z.ZodType).safeParse(input)
  if (result.success) return result.data as ParsedInputOf<N>
  throw new CadreError(
    'invalid_request',
    {},
    {
      fields: result.error.issues.slice(0, 50).map((issue) => ({
        pointer: `/${issue.path.map((part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`,
        detail: sentenceOf(issue),
      })),
    },
  )
}

/** What to do about it, where the library only says what it saw. */
function sentenceOf(issue: z.core.$ZodIssue): string {
  if ('input' in issue && issue.input === undefined && issue.code === 'invalid_type') return 'This field is required.'
  if (/received undefined$|expected nonoptional/.test(issue.message)) return 'This field is required.'
  if (issue.code === 'invalid_value') return `Give one of ${issue.values.map((value) => String(value)).join(', ')}.`
  if (issue.code === 'invalid_union') {
    const ways = issue.errors.flatMap((way) => way.slice(0, 1).map((each) => sentenceOf(each)))
    return ways.length === 0 ? issue.message : [...new Set(ways)].join(' Or: ')
  }
  return issue.message
}

// Nearly every input names its fields as the contract does; copying them all took a microsecond.
function hasAlias(input: object, aliases: Readonly<Record<string, string>>): boolean {
  for (const field in input) if (Object.hasOwn(aliases, field)) return true
  return false
}

// A client may name a field `__proto__`; assignment would set the prototype instead.
function setOwn(target: Record<string, unknown>, field: string, value: unknown): void {
  Object.defineProperty(target, field, { value, enumerable: true, configurable: true, writable: true })
}

/** Same meaning, same hash: object keys are sorted. */
function canonicalHash(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex')
}
