import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { CadreError, type ErrorCode } from '@cadre/contract'
import { openFsBlobs } from '../../drivers/blob/fs.ts'
import { openHouse } from '../knowledge/door.suite.ts'
import { makeArtifacts } from './service.ts'

async function openArtifacts(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'cadre-artifacts-'))
  const house = await openHouse(folder)
  const artifacts = makeArtifacts({ ...house, blobs: await openFsBlobs({ folder: join(folder, 'blobs'), limit: 100 }) })
  house.serve(artifacts.handlers)
  t.after(async () => {
    await house.database.close()
    await rm(folder, { recursive: true, force: true })
  })
  return { ...house, artifacts, ada: await house.agent('ada'), bob: await house.agent('bob') }
}

const refused = (code: ErrorCode) => (error: unknown) => error instanceof CadreError && error.code === code
const sha256 = (value: string) => createHash('sha256').update(value).digest('hex')

test('text is stored under its SHA-256 and read by others', async (t) => {
  const { invoke, artifacts, logged, ada, bob } = await openArtifacts(t)
  const stored = await invoke(ada, 'artifacts.upload', {
    content: 'grüße',
    name: 'a.txt',
    media_type: 'text/plain',
    task_id: 'tsk_1',
  })
  assert.deepEqual([stored.id, stored.size, stored.created_by, stored.receipt.id], [sha256('grüße'), 7, 'ada', stored.id])
  const { receipt, ...known } = stored
  assert.ok(receipt.seq > 0)
  assert.deepEqual(await invoke(bob, 'artifacts.get', { id: stored.id }), known)
  assert.deepEqual(await invoke(bob, 'artifacts.download', { id: stored.id }), known)
  const { artifact, body } = await artifacts.open({ tenant: 1 }, stored.id, { start: 0, end: 2 })
  assert.deepEqual([artifact, await text(body)], [known, 'gr'])
  assert.deepEqual(await logged('artifact.stored'), [
    {
      subject: stored.id,
      actor: ada.id,
      task: 'tsk_1',
      data: { artifact_id: stored.id, name: 'a.txt', size: 7, task_id: 'tsk_1' },
    },
  ])
})

test('a raw body is streamed; past the limit nothing is known of it', async (t) => {
  const { invoke, artifacts, engine, operator } = await openArtifacts(t)
  const body = Readable.from([Buffer.from('ab'), Buffer.from('cd')])
  const stored = await artifacts.store(engine(), body, { media_type: 'application/pdf' })
  assert.deepEqual([stored.id, stored.media_type, stored.name], [sha256('abcd'), 'application/pdf', null])
  await assert.rejects(artifacts.store(engine(), Readable.from([Buffer.alloc(101)]), { media_type: 'x/y' }), refused('too_large'))
  await assert.rejects(invoke(operator, 'artifacts.upload', {}), refused('invalid_request'))
  assert.equal((await invoke(operator, 'artifacts.list', {})).items.length, 1)
})

test('the same bytes are one artifact; every task that named it lists it', async (t) => {
  const { invoke, clock, ada, bob } = await openArtifacts(t)
  const first = await invoke(ada, 'artifacts.upload', { content: 'same', media_type: 'text/plain', task_id: 'tsk_1' })
  await clock.advance(1000)
  const second = await invoke(bob, 'artifacts.upload', {
    content: 'same',
    name: 'later.txt',
    media_type: 'text/csv',
    task_id: 'tsk_2',
  })
  assert.deepEqual(
    [second.id, second.created_by, second.created_at, second.media_type, second.name],
    [first.id, 'ada', first.created_at, 'text/plain', 'later.txt'],
  )
  for (const task_id of ['tsk_1', 'tsk_2']) assert.equal((await invoke(bob, 'artifacts.list', { task_id })).items.length, 1)
  assert.equal((await invoke(bob, 'artifacts.list', { task_id: 'tsk_3' })).items.length, 0)
})

test('artifacts are listed newest first, in pages without gap or repetition', async (t) => {
  const { invoke, clock, ada } = await openArtifacts(t)
  const ids: string[] = []
  for (let index = 0; index < 9; index++) {
    if (index % 3 === 0) await clock.advance(10)
    ids.push((await invoke(ada, 'artifacts.upload', { content: `file ${index}` })).id)
  }
  const seen: string[] = []
  let cursor: string | null | undefined
  do {
    const page = await invoke(ada, 'artifacts.list', { limit: 2, ...(cursor && { cursor }) })
    seen.push(...page.items.map(({ id }) => id))
    cursor = page.next
  } while (cursor)
  assert.deepEqual(seen.toSorted(), ids.toSorted())
  assert.deepEqual(new Set(seen.slice(0, 3)), new Set(ids.slice(6)))
})

test('what is not there, or belongs to another tenant, is not found', async (t) => {
  const { invoke, artifacts, ada } = await openArtifacts(t)
  const { id } = await invoke(ada, 'artifacts.upload', { content: 'mine' })
  const stranger = { ...ada, tenant: 2 }
  for (const name of ['artifacts.get', 'artifacts.download'] as const) {
    await assert.rejects(invoke(stranger, name, { id }), refused('not_found'))
    await assert.rejects(invoke(ada, name, { id: '0'.repeat(64) }), refused('not_found'))
    await assert.rejects(invoke(ada, name, { id: '../../etc/passwd' }), refused('invalid_request'))
  }
  await assert.rejects(artifacts.open({ tenant: 2 }, id), refused('not_found'))
  assert.deepEqual((await invoke(stranger, 'artifacts.list', {})).items, [])
})
