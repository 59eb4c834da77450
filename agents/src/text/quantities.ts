/** Numbers, money, percentages, units, dates and times as values that can be compared, whatever way they were written. */

export type QuantityKind = 'number' | 'percent' | 'money' | 'measure' | 'date' | 'time' | 'ordinal' | 'code'

/** `value` is canonical ("4200000", "2024-03-12", "14:05"); `unit` is a currency sign, a unit's stem or empty. Offsets are UTF-16 units. */
export type Quantity = { kind: QuantityKind; value: string; unit: string; text: string; start: number; end: number }

const months: Record<string, number> = {}
for (const [index, names] of [
  'january jan januar janvier enero',
  'february feb februar fevrier febrero',
  'march mar märz maerz mars marzo',
  'april apr avril abril',
  'may mai mayo',
  'june jun juni juin junio',
  'july jul juli juillet julio',
  'august aug aout agosto',
  'september sep sept septembre septiembre',
  'october oct oktober okt octobre octubre',
  'november nov novembre noviembre',
  'december dec dezember dez decembre diciembre',
].entries()) {
  for (const name of names.split(' ')) months[name] = index + 1
}

/** The month's number for a name or its usual short form in English, German, French or Spanish, in lower case. */
export function monthNumber(name: string): number | undefined {
  return Object.hasOwn(months, name) ? months[name] : undefined
}

const words: Record<string, number> = {
  zero: 0,
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  ten: 10,
  eleven: 11,
  twelve: 12,
  thirteen: 13,
  fourteen: 14,
  fifteen: 15,
  sixteen: 16,
  seventeen: 17,
  eighteen: 18,
  nineteen: 19,
  twenty: 20,
  thirty: 30,
  forty: 40,
  fifty: 50,
  sixty: 60,
  seventy: 70,
  eighty: 80,
  ninety: 90,
  hundred: 100,
  thousand: 1000,
  dozen: 12,
  zwei: 2,
  drei: 3,
  vier: 4,
  funf: 5,
  fünf: 5,
  sechs: 6,
  sieben: 7,
  acht: 8,
  neun: 9,
  zehn: 10,
  elf: 11,
  zwölf: 12,
}
const ordinals = [
  'zeroth',
  'first',
  'second',
  'third',
  'fourth',
  'fifth',
  'sixth',
  'seventh',
  'eighth',
  'ninth',
  'tenth',
  'eleventh',
  'twelfth',
]
const scales: Record<string, number> = {
  k: 1e3,
  thousand: 1e3,
  tsd: 1e3,
  tausend: 1e3,
  m: 1e6,
  mn: 1e6,
  mm: 1e6,
  million: 1e6,
  millions: 1e6,
  mio: 1e6,
  millionen: 1e6,
  b: 1e9,
  bn: 1e9,
  billion: 1e9,
  billions: 1e9,
  mrd: 1e9,
  milliarden: 1e9,
  milliarde: 1e9,
  trillion: 1e12,
  tn: 1e12,
}
const currencies: Record<string, string> = {
  $: '$',
  '€': '€',
  '£': '£',
  '¥': '¥',
  usd: '$',
  dollar: '$',
  dollars: '$',
  eur: '€',
  euro: '€',
  euros: '€',
  gbp: '£',
  pound: '£',
  pounds: '£',
  sterling: '£',
  chf: 'chf',
  franken: 'chf',
  francs: 'chf',
  yen: '¥',
  jpy: '¥',
  inr: 'inr',
  cad: 'cad',
  aud: 'aud',
  cents: 'cent',
  cent: 'cent',
}
const units: Record<string, string> = {}
for (const group of [
  'second seconds sec secs s sekunden sekunde',
  'ms millisecond milliseconds msec',
  'minute minutes min mins minuten',
  'hour hours hr hrs h stunde stunden',
  'day days tag tage tagen',
  'week weeks woche wochen',
  'month months monat monate monaten',
  'quarter quarters quartal quartale',
  'year years yr yrs jahr jahre jahren',
  'km kilometer kilometers kilometre kilometres',
  'mile miles',
  'meter meters metre metres',
  'cm centimeter centimeters',
  'millimeter millimeters',
  'kg kilogram kilograms kilogramm',
  'g gram grams gramm',
  'mg milligram milligrams',
  'ton tons tonne tonnes tonnen',
  'kb kilobyte kilobytes',
  'mb megabyte megabytes',
  'gb gigabyte gigabytes',
  'tb terabyte terabytes',
  'kwh',
  'mwh',
  'gwh',
  'kw kilowatt',
  'mw megawatt megawatts',
  'liter liters litre litres',
  '°c celsius',
  '°f fahrenheit',
  'bps',
  'rpm',
  'rps',
  'hz',
  'khz',
  'mhz',
  'ghz',
]) {
  const names = group.split(' ')
  for (const name of names) units[name] = names[0] ?? name
}

