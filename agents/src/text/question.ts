/** What a question is about and what its answer must look like. */
import { quantities } from './quantities.ts'
import { associationsOf, synonymsOf } from './thesaurus.ts'
import { contentStems, fold, stem, tokenize } from './tokens.ts'

export type AnswerKind =
  | 'cause'
  | 'money'
  | 'number'
  | 'date'
  | 'duration'
  | 'person'
  | 'place'
  | 'comparison'
  | 'trend'
  | 'recommendation'
  | 'decision'
  | 'risk'
  | 'definition'
  | 'conclusion'

/**
 * `alternatives` maps other stems to how much of this term they carry, 0..1. `named` terms (names, numbers, identifiers) have no substitute.
 * `cue` is set on words that say what kind of answer is wanted ("cause", "cost", "risk") rather than what it is about.
 */
export type Term = {
  stem: string
  text: string
  weight: number
  named: boolean
  cue: AnswerKind | undefined
  alternatives: Map<string, number>
}

/** `required` are the kinds whose form the answer must have. `overview` asks for the gist of everything; it has no terms. `sides` are the two or more things compared. */
export type Question = {
  text: string
  terms: Term[]
  kinds: AnswerKind[]
  required: AnswerKind[]
  overview: boolean
  sides: string[]
}

const stems = (words: string) => new Set(words.split(' ').map((word) => stem(fold(word))))

/** Words that tell us what to do and not what to look for. */
const instructions = stems(
  'summarise summarize summary summarised describe explain list outline identify give tell show provide write prepare produce create report overview brief briefing analyse analyze analysis assess evaluate discuss ' +
    'review research investigate compare comparison contrast difference differ similarity please answer question find findings main key important importance major document documents file files text texts folder source sources material ' +
    'information detail details according regarding concerning related relate based attached following available using use everything anything something know learn understand happen happened happens develop developed ' +
    'evolve evolved stand stands notable noteworthy remarkable interesting point points highlight highlights takeaway takeaways aspect aspects fact facts content contents topic topics much long many often far kind sort ' +
    'say says said mention mentions mentioned short shortly concise detailed comprehensive complete full paragraph sentence sentences page words table section state stated conclude conclusion conclusions clearly step executive ' +
    'afterwards afterward thereafter subsequently meanwhile recently insight insights statistics statistic trend trends pattern patterns outlier outliers data dataset figures figure number numbers develop look perform changed change changes over ' +
    'fasse zusammen zusammenfassung beschreibe erklare nenne liste vergleiche bericht dokumente dokument wichtigsten wichtig uberblick steht stehen gibt geben entwickelt entwickelte entwicklung passiert passierte resume resumen',
)

/** Words that nearly every business or science text holds: a match on them alone proves nothing. */
const generic = stems(
  'average mean median total sum count maximum minimum rule rules company firm organisation organization business project team year month week day quarter system service people person customer client user product process problem issue result part way thing work time new need good plan ' +
    'level type group area case current currently general different possible policy process first last next recent total overall several various make take get go come want like help include including world country city ' +
    'unternehmen firma projekt jahr monat tag kunde kunden zeit neue neuen study studies paper author research effect role relationship associated association evidence increase decrease high low large small long-term important use used',
)

