/** The passages worth reading sentence by sentence, picked from any number by their words alone. Linear; 50 MB take about four seconds. */
import type { Passage } from '../citation.ts'
import type { Question } from '../text/question.ts'
import { tokenize } from '../text/tokens.ts'

const defaultLimit = 200

/** The best passages first (BM25 over the question's terms and, at less weight, their substitutes). Few passages are all kept, unranked ones last. */
export function narrowPassages(read: Question, passages: Passage[], limit = defaultLimit): Passage[] {
  if (read.overview) return spreadOut(passages, limit)
  if (passages.length <= limit) return passages
  const wanted = new Map<string, { term: number; share: number }>()
  for (const [term, entry] of read.terms.entries()) {
    for (const [word, share] of entry.alternatives) if ((wanted.get(word)?.share ?? 0) < share) wanted.set(word, { term, share })
    wanted.set(entry.stem, { term, share: 1 })
  }
  const found = new Map<string, number>()
  const counted = passages.map((passage) => {
    const counts = new Map<string, number>()
    let length = 0
    for (const token of tokenize(`${passage.heading ?? ''} ${passage.text}`)) {
      length += 1
      if (wanted.has(token.stem)) counts.set(token.stem, (counts.get(token.stem) ?? 0) + 1)
    }
    for (const stem of counts.keys()) found.set(stem, (found.get(stem) ?? 0) + 1)
    return { passage, counts, length }
  })
  const average = counted.reduce((sum, entry) => sum + entry.length, 0) / Math.max(1, counted.length)
  const scored = counted.map(({ passage, counts, length }) => {
    const perTerm = new Map<number, number>()
    for (const [stem, count] of counts) {
      const use = wanted.get(stem)
      if (use === undefined) continue
      const rarity = Math.log(1 + (passages.length - (found.get(stem) ?? 0) + 0.5) / ((found.get(stem) ?? 0) + 0.5))
      const value =
        (use.share * (read.terms[use.term]?.weight ?? 1) * rarity * count * 2.2) /
        (count + 1.2 * (0.25 + (0.75 * length) / average))
      perTerm.set(use.term, Math.max(perTerm.get(use.term) ?? 0, value))
    }
    return { passage, score: [...perTerm.values()].reduce((sum, value) => sum + value, 0) }
  })
  return scored
    .filter((entry) => entry.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, limit)
    .map((entry) => entry.passage)
}

/** For an overview: the opening passages of every document, then the next ones, until the limit. */
function spreadOut(passages: Passage[], limit: number): Passage[] {
  const rank = new Map<string, number>()
  return passages
    .map((passage) => {
      const place = rank.get(passage.document) ?? 0
      rank.set(passage.document, place + 1)
      return { passage, place }
    })
    .sort((a, b) => a.place - b.place)
    .slice(0, limit)
    .map((entry) => entry.passage)
}
