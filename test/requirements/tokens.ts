type TokenKind = 'word' | 'string' | 'template' | 'regex' | 'number' | 'mark'

/** `text` is the source text, but for strings what stands between the quotes, as written. `line` counts from 1. */
export type Token = { kind: TokenKind; text: string; line: number }

const blank = /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|^#![^\n]*/y
const string = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y
const word = /#?[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/uy
const number = /\.?\d(?:[\w.]|(?<=[eE])[+-])*/y
const regex = /\/(?:[^\\/[\n]|\\.|\[(?:[^\\\]\n]|\\.)*\])+\/\w*/y
const mark = /\.\.\.|\?\.(?!\d)|=>|\+\+|--|[^]/uy
const templateText = /(?:[^\\`$]|\\[\s\S]|\$(?!\{))*/y

/** Words after which a slash opens a regular expression, because an operand is still to come. */
const beforeOperand = new Set(
  'return typeof instanceof in of new delete void throw case do else yield await extends default'.split(' '),
)
const beforeCondition = new Set(['if', 'while', 'for'])

/**
 * Splits TypeScript source into tokens, without comments and white space; code inside `${}` is tokenised too.
 * TypeScript 7 has no compiler API, and a search by pattern would trip over comments, strings and regular expressions.
 */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  // For each open bracket: what a slash means after its partner, and whether that partner returns to a template.
  const open: { regexFollows: boolean; template: boolean }[] = []
  let at = 0
  let line = 1
  let regexAllowed = true

  const read = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0]
  }
  const advance = (text: string): void => {
    at += text.length
    for (const character of text) if (character === '\n') line += 1
  }
  const push = (kind: TokenKind, text: string, operandFollows: boolean, shown = text): void => {
    tokens.push({ kind, text: shown, line })
    advance(text)
    regexAllowed = operandFollows
  }
  const template = (quote: string): void => {
    const start = line
    advance(quote)
    const text = read(templateText) ?? ''
    advance(text)
    tokens.push({ kind: 'template', text, line: start })
    if (source.startsWith('${', at)) {
      advance('${')
      open.push({ regexFollows: false, template: true })
      regexAllowed = true
    } else {
      if (source[at] !== '`') throw new Error(`a template opened in line ${start} is never closed`)
      advance('`')
      regexAllowed = false
    }
  }
  const bracket = (text: string): void => {
    const last = tokens.at(-1)
    if (text === '(') {
      open.push({
        regexFollows: last?.kind === 'word' && beforeCondition.has(last.text) && !isMember(tokens.at(-2)),
        template: false,
      })
    } else if (text === '[') {
      open.push({ regexFollows: false, template: false })
    } else {
      // A brace where a value was due is an object; any other is a block, and a statement may follow it.
      const isObject = regexAllowed && last !== undefined && !['=>', ';', '{', '}', ')'].includes(last.text)
      open.push({ regexFollows: !isObject || last.text === 'else' || last.text === 'do', template: false })
    }
    push('mark', text, true)
  }

  while (at < source.length) {
    const space = read(blank)
    if (space !== undefined) {
      advance(space)
      continue
    }
    const next = source[at] ?? ''
    let text: string | undefined
    if (next === '`') template('`')
    else if ((text = read(string)) !== undefined) push('string', text, false, text.slice(1, -1))
    else if ((text = read(word)) !== undefined) push('word', text, beforeOperand.has(text) && !isMember(tokens.at(-1)))
    else if ((text = read(number)) !== undefined) push('number', text, false)
    else if (next === '/' && regexAllowed && (text = read(regex)) !== undefined) push('regex', text, false)
    else if (next === '(' || next === '[' || next === '{') bracket(next)
    else if (next === ')' || next === ']' || next === '}') {
      const opened = open.pop()
      if (opened?.template) template('}')
      else push('mark', next, opened?.regexFollows ?? false)
    } else {
      text = read(mark) ?? next
      // After a postfix operator (x++, x!) the operand is complete, so a slash divides.
      const postfix = text === '++' || text === '--' || (text === '!' && source[at + 1] !== '=')
      push('mark', text, postfix ? regexAllowed : true)
    }
  }
  return tokens
}

/** Keywords are ordinary names after a dot, as in `map.delete(key)`. */
function isMember(previous: Token | undefined): boolean {
  return previous?.kind === 'mark' && (previous.text === '.' || previous.text === '?.')
}
