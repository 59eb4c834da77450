import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readQuestion } from '../text/question.ts'
import { type ComposeInput, composeReport, sentenceOf } from './compose.ts'
import { strike } from './strike.ts'

const text = '\uFEFF# Pumps\r\n\r\n- **Pump 4** failed on Monday [2]\r\n\r\nIt was repaired by Ann in two hours.'
const evidence = (quote: string, score: number) => {
  const start = text.indexOf(quote)
  return {
    text: quote,
    document: 'a.md',
    chunk: 3,
    start,
    end: start + quote.length,
    heading: 'Pumps',
    score,
    question: 'q',
    lead: false,
  }
}

function input(): ComposeInput {
  return {
    goal: 'What happened to pump 4?',
    title: 'What happened to pump 4?',
    answers: [
      {
        question: readQuestion('What happened to pump 4?'),
        answered: true,
        reason: '',
        evidence: [evidence('**Pump 4** failed on Monday [2]', 1), evidence('It was repaired by Ann in two hours.', 0.9)],
      },
    ],
    tables: [],
    textOf: () => text,
    chunkAt: () => 0,
  }
}

test('claims are plain sentences that stand in the markdown, with exact quotes', () => {
  const report = composeReport(input())
  assert.deepEqual(
    report.claims.map((claim) => claim.text),
    ['Pump 4 failed on Monday.', 'It was repaired by Ann in two hours.'],
  )
  for (const claim of report.claims) {
    assert.ok(report.markdown.includes(`${claim.text} [`))
    for (const citation of claim.citations) assert.equal(text.slice(citation.start, citation.end), citation.quote)
  }
  assert.equal(report.claims[0]?.citations[0]?.chunk, 3)
})

test('evidence that is not what stands in the document is left out', () => {
  const given = input()
  const [answer] = given.answers
  assert.ok(answer !== undefined)
  answer.evidence = [{ ...evidence('It was repaired by Ann in two hours.', 1), start: 5, end: 41 }]
  const report = composeReport(given)
  assert.deepEqual(report.claims, [])
  assert.match(report.markdown, /The documents do not say\./)
})

test('struck sentences show their reason, the others stay, and the count is told', () => {
  const report = composeReport(input())
  const checked = strike(report, [
    { supported: true, reasons: [] },
    { supported: false, reasons: ['The source says otherwise.'] },
  ])
  assert.match(checked.markdown, /~~It was repaired by Ann in two hours\.~~ \[2\] \*\(struck out: The source says otherwise\)\*/)
  assert.match(checked.markdown, /Pump 4 failed on Monday\. \[1\]/)
  assert.match(checked.markdown, /2 sentences checked against their sources; 1 struck out\./)
  assert.deepEqual(
    checked.claims.map((claim) => claim.supported),
    [true, false],
  )
  assert.equal(checked.answered, true)
})

test('a claim that nobody checked is struck, and a report with nothing left says so', () => {
  const checked = strike(composeReport(input()), [])
  assert.equal(checked.answered, false)
  assert.equal(checked.struck, 2)
  assert.match(checked.markdown, /^# What happened to pump 4\?\n\nThe documents do not say\. Every sentence/)
})

test('sentences are cleaned and ended, and too little is no sentence', () => {
  assert.equal(sentenceOf('- lost revenue: **$5**'), 'Lost revenue: $5.')
  assert.equal(sentenceOf('He said \\"the pump broke\\"'), 'He said "the pump broke".')
  assert.equal(sentenceOf('***'), undefined)
})
