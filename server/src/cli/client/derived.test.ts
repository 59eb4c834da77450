import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Operation, operations } from '@cadre/contract'
import type { Command } from 'commander'
import { z } from 'zod'
import { verifies } from '../../../../test/verifies.ts'
import { exitCodes } from './failure.ts'
import { kebab, planOf, plans } from './plan.ts'
import { makeProbe } from './probe.suite.ts'
import { buildProgram, runProgram } from './program.ts'

const find = (program: Command, ...names: string[]): Command | undefined =>
  names.reduce<Command | undefined>(
    (at, name) => at?.commands.find((each) => each.name() === name || each.aliases().includes(name)),
    program,
  )

verifies('SDK-11', 'every operation is a sub-command that takes every field of its input and can explain itself', async (t) => {
  for (const operation of Object.values(operations) as Operation[]) {
    await t.test(operation.name, async () => {
      const [noun, verb] = operation.name.split('.').map(kebab) as [string, string]
      const command = find(buildProgram(makeProbe().terminal), noun, verb)
      assert.ok(command, `cadre ${noun} ${verb}`)

      const probe = makeProbe()
      assert.equal(await runProgram([noun, verb, '--help'], probe.terminal), 0)
      const help = probe.stdout()
      assert.equal(probe.stderr(), '')
      assert.ok(help.includes(operation.kind === 'stream' && !operation.routes ? 'Follow the log' : operation.summary), help)
      assert.match(help, /Examples:\n {2}cadre /)

      const schema = z.toJSONSchema(operation.input, { io: 'input' })
      const long = new Set(command.options.map((option) => option.long))
      for (const field of Object.keys(schema.properties ?? {})) {
        const names = [`--${kebab(field)}`, `--${noun.replace(/s$/, '')}-${kebab(field)}`]
        assert.ok(
          names.some((name) => long.has(name)),
          `${field} has an option`,
        )
      }
      for (const field of schema.required ?? []) assert.ok(help.includes(`<${kebab(field)}`), `${field} has a place`)
      for (const name of ['--url', '--token', '--timeout', '--json', '--jsonl', '--quiet', '--yes']) {
        assert.ok(long.has(name), `${name} is there`)
      }
    })
  }
})

test('aliases of the contract are options, unseen in help, and only where their field exists', () => {
  for (const plan of plans) {
    const options = new Set([...plan.fields.map((field) => field.option), ...plan.hidden.map(([option]) => option)])
    for (const [alias, field] of Object.entries(plan.operation.aliases ?? {})) {
      if (!plan.fields.some((each) => each.name === field) || alias === 'data') continue
      assert.ok(options.has(alias) || options.has(kebab(alias)), `${plan.operation.name} --${alias}`)
    }
  }
  const create = find(buildProgram(makeProbe().terminal), 'tasks', 'create')
  assert.equal(create?.options.find((option) => option.long === '--assignee')?.hidden, true)
  assert.equal(create?.options.find((option) => option.long === '--assign_to')?.hidden, true)
})

test('the path of the route gives the places, then what is required, entities first', () => {
  const places = (name: keyof typeof operations) => planOf(operations[name] as Operation).positionals.map((field) => field.name)
  assert.deepEqual(places('tasks.get'), ['id'])
  assert.deepEqual(places('memory.set'), ['key', 'value'])
  assert.deepEqual(places('tasks.assign'), ['id', 'agent'])
  assert.deepEqual(places('messages.ask'), ['to', 'content'])
  assert.deepEqual(places('messages.publish'), ['topic', 'content'])
  assert.deepEqual(places('tools.revoke'), ['name', 'agent'])
  assert.deepEqual(places('agents.spawn'), ['name', 'type'])
})

test('a field that is called like a shared option gets its noun before it', () => {
  const register = planOf(operations['agents.register'])
  assert.equal(register.fields.find((field) => field.name === 'token')?.option, 'agent-token')
})

test('other names: singular nouns, ls, rm', () => {
  const program = buildProgram(makeProbe().terminal)
  for (const names of [
    ['task', 'ls'],
    ['agent', 'rm'],
    ['message', 'dlq'],
    ['key', 'rm'],
    ['tool', 'ls'],
    ['memory', 'rm'],
    ['tasks', 'submit'],
    ['knowledge', 'rm'],
  ]) {
    assert.ok(find(program, ...names), names.join(' '))
  }
})

const wrong: [args: string[], says: RegExp][] = [
  [['tsaks'], /unknown command 'tsaks'\n\(Did you mean tasks\?\)/],
  [['tasks', 'creat'], /Did you mean create\?/],
  [['tasks', 'create', '--titel', 'x'], /Did you mean --title\?/],
  [['tasks', 'get'], /Missing: <id>\.\n {2}Try: cadre tasks get --help/],
  [['send', 'ada'], /Missing: <content>/],
  [['tasks', 'get', 'a', 'b'], /nothing for "b"/],
  [['tasks', 'list', '--state', 'gone'], /Allowed choices are pending, /],
  [['tasks', 'create', 'x', '--priority', 'urgent'], /a number or one of critical, high, normal, low, not urgent/],
  [['tasks', 'create', 'x', '--max-retries', 'many'], /--max-retries is a number, not "many"/],
  [['tasks', 'create', 'x', '--max-retries', '-1'], /\/max_retries: /],
  [['tasks', 'create', 'x', '--metadata', '{no'], /--metadata is JSON \(an object\)/],
  [['tasks', 'create', '--data', '[1]'], /--data is a JSON object/],
  [['memory', 'set', 'k', '@/nowhere/at/all'], /The file \/nowhere\/at\/all does not exist/],
  [['memory', 'set', '-', '-', '--metadata', '-'], /Standard input \(-\) can stand for one value only/],
  [['status', '--timeout', 'soon'], /Give seconds/],
  [['status', '--url', 'ftp://x y'], /is not an http or https URL/],
  [['events', 'tail', '--types', 'nothing.*'], /No event is called nothing\.\*/],
]
for (const [args, says] of wrong) {
  test(`a wrong call is told what to do: ${args.join(' ')}`, async () => {
    const probe = makeProbe({ stdin: '{}', env: { CADRE_URL: 'http://127.0.0.1:9' } })
    assert.equal(await runProgram(args, probe.terminal), exitCodes.usage)
    assert.equal(probe.stdout(), '')
    assert.match(probe.stderr(), says)
    assert.doesNotMatch(probe.stderr(), /\n {4}at /)
  })
}

test('without a command the help is printed; the version is one line', async () => {
  const bare = makeProbe()
  assert.equal(await runProgram([], bare.terminal), 0)
  assert.match(bare.stdout(), /Usage: cadre/)
  const version = makeProbe()
  assert.equal(await runProgram(['--version'], version.terminal), 0)
  assert.match(version.stdout(), /^\d+\.\d+\.\d+\n$/)
})
