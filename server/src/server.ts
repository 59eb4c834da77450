/** Composition root: config -> drivers -> features -> surfaces. Everything started is closed in reverse order. */
import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { CadreError } from '@cadre/contract'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import type { Config } from './config.ts'
import { prepareFolder } from './config.ts'
import { Access } from './core/access.ts'
import { type Clock, makeIds, randomHex, systemClock } from './core/clock.ts'
import type { Caller, Principal } from './core/context.ts'
import { Directory } from './core/directory.ts'
import { EventLog } from './core/events.ts'
import { armFailPoint } from './core/fail-points.ts'
import { type Handlers, makeDoor } from './core/invoke.ts'
import { type LagSource, LoadGuard, measureLag } from './core/load.ts'
import { type Logger, makeLogger } from './core/logger.ts'
import { RateLimits } from './core/rate.ts'
import { Secret, makeKeyring, newServerSecret } from './core/secrets.ts'
import { type Session, Sessions } from './core/sessions.ts'
import { openFsBlobs } from './drivers/blob/fs.ts'
import { readCron } from './drivers/cron/croner.ts'
import { migrate } from './drivers/database/migrate.ts'
import type { Database, Tx } from './drivers/database/port.ts'
import { sql } from './drivers/database/sql.ts'
import { openSqlite } from './drivers/database/sqlite.ts'
import { makeLexicalEmbedder } from './drivers/embedding/lexical.ts'
import { selectModel } from './drivers/model/providers.ts'
import { makeExactIndex } from './drivers/vector/exact.ts'
import { Runner } from './features/agents/runner.ts'
import { type Agents, makeAgents } from './features/agents/service.ts'
import { makeTeam } from './features/agents/team.ts'
import { makeArtifacts } from './features/artifacts/service.ts'
import { makeBrakes } from './features/brakes/service.ts'
import { makeEvents } from './features/events/service.ts'
import { isStopWord, makeKnowledge } from './features/knowledge/service.ts'
import { makeMemory } from './features/memory/service.ts'
import { makeMemoryWatch } from './features/memory/watching.ts'
import { messageId } from './features/messages/envelope.ts'
import { type Messages, makeMessages } from './features/messages/service.ts'
import { makeModels } from './features/models/service.ts'
import { makeConnections } from './features/system/connections.ts'
import { makeSystem } from './features/system/service.ts'
import { type Strategy, type TaskWrite, type Tasks, makeTasks } from './features/tasks/service.ts'
import { makeTools } from './features/tools/service.ts'
import { type Embed, type Flow, serveEmbedded } from './surfaces/embedded.ts'
import { servePages } from './surfaces/pages.ts'
import { forwardEvents } from './surfaces/push.ts'
import { serveRest } from './surfaces/rest.ts'
import { serveStreams } from './surfaces/sse.ts'
import { serveSockets } from './surfaces/websocket.ts'
import { readYaml } from './surfaces/yaml.ts'
import { version } from './core/version.ts'

export interface ServerOptions {
  config: Config
  clock?: Clock
  random?: () => number
  logger?: Logger
  /** Program and arguments that start a worker process. */
  workerCommand: readonly [string, ...string[]]
  /** Folder with the built pages. */
  assets: string
  validateOutput?: boolean
  /** Tests say how late the event loop is. */
  lag?: LagSource
  /** Ways of choosing agents for tasks, beside the built-in ones. */
  strategies?: readonly Strategy[]
  /** How often each socket is pinged, milliseconds; 15,000 unless given. */
  pingMs?: number
}

export interface RunningServer {
  readonly url: string
  readonly port: number
  /** Shown once, on the first start in required mode. */
  readonly adminKey: string | undefined
  /** A fresh one-time link that signs a browser in. */
  signInUrl(): string
  /** Process id of a managed agent's worker, while it runs. */
  workerPid(agent: string): number | undefined
  /** An agent in this process, which needs no socket. */
  readonly embed: Embed
  close(): Promise<void>
}

const tenantName = 'default'

