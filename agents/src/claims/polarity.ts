/** Words that turn a statement round: negations, opposites, quantifiers, hedges. */
import { fold, stem, type Token } from '../text/tokens.ts'

const negators = new Set(
  'not no never none nobody nothing neither nor cannot without hardly barely scarcely nicht kein keine keinen keiner keines nie niemals ohne weder'.split(
    ' ',
  ),
)
/** Verbs that deny what follows them. */
const deniers = new Set(
  'fail lack deny refuse unable refut disprov contradict prevent avoid absent declin reject miss decline false untrue incorrect incapable'
    .split(' ')
    .map((word) => stem(fold(word))),
)

/** The stems of content words right after a negation in the same clause: what is denied. Empty for a plain statement. */
export function negatedStems(tokens: Token[], text: string): Set<string> {
  const out = new Set<string>()
  for (const [index, token] of tokens.entries()) {
    if (!isNegator(token, text)) continue
    let taken = 0
    for (let next = index + 1; next < tokens.length && taken < 2; next += 1) {
      const other = tokens[next]
      if (other === undefined || clauseBetween(text, token.end, other.start)) break
      if (other.stop) continue
      out.add(other.stem)
      taken += 1
    }
    if (taken === 0) out.add('')
  }
  return out
}

export function isNegator(token: Token, text: string): boolean {
  if (negators.has(token.folded)) {
    // "not only" and "no later than" deny nothing; "No. 5" is a number.
    const after = text.slice(token.end, token.end + 14)
    return (
      !/^(?: only\b| later than\b| less than\b| more than\b| fewer than\b| longer than\b|\.\s?\d| matter\b| doubt\b)/i.test(
        after,
      ) || /^ longer\b(?! than)/i.test(after)
    )
  }
  return token.folded.endsWith("n't")
}

export function isDenier(token: Token): boolean {
  return deniers.has(token.stem)
}

/** Negations of a text, verbs of denial included: an even number says yes. */
export function negationCount(tokens: Token[], text: string): number {
  let count = 0
  for (const token of tokens) if (isNegator(token, text) || isDenier(token)) count += 1
  return count
}

function clauseBetween(text: string, from: number, to: number): boolean {
  return /[,;:.!?—–()]/.test(text.slice(from, to))
}

const opposites = new Map<string, Set<string>>()
for (const line of [
  'increase rise grow gain climb up higher raise surge expand growth grew rose improve | decrease fall decline drop reduce shrink down lower lowered cut plunge contract reduction fell worsen',
  'high | low',
  'above exceed over | below under',
  'before | after',
  'earlier | later',
  'first | last',
  'start begin open launch | end finish close stop',
  'success succeed pass successful | fail failure unsuccessful',
  'win won | lose lost loss',
  'profit profitable | loss',
  'accept approve agree allow permit enable pass | reject refuse deny forbid ban prohibit disable block veto',
  'support favour favor | oppose',
  'buy purchase acquire | sell sold',
  'add include | remove exclude delete omit',
  'fast quick faster | slow slower',
  'strong stronger | weak weaker',
  'positive | negative',
  'safe | dangerous unsafe',
  'hot warm warmer | cold cold cool cooler',
  'large big larger bigger | small smaller',
  'long longer | short shorter',
  'early | late',
  'old older | new newer young younger',
  'good better best | bad worse worst poor',
  'more most | less least fewer',
  'maximum max most | minimum min least',
  'internal | external',
  'public | private',
  'north northern | south southern',
  'east eastern | west western',
  'left | right',
  'true correct accurate | false incorrect inaccurate wrong',
  'present | absent',
  'possible | impossible',
  'legal lawful | illegal unlawful',
  'cause induce promote activate stimulate | prevent inhibit suppress block',
  'hire | dismiss fire',
  'cheap cheaper | expensive dearer',
  'easy easier | hard difficult harder',
  'online available up | offline unavailable down',
  'encrypt encrypted | unencrypted plaintext',
  'planned scheduled | unplanned unscheduled',
  'valid | invalid expired',
  'manual manually | automatic automatically automated',
  'voluntary optional | mandatory compulsory required obligatory',
  'temporary | permanent',
  'partial partially partly | complete completely full fully entirely',
  'known | unknown',
  'active | inactive',
  'significant | insignificant nonsignificant',
  'male men man | female women woman',
  'upper | lower',
  'import | export',
  'inbound | outbound',
  'upgrade | downgrade',
  'major | minor',
  'often frequently always | rarely seldom never',
  'all every | none',
  'stieg steigen gestiegen zunahme wuchs | sank fiel sinken gesunken abnahme gefallen',
  'vor | nach',
  'hoher mehr | niedriger weniger',
  'same identical equal | different',
  'confirm confirmed | denied',
  'gained | lost',
  'won | lost',
  'deposit | withdraw withdrawal',
  'debit | credit',
  'lend | borrow',
  'supply | demand',
  'winter | summer',
  'day | night',
  'monday | tuesday wednesday thursday friday saturday sunday',
]) {
  const [left = [], right = []] = line.split('|').map((side) =>
    side
      .trim()
      .split(' ')
      .map((word) => stem(fold(word))),
  )
  for (const a of left) for (const b of right) if (a !== b) link(a, b)
}

