/** The words of a question. */

const maxWords = 64
const maxWordLength = 64

// Function words, lower case and without accents; they stand in almost every text and tell none apart.
const stopWords = new Set(
  (
    'a an and any are as at be been being but by can could did do does doing for from had has have having he her hers him his how i if in into ' +
    'is it its itself me my no nor not of off on only or other our ours out own same she should so some such than that the their theirs them ' +
    'then there these they this those through to too under until up very was we were what when where which while who whom why will with would ' +
    'you your yours about after all also am because before below between both during each few further more most over again above once just may ' +
    'might must shall us whose whether via per upon ' +
    'der die das des dem den ein eine einer eines einem einen und oder aber wie wir ihr ihm ihn sie er es ist sind war waren wird werden wurde ' +
    'wurden hat haben hatte mit von vom zu zum zur bei beim im auf aus nach uber unter fur durch nicht auch als wenn dass welche welcher welches ' +
    'le la les un une du de et ou dans sur avec sans pour par ce cette ces que qui est sont ne pas el los las una unos unas y con por del se al lo'
  ).split(' '),
)

export const isStopWord = (word: string): boolean => stopWords.has(word)

/**
 * At most 64 distinct words to look for, in order of appearance. Function words are left out unless there is nothing else. Words
 * consist of letters, marks and digits, so none can be read as an operator of a search language.
 */
export function queryWords(query: string): string[] {
  const all = new Set<string>()
  const telling = new Set<string>()
  for (const [found] of query.matchAll(/[\p{L}\p{N}\p{M}\p{Co}]+/gu)) {
    const word = found.toLowerCase().slice(0, maxWordLength)
    if (all.size < maxWords) all.add(word)
    if (!isStopWord(word.normalize('NFKD').replaceAll(/\p{M}+/gu, ''))) telling.add(word)
    if (telling.size === maxWords) break
  }
  return [...(telling.size > 0 ? telling : all)]
}
