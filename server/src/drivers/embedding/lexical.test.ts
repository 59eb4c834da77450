import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { makeLexicalEmbedder } from './lexical.ts'

const embedder = makeLexicalEmbedder({ isStopWord: (word) => word === 'the' || word === 'of' })

async function likeness(a: string, b: string): Promise<number> {
  const [left, right] = await embedder.embed([a, b])
  assert.ok(left && right)
  return left.reduce((sum, value, at) => sum + value * (right[at] as number), 0)
}

test('vectors have length 1, or are zero when there is nothing to embed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme', maxLength: 80 }), { maxLength: 5 }), async (texts) => {
      const vectors = await embedder.embed(texts)
      assert.equal(vectors.length, texts.length)
      for (const vector of vectors) {
        assert.equal(vector.length, embedder.dimensions)
        const length = Math.hypot(...vector)
        assert.ok(length === 0 || Math.abs(length - 1) < 1e-5, `length ${length}`)
      }
    }),
  )
  const [empty, stops] = await embedder.embed([' .,! ', 'the of The'])
  assert.ok(empty?.every((value) => value === 0) && stops?.every((value) => value === 0))
})

test('a text has one vector, alone or in a batch', async () => {
  const texts = Array.from({ length: 70 }, (_, at) => `sentence number ${at} about rivers`)
  const batch = await embedder.embed(texts)
  for (const at of [0, 31, 32, 69]) assert.deepEqual((await embedder.embed([texts[at] as string]))[0], batch[at])
})

test('forms, accents, misspellings and scripts without spaces are alike; other subjects are not', async () => {
  const unrelated = await likeness('the harbour of Rotterdam', 'photosynthesis in algae')
  assert.ok(Math.abs(unrelated) < 0.15, `unrelated ${unrelated}`)
  const pairs = [
    ['measuring rivers', 'measured river'],
    ['café in Genève', 'CAFE GENEVE'],
    ['photosynthesis', 'photosinthesys'],
    ['東京都の人口', '東京の人口は'],
    ['stopping runners', 'stop runner'],
  ] as const
  for (const [a, b] of pairs) assert.ok((await likeness(a, b)) > 0.35, `${a} ~ ${b}: ${await likeness(a, b)}`)
})

test('other work runs while a batch is embedded', async () => {
  let pauses = 0
  const paused = makeLexicalEmbedder({ isStopWord: () => false, pause: async () => (pauses += 1) })
  await paused.embed(Array.from({ length: 100 }, () => 'word'))
  assert.equal(pauses, 3)
})
