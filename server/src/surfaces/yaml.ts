/** Graphs written as YAML: read into the same object that JSON gives, by rules that leave nothing to the document. */
import { CadreError } from '@cadre/contract'
import { LineCounter, parseDocument, visit } from 'yaml'

/** Ten thousand tasks of 400 characters each. */
export const maxYamlChars = 4 * 1024 * 1024
const maxAliases = 100
const maxDepth = 64

/**
 * Reads one document of YAML 1.2 (core schema). Throws `malformed`, with the line, for what is no YAML, repeats a key, carries a tag, has
 * more than a hundred aliases, or is nested more than 64 deep.
 */
export function readYaml(text: string): unknown {
  if (text.length > maxYamlChars) throw new CadreError('too_large', { what: 'The graph', limit: `${maxYamlChars} characters` })
  requireShallow(text)
  const lines = new LineCounter()
  const document = parseDocument(text, {
    schema: 'core',
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'error',
  })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem?.code === 'MULTIPLE_DOCS') throw malformed('it has more than one document')
  if (problem) throw malformed(`line ${lines.linePos(problem.pos[0]).line}: ${problem.message}`)
  visit(document, {
    Node: (_, node) => {
      if ('tag' in node && node.tag !== undefined)
        throw malformed(`${node.tag} in line ${lines.linePos(node.range?.[0] ?? 0).line}: tags are not taken`)
    },
  })
  try {
    return document.toJS({ maxAliasCount: maxAliases })
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : 'it cannot be read')
  }
}

const malformed = (what: string) => new CadreError('malformed', { reason: `The YAML is not taken: ${what}.` })

/** Before the parser, which goes as deep as the text does: brackets within each other, and dashes within each other. */
function requireShallow(text: string): void {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === 91 || character === 123) depth += 1
    else if ((character === 93 || character === 125) && depth > 0) depth -= 1
    // A bracket in a text counts too, which is why the limit is far from what any graph needs.
    if (depth > 256) throw malformed('brackets are nested too deep')
  }
  const widest = /(?:^|\n) *((?:[-?] +){65,})/.exec(text) ?? indentedDeep(text)
  if (widest) throw malformed(`it is nested more than ${maxDepth} deep`)
}

/** Every deeper block begins with more spaces than the one around it. */
function indentedDeep(text: string): boolean {
  const indents: number[] = []
  for (const line of text.split('\n')) {
    const spaces = line.length - line.trimStart().length
    if (spaces === line.length) continue
    while (indents.length > 0 && (indents.at(-1) as number) >= spaces) indents.pop()
    indents.push(spaces)
    if (indents.length > maxDepth + 1) return true
  }
  return false
}