/** Starts the whole server; resolves when it answers. Rejects with a sentence when the folder is held or the port is taken. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config } = options
  const clock = options.clock ?? systemClock
  const logger = options.logger ?? makeLogger(config.logLevel)
  const closers: (() => unknown)[] = []
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close()
  }
  try {
    return await compose(options, clock, logger, closers, closeAll)
  } catch (error) {
    await closeAll()
    throw error
  }
}

async function compose(
  options: ServerOptions,
  clock: Clock,
  logger: Logger,
  closers: (() => unknown)[],
  closeAll: () => Promise<void>,
): Promise<RunningServer> {
  const { config } = options
  const random = options.random ?? Math.random
  const newId = makeIds(clock)
  armFailPoint(config.failPoint)
  prepareFolder(config.data)
  const database = openSqlite(config.data, (cause) => logger.error('what follows a commit failed', { cause }))
  closers.push(() => database.close())
  await migrate(database)
  const { tenant, storeEpoch } = await foundStore(database)
  const log = await EventLog.open(database, clock, (cause) => logger.error('a consumer of the log failed', { cause }))
  const directory = await Directory.open(database, clock)
  await directory.ensure(tenant, 'person', 'operator', newId('usr'))
  const system: Principal = await directory.ensure(tenant, 'system', 'cadre', newId('sys'))
  const keyring = makeKeyring(serverSecret(config.data))
  const access = new Access(database, directory, keyring, clock, { mode: config.auth, allowedHosts: config.allowedHosts, tenant })
  const sessions = new Sessions()
  const blobFolder = config.data === ':memory:' ? temporaryFolder(closers) : join(config.data, 'blobs')
  const blobs = await openFsBlobs({ folder: blobFolder })

  const newTrace = () => `00-${randomHex(16)}-${randomHex(8)}-01`
  let handlers: Handlers | undefined
  const rate = config.rate.agent || config.rate.tenant ? new RateLimits(config.rate, clock) : undefined
  const load = new LoadGuard(options.lag ?? measureLag(), clock)
  closers.push(() => load.close())
  const door = makeDoor(
    {
      database,
      log,
      access,
      clock,
      keyring,
      logger,
      storeEpoch,
      newTrace,
      rate,
      load,
      validateOutput: options.validateOutput ?? false,
    },
    () => handlers as Handlers,
  )
  const engineCaller: Caller = { ...system, role: 'admin' }
  const engine = () => door.engine(engineCaller)

  // Features that ask each other at run time are handed over late; none imports another's store.
  let messages: Messages | undefined
  let tasks: Tasks | undefined
  const agents: Agents = await makeAgents({
    logger,
    database,
    directory,
    access,
    sessions,
    clock,
    newId,
    engine,
    inboxDepths: async (_tenant, ids) => new Map(ids.map((id) => [id, messages?.deliveries.depth(id) ?? 0])),
    renewLeases: (agent, leases) => (tasks as Tasks).engine.renew(tenant, agent, leases),
  })
  closers.push(() => agents.close())
  const checkLease = (tx: Tx, write: TaskWrite) => (tasks as Tasks).engine.checkLease(tx, write)
  const mustHold = (tx: Tx, write: TaskWrite) => checkLease(tx, { ...write, mustHold: true })
  const brakes = await makeBrakes({
    database,
    directory,
    clock,
    logger,
    newId,
    engine,
    head: () => log.head,
    messageId,
    tell: (_tenant, { id, reason, task_id, rule, parties }) =>
      (messages as Messages).handlers['messages.send'](engine(), {
        to: 'operator',
        kind: 'system',
        type: 'brake.tripped',
        content: { brake_id: id, rule, parties, reason },
        ...(task_id !== null && { task_id }),
      }),
  })
  messages = await makeMessages({
    guard: brakes.guard,
    logger,
    database,
    directory,
    clock,
    log,
    sessions,
    epoch: storeEpoch,
    random,
    engine,
    checkLease,
    artifactsExist: (of, ids) => artifacts.mustExist(of, ids),
    newId,
    team: makeTeam(agents.registry, directory),
    delegate: (tx, context, id, task) => {
      access.authorise(context.caller, 'tasks:write')
      return (tasks as Tasks).createIn(tx, context, id, task)
    },
    ending: {
      begin: (tx, agent, reason) => agents.beginStop(tx, agent, reason),
      finish: (agent, reason) => agents.finishStop(agent, reason),
    },
  })
  const inbox = messages
  closers.push(() => inbox.close())
  tasks = await makeTasks({
    database,
    directory,
    clock,
    sessions,
    agents,
    epoch: storeEpoch,
    random,
    engine,
    leaseMs: config.leaseMs,
    logger,
    newId,
    readCron,
    moreStrategies: options.strategies,
    stepResults: {
      keep: async (context, task_id, name, json) =>
        (await artifacts.store(context, Buffer.from(json), { name, media_type: 'application/json', task_id })).id,
      read: async (of, id) => (await buffer((await artifacts.open({ tenant: of }, id)).body)).toString('utf8'),
    },
    settleCall: (tx, of, outcome) => tools.settle(tx, of, outcome),
    tellAsked: (_tenant, to, { id, task_id, task, kind, prompt, action, args, schema, step }) =>
      (messages as Messages).handlers['messages.send'](engine(), {
        to,
        kind: 'system',
        type: 'task.input_required',
        content: { request_id: id, task_id, task, kind, prompt, action, args, schema, step },
        task_id,
      }),
  })
  const work = tasks
  closers.push(() => work.close())
  const events = await makeEvents({
    database,
    directory,
    clock,
    log,
    epoch: storeEpoch,
    newId,
    messageOf: (row) => inbox.view(row),
    trimmedTo: (of) => inbox.trimmedTo(of),
  })
  closers.push(() => events.close())
  const memory = makeMemory({
    database,
    directory,
    clock,
    newId,
    engine,
    checkLease: (tx, { task_id, ...claim }) => mustHold(tx, { ...claim, task: task_id }),
  })
  closers.push(() => memory.close())
  const artifacts = makeArtifacts({ database, directory, clock, blobs })
  const embedder = makeLexicalEmbedder({ isStopWord })
  const knowledge = await makeKnowledge({
    database,
    directory,
    clock,
    newId,
    embedder,
    makeIndex: (source) => makeExactIndex({ dimensions: embedder.dimensions, source }),
    readArtifact: async (of, id) => (await buffer((await artifacts.open({ tenant: of }, id)).body)).toString('utf8'),
    report: (message, cause) => logger.error(message, { cause }),
  })
  closers.push(() => knowledge.close())
  const tools = await makeTools({
    database,
    directory,
    clock,
    sessions,
    newId,
    checkLease: mustHold,
    checkCall: (call) => brakes.checkCall(call),
    askOutcome: (context, call) => work.askCallOutcome(context, call),
  })
  const model = selectModel(modelSettings(config))
  closers.push(() => model.close())
  const models = makeModels({ database, clock, model, checkLease })
  let url = ''
  const signInUrl = () => `${url}/sign-in/${access.createLink()}`
  let runner: Runner | undefined
  const systemFeature = makeSystem({
    database,
    directory,
    clock,
    log,
    access,
    sessions,
    agents,
    messages,
    tasks,
    version,
    newId,
    signInUrl,
    knowledgeCounts: (of) => knowledge.counts(of),
    memoryCount: (of) => memory.count(of),
    consumerLags: (of) => events.lags(of),
    components: () => [
      { name: 'bus', status: 'ok', detail: 'memory' },
      { name: 'model', status: 'ok', detail: `${model.provider}/${model.model}` },
      { name: 'workers', status: 'ok', detail: `${runner?.running ?? 0} running` },
    ],
  })
  closers.push(() => systemFeature.close())
  handlers = {
    ...agents.handlers,
    ...messages.handlers,
    ...brakes.handlers,
    ...tasks.handlers,
    ...memory.handlers,
    ...makeMemoryWatch({ database, log, events }),
    ...events.handlers,
    ...knowledge.handlers,
    ...tools.handlers,
    ...artifacts.handlers,
    ...models.handlers,
    ...systemFeature.handlers,
    ...makeConnections({ sessions, directory }).handlers,
  }

  // TCP_NODELAY is on by default; keep-alive longer than a poll so that clients reuse connections.
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    routerOptions: { maxParamLength: 1024 },
    bodyLimit: 2 * 1024 * 1024,
    // Content is any JSON, these two names included; nothing here copies fields by assignment.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    // An address that cannot be decoded reaches no route and no error handler.
    frameworkErrors: (cause, _request, reply: FastifyReply) =>
      void reply
        .code(400)
        .type('application/problem+json')
        .send(new CadreError('malformed', { reason: 'The address cannot be decoded.' }, { cause }).toProblem(newTrace())),
    http: { headersTimeout: 10_000, maxHeaderSize: 16_384 },
  })
  // Only JSON is parsed, and graphs of tasks as YAML; everything else is an upload's stream.
  app.removeContentTypeParser('text/plain')
  app.addContentTypeParser('*', (request, payload, done) => {
    if (request.routeOptions.config.upload === true || request.headers['content-length'] === '0') done(null, payload)
    else done(new CadreError('malformed', { reason: 'Send the body with Content-Type: application/json.' }))
  })
  app.addContentTypeParser(
    ['application/yaml', 'application/x-yaml', 'text/yaml'],
    { parseAs: 'string' },
    async (request: FastifyRequest, text: string) => {
      if (request.routeOptions.url?.endsWith('/tasks/dag') === true) return readYaml(text)
      throw new CadreError('malformed', { reason: 'Only graphs of tasks are taken as YAML; send application/json.' })
    },
  )
  let ready = true
  serveRest(app, {
    door,
    rate,
    access,
    logger,
    newTrace,
    openArtifact: async (id, range) =>
      (await artifacts.open({ tenant }, id, range && { start: range.start, end: range.end + 1 })).body,
  })
  const streams = serveStreams(app, { door, access, clock, newId })
  servePages(app, { access, door, version, assets: options.assets, ready: () => ready })
  const attach = (session: Session, lastSeq: number | undefined) => inbox.deliveries.attach(session, lastSeq)
  const flow = (session: Session, next: Flow) => {
    if (next.ack !== undefined) inbox.deliveries.acknowledgeUpTo(session, next.ack)
    if (next.credits !== undefined) inbox.deliveries.addCredits(session, next.credits)
  }
  const embedded = serveEmbedded({ door, access, directory, sessions, newId, attach, flow })
  const sockets = serveSockets({
    server: app.server,
    door,
    access,
    directory,
    sessions,
    logger,
    newId,
    clock,
    rate,
    limits: config.connections,
    pingMs: options.pingMs,
    attach,
    flow,
    leasesOf: (caller) => work.heldBy(caller),
  })
  const stopForwarding = forwardEvents({ log, sessions, directory })
  closers.push(stopForwarding)
  closers.push(() => app.close())
  closers.push(() => streams.close())
  closers.push(() => sockets.close())
  closers.push(() => embedded.close())
  await listen(app, config)
  const port = (app.server.address() as AddressInfo).port
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  const everywhere = config.host === '0.0.0.0' || config.host === '::'
  url = `http://${everywhere || host === '127.0.0.1' ? 'localhost' : host}:${port}`
  const workerUrl = `http://${everywhere ? '127.0.0.1' : host}:${port}`
  runner = new Runner({
    database,
    directory,
    access,
    clock,
    agents,
    logger,
    engine,
    command: options.workerCommand,
    url: () => workerUrl,
    restartMs: config.workerRestartMs,
  })
  const workers = runner
  closers.push(() => workers.close())
  workers.resume()
  await engine().write(async (tx) => {
    tx.emit({ type: 'system.started', subject: null, data: { version, store_epoch: storeEpoch } })
    return {}
  })
  const adminKey = config.auth === 'required' && !(await systemFeature.hasAdminKey(tenant)) ? await firstKey() : undefined

  async function firstKey(): Promise<string> {
    const { key } = await door.invoke('keys.create', { name: 'admin', role: 'admin' }, { caller: engineCaller })
    return key
  }

  let closing: Promise<void> | undefined
  return {
    url,
    port,
    adminKey,
    signInUrl,
    embed: embedded.embed,
    workerPid: (name) => {
      const principal = directory.find(tenant, name)
      return principal && workers.pidOf(principal.id)
    },
    close: () => {
      ready = false
      return (closing ??= closeAll())
    },
  }
}

async function listen(app: ReturnType<typeof fastify>, config: Config): Promise<void> {
  try {
    await app.listen({ host: config.host, port: config.port })
  } catch (cause) {
    const { code } = cause as { code?: string }
    if (code === 'EADDRINUSE')
      throw new CadreError(
        'conflict',
        { reason: `Port ${config.port} is taken; stop what uses it or set CADRE_PORT to another.` },
        { cause },
      )
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
      throw new CadreError(
        'conflict',
        { reason: `Cadre may not listen on ${config.host}:${config.port} (${code}); set CADRE_HOST and CADRE_PORT.` },
        { cause },
      )
    throw cause
  }
}

/** The tenant and the epoch of the store, made on its first start. */
async function foundStore(database: Database): Promise<{ tenant: number; storeEpoch: string }> {
  return database.transaction(async (tx) => {
    await tx.run(sql`insert into tenants (id, name) values (1, ${tenantName}) on conflict do nothing`)
    await tx.run(sql`insert into meta (key, value) values ('store_epoch', ${randomHex(4)}) on conflict do nothing`)
    const row = await tx.get<{ value: string }>(sql`select value from meta where key = 'store_epoch'`)
    return { tenant: 1, storeEpoch: (row as { value: string }).value }
  })
}

