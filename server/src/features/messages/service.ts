/** Messages: send, ask, reply, publish, subscribe, list, and the inbox operations. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Message } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Caller, Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { EventLog } from '../../core/events.ts'
import type { Logger } from '../../core/logger.ts'
import type { Sessions } from '../../core/sessions.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import type { Brakes } from '../brakes/service.ts'
import { makeBounces } from './bounces.ts'
import { type Counting, makeCounting } from './counting.ts'
import { type DeadLetters, makeDeadLetters } from './dead-letters.ts'
import { makeDeadlines } from './deadlines.ts'
import { makeDeliveryStates } from './delivery-states.ts'
import { type Deliveries, makeDeliveries } from './delivery.ts'
import { type InboxHandlers, makeInbox } from './inbox.ts'
import { type Delegate, makeIntents } from './intents.ts'
import { makeOwnership } from './ownership.ts'
import { type Reading, makeReading, makeViews } from './reading.ts'
import { type Receipts, makeReceipts } from './receipts.ts'
import { type Replay, makeReplay } from './replay.ts'
import { Requests } from './requests.ts'
import { type Retention, makeRetention } from './retention.ts'
import { type Team, makeRouting } from './routing.ts'
import { loadRules } from './rule-store.ts'
import { type RuleHandlers, Rules, makeRules } from './rules.ts'
import { type Outgoing, makeSender } from './sending.ts'
import { type Speaking, makeSpeaking } from './speaking.ts'
import { type Ending, makeStopping } from './stopping.ts'
import { type MessageRow, findByKeys } from './store.ts'
import { makeChooser } from './strategies.ts'
import { type Subscribing, makeSubscribing } from './subscribing.ts'
import { loadSubscriptions } from './subscription-store.ts'
import { Subscriptions } from './topics.ts'

export interface MessagesParts {
  logger: Logger
  database: Database
  directory: Directory
  clock: Clock
  log: EventLog
  sessions: Sessions
  epoch: string
  random: () => number
  newId: (prefix: string) => string
  engine: () => Context
  team: Team
  /** Makes the task of a delegation. */
  delegate: Delegate
  /** Ends an agent that is told to stop. */
  ending: Ending
  /** Throws for artifacts that are not there. */
  artifactsExist?: ((tenant: number, ids: readonly string[]) => Promise<void>) | undefined
  checkLease: (tx: Tx, write: { task: string; lease: string | undefined; caller: Caller; strict: boolean }) => Promise<void>
  /** Stops messages that go round in circles. */
  guard?: Brakes['guard']
}

export interface Messages {
  handlers: Speaking &
    Subscribing &
    RuleHandlers &
    Reading &
    InboxHandlers &
    DeadLetters &
    Receipts &
    Replay &
    Retention['handlers'] &
    Counting['handlers']
  deliveries: Deliveries
  /** The message of a log entry as clients see it. */
  view(row: MessageRow): Message
  /** Position in the log up to which settled messages may have been removed. */
  trimmedTo(tenant: number): number
  close(): Promise<void>
}

export async function makeMessages(parts: MessagesParts): Promise<Messages> {
  const { database, directory, clock } = parts
  const requests = new Requests(clock)
  const system = () => parts.engine().caller
  const bounces = makeBounces({
    ...parts,
    system,
    depth: (agent) => deliveries.depth(agent),
    stored: (rows, messages) => deliveries.stored(rows, messages, new Map()),
    unanswerable: (seq, error) => requests.fail(seq, error),
  })
  const deliveries: Deliveries = makeDeliveries({ ...parts, system, bounces })
  await deliveries.load()
  const subscriptions = new Subscriptions()
  for (const row of await loadSubscriptions(database)) subscriptions.add(row.tenant, row.agent, row.pattern, row.group_name)
  const rules = new Rules()
  for (const row of await loadRules(database)) rules.keep(row)
  const chooser = makeChooser({ random: parts.random, depth: (agent) => deliveries.depth(agent) })
  const stopping = makeStopping(parts)
  const send = makeSender({ ...parts, deliveries, requests, agentName: (id) => directory.byId(id).name })
  const { guard } = parts
  // A retry of what is stored is answered even while its exchange is held; the key is the one `sending.ts` stores.
  const isStored = async ({ caller, operation, key }: Outgoing): Promise<boolean> =>
    key !== undefined &&
    (await database.transaction(async (tx) => {
      const rows = await findByKeys(tx, database.dialect.values, caller.tenant, caller.id, [`${operation} ${key}`])
      return rows.length > 0
    }))
  const store = guard === undefined ? send : (message: Outgoing) => guard(message, send, isStored)
  const ownership = makeOwnership(parts)
  const states = makeDeliveryStates({ reader: database, values: database.dialect.values, pause: () => nextTurn() })
  const views = makeViews({ states, directory })
  const retention = await makeRetention({ ...parts, system })
  const trimmedTo = (tenant: number) => retention.trimmedTo(tenant)
  const routing = makeRouting({ ...parts, subscriptions, rules, chooser })
  const intents = makeIntents({
    ...parts,
    stopping,
    nameOf: (id) => directory.byId(id).name,
    isAgent: (id) => directory.byId(id).kind === 'agent',
  })
  const deadlineOf = makeDeadlines(parts)
  const answered = ({ tenant, priority, seq }: MessageRow, { caller, signal }: Context) => {
    // The answer leaves in this turn of the event loop; whoever hung up before has the reply in its inbox.
    setImmediate(() => deliveries.answered({ tenant, agent: caller.id, priority, seq, attempt: 1 }, !signal.aborted))
  }
  const shared = {
    ...parts,
    deadlineOf,
    answered,
    deliveries,
    requests,
    subscriptions,
    rules,
    routing,
    intents,
    ownership,
    states,
    views,
    store,
    trimmedTo,
  }
  const receipts = makeReceipts(shared)
  const counting = makeCounting(parts)
  const handlers: Messages['handlers'] = {
    ...makeSpeaking(shared),
    ...makeSubscribing(shared),
    ...makeRules(shared),
    ...makeReading(shared),
    ...makeInbox(shared),
    ...makeDeadLetters(shared),
    ...receipts.handlers,
    ...makeReplay(shared),
    ...retention.handlers,
    ...counting.handlers,
  }
  const close = async () => {
    receipts.close()
    counting.close()
    await retention.close()
    await stopping.close()
    await deliveries.close()
  }
  return { handlers, deliveries, view: views.view, trimmedTo, close }
}

export type { MessageRow }