const kindPatterns: [AnswerKind, RegExp][] = [
  [
    'cause',
    /\b(?:why|caus(?:e[sd]?|ing)|reasons?|root|due to|trigger(?:ed|s)?|lead to|led to|warum|weshalb|wieso|ursachen?|verursach\w*|grund|gründe|pourquoi|caus(?:é|er?|es)|por qué)\b/i,
  ],
  [
    'money',
    /\b(?:how (?:much|expensive)\b.*\b(?:cost|pay|paid|spen[dt]|los[et]|earn|worth|money|charge)|(?:cost|costs|price|budget|expenses?|losses|damage|revenue|profit|kosten|kostete|preis|umsatz|schaden|verlust)\b)/i,
  ],
  ['duration', /\b(?:how long|duration|wie lange)\b/i],
  [
    'number',
    /\b(?:how (?:many|tall|high|deep|wide|large|big|heavy|old|far|fast|small)|what (?:percentage|share|proportion|fraction|number)|wie (?:viele?|lang|hoch|tief|breit|gro(?:ß|ss)|schwer|alt|weit|schnell)|wieviele?)\b/i,
  ],
  ['date', /\b(?:when|what (?:date|day|time|year)|which (?:date|day|year)|deadlines?|due date|wann|seit wann|quand)\b/i],
  ['person', /\b(?:who|whom|whose|wer|wem|wen|qui)\b/i],
  ['place', /\b(?:where|wo)\b/i],
  [
    'comparison',
    /\b(?:compare[ds]?|comparison|versus|vs|differences?|differ|contrast|better|worse|than|vergleich\w*|unterschiede?)\b/i,
  ],
  [
    'trend',
    /\b(?:how\b.{1,120}\b(?:develop(?:ed|ing)?|evolve[ds]?|chang(?:ed?|ing)|grow(?:n|ing)?|grew|perform(?:ed)?)|trends?|over time|wie\b.{1,120}\bentwickel\w*|entwicklung)\b/i,
  ],
  [
    'recommendation',
    /\b(?:recommend\w*|should|next steps?|action items?|actions?|measures|lessons?|prevent\w*|to ?do|massnahmen|maßnahmen|empfehl\w*)\b/i,
  ],
  ['decision', /\b(?:deci(?:de|ded|sion|sions)|agreed|approved|resolved|beschlossen|entscheid\w*|beschl[uü]ss\w*)\b/i],
  ['risk', /\b(?:risks?|threats?|dangers?|concerns?|risiken|risiko)\b/i],
  ['definition', /^(?:what (?:is|are)|was (?:ist|sind)|define)\b/i],
  ['conclusion', /\b(?:findings?|results?|conclu\w+|outcomes?|evidence|ergebnis\w*|summar\w+|zusammen\w+)\b/i],
]

/** Questions whose answer must contain an amount, a date...: without it, the question is not answered, however many of its words are near. */
const requiredPatterns: [AnswerKind, RegExp][] = [
  [
    'money',
    /^(?:how (?:much|expensive)\b.*\b(?:cost|pay|paid|spen[dt]|los[et]|earn|charge|money)|what (?:is|are|was|were) the (?:\p{L}+ ){0,2}(?:costs?|prices?|fees?|budget|expenses?|salary)\b|what (?:did|does|do|will|would|has)\b.*\bcost|was (?:koste\w*|hat\b.*\bgekostet)|wie (?:viel|teuer)\b.*\b(?:kost\w*|euro|gekostet))/iu,
  ],
  ['duration', /^(?:for )?(?:how long|wie lange)\b/i],
  [
    'number',
    /^(?:how (?:many|tall|high|deep|wide|large|big|heavy|old|far|fast)|what (?:percentage|share|proportion|fraction)|wie ?viele|combien|cuánt[oa]s)\b/i,
  ],
  [
    'date',
    /^(?:(?:since |until |by )?when|(?:on |in )?(?:what|which) (?:date|day|year|month)|(?:seit |bis )?wann|quand|cuándo)\b/i,
  ],
  ['person', /^(?:who|whom|whose|wer|wem|wen|qui|quién)\b/i],
  ['trend', /^(?:how|wie)\b.{1,120}\b(?:develop(?:ed|ing)?|evolve[ds]?|chang(?:ed?|ing)|grow(?:n|ing)?|grew|entwickel\w*)\b/i],
]

/** Words that ask for a form; a sentence of that form carries them. */
const cueStems: [AnswerKind, Set<string>][] = [
  ['money', stems('cost price spend spent pay paid budget expense kosten kostete gekostet')],
  ['cause', stems('cause reason root trigger ursache grund why verursacht verursachte verursachen causer')],
  ['duration', stems('last lasted duration take took dauer dauerte dauern')],
  ['recommendation', stems('recommend recommendation recommended action measure lesson empfehlung empfehlungen massnahmen')],
  ['decision', stems('decide decision decisions agree agreed entscheidung beschluss beschlossen entschieden')],
  ['risk', stems('risk risks concern threat danger risiken risiko')],
  ['number', stems('tall high deep wide large big heavy old far fast small lang hoch tief breit gross schwer alt weit schnell')],
  ['person', stems('responsible owner author lead verantwortlich')],
  ['date', stems('due deadline date')],
]

