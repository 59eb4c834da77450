// The quick start of a page: compiled with the browser's types and without those of Node.
import { AgentClient, CadreClientError, connect } from '@cadre/sdk'
import { indexedDbOutbox } from '@cadre/sdk/outbox-indexeddb'

export async function start(show: (text: string) => void, signal: AbortSignal): Promise<void> {
  const outbox = indexedDbOutbox('page', { whenFull: 'wait' })
  const hub = await connect({ agent: 'page', outbox, signal })
  hub.on('drain', () => show('all is sent'))
  hub.on('offline', ({ reason }) => show(`offline: ${reason}`))
  const sent = await hub.send('ann', new Uint8Array([1, 2]), { signal, timeout: 5000, idempotencyKey: 'once' })
  await sent.delivered({ timeout: 5000 })
  const { key } = await outbox.add('messages.send', { to: 'ann', content: 'later' })
  show(`${key}, ${hub.outbox.pending()} to go, ${outbox.bytes} bytes`)
  for await (const message of hub.messages({ type: 'job', signal })) show(`${message.sender}: ${String(message.content)}`)
  for await (const found of hub.subscribe('findings.*', { group: 'pages', signal })) found.acknowledge()
  for await (const entry of hub.events.follow({ types: ['task.created'], signal })) show(entry.type)
  const task = await hub.task.create({ title: 'count', signal })
  for await (const { state } of task.events({ signal })) show(state)
  await sent.acknowledged().catch((error: unknown) => {
    if (error instanceof CadreClientError && error.code === 'message_dead') show(error.message)
  })
  await new AgentClient('plan', 'page').connect()
}
