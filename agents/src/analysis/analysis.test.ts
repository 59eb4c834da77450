import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { allFindings, analyseDocument, recompute, tablesOf } from './analyse.ts'
import { cellNumber, parsePeriod } from './columns.ts'
import { parseCsv, records } from './csv.ts'
import { parseJson } from './json.ts'
import { mannKendall, median, normalCdf, pearson, quantile, robustScores, summarise, theilSen } from './statistics.ts'
import { number, percent } from './wording.ts'

const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`)

test('summary statistics against values worked out by hand', () => {
  const summary = summarise([2, 4, 4, 4, 5, 5, 7, 9])
  assert.equal(summary.mean, 5)
  assert.equal(summary.median, 4.5)
  near(summary.sd, Math.sqrt(32 / 7))
  assert.deepEqual([summary.q1, summary.q3, summary.min, summary.max, summary.sum], [4, 5.5, 2, 9, 40])
  assert.ok(Number.isNaN(summarise([1]).sd))
  assert.ok(Number.isNaN(quantile([], 0.5)))
})

test('robust slope and scores ignore one wild value', () => {
  assert.equal(theilSen([0, 1, 2, 3, 4], [1, 3, 5, 700, 9]), 2)
  const scores = robustScores([10, 11, 9, 10, 12, 500])
  assert.ok((scores[5] ?? 0) > 100 && Math.abs(scores[0] ?? 9) < 1)
  assert.equal(median([3, 1, 2]), 2)
})

test('Mann-Kendall: ten rising values give S = 45 and the known p', () => {
  const test10 = mannKendall([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  assert.equal(test10.s, 45)
  near(test10.z, 44 / Math.sqrt(125), 1e-9)
  near(test10.p, 8.3e-5, 2e-6)
  assert.equal(mannKendall([5, 5, 5, 5]).p, 1)
  near(normalCdf(1.959964), 0.975, 1e-6)
})

test('correlation', () => {
  near(pearson([1, 2, 3, 4], [2, 4, 6, 8]), 1)
  assert.ok(Number.isNaN(pearson([1, 1, 1], [1, 2, 3])))
})

test('records agree with csv-parse, and their ranges with the text', () => {
  const cell = fc.oneof(
    fc.constantFrom('a', '1', '', 'x y', 'ü', '1.5'),
    fc.string({ maxLength: 6, unit: fc.constantFrom('a', '"', ',', '\n', ' ', 'é') }),
  )
  fc.assert(
    fc.property(
      fc.array(fc.array(cell, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 8 }),
      fc.constantFrom('\n', '\r\n'),
      (rows, newline) => {
        const text = rows
          .map((row) => row.map((value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value.trim())).join(','))
          .join(newline)
        const mine = [...records(text, 0, ',')]
        const theirs = parse(text, {
          relax_column_count: true,
          trim: false,
          record_delimiter: newline,
          skip_empty_lines: false,
        })
        assert.deepEqual(
          mine.map((row) => row.cells),
          theirs,
        )
        for (const row of mine)
          assert.deepEqual([...records(text.slice(row.start, row.end), 0, ',')][0]?.cells ?? [''], row.cells)
      },
    ),
    { numRuns: 300, seed: 11 },
  )
})

test('delimiters are told apart; a mark, notes above and a broken quote do no harm', () => {
  const table = parseCsv('\uFEFFReport of May\r\nname;amount\r\n"A; B";1,5\r\nC;2,5\r\nD;3,5\r\n', 't')
  assert.deepEqual(table?.columns, ['name', 'amount'])
  assert.deepEqual(
    table?.rows.map((row) => row.cells),
    [
      ['A; B', '1,5'],
      ['C', '2,5'],
      ['D', '3,5'],
    ],
  )
  assert.equal(parseCsv('a\tb\n1\t2\n3\t4\n', 't')?.rows.length, 2)
  assert.equal(parseCsv('only words here\nand more words\n', 't'), undefined)
  assert.equal(parseCsv('a,b\n"open,1\n2,3\n4,5\n', 't')?.rows.length, 3)
})

test('numbers and periods in the forms that spreadsheets have', () => {
  const numbers: [string, number][] = [
    ['$1,234.50', 1234.5],
    ['(45)', -45],
    ['12 %', 12],
    ['-3', -3],
    ['1e3', 1000],
    ['EUR 5', 5],
  ]
  for (const [cell, value] of numbers) assert.equal(cellNumber(cell), value, cell)
  assert.equal(cellNumber('1.234,56', true), 1234.56)
  for (const cell of ['n/a', '', 'abc', '5 apples', '-']) assert.ok(Number.isNaN(cellNumber(cell)), cell)
  const order = [
    '2023-12',
    'Q1 2024',
    '2024-02',
    '1.3.2024',
    'April 2024',
    '2024-05-06',
    '13/06/2024',
    'Jul 5, 2024',
    '2024-08-01T10:00:00Z',
    '2025',
  ].map((cell) => parsePeriod(cell)?.order ?? Number.NaN)
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
  assert.equal(parsePeriod('hello'), undefined)
})

test('JSON places are exact at every depth', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      const root = parseJson(text)
      assert.ok(root !== undefined)
      const pending = [{ node: root, value: value as unknown }]
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        const { node } = next
        assert.deepEqual(JSON.parse(text.slice(node.start, node.end)), JSON.parse(JSON.stringify(next.value)))
        if (node.type === 'array')
          for (const [index, item] of node.items.entries()) pending.push({ node: item, value: (next.value as unknown[])[index] })
        if (node.type === 'object')
          for (const [key, item] of node.entries)
            pending.push({ node: item, value: (next.value as Record<string, unknown>)[key] })
      }
    }),
    { numRuns: 200, seed: 5 },
  )
  assert.equal(parseJson('{"a": '), undefined)
  assert.equal(parseJson('['.repeat(5000) + ']'.repeat(5000)), undefined)
})

test('tables in JSON: objects in an array, nested, columns, lines, and arrays', () => {
  const shapes: [string, string, string[], number][] = [
    ['a.json', '[{"m":"2024-01","v":1},{"m":"2024-02","v":2}]', ['m', 'v'], 2],
    ['a.json', '{"meta":{},"data":[{"a":1,"b":{"c":2}},{"a":3,"b":{"c":4}}]}', ['a', 'b.c'], 2],
    ['a.json', '{"month":["1","2","3"],"sales":[4,5,6]}', ['month', 'sales'], 3],
    ['a.jsonl', '{"a":1}\n{"a":2}\nnot json\n{"a":3}\n', ['a'], 3],
    ['a.json', '[["m","v"],["x",1],["y",2]]', ['m', 'v'], 2],
    ['a.md', '# Sales\n\n| m | v |\n|---|---|\n| x | 1 |\n| y | 2 |\n', ['m', 'v'], 2],
  ]
  for (const [name, text, columns, rows] of shapes) {
    const [table] = tablesOf(name, text)
    assert.deepEqual(table?.columns, columns, text)
    assert.equal(table?.rows.length, rows, text)
  }
})

function sales(): string {
  let text = 'month,region,revenue\r\n'
  for (let month = 1; month <= 12; month += 1) {
    for (const [region, base] of [
      ['North', 100],
      ['South', 50],
    ] as const)
      text += `2024-${String(month).padStart(2, '0')},${region},${month === 8 ? 10 : base + month * 5 + (month % 3)}\r\n`
  }
  return text
}

test('trend, outlier, groups and comparison of a sales table, each cited and computed again', () => {
  const text = sales()
  const goal = 'How did revenue develop and what stands out? Compare North and South.'
  const findings = allFindings(analyseDocument('sales.csv', text, goal))
  const said = findings.map((finding) => finding.text).join('\n')
  assert.match(
    said,
    /Total revenue rose from 162 in 2024-01 to 270 in 2024-12 \(\+66\.7%\), a statistically significant upward trend/,
  )
  assert.match(said, /2024-08 stands out: total revenue of 20 lies far below/)
  assert.match(said, /By region, revenue totals: North/)
  assert.match(said, /Total revenue is [\d,]+ for North, [\d.]+% more than for South/)
  for (const finding of findings) {
    assert.ok(finding.citations.length > 0)
    for (const range of finding.citations) assert.ok(range.start >= 0 && range.end <= text.length && range.end > range.start)
    assert.deepEqual(recompute(finding, 'sales.csv', text, goal), { confirmed: true, reason: '' })
  }
})

test('a computed sentence with a changed number, other rows or an unknown key is not confirmed', () => {
  const text = sales()
  for (const finding of allFindings(analyseDocument('sales.csv', text))) {
    const changed = finding.text.replace(/\d+(?!.*\d)/, (digits) => String(Number(digits) + 1))
    assert.notEqual(changed, finding.text)
    assert.equal(recompute({ ...finding, text: changed }, 'sales.csv', text).confirmed, false)
    assert.equal(recompute({ ...finding, citations: [{ start: 0, end: 1 }] }, 'sales.csv', text).confirmed, false)
    assert.equal(recompute({ ...finding, key: 'none' }, 'sales.csv', text).confirmed, false)
  }
  const changedData = text.replace('2024-12,North,160', '2024-12,North,999')
  const trend = allFindings(analyseDocument('sales.csv', text)).find((finding) => finding.kind === 'trend')
  assert.ok(trend !== undefined && changedData !== text)
  assert.equal(recompute(trend, 'sales.csv', changedData).confirmed, false)
})

test('a row that the goal names is told with its cells', () => {
  const text = sales()
  const finding = allFindings(analyseDocument('sales.csv', text, 'What was the revenue of South in 2024-03?')).find(
    (entry) => entry.kind === 'lookup',
  )
  assert.equal(finding?.text, 'Sales: month 2024-03, region South, revenue 65.')
  assert.deepEqual(
    finding?.citations.map(({ start, end }) => text.slice(start, end)),
    ['month,region,revenue', '2024-03,South,65'],
  )
})

test('constant, empty and text-only columns give no nonsense', () => {
  for (const text of ['a,b\n1,x\n1,y\n1,z\n', 'a,b\n,\n,\n', 'name,city\nAnn,Ulm\nBob,Bonn\n', 'a,b\n']) {
    for (const finding of allFindings(analyseDocument('t.csv', text))) assert.doesNotMatch(finding.text, /NaN|Infinity|undefined/)
  }
})

test('numbers are written one way', () => {
  assert.deepEqual(
    [number(1234567.891), number(0.001234), number(1200), number(-5.5), number(2500.5)],
    ['1,234,567.9', '0.00123', '1,200', '-5.5', '2,500.5'],
  )
  assert.equal(percent(0.125), '+12.5%')
})

test('a column that numbers the rows is no measure, and even dates beside it are the axis of a series', () => {
  const rows = Array.from({ length: 8 }, (_, at) => `${35 + at},2025-09-${String(1 + at).padStart(2, '0')},${100 + at * 3}`)
  const report = analyseDocument('orders.csv', `week,start,orders\n${rows.join('\n')}\n`)
  assert.deepEqual(
    report.columns.map((column) => column.kind),
    ['id', 'time', 'number'],
  )
  assert.match(report.trends[0]?.text ?? '', /^Orders rose from 100 in 2025-09-01 to 121 in 2025-09-08/)
})

test('amounts of unlike things in one column are not compared', () => {
  const report = analyseDocument('fees.md', '| Fee | Amount |\n|---|---|\n| Annual | $95 |\n| Interest | 19% |\n| Late | $25 |\n')
  assert.deepEqual(allFindings(report), [])
})

test('one value off an otherwise exact line is an outlier', () => {
  assert.deepEqual(robustScores([5, 5, 5, 5]), [0, 0, 0, 0])
  const scores = robustScores([5, 5, 5, 5, 5, 5, 5, 90])
  assert.ok((scores[7] ?? 0) > 3.5)
  assert.equal(scores[0], 0)
})
