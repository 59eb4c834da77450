/**
 * Tools: registered by agents, granted per agent, called through this gateway. Before anything runs the gateway checks the grant, the
 * permissions, the arguments and, in the name of a task, the lease. A call is claimed in the ledger under its key before it runs, so that
 * the same key never has its effect twice.
 */
import { CadreError, type Receipt } from '@cadre/contract'
import { canonicalJson } from '../../core/canonical.ts'
import { type Clock, iso, isoOrNull } from '../../core/clock.ts'
import type { Caller, Context, WriteTx } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { readSchema, requireFit } from '../../core/json-schema.ts'
import { serialise } from '../../core/limits.ts'
import { decodeCursor, toPage } from '../../core/paging.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database, Reader, Tx } from '../../drivers/database/port.ts'
import {
  type CallRow,
  type ToolRow,
  abandonCalls,
  getCall,
  getTool,
  grantFor,
  grantsOf,
  listCalls,
  listTools,
  removeGrant,
  saveCall,
  saveGrant,
  saveTool,
} from './store.ts'

export interface ToolsParts {
  database: Database
  directory: Directory
  clock: Clock
  sessions: Sessions
  newId: (prefix: string) => string
  checkLease: (tx: Tx, write: { task: string; lease: string | undefined; caller: Caller; strict: boolean }) => Promise<void>
  /** Refuses a call that an agent repeats over and over. `known`: the key ran before, so that nothing would run now. */
  checkCall: (call: {
    caller: Caller
    tool: string
    arguments: unknown
    key: string
    task: string | undefined
    known: () => Promise<boolean>
  }) => Promise<void>
  /** The task waits for a person to say what came of the call; answers the question, where it could be asked. */
  askOutcome: (context: Context, call: { task: string; lease: string; tool: string; key: string }) => Promise<string | undefined>
}

/** What a person said of a call whose end nobody saw. */
export interface CallOutcome {
  tool: string
  key: string
  happened: boolean
  result: unknown
}

type Names = 'tools.register' | 'tools.list' | 'tools.grant' | 'tools.revoke' | 'tools.call' | 'tools.calls' | 'tools.result'

export interface Tools {
  handlers: Pick<Handlers, Names>
  /** A call that was said to have happened is answered from the ledger from now on; one that did not may run again. */
  settle(tx: WriteTx, tenant: number, outcome: CallOutcome): Promise<void>
}

type Ended = { result: unknown } | { error: string } | { lost: string }

const maxResultBytes = 1024 * 1024
const everyone = 0

