/**
 * A light stemmer: takes plural, tense and a few derivations off English words, so that forms of one word share a feature. Words of
 * other languages lose at most a final letter or two, the same in question and text, which is all that matters here.
 */
const vowels = /[aeiouy]/

export function stem(word: string): string {
  if (word.length < 4 || /\d/.test(word)) return word
  return dropDerivation(dropTense(dropPlural(word)))
}

function dropPlural(word: string): string {
  if (word.endsWith('sses')) return word.slice(0, -2)
  if (word.endsWith('ies')) return word.length > 4 ? `${word.slice(0, -3)}y` : word.slice(0, -1)
  if (/(?:ch|sh|x|z)es$/.test(word)) return word.slice(0, -2)
  if (/[^aious]s$/.test(word)) return word.slice(0, -1)
  if (/[ao]s$/.test(word) && word.length > 4) return word.slice(0, -1)
  return word
}

function dropTense(word: string): string {
  const ending = /(?:ing|ed)$/.exec(word)
  if (!ending) return word
  const root = word.slice(0, ending.index)
  if (root.length < 3 || !vowels.test(root)) return word
  // "stopped" and "stop", "calling" and "call", "measuring" and "measure".
  if (/([bdgmnprt])\1$/.test(root)) return root.slice(0, -1)
  return root
}

const derivations: readonly [string, string][] = [
  ['ization', 'iz'],
  ['isation', 'iz'],
  ['ational', 'at'],
  ['ically', 'ic'],
  ['fulness', 'ful'],
  ['iveness', 'iv'],
  ['ation', 'at'],
  ['ement', ''],
  ['ally', 'al'],
  ['ness', ''],
  ['ment', ''],
  ['ious', 'i'],
  ['ion', ''],
  ['ity', ''],
  ['ive', ''],
  ['ely', ''],
  ['ly', ''],
  ['al', ''],
  ['ic', ''],
  ['e', ''],
  ['y', 'i'],
]

function dropDerivation(word: string): string {
  for (const [ending, replacement] of derivations) {
    if (!word.endsWith(ending)) continue
    const root = word.slice(0, -ending.length)
    return root.length >= 4 || ending.length === 1 ? root + replacement : word
  }
  return word
}