/** The server's own secret stands beside the store, readable by its owner only. */
function serverSecret(folder: string): Secret {
  if (folder === ':memory:') return new Secret(newServerSecret())
  const path = join(folder, 'secret.key')
  try {
    return new Secret(readFileSync(path, 'utf8').trim())
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
    const fresh = newServerSecret()
    // Whole and on disk before the first token is made with it: after a power loss a file that is cut short, or none, refuses them all.
    writeFileSync(`${path}.new`, `${fresh}\n`, { mode: 0o600, flush: true })
    renameSync(`${path}.new`, path)
    const directory = openSync(folder, 'r')
    fsyncSync(directory)
    closeSync(directory)
    return new Secret(fresh)
  }
}

function temporaryFolder(closers: (() => unknown)[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'cadre-blobs-'))
  closers.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function modelSettings(config: Config): Parameters<typeof selectModel>[0] {
  const { openai, anthropic, google, compatible, preferred } = config.model
  const reveal = (secret: Secret) => () => secret.reveal()
  return {
    openai: openai && { apiKey: reveal(openai.apiKey), baseUrl: openai.baseUrl },
    anthropic: anthropic && { apiKey: reveal(anthropic.apiKey) },
    google: google && { apiKey: reveal(google.apiKey) },
    compatible: compatible && { url: compatible.url, apiKey: compatible.apiKey && reveal(compatible.apiKey) },
    preferred,
  }
}
