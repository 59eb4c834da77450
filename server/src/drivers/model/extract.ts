/**
 * Extractive summarisation with no model and no randomness: it only ever repeats sentences of the material, so it cannot
 * invent anything. Linear in the size of the text.
 */

const delimiter = /<(\/?)([a-z][\w-]{0,40})(?:\s[^<>]*)?>|^```[\w+-]*|"""/gim

type Mark = { name: string; start: number; end: number; opens: boolean; closes: boolean }

function marksOf(text: string): Mark[] {
  return Array.from(text.matchAll(delimiter), (match) => {
    const tag = match[2]?.toLowerCase()
    const position = { start: match.index, end: match.index + match[0].length }
    if (tag === undefined) return { name: match[0].slice(0, 3), ...position, opens: true, closes: true }
    return { name: tag, ...position, opens: match[1] === '', closes: match[1] === '/' }
  })
}

/**
 * Splits a message into delimited material and what surrounds it. Delimiters: `<name …>…</name>`, fences of three
 * backticks at the start of a line, and `"""`. The outermost pair counts; a delimiter without its partner is plain text.
 */
export function splitMaterial(text: string): { material: string[]; surroundings: string } {
  const marks = marksOf(text)
  const closers = new Map<string, Mark[]>()
  for (const mark of marks.toReversed()) {
    if (!mark.closes) continue
    const stack = closers.get(mark.name)
    if (stack) stack.push(mark)
    else closers.set(mark.name, [mark])
  }
  const material: string[] = []
  let surroundings = ''
  let cursor = 0
  for (const mark of marks) {
    if (!mark.opens || mark.start < cursor) continue
    // Stacks hold closers last to first; what lies before this mark can serve no later one either, so each is popped once.
    const stack = closers.get(mark.name)
    let partner = stack?.at(-1)
    while (partner && partner.start < mark.end) {
      stack?.pop()
      partner = stack?.at(-1)
    }
    if (!partner) continue
    surroundings += `${text.slice(cursor, mark.start)}\n`
    material.push(text.slice(mark.end, partner.start))
    cursor = partner.end
  }
  return { material, surroundings: surroundings + text.slice(cursor) }
}

/** Sentences in order, whitespace collapsed, headings left out; a blank line and the start of a list item end one too. */
export function sentencesOf(text: string): string[] {
  return text
    .replace(/^#.*$/gm, '\n')
    .split(/\n\s*\n|\n(?=\s*(?:[-*>|]|\d+[.)]))/)
    .flatMap((block) => block.split(/(?<=[.!?…]["'”’)\]]?)\s+(?=[\p{Lu}\p{Lo}\p{N}"'“‘([])|(?<=[。！？])\s*/u))
    .map((sentence) => sentence.replace(/\s+/g, ' ').trim())
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence))
}

const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu))

function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let shared = 0
  for (const word of a) if (b.has(word)) shared += 1
  return shared === 0 ? 0 : shared / (a.size + b.size - shared)
}

/**
 * A third of the material's sentences, at least two and at most `limit`, in their own order: those whose words recur in the material, and above all those
 * that share words with the task. Near-repetitions are left out. `fits` is asked with the text so far plus the candidate.
 */
export function extractSentences(
  material: readonly string[],
  task: string,
  limit: number,
  fits: (chosen: readonly string[]) => boolean,
): string[] {
  const sentences = material.flatMap(sentencesOf).map((text, position) => ({ text, position, words: wordsOf(text) }))
  const counts = new Map<string, number>()
  for (const { words } of sentences) for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  const asked = wordsOf(task)
  // A word in more than a third of the sentences says little, whatever the language: this stands in for stop-word lists.
  const common = Math.max(3, sentences.length / 3)
  const weigh = (word: string): number => {
    const count = counts.get(word) ?? 0
    if (count > common) return 0
    return Math.log2(1 + count) + (asked.has(word) ? 2 * Math.log2(1 + sentences.length / count) : 0)
  }
  const ranked = sentences
    .map((sentence) => {
      let weight = 0
      for (const word of sentence.words) weight += weigh(word)
      return { ...sentence, score: weight / Math.sqrt(4 + sentence.words.size) }
    })
    .sort((a, b) => b.score - a.score || a.position - b.position)
  const wanted = Math.min(limit, Math.max(2, Math.ceil(sentences.length / 3)))
  const chosen: typeof ranked = []
  for (const candidate of ranked) {
    if (chosen.length === wanted) break
    if (chosen.some(({ words, text }) => text === candidate.text || overlap(words, candidate.words) > 0.6)) continue
    const next = [...chosen, candidate].sort((a, b) => a.position - b.position)
    if (chosen.length === 0 || fits(next.map(({ text }) => text))) chosen.splice(0, chosen.length, ...next)
  }
  return chosen.map(({ text }) => text)
}
