// `npm test`: every check, then every test file; node's own counts close the output.
// `npm test -- server/src/core agents` runs only the test files whose path holds one of the words, without the checks;
// arguments that begin with a dash go to `node --test`.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { runChecks, runNode } from './check.ts'

const root = join(import.meta.dirname, '..')
const folders = ['contract', 'server', 'sdk', 'agents', 'dashboard', 'test']

// node:test bounds a test, not a file that stays open after its tests: this bounds the whole run, below the hour and a half of CI.
const runLimit = 80 * 60_000
const testLimit = process.env.CADRE_TEST_FULL === '1' ? 30 * 60_000 : 180_000

function findTests(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return entry.name === 'node_modules' || entry.name === 'dist' ? [] : findTests(path)
    return entry.name.endsWith('.test.ts') ? [path] : []
  })
}

async function main(args: readonly string[]): Promise<number> {
  const flags = args.filter((arg) => arg.startsWith('-'))
  const words = args.filter((arg) => !arg.startsWith('-')).map((word) => word.replace(/^\.\//, '').replaceAll('\\', '/'))
  const files = folders.flatMap(findTests).filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  if (files.length === 0) {
    process.stderr.write(`cadre: no test file has ${words.map((word) => `"${word}"`).join(' or ')} in its path.\n`)
    return 1
  }
  const checked = words.length > 0 || (await runChecks())
  // Two files at a time: the machine that decides has two cores, and more would make the timed tests wait for one another.
  const options = ['--test', '--test-concurrency=2', '--test-reporter=spec', `--test-timeout=${testLimit}`]
  const { code } = await runNode([...options, ...flags, ...files.toSorted()], { capture: false, limit_ms: runLimit })
  if (!checked) process.stderr.write('cadre: a check before the tests failed; its lines stand above them.\n')
  return code === 0 && !checked ? 1 : code
}

process.exitCode = await main(process.argv.slice(2))
