/** The seven roles on a real server, asked by plain messages and tasks as anyone may, and as a team with a configured model. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { LLMock } from '@copilotkit/aimock'
import { connect, type Hub } from '@cadre/sdk'
import { serveFor, type TestServerOptions } from 'cadre/testing'
import { verifies } from '../../../test/verifies.ts'
import type { AnalysisReport } from '../analysis/analyse.ts'
import type { Plan } from '../plan/decompose.ts'
import { startAgent } from '../worker.ts'
import type { GoalInput } from './coordinator.ts'
import type { FinalResult } from './writer.ts'

const askMs = 20_000
const timeout = { timeout: askMs }

/** A server with one agent of each type, named after it, and an operator's hub. */
async function teamFor(t: TestContext, types: readonly string[], options?: TestServerOptions): Promise<Hub> {
  const server = await serveFor(t, options)
  for (const type of types) {
    const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: type, type, capabilities: [type] })
    const agent = await startAgent({ url: server.url, token, name: type, type })
    t.after(() => agent.close())
  }
  const hub = await connect(server.url)
  t.after(() => hub.close())
  return hub
}

async function ask<T>(hub: Hub, agent: string, content: unknown): Promise<T> {
  return (await hub.ask(agent, content, timeout)).content as T
}

const chain = 'The ferry stopped because its rudder chain broke. The repair cost 48,200 euros.'

verifies(
  'AGT-06',
  'asked what is known about a subject, the knowledge agent returns the stored passages with scores',
  async (t) => {
    const hub = await teamFor(t, ['knowledge'])
    await hub.knowledge.add(chain, { title: 'Incident', collection: 'ferry' })
    await hub.knowledge.add('The canteen serves soup on Fridays.', { title: 'Canteen' })
    const { items } = await ask<{ items: { title: string; text: string; score: number; collection: string }[] }>(
      hub,
      'knowledge',
      'What do we know about the rudder chain?',
    )
    assert.equal(items[0]?.title, 'Incident')
    assert.equal(items[0]?.collection, 'ferry')
    assert.equal(items[0]?.text, chain)
    assert.ok(items.every((item, at) => item.score > 0 && item.score <= (items[at - 1]?.score ?? item.score)))
  },
)

test('a researcher with nothing but a description answers from knowledge, each claim with its source, or says that it cannot', async (t) => {
  const hub = await teamFor(t, ['researcher'])
  const { id } = await hub.knowledge.add(chain, { title: 'Incident' })
  const answer = await hub.task.create({ title: 'Cause', description: 'Why did the ferry stop?', agent_type: 'researcher' })
  const result = await answer.result<{
    answered: boolean
    summary: string
    claims: { text: string; sources: { document_id: string; start: number; end: number; quote: string }[] }[]
    sources: string[]
  }>(timeout)
  assert.equal(result.answered, true)
  assert.match(result.summary, /its rudder chain broke/)
  assert.deepEqual(result.sources, ['Incident'])
  for (const { sources } of result.claims)
    for (const source of sources) {
      assert.equal(source.document_id, id)
      assert.equal(chain.slice(source.start, source.end), source.quote)
    }
  const silent = await hub.task.create({ title: 'x', description: 'Who painted the town hall?', agent_type: 'researcher' })
  assert.deepEqual(await silent.result(timeout), {
    answered: false,
    summary: 'The documents do not say.',
    claims: [],
    sources: [],
  })
})

verifies('AGT-04', 'given a CSV, the analyst answers statistics, a trend and recommendations in one form', async (t) => {
  const hub = await teamFor(t, ['analyst'])
  const rows = Array.from({ length: 12 }, (_, at) => `2025-${String(at + 1).padStart(2, '0')},${at === 7 ? 900 : 100 + at * 10}`)
  const csv = `month,revenue\n${rows.join('\n')}\n`
  const report = await ask<AnalysisReport>(hub, 'analyst', { csv })
  assert.deepEqual(Object.keys(report).toSorted(), ['columns', 'insights', 'outliers', 'recommendations', 'statistics', 'trends'])
  const values = rows.map((row) => Number(row.split(',')[1]))
  const [revenue] = report.statistics
  assert.equal(revenue?.column, 'revenue')
  assert.equal(
    revenue.sum,
    values.reduce((sum, value) => sum + value, 0),
  )
  assert.deepEqual([revenue.min, revenue.max], [100, 900])
  assert.match(report.trends[0]?.text ?? '', /^Revenue rose from 100 in 2025-01 to 210 in 2025-12 \(\+110%\)/)
  assert.match(report.outliers[0]?.text ?? '', /2025-08/)
  assert.ok(report.recommendations.length > 0)
  const nothing = await ask<AnalysisReport>(hub, 'analyst', 'no table at all')
  assert.deepEqual([nothing.statistics, nothing.trends], [[], []])
})

