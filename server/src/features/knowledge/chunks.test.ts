import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ChunkSizes, chunk, chunkSizes } from './chunks.ts'

const small: ChunkSizes = { minimum: 20, target: 40, maximum: 60 }

function check(text: string, sizes: ChunkSizes): void {
  let end = 0
  for (const passage of chunk(text, sizes)) {
    assert.ok(passage.start >= end && passage.end > passage.start, 'in order, without overlap, never empty')
    assert.equal(text.slice(end, passage.start).trim(), '', 'only blanks lie between')
    const content = text.slice(passage.start, passage.end)
    assert.equal(content, content.trim())
    assert.ok(content.length <= sizes.maximum, `${content.length} units`)
    assert.ok(content.isWellFormed() || !text.isWellFormed(), 'no surrogate pair is split')
    end = passage.end
  }
  assert.equal(text.slice(end).trim(), '', 'nothing is left out')
}

const piece = fc.oneof(
  fc.constantFrom(
    '\n',
    '\r\n',
    '\n\n',
    '\r',
    ' ',
    '\t',
    '. ',
    '? ',
    '.',
    '# Heading\n',
    '| a | b |\n',
    'a,b,c\n',
    '- item\n',
    '😀',
    '。',
    '\u00a0',
    '\ufeff',
    'e.g. ',
  ),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.lorem({ maxCount: 12 }),
  fc.integer({ min: 1, max: 200 }).map((length) => 'x'.repeat(length)),
)

test('passages are exact slices that follow each other and leave out only blanks', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      check(pieces.join(''), small)
      check(pieces.join(''), chunkSizes)
    }),
    { numRuns: 400 },
  )
})

test('half surrogate pairs are taken as they come', () => check('\ud83d'.repeat(300) + '\ude00'.repeat(300), small))

test('no passage ends inside a sentence that fits', () => {
  const sentence = fc
    .array(fc.constantFrom('Dr. Weber', 'the river', 'rose by 3.5 m', 'e.g. there', 'in 2024', '“quoted”', 'U.S. data', 'ﬁne'), {
      minLength: 1,
      maxLength: 12,
    })
    .map((words) => `We saw ${words.join(' ')} again.`)
  const joint = fc.constantFrom(' ', '  ', '\n', '\n\n', '\r\n')
  fc.assert(
    fc.property(fc.array(fc.tuple(sentence, joint), { minLength: 1, maxLength: 60 }), (parts) => {
      const text = parts.flat().join('')
      for (const { start, end } of chunk(text, { minimum: 150, target: 250, maximum: 320 })) {
        const passage = text.slice(start, end)
        assert.ok(passage.startsWith('We saw') && passage.endsWith('again.'), JSON.stringify(passage))
      }
    }),
    { numRuns: 200 },
  )
})

test('lines of wrapped prose are no place to cut, rows of tables are', () => {
  const lines = 'These are words that go on over the end of the line and never seem to\n'.repeat(12)
  const wrapped = `${lines}stop. ${'Then another one follows. '.repeat(10)}`
  const [first] = chunk(wrapped, { minimum: 100, target: 400, maximum: 900 })
  assert.deepEqual(first, { start: 0, end: lines.length + 'stop.'.length })
  const rows = Array.from({ length: 300 }, (_, at) => `${at},Rotterdam,"Dr. Weber. Also others.",${at * 3}`)
  const table = rows.join('\r\n')
  for (const { start, end } of chunk(table))
    for (const row of table.slice(start, end).split('\r\n')) assert.ok(rows.includes(row), row)
  const cells = Array.from({ length: 100 }, (_, at) => `| ${at} | It rained. Then it stopped. | end |`)
  const bars = cells.join('\n')
  for (const { start, end } of chunk(bars))
    for (const row of bars.slice(start, end).split('\n')) assert.ok(cells.includes(row), row)
})

test('a heading begins a passage and stays with what it heads', () => {
  const paragraph = 'The level rose every year. '.repeat(28)
  const text = `${paragraph}\n\n## Causes\n\n${paragraph}\n\n## Effects\n\n${paragraph}`
  const passages = [...chunk(text)].map(({ start, end }) => text.slice(start, end))
  assert.deepEqual(
    passages.map((passage) => passage.slice(0, 8)),
    ['The leve', '## Cause', '## Effec'],
  )
})

test('prose yields passages of about a thousand units', () => {
  const text = Array.from({ length: 60 }, (_, at) =>
    `Sentence ${at} tells of the harbour. It is busy. `.repeat(1 + (at % 9)),
  ).join('\n\n')
  const lengths = [...chunk(text)].map(({ start, end }) => end - start)
  assert.ok(
    lengths.every((length) => length >= 500 && length <= 1200),
    lengths.join(' '),
  )
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length
  assert.ok(mean > 800 && mean < 1100, `mean ${mean}`)
})

test('20 million units take linear time, whatever they are', () => {
  const million = 1_000_000
  const texts = [
    'x'.repeat(20 * million),
    '.'.repeat(5 * million),
    '"'.repeat(5 * million),
    ('\n'.repeat(1100) + 'x').repeat(5000),
    '#\n'.repeat(2 * million),
  ]
  for (const text of texts) {
    const started = process.cpuUsage().user
    let count = 0
    for (const passage of chunk(text)) count += passage.end > passage.start ? 1 : 0
    const seconds = (process.cpuUsage().user - started) / 1e6
    assert.ok(count > 0)
    // Measured 0.01 to 0.1 s a million; a quadratic scan would take minutes.
    assert.ok(
      seconds < (2 * text.length) / million + 1,
      `${seconds} s for ${text.length} units of ${JSON.stringify(text.slice(0, 3))}`,
    )
  }
})
