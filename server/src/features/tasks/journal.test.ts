/** What a journal costs: contents once, references from then on. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Assignment, OutputOf, Task } from '@cadre/contract'
import { serveFor, temporaryFolder } from '../../testing.ts'

const bytesIn = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)

test('100 tool calls on a conversation of 200,000 tokens take less than three times its size on disk', async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const empty = await serveFor(t, { config: { data: folder.path } })
  await empty.close()
  const before = bytesIn(folder.path)

  const server = await serveFor(t, { config: { data: folder.path } })
  const ada = await server.leased('ada')
  const { id } = await server.call<Task>('POST', '/tasks', { title: 'a long talk' })
  const [work] = (await ada.call<{ items: Assignment[] }>('tasks.claim', { id })).items
  await ada.call('tasks.accept', { id, lease: work?.lease })
  const step = async (name: string, result: unknown, input_hash?: string) => {
    const named = { task_id: id, lease: work?.lease, name }
    assert.equal((await ada.call<OutputOf<'steps.begin'>>('steps.begin', { ...named, input_hash })).state, 'new')
    await ada.call('steps.finish', { ...named, result })
  }
  let conversation = ''
  for (let at = 0; at < 100; at++) {
    // Four characters a token; no two answers are alike.
    const answer = Array.from({ length: 250 }, (_, line) =>
      createHash('sha256').update(`${at} ${line}`).digest('base64').slice(0, 32),
    ).join('')
    const digest = createHash('sha256').update(conversation).digest('hex')
    await step(`think/${at}`, { tool: 'read', arguments: { page: at } }, digest)
    await step(`tool/${at}`, answer)
    conversation += answer
  }
  // Handed on whole, twice: kept once.
  await step('handover', conversation)
  await step('archive', conversation)
  assert.equal(conversation.length, 800_000)
  await server.close()
  const journal = bytesIn(folder.path) - before
  assert.ok(journal > conversation.length, `${journal} bytes`)
  assert.ok(journal < 3 * conversation.length, `${journal} bytes`)

  const again = await serveFor(t, { config: { data: folder.path } })
  const kept = await again.call<OutputOf<'steps.list'>>('GET', `/tasks/${id}/steps?limit=500`)
  assert.equal(kept.next === null ? kept.items.length : 202, 202)
})
