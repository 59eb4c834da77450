import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { CadreError } from '@cadre/contract'
import { openFsBlobs } from './fs.ts'
import type { ByteRange } from './port.ts'

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cadre-blobs-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const bytes = Buffer.from('0123456789')

test('bytes come back under their SHA-256, whole or in part, however they were put', async (t) => {
  const folder = await newFolder(t)
  const blobs = await openFsBlobs({ folder })
  const pieces = [Buffer.from('01234'), Buffer.alloc(0), Buffer.from('56789')]
  assert.deepEqual(await blobs.put(bytes), { id: sha256(bytes), size: 10 })
  const again = await Promise.all([blobs.put(Readable.from(pieces)), blobs.put(bytes)])
  assert.deepEqual(new Set(again.map(({ id }) => id)), new Set([sha256(bytes)]))
  const id = sha256(bytes)
  assert.equal(await blobs.size(id), 10)
  const read = async (range?: ByteRange) => {
    const body = await blobs.open(id, range)
    assert.ok(body)
    return (await buffer(body)).toString()
  }
  assert.equal(await read(), '0123456789')
  assert.equal(await read({ start: 3 }), '3456789')
  assert.equal(await read({ start: 3, end: 5 }), '34')
  assert.equal(await read({ end: 1 }), '0')
  assert.equal(await read({ start: 5, end: 5 }), '')
  assert.equal(await read({ start: 10 }), '')
  assert.deepEqual(await readdir(join(folder, 'incoming')), [])
  assert.deepEqual((await blobs.put(new Uint8Array())).size, 0)
})

test('too much, or a source that breaks off, leaves nothing behind', async (t) => {
  const folder = await newFolder(t)
  const blobs = await openFsBlobs({ folder, limit: 10 })
  let read = 0
  async function* endless() {
    for (;;) {
      read += 1
      yield Buffer.alloc(4)
    }
  }
  await assert.rejects(blobs.put(endless()), (error) => error instanceof CadreError && error.code === 'too_large')
  assert.equal(read, 3, 'reading stops at the limit')
  await assert.rejects(blobs.put(bytes, 9), (error) => error instanceof CadreError && error.code === 'too_large')
  async function* broken() {
    yield Buffer.from('01')
    throw new Error('the client is gone')
  }
  await assert.rejects(blobs.put(broken()), /the client is gone/)
  assert.deepEqual(await readdir(folder), ['incoming'])
  assert.deepEqual(await readdir(join(folder, 'incoming')), [])
  assert.equal((await blobs.put(bytes)).size, 10)
})

test('what a crash left of uploads is removed at the start; stored bytes stay', async (t) => {
  const folder = await newFolder(t)
  await mkdir(join(folder, 'incoming'))
  await writeFile(join(folder, 'incoming', 'half'), 'half')
  const { id } = await (await openFsBlobs({ folder })).put(bytes)
  const reopened = await openFsBlobs({ folder })
  assert.deepEqual(await readdir(join(folder, 'incoming')), [])
  assert.equal(await reopened.size(id), 10)
})

test('only ids name files', async (t) => {
  const folder = await newFolder(t)
  const blobs = await openFsBlobs({ folder: join(folder, 'blobs') })
  await writeFile(join(folder, 'secret'), 'secret')
  const { id } = await blobs.put(bytes)
  for (const wrong of ['../secret', '..', '', id.toUpperCase(), `${id}/../../secret`, id.slice(1), `${id}\0`]) {
    assert.equal(await blobs.size(wrong), undefined)
    assert.equal(await blobs.open(wrong), undefined)
  }
  assert.equal(await blobs.open('f'.repeat(64)), undefined)
})
