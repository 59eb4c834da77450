/** What a sender may say beside the content, and how much an agent may listen to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refused, serveFor } from '../../testing.ts'

const refusedAs = (code: string, pointer?: string) => (error: unknown) =>
  error instanceof Refused && error.code === code && (pointer === undefined || error.problem.errors?.[0]?.pointer === pointer)

test('the context of a message and the task it delegates are as bounded as its content', async (t) => {
  const server = await serveFor(t)
  await server.plain('ada')
  // As text: what is nested as deep as this cannot be written by JSON.stringify either.
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const send = (fields: string) => server.call('POST', '/messages', `{"to":"ada","content":1,${fields}}`)
  await assert.rejects(send(`"context":{"deep":${deep}}`), refusedAs('invalid_request', '/context'))
  await assert.rejects(send(`"context":{"long":"${'x'.repeat(300_000)}"}`), refusedAs('too_large'))
  await assert.rejects(send(`"intent":"delegate","task":{"title":"it","input":${deep}}`), refusedAs('invalid_request', '/task'))
  assert.deepEqual((await server.call<{ items: unknown[] }>('GET', '/messages')).items, [])
})

test('an agent has a thousand subscriptions at most, and may go on with what it has', async (t) => {
  const server = await serveFor(t)
  const ada = await server.plain('ada')
  const subscribe = (topic: string, group?: string) =>
    ada.call('topic:subscribe', { topic, ...(group !== undefined && { group }) })
  await Promise.all(Array.from({ length: 1_000 }, (_, number) => subscribe(`*.${number}`)))
  await assert.rejects(subscribe('one.more'), refusedAs('conflict'))
  await subscribe('*.7', 'team')
  await ada.call('topic:unsubscribe', { topic: '*.8' })
  await subscribe('one.more')
})