const monthNames = Object.keys(months)
  .sort((a, b) => b.length - a.length)
  .map((name) => `[${name[0]}${name[0]?.toUpperCase()}]${name.slice(1)}`)
  .join('|')

const pattern = new RegExp(
  [
    String.raw`(?<iso>\d{4}-\d{2}-\d{2})(?!\d)`,
    String.raw`(?<isoMonth>(?:19|20)\d{2}-(?:0[1-9]|1[0-2]))(?![\d-])`,
    `(?<dayMonth>(?<dm1>\\d{1,2})(?:st|nd|rd|th|\\.)?\\s(?:of\\s)?(?<dm2>${monthNames})\\.?(?:,?\\s(?<dm3>(?:19|20)\\d{2}))?)(?![\\p{L}\\d])`,
    `(?<monthDay>(?<![\\p{L}\\d])(?<md1>${monthNames})\\.?\\s(?<md2>\\d{1,2})(?:st|nd|rd|th)?(?:,?\\s(?<md3>(?:19|20)\\d{2}))?)(?![\\p{L}\\d%]|[:.,]\\d)`,
    String.raw`(?<dotted>\d{1,2}[./]\d{1,2}[./](?:19|20)\d{2})(?!\d)`,
    String.raw`(?<time>\d{1,2}:\d{2}(?::\d{2})?)(?!\d)(?:\s?(?<half>[ap])\.?m\b\.?)?`,
    String.raw`(?<hash>\b(?:0x)?(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b)`,
    String.raw`(?<sign>[-−+](?=[$€£¥]?\d)(?<![\p{L}\d][-−+]))?(?<pre>[$€£¥]|\b(?:USD|EUR|GBP|CHF|US\$)\s?)?(?<number>(?<![\p{L}\d])\d{1,3}(?:[,.'’ \u00a0]\d{3}(?!\d))+(?:[.,]\d{1,2}(?!\d))?|\d+(?:[.,]\d+)*)(?<ordinal>st|nd|rd|th)?(?:(?<tight>%|‰|[kKMB](?![\p{L}\d])|bn\b|mn\b)|[-\s\u00a0]?(?<word>°[CF]|[€£$¥%]|\p{L}{1,12}(?![\p{L}\d])))?(?:\.?[-\s\u00a0]?(?<word2>[€£$¥]|\p{L}{1,12}(?![\p{L}\d])))?`,
  ].join('|'),
  'gu',
)

const numberWord = new RegExp(
  `(?<![\\p{L}-])(${[...Object.keys(words), ...ordinals.slice(1)].sort((a, b) => b.length - a.length).join('|')})(?![\\p{L}])`,
  'giu',
)

/** All quantities of a sentence in order. Meant for sentences and passages: the work is linear, the constant is a large pattern. */
export function quantities(text: string): Quantity[] {
  const found: Quantity[] = []
  if (/\d/.test(text)) {
    for (const match of text.matchAll(pattern)) {
      found.push(...fromMatch(match))
    }
  }
  for (const match of text.matchAll(numberWord)) {
    const word = match[0].toLowerCase()
    const at = match.index
    if (found.some((entry) => at >= entry.start && at < entry.end)) continue
    const ordinal = ordinals.indexOf(word)
    if (ordinal > 0)
      found.push({ kind: 'ordinal', value: String(ordinal), unit: '', text: match[0], start: at, end: at + word.length })
    else found.push(wordQuantity(text, word, at))
  }
  return found.sort((a, b) => a.start - b.start)
}

