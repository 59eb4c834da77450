/** Graphs written as YAML. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CadreError, type OutputOf, type Problem, type Run, type Task } from '@cadre/contract'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { verifies } from '../../../test/verifies.ts'
import { serveFor } from '../testing.ts'
import { maxYamlChars, readYaml } from './yaml.ts'

type Dag = OutputOf<'tasks.dag'>
const yaml = { headers: { 'content-type': 'application/yaml; charset=utf-8' } }

verifies('TSK-03', 'a graph may be YAML: stored as the same graph in JSON would be, and a cycle is named', async (t) => {
  const server = await serveFor(t)
  const dag = await server.call<Dag>(
    'POST',
    '/tasks/dag',
    `
# The graph of a report
name: Market report
on_failure: continue
tasks:
  - key: research
    input: &window { from: 2026-01-01, days: 30 }
    capabilities: [web_search]
  - key: data
    input: *window
    priority: high
  - key: analysis
    depends_on: [research, data]
    join: any_success
    description: |
      Compare both.
      Say what is missing.
`,
    yaml,
  )
  const byKey = Object.fromEntries(dag.tasks.map((task) => [task.key, task]))
  assert.deepEqual(byKey['data']?.input, { from: '2026-01-01', days: 30 })
  assert.equal(byKey['data']?.priority, 2)
  assert.equal(byKey['analysis']?.description, 'Compare both.\nSay what is missing.\n')
  assert.deepEqual(
    [byKey['analysis']?.state, byKey['analysis']?.join, byKey['research']?.join],
    ['pending', 'any_success', 'all_done'],
  )
  const cycle = await server.request<Problem>(
    'POST',
    '/tasks/dag',
    'name: x\ntasks:\n  - {key: a, depends_on: [b]}\n  - {key: b, depends_on: [a]}\n',
    yaml,
  )
  assert.deepEqual([cycle.status, cycle.body.code, cycle.body.parameters], [422, 'cycle', { path: 'a -> b -> a' }])
  assert.equal((await server.call<{ items: Run[] }>('GET', '/runs')).items.length, 1)
})

test('what is no graph is refused, and nothing is stored', async (t) => {
  const server = await serveFor(t)
  const cases: [text: string, status: number, says: RegExp][] = [
    ['name: x\ntasks: [', 400, /line 2/],
    ['name: x\nname: y\ntasks: [{key: a}]', 400, /line 2: Map keys must be unique/],
    ['name: !!js/function "f"\ntasks: [{key: a}]', 400, /tag/],
    ['name: !!str x\ntasks: [{key: a}]', 400, /tags are not taken/],
    ['name: x\ntasks: [{key: a}]\n---\nname: y\ntasks: [{key: a}]', 400, /more than one document/],
    ['- a\n- b', 400, /JSON object/],
    ['name: x\ntasks:\n  - title: no key', 422, /\/tasks\/0\/key/],
    ['name: x\ntasks:\n  - {key: a, depends_on: [elsewhere]}', 404, /no task elsewhere/],
  ]
  for (const [text, status, says] of cases) {
    const answer = await server.request<Problem>('POST', '/tasks/dag', text, yaml)
    assert.equal(answer.status, status, text)
    assert.match(JSON.stringify(answer.body), says, text)
  }
  const elsewhere = await server.request<Problem>('POST', '/tasks', 'title: x', yaml)
  assert.deepEqual([elsewhere.status, elsewhere.body.code], [400, 'malformed'])
  assert.deepEqual((await server.call<{ items: Task[] }>('GET', '/tasks')).items, [])
})

test('a document cannot cost more than its length', () => {
  const refused = (text: string, code: string, says: RegExp) =>
    assert.throws(
      () => readYaml(text),
      (error) => error instanceof CadreError && error.code === code && says.test(error.message),
      text.slice(0, 40),
    )
  const nine = (name: string) => `[${Array.from({ length: 9 }, () => `*${name}`).join(', ')}]`
  refused(`a: &a [x]\nb: &b ${nine('a')}\nc: &c ${nine('b')}\nd: &d ${nine('c')}\ne: ${nine('d')}`, 'malformed', /alias/i)
  refused('['.repeat(200_000), 'malformed', /too deep/)
  refused('- '.repeat(5_000), 'malformed', /64 deep/)
  refused(Array.from({ length: 500 }, (_, depth) => `${' '.repeat(depth)}k:\n`).join(''), 'malformed', /64 deep/)
  refused(' '.repeat(maxYamlChars + 1), 'too_large', /limit/)
})

test('any graph that is written as YAML is read as it was', () => {
  const graph = fc.record({
    name: fc.string({ minLength: 1 }),
    tasks: fc.array(fc.record({ key: fc.string({ minLength: 1 }), title: fc.string(), input: fc.jsonValue({ maxDepth: 4 }) }), {
      maxLength: 5,
    }),
  })
  fc.assert(
    fc.property(graph, (given) => {
      const value = JSON.parse(JSON.stringify(given)) as unknown
      assert.deepEqual(readYaml(stringify(value, { aliasDuplicateObjects: false, schema: 'core' })), value)
    }),
    { seed: 2, numRuns: 300 },
  )
})

test('ten thousand tasks, a thousand deep, are one graph', async (t) => {
  const server = await serveFor(t)
  const lines = Array.from({ length: 10_000 }, (_, index) => {
    const before = index < 10 ? '' : `t${index - 10}`
    return `  - {key: t${index}, title: Task ${index}, depends_on: [${before}]}`
  })
  const dag = await server.call<Dag>('POST', '/tasks/dag', `name: large\ntasks:\n${lines.join('\n')}\n`, yaml)
  const run = await server.call<Run>('GET', `/runs/${dag.run_id}?limit=1`)
  assert.deepEqual(
    [run.counts.total, run.counts.open, (run as unknown as { states: object }).states],
    [10_000, 10_000, { pending: 9_990, ready: 10 }],
  )
  await server.call('POST', `/runs/${dag.run_id}/cancel`, {})
  const ended = await server.call<Run>('GET', `/runs/${dag.run_id}?limit=1`)
  assert.deepEqual([ended.state, ended.counts.cancelled], ['cancelled', 10_000])
})