function link(a: string, b: string): void {
  opposites.set(a, (opposites.get(a) ?? new Set()).add(b))
  opposites.set(b, (opposites.get(b) ?? new Set()).add(a))
}

export function areOpposites(a: string, b: string): boolean {
  if (opposites.get(a)?.has(b) === true) return true
  return prefixed(a, b) || prefixed(b, a)
}

export function hasOpposite(stemmed: string): boolean {
  return opposites.has(stemmed)
}

/** "stable" and "unstable", "compliant" and "non-compliant". */
function prefixed(plain: string, negative: string): boolean {
  return (
    plain.length > 3 &&
    (negative === `un${plain}` ||
      negative === `in${plain}` ||
      negative === `im${plain}` ||
      negative === `dis${plain}` ||
      negative === `non${plain}` ||
      negative === `ir${plain}`)
  )
}

export type Quantifier = 'all' | 'most' | 'some' | 'few' | 'none' | 'only'

const quantifierWords: [Quantifier, RegExp][] = [
  [
    'all',
    /\b(?:all(?! but\b| about\b)|every|each|always|entire(?:ly)?|everyone|everybody|everything|completely|any|both|fully|alle[nrs]?|jede[rnsm]?|immer|sämtliche)\b/gi,
  ],
  ['most', /\b(?:most(?! recent\b| important\b| likely\b)|majority|usually|mostly|mainly|largely|meisten|überwiegend)\b/gi],
  [
    'some',
    /\b(?:some|several|certain|sometimes|partly|partially|many|a number of|various|occasionally|half|einige[nr]?|manche[nr]?|mehrere[nr]?|teilweise|viele[nr]?)\b/gi,
  ],
  ['few', /\b(?:few|a handful|rarely|seldom|minority|hardly any|wenige[nr]?|selten)\b/gi],
  ['none', /\b(?:none|no one|nobody|never|keine[nrs]?|niemand|nie(?:mals)?)\b/gi],
  ['only', /\b(?:only|solely|exclusively|nur|ausschließlich|lediglich)\b/gi],
]

/** Each quantifier with the offset where it stands. */
export function quantifiers(text: string): { kind: Quantifier; at: number; word: string }[] {
  const found: { kind: Quantifier; at: number; word: string }[] = []
  for (const [kind, pattern] of quantifierWords)
    for (const match of text.matchAll(pattern)) found.push({ kind, at: match.index, word: match[0].toLowerCase() })
  return found.sort((a, b) => a.at - b.at)
}

const hedge =
  /\b(?:may|might|could|possibly|perhaps|probably|likely|allegedly|alleged|reportedly|suspected|suspect(?:s)?|rumou?red|appears? to|seems? to|is thought|are thought|believed|hypothesi[sz]ed?|hypothesis|proposed|proposes?|plans? to|planned to|intends? to|considering|considered|expected to|forecast|projected|unless|whether|would|if|unclear|unconfirmed|potential(?:ly)?|könnte[n]?|vermutlich|wahrscheinlich|möglicherweise|angeblich|falls|eventuell)\b/i

/** The first word that makes a statement less than certain, or undefined. "May 5" is a month. */
export function hedgeOf(text: string): string | undefined {
  const match = hedge.exec(text.replace(/\bMay(?= \d|,|\.| of\b)/g, 'month'))
  return match?.[0].toLowerCase()
}
