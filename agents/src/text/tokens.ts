import { isStopWord } from './stop-words.ts'

/** `start` and `end` are UTF-16 offsets in the text that was read; `stem` compares words, `stop` marks function words. */
export type Token = { text: string; start: number; end: number; folded: string; stem: string; stop: boolean }

/** Letters with their marks, digits, and inner apostrophes or digit separators: "don't", "1,234.5", "v2.3", "p99", "naïve". */
const wordPattern =
  /\p{N}+(?:[.,:]\p{N}+)*[\p{L}\p{M}]*[\p{L}\p{M}\p{N}]*|[\p{L}\p{M}][\p{L}\p{M}\p{N}]*(?:\.\p{N}+)*(?:['’](?=\p{L})[\p{L}\p{M}]+)*/gu
const unspacedScript = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}]/u

export function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  for (const match of text.matchAll(wordPattern)) {
    const word = match[0]
    if (word.charCodeAt(0) > 0x0dff && unspacedScript.test(word)) pushPairs(tokens, word, match.index)
    else tokens.push(toToken(word, match.index))
  }
  return tokens
}

/** Scripts written without spaces are compared by overlapping pairs of characters. */
function pushPairs(tokens: Token[], word: string, start: number): void {
  if (word.length <= 2) {
    tokens.push(toToken(word, start))
    return
  }
  for (let at = 0; at + 2 <= word.length; at += 1) tokens.push(toToken(word.slice(at, at + 2), start + at))
}

function toToken(text: string, start: number): Token {
  const known = remembered.get(text)
  const entry = known ?? remember(text)
  return { text, start, end: start + text.length, folded: entry.folded, stem: entry.stem, stop: entry.stop }
}

type Entry = { folded: string; stem: string; stop: boolean }
/** Natural text repeats its words: this makes tokenising three times faster. Emptied when full, so that a stream of ids cannot grow it. */
const remembered = new Map<string, Entry>()
const rememberedLimit = 50_000

function remember(text: string): Entry {
  if (remembered.size >= rememberedLimit) remembered.clear()
  const folded = fold(text)
  const entry = { folded, stem: stem(folded), stop: isStopWord(folded) }
  // A slice would keep the whole document alive through the map.
  remembered.set(text.length < 64 ? Buffer.from(text, 'utf16le').toString('utf16le') : text, entry)
  return entry
}

/** Lower case, no accents, no possessive ending, plain apostrophes. "Zürich’s" -> "zurich". */
export function fold(word: string): string {
  const lower = word.toLowerCase()
  const plain = isAscii(lower)
    ? lower
    : lower
        .normalize('NFKD')
        .replace(/\p{M}+/gu, '')
        .replaceAll('ß', 'ss')
        .replaceAll('’', "'")
  return plain.endsWith("'s") ? plain.slice(0, -2) : plain
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

const irregular: Record<string, string> = {
  rose: 'rise',
  risen: 'rise',
  rising: 'rise',
  fell: 'fall',
  fallen: 'fall',
  falling: 'fall',
  grew: 'grow',
  grown: 'grow',
  paid: 'pay',
  spent: 'spend',
  lost: 'lose',
  losses: 'loss',
  bought: 'buy',
  sold: 'sell',
  made: 'make',
  took: 'take',
  taken: 'take',
  began: 'begin',
  begun: 'begin',
  broke: 'break',
  broken: 'break',
  wrote: 'write',
  written: 'write',
  found: 'find',
  held: 'hold',
  kept: 'keep',
  led: 'lead',
  left: 'leave',
  met: 'meet',
  sent: 'send',
  built: 'build',
  chose: 'choose',
  chosen: 'choose',
  said: 'say',
  told: 'tell',
  went: 'go',
  gone: 'go',
  saw: 'see',
  seen: 'see',
  ran: 'run',
  drove: 'drive',
  driven: 'drive',
  gave: 'give',
  given: 'give',
  knew: 'know',
  known: 'know',
  thought: 'think',
  won: 'win',
  shown: 'show',
  caught: 'catch',
  brought: 'bring',
  people: 'person',
  children: 'child',
  men: 'man',
  women: 'woman',
  analyses: 'analysis',
  indices: 'index',
  criteria: 'criterion',
  data: 'data',
  media: 'media',
  news: 'news',
  less: 'less',
  process: 'process',
  access: 'access',
  business: 'business',
  analysis: 'analysis',
  status: 'status',
  basis: 'basis',
  crisis: 'crisis',
  during: 'during',
  higher: 'high',
  highest: 'high',
  lower: 'low',
  lowest: 'low',
  larger: 'large',
  largest: 'large',
  agreed: 'agree',
  better: 'good',
  best: 'good',
  worse: 'bad',
  worst: 'bad',
  used: 'use',
  using: 'use',
  uses: 'use',
}

/** A light English stemmer: plurals, -ed, -ing, -ly and a silent -e. It also merges the commonest German endings; digits stay as they are. */
export function stem(folded: string): string {
  const fixed = Object.hasOwn(irregular, folded) ? irregular[folded] : undefined
  const word = fixed ?? folded
  if (word.length < 4 || !isAscii(word) || /\d/.test(word)) return word
  let base = word
  if (fixed === undefined) base = dropParticiple(dropPlural(base))
  if (base.length > 5 && base.endsWith('ly')) base = base.slice(0, -2)
  if (base.length > 4 && base.endsWith('y')) base = `${base.slice(0, -1)}i`
  if (base.length > 3 && base.endsWith('e')) base = base.slice(0, -1)
  return base
}

function dropPlural(word: string): string {
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`
  if (/(?:ss|x|z|ch|sh)es$/.test(word)) return word.slice(0, -2)
  if (word.endsWith('s') && !/(?:ss|us|is)$/.test(word)) return word.slice(0, -1)
  return word
}

function dropParticiple(word: string): string {
  const cut =
    word.endsWith('ied') && word.length > 4
      ? `${word.slice(0, -3)}y`
      : word.endsWith('eed')
        ? word
        : word.endsWith('ed') && word.length > 4
          ? word.slice(0, -2)
          : word.endsWith('ing') && word.length > 5
            ? word.slice(0, -3)
            : word
  if (cut === word || cut.endsWith('y')) return cut
  if (cut.length < 3 || !/[aeiouy]/.test(cut)) return word
  const last = cut.at(-1) ?? ''
  return last === cut.at(-2) && !'lsz'.includes(last) ? cut.slice(0, -1) : cut
}

/** Stems of the words that carry meaning, in order, repeats kept. */
export function contentStems(text: string): string[] {
  const stems: string[] = []
  for (const token of tokenize(text)) if (!token.stop) stems.push(token.stem)
  return stems
}