const overviewCue =
  /\b(?:summar\w+|overview|brief(?:ing)?|(?:main|key|most important|central) (?:points?|findings?|messages?|takeaways?|facts?|insights?|results?|topics?|themes?)|insights?|gist|about|stands? out|notable|highlights?|tl;?dr|report|analy[sz]e|analysis|review|wichtigsten?|zusammen\w+|überblick|what (?:do|does|is|are)\b.*\b(?:documents?|files?|folder|texts?)\b|résum\w+)/i

const maxTerms = 40

/** `carried` are terms of the question before, for one that only says "it" or "they". */
export function readQuestion(text: string, carried: Term[] = []): Question {
  const terms = new Map<string, Term>()
  const sides = comparedSides(text)
  const start = text.search(/\S/)
  for (const token of tokenize(text)) {
    if (token.stop || terms.size >= maxTerms) continue
    const sentenceStart = token.start === start || /[.?!:]\s+$/.test(text.slice(Math.max(0, token.start - 3), token.start))
    const capital = /^\p{Lu}/u.test(token.text)
    const acronym = /^(?=.*\p{Lu})[\p{Lu}\d&-]{2,}s?$/u.test(token.text)
    const digits = /\d/.test(token.text)
    const named =
      (digits || acronym || (capital && !sentenceStart && !isTitleCase(text) && !germanText(text))) &&
      !/^(?:I|AI|IT)$/.test(token.text)
    if (!named && instructions.has(token.stem)) continue
    if (terms.has(token.stem)) continue
    terms.set(token.stem, makeTerm(token.stem, token.text, named ? 1.6 : generic.has(token.stem) ? 0.4 : 1, named))
  }
  const kinds = kindPatterns.filter(([, pattern]) => pattern.test(text)).map(([kind]) => kind)
  for (const term of terms.values()) {
    // In "effects on productivity and costs" the word is one subject among others.
    if (
      new RegExp(
        `(?:\\b(?:and|or|und|oder)|,)\\s+${term.text}\\b|\\b${term.text}\\s*(?:,|and\\b|or\\b|und\\b|oder\\b)`,
        'i',
      ).test(text)
    )
      continue
    term.cue = kinds.find((kind) => cueStems.some(([name, words]) => name === kind && words.has(term.stem)))
  }
  const vague = [...terms.values()].every((term) => term.weight < 1)
  const refersBack =
    vague ||
    /\b(?:it|its|they|them|their|this|that|these|those|es|sie|er|ihn|ihm|ihr|dies\w*|dabei|dafür|elles?|ils?)\b/i.test(text)
  // What a question is about goes on to the next; what kind of answer it wanted does not.
  const subjects = refersBack ? carried.filter((term) => term.cue === undefined && !terms.has(term.stem)) : []
  for (const term of subjects.slice(0, maxTerms - terms.size))
    terms.set(term.stem, { ...term, weight: term.weight * 0.6, named: false })
  return {
    text,
    terms: [...terms.values()],
    kinds,
    // A fee may be a percentage.
    required: requiredPatterns
      .filter(([, pattern]) => pattern.test(text.trim()))
      .map(([kind]) => (kind === 'money' && /\b(?:fees?|rates?|charges?)\b/i.test(text) ? 'number' : kind)),
    overview: vague && subjects.length === 0 && overviewCue.test(text),
    sides,
  }
}

/** The questions of one goal in order, each able to refer to the subject of those before. */
export function readQuestions(texts: string[]): Question[] {
  let carried: Term[] = []
  return texts.map((text) => {
    const question = readQuestion(text, carried)
    if (question.terms.some((term) => term.cue === undefined && term.weight >= 0.5)) carried = question.terms
    return question
  })
}

/** A term as it stands in other words. Names and numbers get no substitutes. */
function makeTerm(stemmed: string, text: string, weight: number, named: boolean): Term {
  const alternatives = new Map<string, number>()
  if (!named) {
    for (const word of associationsOf(stemmed)) alternatives.set(word, 0.45)
    for (const word of synonymsOf(stemmed)) alternatives.set(word, 0.8)
  }
  alternatives.delete(stemmed)
  return { stem: stemmed, text, weight, named, cue: undefined, alternatives }
}

