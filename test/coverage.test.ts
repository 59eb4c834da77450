import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { after, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { classify, scanTests } from '../scripts/requirements.ts'
import { findCitations } from './requirements/citations.ts'
import { areas, requirements } from './requirements.ts'

const root = resolve(import.meta.dirname, '..')
const scratch = mkdtempSync(join(tmpdir(), 'cadre-coverage-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const header = "import { verifies } from '../test/verifies.ts'\n"
const idsIn = (source: string): string[] => {
  const { citations, problems } = findCitations(header + source)
  assert.deepEqual(problems, [])
  return citations.flatMap(({ ids }) => ids)
}
const worthOf = (call: string): string | undefined => findCitations(header + call).citations[0]?.counts
const problemsIn = (source: string): string[] => findCitations(source).problems.map(({ line, reason }) => `${line}: ${reason}`)

void describe('the manifest', () => {
  void test('has 303 ids, each once', () => {
    assert.equal(requirements.length, 303)
    assert.equal(new Set(requirements.map(({ id }) => id)).size, 303)
  })

  void test('numbers every area from 01 without a gap', () => {
    const sizes: Record<string, number> = {}
    for (const { area, rows } of areas) {
      sizes[area] = rows.length
      rows.forEach(([id], at) => assert.equal(id, `${area}-${String(at + 1).padStart(2, '0')}`))
    }
    assert.deepEqual(sizes, {
      MSG: 28,
      AGT: 34,
      COL: 10,
      TSK: 21,
      MEM: 13,
      KNW: 15,
      TOL: 15,
      API: 32,
      WSE: 19,
      SDK: 12,
      UI: 12,
      OBS: 19,
      ANL: 10,
      SEC: 13,
      REL: 13,
      OPS: 17,
      BYD: 20,
    })
  })

  void test('says something of its own about every id', () => {
    for (const { id, title, behaviour } of requirements) {
      assert.match(title, /^\S(?:.{0,48}\S)?$/, `${id}: a title has 2 to 50 characters`)
      assert.match(behaviour, /^\S.{18,198}\.$/, `${id}: a behaviour is a sentence of 20 to 200 characters`)
    }
    assert.equal(new Set(requirements.map(({ behaviour }) => behaviour)).size, 303)
  })
})

void describe('the tests of this repository', () => {
  void test('cite known ids only, in calls that can be read without running them', async () => {
    const { files, problems } = await scanTests(root)
    assert.ok(files.includes('test/coverage.test.ts'), 'the scan reaches this very file')
    assert.deepEqual(problems, [])
  })

  void test('are found in all folders of ours, and in no foreign one', async () => {
    const put = (path: string, source: string): void => {
      mkdirSync(dirname(join(scratch, path)), { recursive: true })
      writeFileSync(join(scratch, path), source)
    }
    put(
      'server/src/deep/a.test.ts',
      `${header}verifies('MSG-01', 'one', f)\nverifies('MSG-01', 'one', f)\nverifies('MSG-99', 'two', f)`,
    )
    put('sdk/typescript/b.test.ts', `${header}verifies(['MSG-02', 'MSG-03'], 'three', f, { knownFailure: 'later' })`)
    put('examples/c.test.ts', `${header}verifies('MSG-03', 'four', f)\nverifies('MSG-04', 'five', f, { skip: 'always' })`)
    for (const folder of ['server/node_modules/x', 'server/dist', 'bench/peers', 'elsewhere']) {
      put(`${folder}/d.test.ts`, `${header}verifies('MSG-05', 'six', f)`)
    }
    put('server/src/e.ts', `${header}verifies('MSG-06', 'seven', f)`)
    const { files, citations, problems } = await scanTests(scratch)
    assert.deepEqual(files, ['examples/c.test.ts', 'sdk/typescript/b.test.ts', 'server/src/deep/a.test.ts'])
    assert.deepEqual(problems, [
      'server/src/deep/a.test.ts:3: an earlier test of this file has the same id and title (MSG-01)',
      'server/src/deep/a.test.ts:4: MSG-99 is not in the manifest',
    ])
    const { proven, known_failures, untested } = classify(citations)
    assert.deepEqual([proven, known_failures], [['MSG-01', 'MSG-03'], ['MSG-02']])
    assert.equal(untested.length, 300)
  })

  void test('are reported as JSON and nothing else with --json', () => {
    const run = spawnSync(process.execPath, [join(root, 'scripts/requirements.ts'), '--json'], { encoding: 'utf8' })
    assert.equal(run.status, 0, run.stderr)
    const answer: Record<string, string[]> = JSON.parse(run.stdout)
    assert.deepEqual(Object.keys(answer), ['proven', 'known_failures', 'untested'])
    assert.deepEqual(Object.values(answer).flat().sort(), requirements.map(({ id }) => id).sort())
  })
})

void describe('finding citations', () => {
  void test('reads single ids, lists over several lines and calls within blocks', () => {
    assert.deepEqual(idsIn(`verifies('MSG-01', 'a', () => {})\nverifies("MSG-02", 'b', () => {})`), ['MSG-01', 'MSG-02'])
    assert.deepEqual(idsIn(`verifies(\n  [\n    'MSG-01', // one\n    /* two, */ 'MSG-02',\n  ],\n  'a',\n  f,\n)`), [
      'MSG-01',
      'MSG-02',
    ])
    assert.deepEqual(idsIn(`for (const x of y) { if (x) verifies(['MSG-03'] as const, \`t \${x}\`, f) }`), ['MSG-03'])
    assert.deepEqual(findCitations(`${header}\n\nverifies('MSG-01', 'a', f)`).citations[0]?.line, 4)
  })

  void test('passes over comments, strings, templates, regular expressions and members of that name', () => {
    const decoys = [
      `// verifies('MSG-01', 'a', f)`,
      `/* verifies('MSG-01', 'a', f) */`,
      `/**\n * verifies('MSG-01')\n */`,
      `const a = "verifies('MSG-01', 'a', f)"`,
      `const a = 'it\\'s verifies("MSG-01")'`,
      "const a = `verifies('MSG-01', ${\"`\"} verifies('MSG-01') \\${verifies('MSG-01')`",
      `const a = /verifies\\('MSG-01'\\)/`,
      `const a = /[/'"]verifies('MSG-01')/u`,
      `if (a) /'verifies('MSG-01')/.test(b)`,
      `chain.verifies('MSG-01')`,
      `chain?.verifies(id)`,
      `const a = { verifies: true }`,
      `verifiesAll('MSG-01')`,
    ]
    for (const decoy of decoys) assert.deepEqual(idsIn(`${decoy}\nverifies('MSG-02', 'b', f)`), ['MSG-02'], decoy)
    assert.equal(findCitations(`#!/usr/bin/env verifies('MSG-01')\n${header}verifies('MSG-02', 'b', f)`).citations.length, 1)
  })

  void test('does not lose its place after code that is hard to split', () => {
    const hard = [
      `const a = b / c / d; const e = '/'`,
      `const a = f(b) / 2 + "'".length / 3`,
      `const a = x++ / 2; const b = "/'"`,
      `const a = list[0]! / 2; const b = "/'"`,
      `const a = !/'/.test(b)`,
      `const a = b ? /"/ : /'/`,
      `return_ / 2 / "'".length`,
      'const a = `${`${b ? `\'` : "`"}`}\'`',
      'const a = `${{ b: "}" }.b}"`',
      'const a = `$${b}$`, c = "`"',
      `const a = map.delete(b) / 2 / c["'"]`,
      `const a = (b: Map<string, number>): string => "\\\\"`,
      `const a = /\\/'/g; const b = /[\\]/']/`,
      `const a = { b: 1 } / 2; const c = "/'"`,
      `function a() {}\n/'/.test(b)`,
      `const a = '.'`,
      `const a = 1_000n / 2n; const b = 1.5e-3 / 2; const c = "/'"`,
    ]
    for (const code of hard) assert.deepEqual(idsIn(`${code}\nverifies('MSG-02', 'b', f)`), ['MSG-02'], code)
  })

  void test('is not misled by any text in quotes, templates or comments', () => {
    const piece = fc.constantFrom(
      'verifies(',
      "'MSG-01'",
      '"',
      "'",
      '`',
      '${',
      '}',
      '{',
      ')',
      '/',
      '*',
      '//',
      '\\',
      '\n',
      'a',
      ' ',
    )
    const text = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(''))
    const carrier = fc.oneof(
      text.map((inner) => `const a = ${JSON.stringify(inner)}`),
      text.map((inner) => `const a = '${JSON.stringify(inner).slice(1, -1).replaceAll("'", "\\'")}'`),
      text.map((inner) => `const a = \`${inner.replace(/[\\`$]/g, '\\$&')}\``),
      text.map((inner) => `const a = \`\${b + ${JSON.stringify(inner)}} \${\`${inner.replace(/[\\`$]/g, '\\$&')}\`}\``),
      text.map((inner) => `/* ${inner.replaceAll('/', '|')} */`),
      text.map((inner) => `// ${inner.replaceAll('\n', ' ')}`),
    )
    const property = fc.property(fc.array(carrier, { maxLength: 6 }), (lines) => {
      assert.deepEqual(idsIn(`${lines.join('\n')}\nverifies('MSG-02', 'b', f)`), ['MSG-02'])
    })
    fc.assert(property, { numRuns: 500, seed: 303 })
  })

  void test('tells proofs, known failures and tests that never run apart', () => {
    assert.equal(worthOf(`verifies('MSG-01', 'a', f)`), 'proof')
    assert.equal(worthOf(`verifies('MSG-01', 'a', async (t) => { g({ knownFailure: 'x' }) }, { timeout: 5 })`), 'proof')
    assert.equal(worthOf(`verifies('MSG-01', 'a', f, { needs: 'redis', skip: there ? undefined : 'no redis' })`), 'proof')
    assert.equal(worthOf(`verifies('MSG-01', 'a', f, { knownFailure: 'x' },)`), 'knownFailure')
    assert.equal(worthOf(`verifies('MSG-01', 'a', f, { timeout: 5, 'knownFailure': 'x, y' })`), 'knownFailure')
    assert.equal(worthOf(`verifies('MSG-01', 'a', f, { knownFailure })`), 'knownFailure')
    assert.equal(worthOf(`verifies('MSG-01', 'a', f, { skip: 'some day' })`), 'never')
  })

  void test('reports what it cannot be sure of, with the line', () => {
    const literal = '2: ids must be literal strings, or one array of literal strings'
    const direct = '2: verifies may only be called, not renamed, passed on or redefined'
    const cases: [string, string][] = [
      [`verifies(id, 'a', f)`, literal],
      [`verifies([...ids], 'a', f)`, literal],
      [`verifies(['MSG-01', id], 'a', f)`, literal],
      [`verifies('MSG-' + n, 'a', f)`, literal],
      ['verifies(`MSG-01`, "a", f)', literal],
      [`verifies([['MSG-01']], 'a', f)`, literal],
      [`verifies(x ? 'MSG-01' : 'MSG-02', 'a', f)`, literal],
      [`verifies(/MSG-01/, 'a', f)`, literal],
      [`verifies([], 'a', f)`, '2: verifies names no id'],
      [`verifies(['MSG-01', 'MSG-01'], 'a', f)`, '2: MSG-01 is named twice in one call'],
      [`const v = verifies`, direct],
      [`each(verifies)`, direct],
      [`a ? verifies : b`, direct],
      [`verifies.call(0, 'MSG-01')`, direct],
      [`function verifies(id) {}`, direct],
      [`verifies('MSG-01'`, '2: this call of verifies is never closed'],
      [`verifies('MSG-01', 'a', f, options)`, '2: options must be written as an object where verifies is called'],
      [`verifies('MSG-01', 'a', f, { ...options })`, '2: options may hold named entries only'],
    ]
    for (const [code, problem] of cases) assert.deepEqual(problemsIn(header + code), [problem], code)
    assert.deepEqual(problemsIn('const a = `'), ['1: a template opened in line 1 is never closed'])
  })

  void test('insists on the real function under its own name', () => {
    const call = `verifies('MSG-01', 'a', f)`
    const renamed = '1: import { verifies } under its own name, so that its calls can be found'
    assert.deepEqual(problemsIn(call), ['1: verifies is not imported from test/verifies.ts'])
    assert.deepEqual(problemsIn(`import { verifies } from './mine.ts'\n${call}`), [
      '2: verifies is not imported from test/verifies.ts',
    ])
    assert.deepEqual(problemsIn(`import { verifies as v } from './verifies.ts'\nv('MSG-01', 'a', f)`), [renamed])
    assert.deepEqual(problemsIn(`import * as v from '../verifies.ts'\nv.verifies('MSG-01', 'a', f)`), [renamed])
    assert.deepEqual(problemsIn(`import { a } from 'a'\nimport {\n  verifies,\n} from '../../test/verifies.ts'\n${call}`), [])
  })
})

