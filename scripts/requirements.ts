// Prints which requirements are proven by a test, which fail as known and which have no test: [--json]
import { realpathSync } from 'node:fs'
import { glob, readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { areas, isRequirementId, type RequirementId, requirements } from '../test/requirements.ts'
import { type Citation, findCitations } from '../test/requirements/citations.ts'

type FoundCitation = Citation & { file: string }
type Standing = { proven: RequirementId[]; known_failures: RequirementId[]; untested: RequirementId[] }

const testFiles = '{contract,server,sdk,agents,dashboard,test,examples,bench}/**/*.test.ts'
const foreign = ['**/node_modules', '**/dist', 'bench/peers']

/** Reads every test file below `root`. Paths come back relative and sorted; problems are sentences of the form `file:line: reason`. */
export async function scanTests(root: string): Promise<{ files: string[]; citations: FoundCitation[]; problems: string[] }> {
  const files: string[] = []
  for await (const file of glob(testFiles, { cwd: root, exclude: foreign })) files.push(file)
  files.sort()
  const citations: FoundCitation[] = []
  const problems: string[] = []
  for (const file of files) {
    const found = findCitations(await readFile(resolve(root, file), 'utf8'))
    const titles = new Set<string>()
    problems.push(...found.problems.map(({ line, reason }) => `${file}:${line}: ${reason}`))
    for (const citation of found.citations) {
      for (const id of citation.ids) {
        if (!isRequirementId(id)) problems.push(`${file}:${citation.line}: ${id} is not in the manifest`)
        if (citation.title !== undefined && titles.has(`${id} ${citation.title}`)) {
          problems.push(`${file}:${citation.line}: an earlier test of this file has the same id and title (${id})`)
        }
        titles.add(`${id} ${citation.title}`)
      }
      citations.push({ ...citation, file })
    }
  }
  return { files, citations, problems }
}

/** One citation that may pass is a proof; an id cited by known failures alone is a known failure. */
export function classify(citations: readonly Citation[]): Standing {
  const cited = (worth: Citation['counts']): Set<string> =>
    new Set(citations.filter(({ counts }) => counts === worth).flatMap(({ ids }) => ids))
  const proofs = cited('proof')
  const failures = cited('knownFailure')
  const standing: Standing = { proven: [], known_failures: [], untested: [] }
  for (const { id } of requirements) {
    if (proofs.has(id)) standing.proven.push(id)
    else if (failures.has(id)) standing.known_failures.push(id)
    else standing.untested.push(id)
  }
  return standing
}

function table(citations: readonly FoundCitation[], standing: Standing): string {
  const proven = new Set<string>(standing.proven)
  const known = new Set<string>(standing.known_failures)
  const lines: string[] = []
  for (const { name, rows } of areas) {
    const ids = rows.map(([id]) => id)
    const passing = ids.filter((id) => proven.has(id)).length
    const failing = ids.filter((id) => known.has(id)).length
    lines.push('', `${name}: ${tally(passing, failing, ids.length)}`)
    for (const [id, title] of rows) {
      const sign = proven.has(id) ? '✓' : known.has(id) ? '✗' : '·'
      const worth = proven.has(id) ? 'proof' : 'knownFailure'
      const places = citations.filter((each) => each.counts === worth && each.ids.includes(id))
      const more = places.length > 1 ? ` and ${places.length - 1} more` : ''
      const where = places[0] ? `${places[0].file}:${places[0].line}${more}` : ''
      lines.push(`  ${sign} ${id}  ${title.padEnd(44)}  ${where}`.trimEnd())
    }
  }
  lines.push('', `All areas: ${tally(standing.proven.length, standing.known_failures.length, requirements.length)}`)
  return lines.slice(1).join('\n')
}

function tally(proven: number, failing: number, all: number): string {
  return `${proven} of ${all} proven, ${failing} failing as known, ${all - proven - failing} untested`
}

async function main(): Promise<void> {
  const { citations, problems } = await scanTests(resolve(import.meta.dirname, '..'))
  const standing = classify(citations)
  console.log(process.argv.includes('--json') ? JSON.stringify(standing, null, 2) : table(citations, standing))
  for (const problem of problems) console.error(problem)
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main()