function isTitleCase(text: string): boolean {
  const words = (text.match(/\p{L}{4,}/gu) ?? []).slice(1)
  return words.length > 3 && words.filter((word) => /^\p{Lu}/u.test(word)).length > words.length * 0.8
}

/** German writes every noun with a capital, so capitals say nothing there. */
function germanText(text: string): boolean {
  const marks = text.match(
    /\b(?:der|die|das|und|ist|wie|was|warum|welche[rsn]?|wurde|hat|haben|für|von|den|im|zu|mit|kosteten?|wer|wann|nicht|ein|eine)\b/gi,
  )
  return (marks?.length ?? 0) >= 2 || /[äöüß]/.test(text)
}

/** The things a comparison names: "Compare A and B", "A versus B", "difference between A and B". */
export function comparedSides(text: string): string[] {
  const clean = text
    .trim()
    .slice(0, 600)
    .replace(/[.?!]+$/, '')
  const match =
    /\b(?:compare|contrast|vergleiche)\s+(.{2,120}?)\s+(?:and|with|to|against|versus|vs\.?|und|mit)\s+(.{2,120}?)(?:\s+(?:in terms of|regarding|with respect to|on|by|for|in|over|hinsichtlich)\s.*)?$/i.exec(
      clean,
    ) ??
    /\b(?:differences?|comparison|unterschied\w*)\s+(?:between|of|zwischen|in)\s+(.{2,120}?)\s+(?:and|versus|vs\.?|und)\s+(.{2,120}?)(?:\s+(?:in terms of|regarding|with respect to)\s.*)?$/i.exec(
      clean,
    ) ??
    /^(?:is|are|was|were|does|do|did|has|have)\s+(.{2,80}?)\s+(?:(?:\p{L}+\s){0,2}?(?:\p{L}+er|better|worse)|(?:\p{L}+\s){0,2}?(?:more|less)(?:\s\p{L}+)?)\s+than\s+(.{2,80}?)(?:\s+(?:at|in|for|on|with)\s.*)?$/iu.exec(
      clean,
    ) ??
    /^(?:.{0,60}?\b(?:is|are|does|do)\s)?(.{2,80}?)\s+(?:versus|vs\.?)\s+(.{2,80}?)$/i.exec(clean)
  if (match === null) return []
  return [match[1] ?? '', match[2] ?? '']
    .map((side) => side.replace(/^(?:the|a|an|der|die|das)\s+/i, '').trim())
    .filter((side) => contentStems(side).length > 0)
}

const months =
  /\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|januar|februar|märz|mai|juni|juli|oktober|dezember)\b/i
const days =
  /\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|yesterday|tomorrow|tonight|morning|noon|midnight|last (?:week|month|year)|next (?:week|month|year)|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|heute|gestern|morgen)\b/i
const causeCue =
  /\b(?:because|due to|caused? (?:by|the|an?)|causes?|root cause|trigger(?:ed|s)?|result(?:ed|s|ing)? (?:of|from|in)|led to|leads? to|owing to|reason|since|as a result|contribut\w+|attribut\w+|stem(?:s|med) from|weil|wegen|ursache|aufgrund|grund|verursach\w*|ausgelöst|führte|en raison|parce qu|à cause|causée? par|debido a|porque|a causa)/i