test('the decomposer turns a goal into four to eight tasks with roles, in an order that can be run', async (t) => {
  const hub = await teamFor(t, ['decomposer'])
  const plan = await ask<Plan>(hub, 'decomposer', { goal: 'Why did the ferry stop, and what did the repair cost?' })
  assert.deepEqual(plan.questions, ['Why did the ferry stop?', 'What did the repair cost?'])
  assert.ok(plan.tasks.length >= 4 && plan.tasks.length <= 8)
  for (const [at, task] of plan.tasks.entries()) {
    const before = new Set(plan.tasks.slice(0, at).map((other) => other.key))
    assert.ok(task.depends_on.every((need) => before.has(need)))
  }
  assert.deepEqual([...new Set(plan.tasks.map((task) => task.role))].toSorted(), [
    'knowledge',
    'oversight',
    'researcher',
    'writer',
  ])
})

test('oversight refuses what the sources do not say, with the reason', async (t) => {
  const hub = await teamFor(t, ['oversight'])
  const judge = (claim: string, sources: unknown = [chain]) =>
    ask<{ supported: boolean; reasons: string[] }>(hub, 'oversight', { claim, sources })
  assert.equal((await judge('The rudder chain of the ferry broke.')).supported, true)
  const wrong = await judge('The repair cost 84,200 euros.')
  assert.equal(wrong.supported, false)
  assert.ok(wrong.reasons.length > 0)
  assert.equal((await judge('The captain resigned.')).supported, false)
  assert.equal((await judge('The rudder chain of the ferry broke.', [])).supported, false)
})

test('a type without a role is refused with the known ones', async () => {
  await assert.rejects(
    startAgent({ url: 'http://127.0.0.1:9', token: '', name: 'x', type: 'juggler' }),
    /juggler.*known are analyst/,
  )
})

const everyone = ['coordinator', 'decomposer', 'knowledge', 'researcher', 'analyst', 'writer', 'oversight']
const goal = 'Why did the ferry stop?'

async function runGoal(hub: Hub): Promise<FinalResult> {
  const text = `# Incident\n\n${chain}\n`
  const { id } = await hub.artifacts.upload(new TextEncoder().encode(text), { name: 'incident.md', media_type: 'text/plain' })
  const input: GoalInput = {
    goal,
    collection: 'documents',
    documents: [{ document: 'incident.md', kind: 'markdown', artifact: id, characters: text.length }],
    skipped: [],
  }
  const task = await hub.task.create({ title: goal, agent_type: 'coordinator', input })
  const result = await task.result<FinalResult>(timeout)
  for (const claim of result.report.claims)
    for (const { start, end, quote } of claim.citations) assert.equal(text.slice(start, end), quote)
  return result
}

test('with a model the writer uses its words, oversight strikes what they add, and every call to the provider is the server’s', async (t) => {
  const provider = new LLMock({ port: 0, host: '127.0.0.1', logLevel: 'silent' })
  const usage = { prompt_tokens: 5, completion_tokens: 5 }
  provider.on({ systemMessage: 'You split a goal' }, { content: `{"questions": ["${goal}"], "analysis": false}`, usage })
  provider.on(
    { systemMessage: 'You write a short report' },
    {
      content: 'The ferry stopped because the rudder chain broke. [1] The captain resigned after 12 days. [1] Nobody cites this.',
      usage,
    },
  )
  provider.on({ systemMessage: 'You check sentences' }, { content: 'I had rather not say.', usage })
  await provider.start()
  t.after(() => provider.stop())
  const model = { openai: undefined, anthropic: undefined, google: undefined, preferred: undefined }
  const hub = await teamFor(t, everyone, {
    config: { model: { ...model, compatible: { url: provider.url, apiKey: undefined } } },
  })
  const calls: unknown[] = []
  const stop = hub.events.watch((entry) => void (entry.type === 'model.generated' && calls.push(entry)))
  t.after(stop)

  const { report, struck } = await runGoal(hub)
  assert.deepEqual(
    report.claims.map((claim) => [claim.text, claim.supported]),
    [
      ['The ferry stopped because the rudder chain broke.', true],
      ['The captain resigned after 12 days.', false],
    ],
  )
  assert.equal(struck, 1)
  assert.match(report.markdown, /~~The captain resigned after 12 days\.~~ \[1\] \*\(struck out: /)
  assert.doesNotMatch(report.markdown, /Nobody cites this/)
  const asked = provider.getRequests()
  assert.equal(asked.length, 3)
  assert.equal(calls.length, asked.length, 'the provider was asked by the server alone, once for each recorded call')
})

test('a model that fails leaves the job to the rules', async (t) => {
  const provider = new LLMock({ port: 0, host: '127.0.0.1', logLevel: 'silent' })
  provider.on({}, { error: { message: 'out of order', type: 'invalid_request_error' }, status: 400 })
  await provider.start()
  t.after(() => provider.stop())
  const model = { openai: undefined, anthropic: undefined, google: undefined, preferred: undefined }
  const hub = await teamFor(t, everyone, {
    config: { model: { ...model, compatible: { url: provider.url, apiKey: undefined } } },
  })
  const { report } = await runGoal(hub)
  assert.match(report.markdown, /The ferry stopped because its rudder chain broke\. \[1\]/)
  assert.ok(provider.getRequests().length > 0)
})
