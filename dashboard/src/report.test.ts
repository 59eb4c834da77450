import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMarkdown } from './markdown.ts'
import { type Citation, type Claim, findReport, linkReport, readReport } from './report.ts'
import { sampleTask } from './sample.ts'

const source = (document: string, start = 0): Citation => ({ document, chunk: '0', start, end: start + 5, quote: 'quote' })
const claim = (text: string, citations: Citation[], more: Partial<Claim> = {}): Claim => ({
  text,
  citations,
  supported: true,
  reason: null,
  ...more,
})
const documentsOf = (markdown: string, claims: Claim[]) => {
  const links = linkReport(parseMarkdown(markdown), claims)
  return [...links.cites.values()].map((evidence) => evidence.map((each) => `${each.number} ${each.citation.document}`))
}

test('a mark stands for the citation of the sentence it is in', () => {
  const claims = [claim('First thing.', [source('a')]), claim('Second **thing** [7]', [source('b'), source('c')])]
  assert.deepEqual(
    documentsOf('First thing [1]. First thing. [1]\n\nSecond thing [7][8]', claims.with(0, claim('First thing', [source('a')]))),
    [['1 a'], ['1 a'], ['7 b'], ['8 c']],
  )
})

test('one number for several quotes of a document shows all of the sentence', () => {
  assert.deepEqual(documentsOf('Both hold [1].', [claim('Both hold', [source('a', 0), source('a', 50)])]), [['1 a']])
  const links = linkReport(parseMarkdown('Both hold [9].'), [claim('Both hold', [source('a', 0), source('a', 50)])])
  assert.deepEqual(
    [...links.cites.values()][0]?.map((each) => each.citation.start),
    [0, 50],
  )
})

test('a mark outside any claim counts through the sources; one too high has none', () => {
  assert.deepEqual(documentsOf('Elsewhere [2] [9]', [claim('x', [source('a')]), claim('y', [source('a'), source('b')])]), [
    ['2 b'],
    [],
  ])
})

test('struck sentences keep their reason; those left out of the text are listed', () => {
  const struck = claim('Fuel did it.', [], { supported: false, reason: 'no source' })
  const gone = claim('A third spur comes.', [], { supported: false })
  const links = linkReport(parseMarkdown('- ~~Fuel did it.~~\n- fine'), [struck, gone])
  assert.deepEqual([...links.strikes.values()], [struck])
  assert.deepEqual(links.removed, [gone])
})

test('evidence lists each passage once, by number', () => {
  const links = linkReport(parseMarkdown('B [2]. A [1]. A [1].'), [claim('A', [source('a')]), claim('B', [source('b')])])
  assert.deepEqual(
    links.evidence.map((each) => `${each.number} ${each.citation.document}`),
    ['1 a', '2 b'],
  )
})

test('a report is read from results of both shapes, and from nothing else', () => {
  const read = readReport({
    report: {
      markdown: '# x',
      claims: [
        { text: 'a', supported: false, reason: 'r', citations: [{ document: 'd', chunk: 3, start: 1, end: 2, quote: 'q' }] },
        5,
      ],
    },
  })
  assert.deepEqual(read?.claims, [
    { text: 'a', supported: false, reason: 'r', citations: [{ document: 'd', chunk: '3', start: 1, end: 2, quote: 'q' }] },
  ])
  assert.equal(readReport({ markdown: '# y' })?.markdown, '# y')
  for (const result of [null, 'text', { report: {} }, { markdown: '  ' }, []]) assert.equal(readReport(result), undefined)
})

test('the last completed report of a run wins', () => {
  const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`
  const tasks = [
    sampleTask('check', { state: 'completed', completed_at: at(5), result: { report: { markdown: 'checked' } } }),
    sampleTask('draft', { state: 'completed', completed_at: at(3), result: { report: { markdown: 'draft' } } }),
    sampleTask('open', { state: 'running', result: { report: { markdown: 'unfinished' } } }),
  ]
  assert.equal(findReport(tasks)?.report.markdown, 'checked')
})
