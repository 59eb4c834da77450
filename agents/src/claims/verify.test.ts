import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifyClaim } from './verify.ts'

const outage =
  'The outage on March 12, 2024 was caused by an expired TLS certificate on the payment gateway. It lasted 3 hours and affected 12,000 customers in Europe, but not in Asia. Refunds cost the company $85,000, while lost revenue reached $240,000.'
const company =
  'Revenue rose from 5 million to 7 million euros in 2023, whereas costs fell by 4%. Acme acquired Globex before the merger with Initech. Paris sold 120 units and London sold 340 units. Most employees support the plan.'
const trial =
  'The drug did not reduce mortality in patients older than 65. Some patients reported nausea. The vaccine may protect children under five. Vitamin D lowered the risk of fractures, and calcium had no effect on bone density. Only the treatment group received insulin.'
const notes =
  'The board approved the budget on 4 May 2023. Maria Lopez will lead the project. The deadline was moved from June to September. Server A is faster than server B. The contract was signed after the audit. Backups are encrypted and stored in Frankfurt.'
const german = 'Der Umsatz stieg 2023 um 12 %. Die Reparatur kostete 85.000 Euro. Das Werk in Ulm wurde nicht geschlossen.'

const supported: [string, string][] = [
  [outage, 'The outage was caused by an expired TLS certificate on the payment gateway.'],
  [outage, 'An expired TLS certificate caused the outage.'],
  [outage, 'It lasted three hours and affected 12,000 customers in Europe.'],
  [outage, 'The incident affected 12,000 users in Europe.'],
  [outage, 'Refunds cost the company $85,000.'],
  [outage, 'Lost revenue reached $240,000.'],
  [outage, 'The disruption lasted 3 hours.'],
  [outage, 'The outage happened on 12 March 2024 because of an expired TLS certificate.'],
  [company, 'Revenue rose from 5 million to 7 million euros in 2023, whereas costs fell by 4%.'],
  [company, 'Revenue increased from €5 million to €7 million in 2023.'],
  [company, 'Costs fell by 4 percent.'],
  [company, 'Acme bought Globex.'],
  [company, 'Globex was acquired by Acme.'],
  [company, 'Acme acquired Globex before the merger with Initech.'],
  [company, 'London sold 340 units.'],
  [company, 'Paris sold 120 units.'],
  [company, 'Most employees support the plan.'],
  [trial, 'The drug did not reduce mortality in patients older than 65.'],
  [trial, 'Some patients reported nausea.'],
  [trial, 'The vaccine may protect children under five.'],
  [trial, 'Vitamin D lowered the risk of fractures.'],
  [trial, 'Calcium had no effect on bone density.'],
  [trial, 'Only the treatment group received insulin.'],
  [trial, 'Vitamin D reduced the risk of fractures.'],
  [notes, 'The board approved the budget on 4 May 2023.'],
  [notes, 'The board approved the budget in May, on 4 May 2023.'],
  [notes, 'Maria Lopez will lead the project.'],
  [notes, 'The deadline was moved from June to September.'],
  [notes, 'Server A is faster than server B.'],
  [notes, 'The contract was signed after the audit.'],
  [notes, 'Backups are encrypted and stored in Frankfurt.'],
  [german, 'Der Umsatz stieg 2023 um 12 %.'],
  [german, 'Die Reparatur kostete 85.000 Euro.'],
  [german, 'Das Werk in Ulm wurde nicht geschlossen.'],
]

