import { type Token, tokenize } from './tokens.ts'

/**
 * One call of `verifies` with the ids it names. `counts` says what it is worth: `proof`, `knownFailure`, or `never` for a
 * test that is skipped whatever the surroundings. `title` is missing when it is computed.
 */
export type Citation = { ids: readonly string[]; title?: string; counts: 'proof' | 'knownFailure' | 'never'; line: number }

/** Something that keeps a file from being read with certainty: a sentence and its line. */
type Problem = { line: number; reason: string }

/** The citations of one test file, and whatever about its use of `verifies` cannot be understood without running it. */
export function findCitations(source: string): { citations: Citation[]; problems: Problem[] } {
  const citations: Citation[] = []
  const problems: Problem[] = []
  let tokens: Token[]
  try {
    tokens = tokenize(source)
  } catch (error) {
    return { citations, problems: [{ line: 1, reason: error instanceof Error ? error.message : String(error) }] }
  }
  const imports = readImports(tokens)
  problems.push(...imports.problems)
  tokens.forEach((token, at) => {
    if (token.kind !== 'word' || token.text !== 'verifies' || imports.covered.has(at)) return
    const before = tokens[at - 1]
    const after = tokens[at + 1]
    const isKey = isMark(after, ':') && (isMark(before, '{') || isMark(before, ','))
    if (isMark(before, '.') || isMark(before, '?.') || isKey) return
    try {
      if (!isMark(after, '(') || before?.text === 'function') {
        throw new Error('verifies may only be called, not renamed, passed on or redefined')
      }
      if (!imports.found) throw new Error('verifies is not imported from test/verifies.ts')
      citations.push(readCall(tokens, at + 2, token.line))
    } catch (error) {
      problems.push({ line: token.line, reason: error instanceof Error ? error.message : String(error) })
    }
  })
  return { citations, problems }
}

function readImports(tokens: readonly Token[]): { found: boolean; covered: Set<number>; problems: Problem[] } {
  const covered = new Set<number>()
  const problems: Problem[] = []
  let found = false
  tokens.forEach((token, start) => {
    const opener = tokens[start + 1]
    if (token.kind !== 'word' || token.text !== 'import' || opener?.text === '(' || opener?.text === '.') return
    const end = tokens.findIndex((each, at) => at > start && each.kind === 'string')
    if (end < 0) return
    for (let at = start; at <= end; at += 1) covered.add(at)
    if (!/(?:^|\/)verifies\.ts$/.test(tokens[end]?.text ?? '')) return
    const names = tokens.slice(start + 1, end - 1).map(({ text }) => text)
    if (names[0] === 'type') return
    if (names.includes('{') && names.includes('verifies') && !names.includes('as')) found = true
    else problems.push({ line: token.line, reason: 'import { verifies } under its own name, so that its calls can be found' })
  })
  return { found, covered, problems }
}

/** `start` is the first token after the opening parenthesis. */
function readCall(tokens: readonly Token[], start: number, line: number): Citation {
  const given = splitList(tokens, start)
  const ids = readIds(given[0] ?? [])
  const title = given[1]?.length === 1 && given[1][0]?.kind === 'string' ? given[1][0].text : undefined
  const counts = given.length > 3 ? readOptions(given.at(-1) ?? []) : 'proof'
  return { ids, ...(title === undefined ? {} : { title }), counts, line }
}

/** The parts between top-level commas up to the closing bracket; a trailing comma adds no part. */
function splitList(tokens: readonly Token[], start: number): Token[][] {
  const parts: Token[][] = [[]]
  let depth = 0
  for (const token of tokens.slice(start)) {
    if (token.kind === 'mark') {
      if ('([{'.includes(token.text)) depth += 1
      if (')]}'.includes(token.text)) depth -= 1
      if (depth < 0) return parts.filter((part) => part.length > 0)
      if (token.text === ',' && depth === 0) {
        parts.push([])
        continue
      }
    }
    parts.at(-1)?.push(token)
  }
  throw new Error('this call of verifies is never closed')
}

function readIds(argument: readonly Token[]): string[] {
  const bare = argument.at(-2)?.text === 'as' && argument.at(-1)?.text === 'const' ? argument.slice(0, -2) : argument
  const isList = isMark(bare[0], '[') && isMark(bare.at(-1), ']')
  const parts = isList ? splitList(bare, 1) : [bare]
  const ids = parts.map((part) => {
    const [only] = part
    if (part.length !== 1 || only?.kind !== 'string')
      throw new Error('ids must be literal strings, or one array of literal strings')
    return only.text
  })
  if (ids.length === 0) throw new Error('verifies names no id')
  const twice = ids.find((id, at) => ids.indexOf(id) !== at)
  if (twice !== undefined) throw new Error(`${twice} is named twice in one call`)
  return ids
}

function readOptions(argument: readonly Token[]): Citation['counts'] {
  if (!isMark(argument[0], '{')) throw new Error('options must be written as an object where verifies is called')
  let counts: Citation['counts'] = 'proof'
  for (const part of splitList(argument, 1)) {
    const [key, colon, value] = part
    if (key === undefined || !['word', 'string'].includes(key.kind)) throw new Error('options may hold named entries only')
    if (key.text === 'skip' && isMark(colon, ':') && value?.kind === 'string' && part.length === 3) return 'never'
    if (key.text === 'knownFailure') counts = 'knownFailure'
  }
  return counts
}

function isMark(token: Token | undefined, text: string): boolean {
  return token?.kind === 'mark' && token.text === text
}
