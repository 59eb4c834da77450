/** Keeps the documents: makes them searchable, answers what is known, and numbers the dossiers. */
import type { Hub } from '@cadre/sdk'
import { jobOf, pause, textOf, wordsOf } from './job.ts'

export const dossierTool = 'dossier.number'

export async function knowledge(hub: Hub): Promise<void> {
  await hub.tools.register(
    dossierTool,
    {
      description: 'Gives the next dossier number of a collection. Numbers are known outside, so a call is never repeated.',
      once: true,
      grants: ['*'],
      input_schema: {
        type: 'object',
        required: ['collection', 'subject'],
        properties: { collection: { type: 'string' }, subject: { type: 'string' } },
      },
    },
    async ({ collection, subject }) => {
      const number = await nextNumber(hub, String(collection))
      return { number, subject }
    },
  )

  hub.onTask(async (task, context) => {
    const job = jobOf(task)
    if (!job) return lookUp(hub, wordsOf(task))
    let chunks = 0
    const { documents, collection } = job.corpus
    for (const [index, entry] of documents.entries()) {
      await context.progress(index / documents.length, `reading ${entry.document}`)
      // The same document under the same key is added once, also when this task is tried again.
      const added = await hub.call(
        'knowledge.add',
        { artifact: entry.artifact, title: entry.document, source: entry.document, collection, metadata: { kind: entry.kind } },
        { idempotencyKey: context.effectKey(entry.document).slice(-256), timeout: 120_000, signal: context.signal },
      )
      chunks += added.chunks
    }
    await pause(context, job.pace_ms)
    return { collection, documents: documents.length, chunks }
  })
  hub.onMessage((message) => lookUp(hub, textOf(message.content)))
}

async function lookUp(hub: Hub, question: string) {
  if (question.trim() === '') return { items: [] }
  const items = await hub.knowledge.search(question.slice(0, 2000), { top_k: 5 })
  return {
    items: items.map(({ title, source, collection, chunk, start, end, text, score }) => ({
      title,
      source,
      collection,
      chunk,
      start,
      end,
      text,
      score,
    })),
  }
}

/** Compare-and-set on a shared key: two agents never draw the same number. */
async function nextNumber(hub: Hub, collection: string): Promise<number> {
  const entry = await hub.memory.update(`dossiers/${collection}`, (value: unknown) => ({
    last: ((value as { last?: number } | null | undefined)?.last ?? 0) + 1,
  }))
  return entry.value.last
}
