/** kill -9 of the server between the commit of a reply and the answer to who asked: the reply waits in the inbox. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Delivery } from '@cadre/contract'
import { openSocket, temporaryFolder } from '../../server/src/testing.ts'
import { launch } from './program.ts'

for (const failPoint of ['send.after-commit:2', 'answer.before-send:4']) {
  test(`a reply that was stored when the server ended at ${failPoint} reaches who asked, once`, async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const first = await launch({ CADRE_DATA: folder.path, CADRE_FAIL_POINT: failPoint })
    t.after(() => first.child.kill('SIGKILL'))
    const open = async (port: number, name: string, token?: string) => {
      const socket = await openSocket(`ws://127.0.0.1:${port}/ws`)
      t.after(() => socket.terminate())
      const hello = await socket.call<{ token: string }>('agent:register', { name, credits: 16, ...(token && { token }) })
      return { socket, token: hello.token ?? token }
    }
    const ada = await open(first.port, 'ada')
    const bob = await open(first.port, 'bob')
    ada.socket.send({ type: 'message:ask', id: 'ask', key: 'the-question', data: { to: 'bob', content: 'q' } })
    const request = await bob.socket.next<Delivery>('message:received')
    const { id, receipt } = request.data
    const exited = first.child.exitCode === null && first.child.signalCode === null ? once(first.child, 'exit') : undefined
    bob.socket.send({ type: 'message:reply', id: 'reply', key: 'the-reply', data: { reply_to: id, content: 'a', receipt } })
    if (failPoint.startsWith('answer')) bob.socket.send({ type: 'messages.list', id: 'more', data: {} })
    await exited
    assert.ok(!ada.socket.frames.some((frame) => frame.ref === 'ask'), 'nobody was answered')

    const second = await launch({ CADRE_DATA: folder.path })
    t.after(() => second.end('SIGTERM'))
    const back = await open(second.port, 'ada', ada.token)
    const { data } = await back.socket.next<Delivery>('message:received')
    assert.deepEqual([data.content, data.reply_to, data.kind], ['a', id, 'response'])
    await back.socket.call('message:ack', { receipt: data.receipt })
    const again = await back.socket.call<{ request_id: string; reply: { id: string } }>(
      'message:ask',
      { to: 'bob', content: 'q' },
      'the-question',
    )
    assert.deepEqual([again.request_id, again.reply.id], [id, data.id], 'the same question has the same answer')
    assert.deepEqual(await back.socket.settled('message:received'), [])
    const asker = await second.call<{ depth: number }>('GET', '/agents/ada/inbox')
    assert.equal(asker.depth, 0)
  })
}