const planted: [string, string, string][] = [
  ['other cause', outage, 'The outage was caused by an expired TLS certificate on the mail gateway.'],
  ['negation', outage, 'The outage was not caused by an expired TLS certificate.'],
  ['number', outage, 'It lasted 5 hours and affected 12,000 customers in Europe.'],
  ['unit', outage, 'The outage lasted 3 minutes.'],
  ['denied place', outage, 'The outage affected 12,000 customers in Asia.'],
  ['other place', outage, 'It affected 12,000 customers in Africa.'],
  ['number of something else', outage, 'Refunds cost the company $240,000.'],
  ['currency', outage, 'Refunds cost the company €85,000.'],
  ['date', outage, 'The outage on March 13, 2024 was caused by an expired TLS certificate.'],
  ['exchanged cause and effect', outage, 'The expired certificate was caused by the outage.'],
  ['invented name', outage, 'The outage was repaired by engineers of Microsoft.'],
  ['direction and order', company, 'Revenue fell from 7 million to 5 million euros in 2023.'],
  ['order', company, 'Revenue rose from 7 million to 5 million euros in 2023.'],
  ['opposite of the other subject', company, 'Costs rose by 4%.'],
  ['scale', company, 'Revenue rose from 5 billion to 7 billion euros in 2023.'],
  ['year', company, 'Revenue rose from 5 million to 7 million euros in 2022.'],
  ['roles', company, 'Globex acquired Acme.'],
  ['roles in the passive', company, 'Acme was acquired by Globex.'],
  ['before and after', company, 'Acme acquired Globex after the merger with Initech.'],
  ['number of the neighbour', company, 'London sold 120 units.'],
  ['quantifier', company, 'All employees support the plan.'],
  ['percent for points', company, 'Revenue rose by 40% in 2023.'],
  ['opposite stance', company, 'Most employees oppose the plan.'],
  ['dropped negation', trial, 'The drug reduced mortality in patients older than 65.'],
  ['age bound', trial, 'The drug did not reduce mortality in patients younger than 65.'],
  ['some to all', trial, 'All patients reported nausea.'],
  ['some to none', trial, 'No patients reported nausea.'],
  ['may to does', trial, 'The vaccine protects children under five.'],
  ['raised for lowered', trial, 'Vitamin D raised the risk of fractures.'],
  ['effect for no effect', trial, 'Calcium had an effect on bone density.'],
  ['number in words', trial, 'The vaccine may protect children under six.'],
  ['rejected', notes, 'The board rejected the budget on 4 May 2023.'],
  ['other person', notes, 'Pedro Lopez will lead the project.'],
  ['exchanged months', notes, 'The deadline was moved from September to June.'],
  ['comparison turned', notes, 'Server B is faster than server A.'],
  ['slower', notes, 'Server A is slower than server B.'],
  ['time order', notes, 'The contract was signed before the audit.'],
  ['not encrypted', notes, 'Backups are not encrypted.'],
  ['prefix', notes, 'Backups are unencrypted and stored in Frankfurt.'],
  ['other city', notes, 'Backups are encrypted and stored in Dublin.'],
  ['German opposite', german, 'Der Umsatz sank 2023 um 12 %.'],
  ['German number', german, 'Die Reparatur kostete 95.000 Euro.'],
  ['German negation', german, 'Das Werk in Ulm wurde geschlossen.'],
  ['nothing to do with it', german, 'The moon orbits the earth.'],
]

for (const [source, claim] of supported) {
  test(`supported: ${claim}`, () => {
    const verdict = verifyClaim(claim, [{ text: source }])
    assert.equal(verdict.supported, true, verdict.reasons.join(' '))
    assert.ok(verdict.score > 0.5)
    assert.deepEqual(verdict.reasons, [])
  })
}

for (const [kind, source, claim] of planted) {
  test(`planted, ${kind}: ${claim}`, () => {
    const verdict = verifyClaim(claim, [{ text: source }])
    assert.equal(verdict.supported, false, `passed with score ${verdict.score}`)
    assert.equal(verdict.score, 0)
    assert.ok(verdict.reasons.length > 0 && verdict.reasons.every((reason) => reason.endsWith('.')))
  })
}

test('a sentence without a source, and one that says nothing, are unsupported', () => {
  assert.equal(verifyClaim('The outage lasted 3 hours.', []).supported, false)
  assert.equal(verifyClaim('It was so.', [{ text: outage }]).supported, false)
})

test('support may come from the second of two sources', () => {
  assert.equal(verifyClaim('Server A is faster than server B.', [{ text: outage }, { text: notes }]).supported, true)
})

test('markdown markup and citation marks of the source do not matter', () => {
  assert.equal(verifyClaim('Refunds cost $85,000.', [{ text: '- **Refunds** cost `$85,000` [3].' }]).supported, true)
})

test('a long source is judged in bounded time', () => {
  const source = `${'Unrelated words fill this sentence about gardening and rain. '.repeat(5000)}The pump failed on Monday.`
  const before = performance.now()
  verifyClaim('The pump failed on Monday.', [{ text: source }])
  assert.ok(performance.now() - before < 3000)
})