const durationCue =
  /\b\d[\d.,]*\s?(?:seconds?|s|secs?|ms|minutes?|mins?|hours?|hrs?|h|days?|weeks?|months?|years?|stunden?|minuten?|tage?n?|wochen?)\b|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|half|an?) (?:and a half )?(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b/i
const recommendationCue =
  /\b(?:recommend\w*|should|must|need(?:s|ed)? to|action items?|next steps?|will (?:be|add|introduce|move)|propos\w+|plan(?:s|ned)? to|lesson|prevent|todo|to-do|sollte\w*|müssen|muss|empfehl\w*|maßnahme\w*)\b/i

const extremeCue =
  /\b(?:highest|lowest|most(?! of\b)|least|best|worst|largest|biggest|smallest|greatest|longest|shortest|fastest|slowest|cheapest|maximum|minimum|record|top|peak\w*|höchste\w*|niedrigste\w*|meisten?|wenigsten?|größte\w*|kleinste\w*|beste[nrs]?|schlechteste\w*)\b/i

/** "Which region sold most?": wants the one at an end of the scale. */
export function asksForExtreme(question: string): boolean {
  return extremeCue.test(question) && !/\bmost (?:important|recent|of)\b/i.test(question)
}

/** A sentence that places something at an end of the scale: "the best result so far". */
export function tellsExtreme(sentence: string): boolean {
  return extremeCue.test(sentence)
}

const isYear = (value: string): boolean => /^(?:1\d|20)\d\d$/.test(value)

/** Whether a sentence has the form that this kind of answer takes. 'definition' and 'place' have no form worth requiring. */
export function hasAnswerForm(kind: AnswerKind, sentence: string): boolean {
  switch (kind) {
    case 'cause':
      return causeCue.test(sentence)
    case 'money':
      return /[$€£¥]\s?\d|\d[\d.,]*\s?(?:[kKmMbB]n?|millionen|milliarden?|millions?|billions?|tausend|thousand|mio\.?|mrd\.?|tsd\.?)?\s?(?:[$€£¥]|usd|eur|gbp|chf|dollars?|euros?|pounds?|cents?|francs?|franken)(?![\p{L}\d])/iu.test(
        sentence,
      )
    case 'number':
      return (
        quantities(sentence).some((entry) => entry.kind !== 'date' && !(entry.kind === 'number' && isYear(entry.value))) ||
        /\b(?:none|no|both|half|dozens?|hundreds?|thousands?|all|single|keine?)\b/i.test(sentence)
      )
    case 'date':
      return (
        quantities(sentence).some(
          (entry) => entry.kind === 'date' || entry.kind === 'time' || isYear(entry.value) || entry.value.startsWith('q'),
        ) ||
        months.test(sentence) ||
        days.test(sentence)
      )
    case 'duration':
      return durationCue.test(sentence)
    case 'person':
      return /\p{Lu}\p{Ll}+\s+(?:\p{Lu}\.\s*)?\p{Lu}\p{Ll}+|\p{Ll}[\p{Ll},:;)-]*\s+[(“"]?\p{Lu}\p{Ll}{2,}|@\w|:\s*\p{Lu}\p{Ll}+|^\p{Lu}\p{Ll}+\s(?:\p{Ll}+ed|is|was|will|has|leads|led|owns|wrote|took|hat|wird|ist)\b/u.test(
        sentence,
      )
    case 'trend':
      return /\b(?:rose|risen|ris(?:es|ing)|fell|fallen|falls|falling|grew|grow(?:s|n|ing|th)?|increas\w+|decreas\w+|declin\w+|dropp?\w*|climb\w*|gain\w*|shrank|doubled|tripled|halved|improv\w+|worsen\w+|remain\w+|stayed|stable|unchanged|higher|lower|peak\w*|trend\w*|recover\w*|surg\w+|slump\w*|up|down|stieg\w*|sank\w*|fiel\w*|wuchs\w*|zunahme|rückgang|gestiegen|gesunken|from .{1,40} to|(?:than|as|like) before)\b/i.test(
        sentence,
      )
    case 'comparison':
      return /\b(?:than|whereas|while|compared|unlike|both|versus|vs|more|less|better|worse|faster|slower|cheaper|higher|lower|however|als|während|hingegen)\b/i.test(
        sentence,
      )
    case 'recommendation':
      return recommendationCue.test(sentence)
    case 'decision':
      return /\b(?:decid\w+|decision|agreed|approved|resolved|voted|adopted|chose|will|beschl\w+|entschied\w*|einig\w*)\b/i.test(
        sentence,
      )
    case 'risk':
      return /\b(?:risk\w*|threat\w*|danger\w*|concern\w*|may|might|vulnerab\w+|exposure|delay\w*|risik\w+|gefahr\w*)\b/i.test(
        sentence,
      )
    case 'conclusion':
      return /\b(?:found|find(?:s|ings?)?|show(?:s|ed|n)?|conclud\w+|conclusion|result(?:s|ed)?|demonstrat\w+|suggest\w*|indicat\w+|reveal\w*|significan\w+|in summary|overall|therefore|ergebnis\w*|ergab|zeig\w+|insgesamt)\b/i.test(
        sentence,
      )
    default:
      return false
  }
}
