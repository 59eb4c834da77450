import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefused, type LoadedDocument, type RefusalCode } from './document.ts'
import { FolderError, readFolder } from './folder.ts'
import { loadDocument } from './load.ts'
import { pdfOf } from './pdf-sample.ts'

const utf8 = (text: string) => new TextEncoder().encode(text)

async function loaded(name: string, bytes: Uint8Array): Promise<LoadedDocument> {
  const result = await loadDocument(name, bytes)
  assert.ok(!isRefused(result), isRefused(result) ? result.reason : '')
  return result
}

test('byte order mark and CRLF stay in the text', async () => {
  const { text, encoding } = await loaded('a.md', utf8('\uFEFF# Title\r\n\r\nText.\r\n'))
  assert.equal(text, '\uFEFF# Title\r\n\r\nText.\r\n')
  assert.equal(encoding, 'utf-8')
})

test('UTF-16 by mark in both orders, without a mark, and windows-1252', async () => {
  const plain = 'Größe und Motor, ein längerer Text'
  const little = Buffer.from(`\uFEFF${plain}`, 'utf16le')
  assert.equal((await loaded('a.txt', little)).text, `\uFEFF${plain}`)
  assert.equal((await loaded('a.txt', Buffer.from(little).swap16())).text, `\uFEFF${plain}`)
  assert.equal((await loaded('a.txt', Buffer.from(plain, 'utf16le'))).text, plain)
  assert.equal((await loaded('a.txt', Buffer.from(plain, 'latin1'))).text, plain)
})

test('one broken byte does not turn a UTF-8 file into another encoding', async () => {
  const bytes = Buffer.concat([
    utf8('Zürich und Köln und Düsseldorf und Gießen und Nürnberg'),
    Buffer.from([0xff]),
    utf8(' ende'),
  ])
  assert.match((await loaded('a.txt', bytes)).text, /^Zürich und Köln .* Nürnberg\uFFFD ende$/)
})

const refusals: [string, Uint8Array, RefusalCode][] = [
  ['a.docx', utf8('x'), 'unsupported_type'],
  ['README', utf8('x'), 'unsupported_type'],
  ['a.md', utf8(''), 'empty'],
  ['a.txt', utf8('\uFEFF \r\n'), 'empty'],
  ['a.html', utf8('<html><script>let a = 1</script></html>'), 'empty'],
  ['a.txt', Uint8Array.from({ length: 512 }, (_, index) => index % 256), 'not_text'],
  ['a.pdf', utf8('%PDF-1.4 nothing more'), 'corrupt_pdf'],
  ['a.pdf', utf8('plain text'), 'corrupt_pdf'],
]
for (const [name, bytes, code] of refusals) {
  test(`refused as ${code}: ${name} of ${bytes.length} bytes`, async () => {
    const result = await loadDocument(name, bytes)
    assert.ok(isRefused(result))
    assert.equal(result.refused, code)
    assert.match(result.reason, /^[A-Z].*\.$/)
    assert.doesNotMatch(result.reason, /Error|at .*:\d+/)
  })
}

test('a PDF gives its lines, and one without text is refused', async () => {
  const { text, extracted } = await loaded('a.pdf', pdfOf(['Pump report', 'The pump failed on Monday.']))
  assert.equal(extracted, true)
  assert.match(text, /Pump report\s[\s\S]*The pump failed on Monday\./)
  const empty = await loadDocument('a.pdf', pdfOf([]))
  assert.ok(isRefused(empty) && empty.refused === 'no_text_layer')
})

test('HTML keeps headings, lists and tables, drops furniture, and loads nothing', async () => {
  let requests = 0
  const server = createServer((_, response) => {
    requests += 1
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const page = `<!doctype html><html><head><title>T</title><link rel=stylesheet href="${base}/a.css"><script src="${base}/a.js"></script></head><body>
    <nav>Home</nav><header>Site</header><main><h1>Pumps &amp; valves</h1><p>First <b>bold</b>&nbsp;text.</p><img src="${base}/a.png"><iframe src="${base}/f"></iframe>
    <ul><li>One</li><li>Two</li></ul><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>
    <p hidden>secret</p><p>5 < 6 &#8364;</p></main><footer>Legal</footer><script>fetch("${base}/x")</script></body></html>`
  const { text } = await loaded('a.html', utf8(page))
  await new Promise((resolve) => server.close(resolve))
  assert.equal(requests, 0)
  assert.equal(text, '# Pumps & valves\n\nFirst bold text.\n\n- One\n- Two\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n\n5 < 6 €')
})

test('HTML that closes nothing, nests deeply or repeats itself is read in linear time', async () => {
  const before = performance.now()
  assert.match((await loaded('a.html', utf8(`<body><nav>menu<p>${'word '.repeat(20)}`))).text, /word word/)
  assert.equal((await loaded('a.html', utf8(`${'<div>'.repeat(100_000)}deep`))).text, 'deep')
  await loadDocument('a.html', utf8(`${'<form><a="'.repeat(100_000)}end`))
  await loaded('a.html', utf8(`x${'<nav>'.repeat(200_000)}`))
  assert.ok(performance.now() - before < 4000)
})

test('a folder is read by sorted POSIX paths, with a reason for all that is left out', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'cadre-folder-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await mkdir(join(root, 'sub/deep'), { recursive: true })
  await mkdir(join(root, '.git'))
  await writeFile(join(root, '.git/a.md'), 'hidden')
  await writeFile(join(root, 'b.md'), 'B')
  await writeFile(join(root, 'sub/deep/a.txt'), 'A')
  await writeFile(join(root, 'z.bin'), 'x')
  await writeFile(join(root, 'large.txt'), 'x'.repeat(2000))
  await symlink('/etc/hostname', join(root, 'out.txt'))
  await symlink(join(root, 'sub'), join(root, 'again'))
  const folder = await readFolder(root, { file_bytes: 1000 })
  assert.deepEqual(
    folder.documents.map((entry) => entry.document),
    ['b.md', 'sub/deep/a.txt'],
  )
  assert.deepEqual(
    folder.skipped.map((entry) => entry.document),
    ['again', 'large.txt', 'out.txt', 'z.bin'],
  )
  assert.match(folder.skipped[2]?.reason ?? '', /out of the folder/)
  assert.match(folder.skipped[1]?.reason ?? '', /2\.0 kB, the limit is 1\.0 kB/)
  const few = await readFolder(root, { files: 1 })
  assert.equal(few.documents.length, 1)
  assert.ok(few.skipped.some((entry) => entry.reason.includes('first 1 documents')))
})

test('a folder that is missing or a file is an error with a sentence', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'cadre-folder-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await writeFile(join(root, 'a.md'), 'A')
  await assert.rejects(
    readFolder(join(root, 'none')),
    (error) => error instanceof FolderError && error.message.endsWith('it does not exist.'),
  )
  await assert.rejects(
    readFolder(join(root, 'a.md')),
    (error) => error instanceof FolderError && /is a file, not a folder/.test(error.message),
  )
})
