import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { plainText } from './plain.ts'
import { quantities, sameQuantity } from './quantities.ts'
import { sentenceSpans } from './sentences.ts'
import { derived, meansSame } from './thesaurus.ts'
import { contentStems, fold, stem, tokenize } from './tokens.ts'

const cut = (text: string) => sentenceSpans(text).map((span) => text.slice(span.start, span.end))

test('sentences: abbreviations, decimals, initials, quotes and other scripts', () => {
  assert.deepEqual(
    cut('Dr. Smith saw v2.3.1 fail after 3.5 s. The API was down, e.g. in the U.S. market. "Really?" he said. No. 5 broke.'),
    [
      'Dr. Smith saw v2.3.1 fail after 3.5 s.',
      'The API was down, e.g. in the U.S. market.',
      '"Really?" he said.',
      'No. 5 broke.',
    ],
  )
  assert.deepEqual(cut('Am 3. März kostete es 5 Mio. Euro, z. B. für Öl. Danach war Schluss.'), [
    'Am 3. März kostete es 5 Mio. Euro, z. B. für Öl.',
    'Danach war Schluss.',
  ])
  assert.deepEqual(cut('今天天气很好。我们去公园。'), ['今天天气很好。', '我们去公园。'])
})

test('markdown: headings, items, fields, tables, code and wrapped lines', () => {
  const text =
    '# Top\r\nAuthor: Ann\r\nDate: 2024-03-01\r\n\r\nA line that was wrapped by hand goes on\r\nhere. Next one.\r\n\r\n## Sub\r\n- **One** item, and\r\n  still one\r\n2. Two\r\n\r\n| a | b |\r\n|---|---|\r\n| 1 | 2 |\r\n```\r\ncode. Line\r\n```\r\nSet\r\n---\r\nEnd.'
  const spans = sentenceSpans(text)
  assert.deepEqual(
    spans.map((span) => [span.kind, text.slice(span.start, span.end).replace(/\s+/g, ' '), span.heading]),
    [
      ['heading', 'Top', ''],
      ['field', 'Author: Ann', 'Top'],
      ['field', 'Date: 2024-03-01', 'Top'],
      ['sentence', 'A line that was wrapped by hand goes on here.', 'Top'],
      ['sentence', 'Next one.', 'Top'],
      ['heading', 'Sub', 'Top'],
      ['item', '**One** item, and still one', 'Top › Sub'],
      ['item', 'Two', 'Top › Sub'],
      ['row', '| a | b |', 'Top › Sub'],
      ['row', '| 1 | 2 |', 'Top › Sub'],
      ['code', 'code. Line', 'Top › Sub'],
      ['heading', 'Set', 'Top'],
      ['sentence', 'End.', 'Top › Set'],
    ],
  )
})

test('spans never overlap, hold no outer white space and lose no word', () => {
  const piece = fc.constantFrom(
    'Word',
    ' ',
    '. ',
    '\n',
    '\r\n',
    '\n\n',
    '# ',
    '- ',
    '| a | b |',
    '1. ',
    '!',
    '?',
    '3.5',
    'e.g. ',
    '"',
    '> ',
    'ä',
    '漢字',
    '。',
    '---\n',
    ':',
    '\t',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (parts) => {
      const text = parts.join('')
      let last = 0
      for (const span of sentenceSpans(text)) {
        assert.ok(span.start >= last && span.end > span.start && span.end <= text.length)
        assert.equal(text.slice(span.start, span.end), text.slice(span.start, span.end).trim())
        last = span.end
      }
      const kept = tokenize(
        sentenceSpans(text)
          .map((span) => text.slice(span.start, span.end))
          .join(' '),
      ).filter((token) => token.text === 'Word').length
      assert.equal(kept, (text.match(/(?<![\p{L}\p{N}])Word(?![\p{L}\p{N}])/gu) ?? []).length)
    }),
    { numRuns: 300, seed: 7 },
  )
})

test('cutting and tokenising are linear', () => {
  const before = performance.now()
  for (const text of [
    'a'.repeat(2_000_000),
    'word '.repeat(400_000),
    '. '.repeat(500_000),
    '\n'.repeat(1_000_000),
    '| '.repeat(300_000),
    '**_'.repeat(200_000),
  ]) {
    sentenceSpans(text)
    tokenize(text)
  }
  plainText('['.repeat(100_000))
  plainText('*_'.repeat(100_000))
  assert.ok(performance.now() - before < 6000)
})

test('stems join the forms of a word, and keep different words apart', () => {
  for (const forms of [
    'cause caused causes causing',
    'company companies',
    'study studied studies',
    'rise rose risen rising',
    'plan planned planning',
    'Ausfall Ausfälle',
    'Zürich Zürich’s',
  ]) {
    assert.equal(new Set(forms.split(' ').map((word) => stem(fold(word)))).size, 1, forms)
  }
  assert.notEqual(stem('news'), stem('new'))
  assert.equal(derived(stem('migrated'), stem('migration')), true)
  assert.equal(derived(stem('certain'), stem('certificate')), false)
  assert.equal(meansSame(stem('outage'), stem('incident')), true)
  assert.deepEqual(contentStems('What is the cost of it?'), ['cost'])
})

const sameCases: [string, string, boolean][] = [
  ['$4.2M', '4.2 million dollars', true],
  ['€1,234.50', '1.234,50 EUR', true],
  ['12 percent', '12%', true],
  ['12%', '12', false],
  ['three hours', '3 h', true],
  ['3 hours', '3 minutes', false],
  ['12 March 2024', '2024-03-12', true],
  ['March 12', '12 March 2024', true],
  ['12 March 2024', '13 March 2024', false],
  ['2:30 pm', '14:30', true],
  ['5 million', '5 billion', false],
  ['$85,000', '€85,000', false],
  ['v2.3.1', '2.3.1', true],
  ['Q3', 'Q4', false],
  ['-5 %', '5 %', false],
  ['two million', '2,000,000', true],
]
for (const [a, b, same] of sameCases) {
  test(`${a} ${same ? 'is' : 'is not'} ${b}`, () => {
    const [left] = quantities(a)
    const [right] = quantities(b)
    assert.ok(left !== undefined && right !== undefined)
    assert.equal(sameQuantity(left, right), same)
  })
}

test('plain text drops markup and keeps words', () => {
  assert.equal(
    plainText('- [x] **Bold** and `code` in [a link](http://x.y/z) [^2], snake_case_name stays'),
    'Bold and code in a link, snake_case_name stays',
  )
})
