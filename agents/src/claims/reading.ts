import { quantities, type Quantity } from '../text/quantities.ts'
import { type Token, tokenize } from '../text/tokens.ts'

/** A stretch of plain text taken apart once: `content` are the words that are neither function words nor numbers. */
export type Reading = { text: string; tokens: Token[]; content: Token[]; numbers: Quantity[] }

export function readText(text: string): Reading {
  const tokens = joinLetters(tokenize(text), text)
  return {
    text,
    tokens,
    content: tokens.filter((token) => !token.stop && !/^\p{N}/u.test(token.text)),
    numbers: quantities(text),
  }
}

/** "server A", "plan B", "vitamin D": a lone capital after a word names which one, and is no article. */
function joinLetters(tokens: Token[], text: string): Token[] {
  return tokens.map((token, index) => {
    const before = tokens[index - 1]
    if (before === undefined || before.stop || !/^\p{Lu}$/u.test(token.text) || text.slice(before.end, token.start) !== ' ')
      return token
    return { ...token, stem: `${before.stem}.${token.folded}`, stop: false }
  })
}

/** A capital that is not owed to the start of the sentence, an acronym, or a word with a digit. */
export function isName(token: Token, reading: Reading): boolean {
  if (/\d/.test(token.text) || /^[\p{Lu}\d]{2,}$/u.test(token.text)) return true
  if (!/^\p{Lu}/u.test(token.text)) return false
  const before = reading.text.slice(0, token.start).trimEnd()
  return before !== '' && !/[.!?:"“„(]$/.test(before)
}