void describe('verifies', () => {
  const run = (calls: string, ci: boolean): { status: number | null; lines: string[] } => {
    const file = join(scratch, `run-${ci}.test.ts`)
    writeFileSync(file, `import { verifies } from ${JSON.stringify(join(root, 'test/verifies.ts'))}\n${calls}\n`)
    // Without NODE_TEST_CONTEXT the child reports as a run of its own and not as a part of this one.
    const { NODE_TEST_CONTEXT: _, CI: __, ...env } = process.env
    const child = spawnSync(process.execPath, ['--test-reporter=tap', file], {
      encoding: 'utf8',
      env: ci ? { ...env, CI: '1' } : env,
    })
    return { status: child.status, lines: child.stdout.split('\n').filter((line) => /^(not )?ok /.test(line)) }
  }
  const fail = `() => { throw new Error('as ever') }`

  void test('names the ids, passes with its body and shows a known failure as a todo', () => {
    const calls = `verifies('MSG-13', 'waits', () => {})
      verifies(['MSG-01', 'MSG-02'], 'arrives', async () => {})
      verifies('MSG-03', 'reaches all', async ${fail}, { knownFailure: 'not built' })
      verifies('MSG-22', 'degrades', ${fail}, { needs: 'redis', skip: 'not installed' })`
    assert.deepEqual(run(calls, false), {
      status: 0,
      lines: [
        'ok 1 - [MSG-13] waits',
        'ok 2 - [MSG-01, MSG-02] arrives',
        'ok 3 - [MSG-03] reaches all # TODO not built',
        'ok 4 - [MSG-22] degrades # SKIP redis: not installed',
      ],
    })
  })

  void test('fails with its body, when a known failure passes, and in CI when a needed server is missing', () => {
    const calls = `verifies('MSG-01', 'broken', ${fail})
      verifies('MSG-02', 'mended', () => {}, { knownFailure: 'not built' })
      verifies('MSG-03', 'degrades', () => {}, { needs: 'redis', skip: 'not installed' })
      verifies('MSG-04', 'elsewhere', ${fail}, { skip: 'another platform' })`
    const there = run(calls, true)
    assert.deepEqual(there.lines, [
      'not ok 1 - [MSG-01] broken',
      'not ok 2 - [MSG-02] mended',
      'not ok 3 - [MSG-03] degrades',
      'ok 4 - [MSG-04] elsewhere # SKIP another platform',
    ])
    assert.equal(there.status, 1)
  })
})
