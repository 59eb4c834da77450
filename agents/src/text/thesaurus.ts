import { fold, stem } from './tokens.ts'

/** Words that may stand for each other in a sentence without changing what it says. One line per meaning; words are stemmed on loading. */
const synonymLines = [
  'outage incident downtime disruption interruption unavailability ausfall storung',
  'cause reason trigger root origin ursache grund verursacht verursachte verursachen',
  'cost expense expenditure price fee charge kosten kostet kostete gesamtkosten cout',
  'revenue sales turnover umsatz',
  'sell sale sales',
  'profit earnings income gewinn',
  'loss deficit verlust',
  'customer client user consumer shopper kunde kunden',
  'employee staff worker personnel mitarbeiter',
  'company firm enterprise organisation organization business unternehmen',
  'increase rise grow climb gain growth up raise steigen',
  'decrease decline fall drop reduce reduction lowered shrink down sinken',
  'begin start commence',
  'end finish conclude stop',
  'buy purchase acquire',
  'show demonstrate reveal indicate suggest report',
  'find discover observe detect',
  'help assist support',
  'large big huge major substantial significant',
  'small minor little slight',
  'fast quick rapid',
  'slow sluggish',
  'fix repair resolve remedy mend',
  'fail failure crash break malfunction',
  'error fault bug defect',
  'delay postpone late lag',
  'plan intend propose',
  'decide decision resolve resolution agree agreement beschluss entscheidung',
  'risk danger threat hazard risiko',
  'recommend recommendation advise suggestion suggest proposal empfehlung',
  'problem issue difficulty trouble problem',
  'goal aim objective target ziel',
  'result outcome consequence effect impact ergebnis',
  'method approach technique procedure',
  'improve improvement enhance better',
  'patient participant subject',
  'drug medication medicine',
  'illness disease disorder',
  'doctor physician',
  'child infant kid',
  'car vehicle automobile',
  'house home residence',
  'area region zone',
  'mean average',
  'yearly annual annually',
  'monthly month',
  'weekly week',
  'daily day',
  'approximately about around roughly nearly almost',
  'perform carry conduct',
  'choose select pick',
  'require need demand',
  'allow permit enable',
  'prohibit forbid ban',
  'create build make develop produce',
  'remove delete drop eliminate',
  'own possess hold',
  'meeting session call sitzung',
  'team group',
  'manager head lead boss',
  'launch release ship introduce rollout',
  'supplier vendor provider',
  'contract agreement deal',
  'refund reimbursement repayment',
  'bill invoice',
  'shipment delivery lieferung',
  'budget budget',
  'salary wage pay earn gehalt lohn verdienen',
  'hire recruit',
  'dismiss fire',
  'quarter quarterly',
  'server machine host',
  'website site web',
  'restore recover recovery restoration',
  'affect impact hit',
  'expire lapse',
  'warn alert alarm',
  'compensate compensation credit',
  'measure measurement',
  'attack breach intrusion',
  'say state report note tell',
]

/** Words that often stand near an answer without meaning the same: they help to find it, never to prove it. */
const associationLines = [
  'cause because due lead result expire misconfigure fail trigger root contribute',
  'cost refund credit lose loss spend budget revenue damage pay bill euro dollar usd eur penalty',
  'revenue sale income growth profit',
  'risk threat vulnerability mitigate concern uncertain likelihood',
  'decision agree approve decide vote adopt',
  'recommend should action next propose',
  'outage unavailable offline fail down degrade error',
  'impact affect consequence damage harm',
  'benefit advantage gain improve',
  'drawback disadvantage limitation weakness downside',
  'security breach vulnerability attack encryption',
  'performance latency throughput speed slow fast',
  'staff employee headcount hire',
  'customer satisfaction complaint churn support',
  'timeline schedule deadline milestone date',
  'price discount cost tariff',
  'safety hazard accident injury',
  'climate emission carbon temperature warm',
  'effective effect efficacy improve reduce',
  'treatment therapy drug dose',
  'lesson learn improve prevent action',
  'prevent avoid action measure monitor alert',
  'responsible owner assign lead author',
  'method approach sample measure procedure',
  'conclusion conclude find result summary',
  'requirement must need shall',
  'strategy plan goal focus',
  'competitor competition rival market',
  'quality defect error complaint',
  'weather storm rain temperature',
  'legal law court contract',
  'develop increase decrease rise fall grow decline trend',
  'duration hour minute last long',
  'fix repair resolve patch deploy rollback restore',
  'happen occur begin start event',
  'win beat victory',
  'location located site city address',
]

function index(lines: string[]): Map<string, Set<number>> {
  const groups = new Map<string, Set<number>>()
  for (const [group, line] of lines.entries()) {
    for (const word of line.split(' ')) {
      const key = stem(fold(word))
      const known = groups.get(key) ?? new Set()
      groups.set(key, known.add(group))
    }
  }
  return groups
}

const synonyms = index(synonymLines)
const members = synonymLines.map((line) => [...new Set(line.split(' ').map((word) => stem(fold(word))))])
/** The first word of an association line is the one asked for; the others are only what its answer may say. */
const associations = new Map<string, string[]>()
for (const line of associationLines) {
  const [head = '', ...rest] = line.split(' ').map((word) => stem(fold(word)))
  associations.set(head, [...(associations.get(head) ?? []), ...rest])
}

/** Whether two stems may stand for each other: equal, synonyms, or one word derived from the other ("migrat", "migration"). */
export function meansSame(a: string, b: string): boolean {
  return a === b || derived(a, b) || areSynonyms(a, b)
}

function areSynonyms(a: string, b: string): boolean {
  const left = synonyms.get(a)
  const right = synonyms.get(b)
  if (left === undefined || right === undefined) return false
  for (const group of left) if (right.has(group)) return true
  return false
}

const endings =
  /^(?:|e|i|s|t|n|al|er|or|ed|en|ic|ity|ion|ation|ition|ment|ness|able|ible|ive|ative|ful|less|ist|ism|ance|ence|ant|ent|ure|ing|ur|anc|enc|ativ|iv|iti|abl|ibl|ern|es|em|ung|ungen|et|te|ten|end)$/

/** One stem goes into the other by a usual ending: "migrat-ion", "develop-er", "administrat-or". Short stems never do. */
export function derived(a: string, b: string): boolean {
  const shorter = Math.min(a.length, b.length)
  if (shorter < 4) return false
  let shared = 0
  while (shared < shorter && a[shared] === b[shared]) shared += 1
  if (shared < 4 || shared < shorter - 2 || (shared < 5 && shared < shorter)) return false
  return endings.test(a.slice(shared)) && endings.test(b.slice(shared))
}

export function synonymsOf(stemmed: string): string[] {
  const out = new Set<string>()
  for (const group of synonyms.get(stemmed) ?? []) for (const word of members[group] ?? []) if (word !== stemmed) out.add(word)
  return [...out]
}

export function associationsOf(stemmed: string): string[] {
  const own = associations.get(stemmed)
  if (own !== undefined) return own
  for (const other of synonymsOf(stemmed)) {
    const found = associations.get(other)
    if (found !== undefined) return found
  }
  return []
}
