import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Inline, parseInline, parseMarkdown, plainOf, safeAddress } from './markdown.ts'

const text = (value: string): Inline => ({ kind: 'text', text: value })

test('headings, paragraphs, rules and code', () => {
  assert.deepEqual(parseMarkdown('# One #\n\ntwo\nthree\n\n---\n```js\na < b\n```'), [
    { kind: 'heading', level: 1, children: [text('One')] },
    { kind: 'paragraph', children: [text('two\nthree')] },
    { kind: 'rule' },
    { kind: 'code', text: 'a < b' },
  ])
})

test('lists, nested and numbered', () => {
  const [list, numbered] = parseMarkdown('- a\n  - b\n- c\n\n3. x\n4. y')
  assert.equal(list?.kind, 'list')
  assert.deepEqual(list?.kind === 'list' && list.items.map((item) => item.map((block) => block.kind)), [
    ['paragraph', 'list'],
    ['paragraph'],
  ])
  assert.deepEqual(numbered?.kind === 'list' && [numbered.ordered, numbered.start, numbered.items.length], [true, 3, 2])
})

test('tables need their divider, and pipes may be escaped', () => {
  const [table] = parseMarkdown('| a | b |\n|---|--:|\n| 1 | x \\| y |\n| 2 |\n\nafter')
  assert.deepEqual(table, {
    kind: 'table',
    head: [[text('a')], [text('b')]],
    rows: [[[text('1')], [text('x | y')]], [[text('2')]]],
  })
  assert.equal(parseMarkdown('a | b\nno divider')[0]?.kind, 'paragraph')
})

test('marks nest, and a lone mark is text', () => {
  assert.deepEqual(parseInline('**a *b* c** ~~d~~ `e*`'), [
    { kind: 'strong', children: [text('a '), { kind: 'emphasis', children: [text('b')] }, text(' c')] },
    text(' '),
    { kind: 'strike', children: [text('d')] },
    text(' '),
    { kind: 'code', text: 'e*' },
  ])
  assert.deepEqual(parseInline('2 * 3 and snake_case_name ~~'), [text('2 * 3 and snake_case_name ~~')])
  assert.deepEqual(parseInline('\\*not\\*'), [text('*not*')])
})

test('citation marks in their three spellings, but not links', () => {
  const cites = parseInline('a [1] b [2, 3] c [^4] [5](https://x.org) [x]').flatMap((node) =>
    node.kind === 'cite' ? [node.numbers] : [],
  )
  assert.deepEqual(cites, [[1], [2, 3], [4]])
})

test('only addresses of pages are followed; others keep their words', () => {
  assert.deepEqual(parseInline('[a](https://x.org/y)'), [{ kind: 'link', href: 'https://x.org/y', children: [text('a')] }])
  for (const address of [
    'javascript:alert(1)',
    'data:text/html,x',
    'JaVaScRiPt:x',
    '//evil.example',
    '/\\evil.example',
    'vbscript:x',
  ])
    assert.equal(safeAddress(address), undefined, address)
  assert.deepEqual(parseInline('[a](javascript:alert)'), [{ kind: 'emphasis', children: [text('a')] }])
})

test('tags stay text', () => {
  assert.deepEqual(parseMarkdown('<img src=x onerror=alert(1)>'), [
    { kind: 'paragraph', children: [text('<img src=x onerror=alert(1)>')] },
  ])
})

test('the plain words carry the places of marks and struck passages', () => {
  const { text: words, cites, strikes } = plainOf(parseInline('**A** b [1]. ~~c d~~'))
  assert.equal(words, 'A b . c d')
  assert.deepEqual(
    cites.map((each) => each.at),
    [4],
  )
  assert.deepEqual(
    strikes.map((each) => words.slice(each.start, each.end)),
    ['c d'],
  )
})

test('any text is parsed, and every word of plain text survives', () => {
  const piece = fc.constantFrom(
    '**',
    '*',
    '_',
    '~~',
    '`',
    '[1]',
    '[a](b)',
    '# ',
    '- ',
    '> ',
    '|',
    '\n',
    '\n\n',
    '```',
    'word ',
    '1. ',
    '  ',
    '\\',
    '|---|',
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
      (source) => void parseMarkdown(source),
    ),
  )
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z ,.]{0,60}$/),
      (source) => plainOf(parseInline(source)).text === source.replaceAll(/\s+/g, ' '),
    ),
  )
})

test('hostile input stays fast', () => {
  for (const source of [
    '*'.repeat(20_000),
    '['.repeat(20_000),
    '> '.repeat(5000),
    '`'.repeat(20_000),
    '~~a '.repeat(5000),
    '- '.repeat(5000),
  ]) {
    const began = performance.now()
    parseMarkdown(source)
    assert.ok(performance.now() - began < 1500, source.slice(0, 8))
  }
})