/** "three hours", "two million euros": the words after a number word scale it or name its unit, as they do after digits. */
function wordQuantity(text: string, word: string, at: number): Quantity {
  const after = /^[-\s]?(\p{L}+)?(?:[-\s](\p{L}+))?/u.exec(text.slice(at + word.length, at + word.length + 40))
  const measured = withUnit(words[word] ?? 0, '', after?.[1] ?? '', after?.[2] ?? '')
  return { ...measured, text: text.slice(at, at + word.length), start: at, end: at + word.length }
}

function fromMatch(match: RegExpExecArray): Quantity[] {
  const groups = match.groups ?? {}
  const start = match.index
  const at = (kind: QuantityKind, value: string, unit = '', text = match[0]): Quantity => ({
    kind,
    value,
    unit,
    text: text.trim(),
    start,
    end: start + text.trimEnd().length,
  })
  if (groups['iso'] !== undefined) return [at('date', groups['iso'])]
  if (groups['isoMonth'] !== undefined) return [at('date', groups['isoMonth'])]
  if (groups['dayMonth'] !== undefined) return [namedDate(groups['dm1'], groups['dm2'], groups['dm3'], at)]
  if (groups['monthDay'] !== undefined) return [namedDate(groups['md2'], groups['md1'], groups['md3'], at)]
  if (groups['dotted'] !== undefined) {
    const [day = '', month = '', year = ''] = groups['dotted'].split(/[./]/)
    return [at('date', `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`)]
  }
  if (groups['time'] !== undefined) {
    const [hour = '', ...rest] = groups['time'].split(':')
    const shifted = groups['half'] === 'p' && Number(hour) < 12 ? Number(hour) + 12 : Number(hour)
    return [at('time', [String(shifted).padStart(2, '0'), ...rest].join(':'))]
  }
  if (groups['hash'] !== undefined) return [at('code', groups['hash'].toLowerCase())]
  return [numeric(match, groups, at)]
}

/** The letters right before a number: "Q" of Q3, "p" of p99. A version's "v" says nothing. */
function gluedName(text: string, at: number): string {
  const name = /[\p{L}\p{M}]{1,20}$/u.exec(text.slice(Math.max(0, at - 20), at))?.[0].toLowerCase() ?? ''
  return name === 'v' ? '' : name
}

type Maker = (kind: QuantityKind, value: string, unit?: string, text?: string) => Quantity

function namedDate(day: string | undefined, name: string | undefined, year: string | undefined, at: Maker): Quantity {
  const month = monthNumber((name ?? '').toLowerCase()) ?? 0
  return at('date', `${year ?? '????'}-${String(month).padStart(2, '0')}-${String(Number(day)).padStart(2, '0')}`)
}

function numeric(match: RegExpExecArray, groups: Record<string, string | undefined>, at: Maker): Quantity {
  const digits = groups['number'] ?? ''
  const value = parseNumber(digits)
  const negative = groups['sign'] !== undefined && groups['sign'] !== '+'
  const tight = groups['tight'] ?? ''
  const first = tight === '' ? (groups['word'] ?? '') : tight
  const second = tight === '' ? (groups['word2'] ?? '') : (groups['word'] ?? '')
  const prefix = (groups['pre'] ?? '').trim().toLowerCase().replace('us$', '$')
  // The words after the number serve to read its unit; the quantity itself ends with the digits.
  const head = match[0].slice(0, match[0].indexOf(digits) + digits.length + tight.length)
  const glued = /[\p{L}\p{M}]$/u.test(match.input.slice(Math.max(0, match.index - 1), match.index))
  if (glued) return at('code', gluedName(match.input, match.index) + digits, '', head)
  if (value === undefined) return at('code', digits, '', head)
  if (groups['ordinal'] !== undefined) return at('ordinal', canonical(value), '', head)
  const measured = withUnit(negative ? -value : value, prefix, first, second)
  return at(measured.kind, measured.value, measured.unit, head)
}

