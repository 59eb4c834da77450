/**
 * Loop brakes: four rules that stop what goes round in circles, for messages between agents and for calls of tools. What is stopped is
 * held until an operator resets it or its time is over; the log says why. Counts live in memory, what is held in the store.
 */
import { type BrakeSettings, CadreError, type Receipt, defaultBrakeSettings } from '@cadre/contract'
import type { Caller, Context } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import { Exchanges } from './exchanges.ts'
import { type Guard, makeGuard } from './guarding.ts'
import { Holds } from './holds.ts'
import { Hops } from './hops.ts'
import { Repeats, callDigest } from './repeats.ts'
import {
  type BrakeRow,
  allBrakes,
  chainOf,
  getBrake,
  listBrakes,
  loadExemptions,
  loadSettings,
  saveExemption,
  saveReset,
  saveSettings,
} from './store.ts'
import { type TrippingParts, makeTripping } from './tripping.ts'

export interface ToolCall {
  caller: Caller
  tool: string
  arguments: unknown
  key: string
  task: string | undefined
  /** Whether this key ran before: then it is a retry, which runs nothing. Asked only when the call would be refused. */
  known: () => Promise<boolean>
}

type Names = 'brakes.list' | 'brakes.get' | 'brakes.reset' | 'brakes.settings' | 'brakes.configure' | 'brakes.exempt'

export interface Brakes {
  handlers: Pick<Handlers, Names>
  guard: Guard
  /** Throws `loop_stopped` when the call is one too many. */
  checkCall(call: ToolCall): Promise<void>
}

const maxExemptions = 1_000