export async function makeTools(parts: ToolsParts): Promise<Tools> {
  const { database, directory, clock, sessions } = parts
  await database.transaction((tx) => abandonCalls(tx))
  /** Invocations whose provider works on them now. */
  const invocations = new Map<string, { provider: number; settle: (ended: Ended) => void }>()
  /** Calls under way, by what they are claimed under. */
  const running = new Map<string, Promise<CallRow>>()
  sessions.onReleased((session) => {
    for (const invocation of invocations.values()) {
      if (invocation.provider === session.agent) invocation.settle({ lost: 'its provider went away' })
    }
  })

  const find = async (reader: Reader, context: Context, name: string): Promise<ToolRow> => {
    const row = await getTool(reader, context.tenant, name)
    if (!row) throw new CadreError('not_found', { entity: 'tool', id: name })
    return row
  }

  async function view(reader: Reader, row: ToolRow) {
    const grants = await grantsOf(reader, row.tenant, row.name)
    return {
      name: row.name,
      description: row.description,
      input_schema: JSON.parse(row.input_schema) as Record<string, unknown>,
      permissions: JSON.parse(row.permissions) as string[],
      once: row.once === 1,
      provider: directory.byId(row.provider).name,
      online: sessions.forAgent(row.provider) !== undefined,
      grants: grants.map((grant) => (grant.agent === everyone ? '*' : directory.byId(grant.agent).name)),
      created_at: iso(row.created_at),
    }
  }

  const viewCall = (row: CallRow) => ({
    id: row.id,
    tool: row.tool,
    key: row.key,
    caller: directory.byId(row.caller).name,
    task_id: row.task,
    state: row.state,
    attempts: row.attempts,
    executions: row.executions,
    result: JSON.parse(row.result) as unknown,
    error: row.error,
    started_at: iso(row.started_at),
    ended_at: isoOrNull(row.ended_at),
  })

  const agentId = (context: Context, reference: string): number =>
    reference === '*' ? everyone : directory.agent(context.tenant, reference).id

  /** Whoever offers a tool decides who may call it; operators always may. */
  function requireOwner(context: Context, row: ToolRow): void {
    if (context.caller.role === 'agent' && row.provider !== context.caller.id)
      throw new CadreError('forbidden', { reason: `Tool ${row.name} is offered by another agent.` })
  }

  async function requireGrant(tx: Reader, context: Context, row: ToolRow): Promise<void> {
    if (context.caller.role !== 'agent' || row.provider === context.caller.id) return
    const grant = await grantFor(tx, context.tenant, row.name, context.caller.id)
    if (!grant)
      throw new CadreError('forbidden', { reason: `${context.caller.name} has no grant for ${row.name}.`, tool: row.name })
    const held = new Set(JSON.parse(grant.permissions) as string[])
    const missing = (JSON.parse(row.permissions) as string[]).filter((permission) => !held.has(permission))
    if (missing.length > 0)
      throw new CadreError('forbidden', {
        reason: `${context.caller.name} lacks ${missing.join(', ')} for ${row.name}.`,
        tool: row.name,
      })
  }

  const called = (tx: WriteTx, row: CallRow, state: string) =>
    tx.emit({
      type: 'tool.called',
      subject: row.id,
      task: row.task,
      data: {
        call_id: row.id,
        tool: row.tool,
        key: row.key,
        caller: directory.byId(row.caller).name,
        task_id: row.task,
        state,
        attempts: row.attempts,
        executions: row.executions,
      },
    })

  async function invoke(tool: ToolRow, row: CallRow, timeoutMs: number, signal: AbortSignal): Promise<Ended> {
    const session = sessions.forAgent(tool.provider)
    if (!session) return { lost: 'its provider is offline' }
    const invocation = parts.newId('inv')
    return new Promise<Ended>((resolve) => {
      const settle = (ended: Ended) => {
        cancel()
        signal.removeEventListener('abort', aborted)
        invocations.delete(invocation)
        resolve(ended)
      }
      const aborted = () => settle({ lost: 'the caller went away' })
      const cancel = clock.after(timeoutMs, () => settle({ lost: `no result within ${timeoutMs} ms` }))
      // The effect goes on without its caller: only a tool without effects is abandoned with it.
      if (tool.once === 0) signal.addEventListener('abort', aborted, { once: true })
      invocations.set(invocation, { provider: tool.provider, settle })
      session.send(
        JSON.stringify({
          type: 'tool:invoke',
          data: {
            invocation,
            tool: tool.name,
            arguments: JSON.parse(row.arguments) as unknown,
            key: row.key,
            caller: directory.byId(row.caller).name,
            task_id: row.task,
          },
        }),
      )
    })
  }

  async function execute(context: Context, tool: ToolRow, row: CallRow, timeoutMs: number): Promise<CallRow> {
    const ended = await invoke(tool, row, timeoutMs, context.signal)
    const { call } = await context.write(
      async (tx) => {
        const now = clock.now()
        const latest = (await getCall(tx, row.tenant, row.tool, row.key)) ?? row
        const state = 'result' in ended ? 'succeeded' : 'error' in ended ? 'failed' : tool.once === 1 ? 'unknown' : 'failed'
        const call: CallRow = {
          ...latest,
          state,
          result: 'result' in ended ? serialise(ended.result ?? null, 'result', maxResultBytes) : 'null',
          error: 'error' in ended ? ended.error : 'lost' in ended ? ended.lost : null,
          ended_at: now,
        }
        await saveCall(tx, call)
        called(tx, call, state)
        return { call }
      },
      { keyed: false },
    )
    return call
  }

  /** Claims the key: the call runs now, runs already, or ran before. */
  async function claim(
    context: Context,
    tool: ToolRow,
    input: { key: string; arguments: string; task: string | undefined; lease: string | undefined },
    joins: boolean,
  ) {
    return context.write(
      async (tx) => {
        if (input.task !== undefined) {
          if (context.caller.role === 'agent' || input.lease !== undefined)
            await parts.checkLease(tx, {
              task: input.task,
              lease: input.lease,
              caller: context.caller,
              strict: context.session?.mode === 'leased',
            })
        }
        await requireGrant(tx, context, tool)
        const prior = await getCall(tx, context.tenant, tool.name, input.key)
        const now = clock.now()
        const asked: CallRow = prior
          ? { ...prior, attempts: prior.attempts + 1 }
          : {
              tenant: context.tenant,
              id: parts.newId('call'),
              tool: tool.name,
              key: input.key,
              caller: context.caller.id,
              task: input.task ?? null,
              state: 'started',
              attempts: 1,
              executions: 0,
              arguments: input.arguments,
              result: 'null',
              error: null,
              started_at: now,
              ended_at: null,
            }
        if (prior && canonicalJson(JSON.parse(prior.arguments)) !== canonicalJson(JSON.parse(input.arguments)))
          throw new CadreError('idempotency_conflict', { key: input.key })
        const recall = prior?.state === 'succeeded' || joins
        const unknown =
          prior !== undefined && !joins && tool.once === 1 && (prior.state === 'unknown' || prior.state === 'started')
        if (!recall && !unknown && sessions.forAgent(tool.provider) === undefined) {
          throw new CadreError('unavailable', { reason: `The provider of ${tool.name} is offline; the call was not made.` })
        }
        const row: CallRow =
          recall || unknown ? asked : { ...asked, state: 'started', executions: asked.executions + 1, error: null }
        await saveCall(tx, row)
        called(tx, row, recall ? 'recalled' : unknown ? 'unknown' : 'started')
        return { row, recall, unknown }
      },
      { keyed: false },
    )
  }

  const handlers: Tools['handlers'] = {
    'tools.register': async (context, input) => {
      if (context.caller.kind !== 'agent')
        throw new CadreError('forbidden', { reason: 'Register as an agent first: whoever offers a tool executes its calls.' })
      readSchema(input.input_schema, 'input_schema')
      const answer = await context.write(async (tx) => {
        const prior = await getTool(tx, context.tenant, input.name)
        if (prior) requireOwner(context, prior)
        const row: ToolRow = {
          tenant: context.tenant,
          name: input.name,
          description: input.description,
          input_schema: JSON.stringify(input.input_schema),
          permissions: JSON.stringify(input.permissions),
          once: input.once ? 1 : 0,
          provider: context.caller.id,
          created_at: prior?.created_at ?? clock.now(),
        }
        await saveTool(tx, row)
        for (const reference of input.grants) {
          await saveGrant(tx, context.tenant, {
            tool: input.name,
            agent: agentId(context, reference),
            permissions: JSON.stringify(input.permissions),
          })
        }
        tx.emit({ type: 'tool.registered', subject: input.name, data: { tool: input.name, provider: context.caller.name } })
        return view(tx, row)
      })
      return answer as typeof answer & { receipt: Receipt }
    },

    'tools.list': async (context, input) => {
      const after = decodeCursor(input.cursor)
      const page = toPage(
        await listTools(database, context.tenant, String(after ?? ''), input.limit + 1),
        input.limit,
        (row) => row.name,
        (row) => row,
      )
      return { items: await Promise.all(page.items.map((row) => view(database, row))), next: page.next }
    },

    'tools.grant': async (context, input) => {
      const answer = await context.write(async (tx) => {
        const row = await find(tx, context, input.name)
        requireOwner(context, row)
        await saveGrant(tx, context.tenant, {
          tool: row.name,
          agent: agentId(context, input.agent),
          permissions: JSON.stringify(input.permissions),
        })
        tx.emit({ type: 'tool.granted', subject: row.name, data: { tool: row.name, agent: input.agent } })
        return view(tx, row)
      })
      return answer as typeof answer & { receipt: Receipt }
    },

    'tools.revoke': async (context, input) => {
      const answer = await context.write(async (tx) => {
        const row = await find(tx, context, input.name)
        requireOwner(context, row)
        await removeGrant(tx, context.tenant, row.name, agentId(context, input.agent))
        tx.emit({ type: 'tool.revoked', subject: row.name, data: { tool: row.name, agent: input.agent } })
        return view(tx, row)
      })
      return answer as typeof answer & { receipt: Receipt }
    },

    // The ledger is this operation's idempotency: its key is the call's, so no other record is written.
    'tools.call': async (context, input) => {
      const tool = await find(database, context, input.name)
      // The right to call comes before a look at what is called with.
      await requireGrant(database, context, tool)
      requireFit(JSON.parse(tool.input_schema) as Record<string, unknown>, 'arguments', input.arguments)
      const key = input.key ?? context.idempotencyKey ?? parts.newId('key')
      const text = serialise(input.arguments, 'arguments', maxResultBytes)
      await parts.checkCall({
        caller: context.caller,
        tool: tool.name,
        arguments: input.arguments,
        key,
        task: input.task_id,
        known: async () => (await getCall(database, context.tenant, tool.name, key)) !== undefined,
      })
      const unknown = async () => {
        const { task_id: task, lease } = input
        const named = task === undefined || lease === undefined ? undefined : { task, lease, tool: tool.name, key }
        const request_id = named && (await parts.askOutcome(context, named))
        return new CadreError('outcome_unknown', { tool: tool.name, key, ...(request_id !== undefined && { request_id }) })
      }
      const slot = JSON.stringify([context.tenant, tool.name, key])
      const inFlight = running.get(slot)
      // Taken before anything is awaited: a second call of the same turn finds it and waits with the first.
      const own = inFlight ? undefined : Promise.withResolvers<CallRow>()
      if (own) {
        own.promise.catch(() => undefined)
        running.set(slot, own.promise)
      }
      try {
        const claimed = await claim(
          context,
          tool,
          { key, arguments: text, task: input.task_id, lease: input.lease },
          inFlight !== undefined,
        )
        if (claimed.unknown) throw await unknown()
        const call = inFlight
          ? await inFlight
          : claimed.recall
            ? claimed.row
            : await execute(context, tool, claimed.row, input.timeout_ms)
        own?.resolve(call)
        if (call.state === 'failed')
          throw new CadreError('tool_failed', { reason: call.error ?? 'unknown', tool: tool.name, key })
        if (call.state === 'unknown') throw await unknown()
        return viewCall({ ...call, attempts: Math.max(call.attempts, claimed.row.attempts) })
      } catch (error) {
        own?.reject(error)
        throw error
      } finally {
        if (own) running.delete(slot)
      }
    },

    'tools.calls': async (context, input) => {
      const before = decodeCursor(input.cursor)
      const rows = await listCalls(
        database,
        context.tenant,
        { tool: input.tool, task: input.task_id, before: before === undefined ? undefined : String(before) },
        input.limit + 1,
      )
      return toPage(rows, input.limit, (row) => row.id, viewCall)
    },

    'tools.result': async (context, input) => {
      const invocation = invocations.get(input.invocation)
      if (!invocation || invocation.provider !== context.caller.id) return { accepted: false }
      invocation.settle(input.error === undefined ? { result: input.result ?? null } : { error: input.error })
      return { accepted: true }
    },
  }
  async function settle(tx: WriteTx, tenant: number, { tool, key, happened, result }: CallOutcome): Promise<void> {
    const call = await getCall(tx, tenant, tool, key)
    if (call?.state !== 'unknown') return
    const state = happened ? 'succeeded' : 'failed'
    const text = serialise(happened ? (result ?? null) : null, 'result', maxResultBytes)
    const error = happened ? null : 'it did not happen, a person said'
    const settled: CallRow = { ...call, state, result: text, error, ended_at: clock.now() }
    await saveCall(tx, settled)
    called(tx, settled, state)
  }

  return { handlers, settle }
}