/** A number with the one or two words that follow it: scale, currency, percent or unit. */
function withUnit(
  value: number,
  prefix: string,
  first: string,
  second: string,
): { kind: QuantityKind; value: string; unit: string } {
  const one = first.toLowerCase()
  const two = second.toLowerCase()
  const currency = currencies[prefix] ?? ''
  // A lone "m" is metres or minutes unless money or a capital M says millions.
  const scalable = one !== 'm' || first === 'M' || currency !== ''
  const scale = scalable && Object.hasOwn(scales, one) ? (scales[one] ?? 1) : 1
  const scaled = canonical(value * scale)
  const unitWord = scale === 1 ? one : two
  if (currency !== '') return { kind: 'money', value: scaled, unit: currency }
  if (unitWord === '%' || unitWord === 'percent' || unitWord === 'prozent' || unitWord === 'pct')
    return { kind: 'percent', value: scaled, unit: '%' }
  if (unitWord === 'percentage' || (unitWord === 'basis' && two === 'points'))
    return { kind: 'percent', value: scaled, unit: unitWord === 'basis' ? 'bp' : '%' }
  if (Object.hasOwn(currencies, unitWord)) return { kind: 'money', value: scaled, unit: currencies[unitWord] ?? '' }
  if (Object.hasOwn(units, unitWord)) return { kind: 'measure', value: scaled, unit: units[unitWord] ?? '' }
  return { kind: 'number', value: scaled, unit: '' }
}

/** "1,234.5", "1.234,5", "1 234" and "1'234" are one number; "2.3.1" is none. A single comma before three digits groups thousands. */
export function parseNumber(text: string): number | undefined {
  const plain = text.replace(/[\s\u00a0'’]/g, '')
  const commas = plain.split(',').length - 1
  const dots = plain.split('.').length - 1
  if (commas > 0 && dots > 0) {
    const decimal = plain.lastIndexOf(',') > plain.lastIndexOf('.') ? ',' : '.'
    const grouping = decimal === ',' ? '.' : ','
    return toNumber(plain.replaceAll(grouping, '').replace(decimal, '.'))
  }
  if (commas > 1) return /^\d{1,3}(?:,\d{3})+$/.test(plain) ? toNumber(plain.replaceAll(',', '')) : undefined
  if (dots > 1) return /^\d{1,3}(?:\.\d{3})+$/.test(plain) ? toNumber(plain.replaceAll('.', '')) : undefined
  if (commas === 1) return /,\d{3}$/.test(plain) ? toNumber(plain.replace(',', '')) : toNumber(plain.replace(',', '.'))
  return toNumber(plain)
}

function toNumber(text: string): number | undefined {
  const value = Number(text)
  return text !== '' && Number.isFinite(value) ? value : undefined
}

function canonical(value: number): string {
  return String(Number(value.toPrecision(12)))
}

/** Whether `claimed` says what `source` says. A date without its year, or a year alone, agrees with the full date; a bare number may leave out a unit. */
export function sameQuantity(claimed: Quantity, source: Quantity): boolean {
  if (claimed.kind === 'date' || source.kind === 'date') return sameDate(claimed, source)
  if (claimed.kind === 'time' || source.kind === 'time')
    return claimed.kind === source.kind && trimTime(claimed.value) === trimTime(source.value)
  if (claimed.value !== source.value) return false
  if (claimed.kind === source.kind) return claimed.unit === source.unit
  if (claimed.kind === 'ordinal' || source.kind === 'ordinal') return false
  // "3 engineers" and "3": a unit one side leaves out is no contradiction, except for a percent sign, which is what the number means.
  if (claimed.kind === 'number') return source.kind !== 'percent'
  return source.kind === 'number' && claimed.kind !== 'percent'
}

function sameDate(a: Quantity, b: Quantity): boolean {
  if (a.kind !== b.kind) {
    const [date, other] = a.kind === 'date' ? [a, b] : [b, a]
    return other.kind === 'number' && /^(?:19|20)\d{2}$/.test(other.value) && date.value.startsWith(other.value) && date === b
  }
  if (a.value === b.value) return true
  const [left, right] = [a.value, b.value]
  if (left.length !== right.length) return right.startsWith(left)
  return left.startsWith('????') || right.startsWith('????') ? left.slice(5) === right.slice(5) : false
}

function trimTime(value: string): string {
  return value.replace(/:00$/, (tail, at: number) => (at > 2 ? '' : tail))
}