export async function makeBrakes(parts: TrippingParts): Promise<Brakes> {
  const { database, directory, clock } = parts
  const settings = await loadSettings(database)
  const exempt = new Map<number, Set<string>>()
  for (const { tenant, conversation } of await loadExemptions(database)) exemptionsOf(tenant).add(conversation)
  const holds = new Holds()
  for (const row of await allBrakes(database)) {
    if (row.reset_at === null && row.held_until > clock.now()) holds.add({ row, written: Promise.resolve() })
    else if (row.rule === 'hops') holds.begin(row)
  }
  const exchanges = new Exchanges(() => clock.now())
  const repeats = new Repeats()
  const hops = new Hops({
    head: parts.head(),
    isAgent: (principal) => directory.byId(principal).kind === 'agent',
    walk: (tenant, seq, most) => chainOf(database, tenant, seq, most),
  })

  const settingsOf = (tenant: number): BrakeSettings => settings.get(tenant) ?? defaultBrakeSettings

  function exemptionsOf(tenant: number): Set<string> {
    const known = exempt.get(tenant) ?? new Set<string>()
    exempt.set(tenant, known)
    return known
  }

  function countAnew(row: BrakeRow): void {
    if (row.tool !== null) repeats.forget(row.high)
    else if (row.low !== 0) exchanges.forget(row.tenant, row.low, row.high, row.conversation)
  }

  const tripping = makeTripping({ ...parts, holds, countAnew })
  const { view } = tripping
  const guard = makeGuard({
    directory,
    now: () => clock.now(),
    settingsOf,
    isExempt: (tenant, conversation) => exempt.get(tenant)?.has(conversation) === true,
    holds,
    hops,
    exchanges,
    tripping,
  })

  async function checkCall(call: ToolCall): Promise<void> {
    const { caller, tool } = call
    if (caller.kind !== 'agent') return
    const digest = callDigest(tool, call.arguments)
    const now = clock.now()
    const hold = holds.some ? holds.onCall(caller.tenant, caller.id, tool, digest, now) : undefined
    if (hold) return tripping.refuse(hold, call.known, async () => {})
    const limits = settingsOf(caller.tenant)
    const count = limits.enabled ? repeats.called(caller.id, digest, call.key, now, limits) : undefined
    if (count === undefined) return
    const { call_repeats: limit, call_window_ms: windowMs } = limits
    const held = tripping.trip({
      tenant: caller.tenant,
      rule: 'repeated_call',
      from: caller.id,
      to: 0,
      conversation: null,
      tool,
      digest,
      task: call.task ?? null,
      replyTo: null,
      reason: `${caller.name} called ${tool} ${count} times with the same arguments and no other call between, within ${windowMs} ms; the limit is ${limit}.`,
      count,
      limit,
      windowMs,
      cooldownMs: limits.cooldown_ms,
    })
    return tripping.refuse(held, call.known, async () => {})
  }

  function requireOperator(context: Context): void {
    if (context.caller.role === 'agent')
      throw new CadreError('forbidden', { reason: 'Brakes are for operators: those they hold may not let themselves go.' })
  }

  const settingsView = (tenant: number) => ({ ...settingsOf(tenant), exempt_conversations: [...exemptionsOf(tenant)].toSorted() })

  const handlers: Brakes['handlers'] = {
    'brakes.list': async (context, input) => {
      const before = decodeCursor(input.cursor)
      const filter = {
        heldAt: input.held === true ? clock.now() : undefined,
        before: before === undefined ? undefined : String(before),
      }
      return toPage(await listBrakes(database, context.tenant, filter, input.limit + 1), input.limit, (row) => row.id, view)
    },

    'brakes.get': async (context, { id }) => {
      const row = await getBrake(database, context.tenant, id)
      if (!row) throw new CadreError('not_found', { entity: 'brake', id })
      return view(row)
    },

    'brakes.reset': async (context, { id }) => {
      requireOperator(context)
      return context.write(async (tx) => {
        const prior = await getBrake(tx, context.tenant, id)
        if (!prior) throw new CadreError('not_found', { entity: 'brake', id })
        if (prior.reset_at !== null) return view(prior)
        const row: BrakeRow = { ...prior, reset_at: clock.now(), reset_by: context.caller.id, up_to: parts.head() }
        await saveReset(tx, row)
        const { rule, parties, conversation_id, tool, task_id } = view(row)
        tx.emit({
          type: 'brake.reset',
          subject: id,
          task: row.task,
          data: { brake_id: id, rule, parties, conversation_id, tool, task_id },
        })
        tx.afterCommit(() => {
          holds.remove(row)
          if (row.rule === 'hops') holds.begin(row)
          countAnew(row)
        })
        return view(row)
      })
    },

    'brakes.settings': async (context) => settingsView(context.tenant),

    'brakes.configure': async (context, input) => {
      requireOperator(context)
      if (Object.keys(input).length === 0)
        throw new CadreError(
          'invalid_request',
          {},
          { fields: [{ pointer: '', detail: 'Give a limit to change; GET /brakes/settings lists them.' }] },
        )
      const answer = await context.write(async (tx) => {
        const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
        const next: BrakeSettings = { ...settingsOf(context.tenant), ...given }
        await saveSettings(tx, context.tenant, next)
        tx.emit({ type: 'brakes.configured', subject: null, data: next })
        tx.afterCommit(() => settings.set(context.tenant, next))
        return { ...settingsView(context.tenant), ...next }
      })
      return answer as typeof answer & { receipt: Receipt }
    },

    'brakes.exempt': async (context, input) => {
      requireOperator(context)
      const known = exemptionsOf(context.tenant)
      if (input.exempt && known.size >= maxExemptions && !known.has(input.conversation_id))
        throw new CadreError('conflict', { reason: `${maxExemptions} conversations are exempt already; take one back in first.` })
      return context.write(async (tx) => {
        if (await saveExemption(tx, context.tenant, input.conversation_id, input.exempt)) {
          tx.emit({ type: 'conversation.exempted', subject: input.conversation_id, data: input })
          tx.afterCommit(() => void (input.exempt ? known.add(input.conversation_id) : known.delete(input.conversation_id)))
        }
        return input
      })
    },
  }

  return { handlers, guard, checkCall }
}
