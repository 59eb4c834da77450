/**
 * A sender to be killed: `node outbox-sender.ts <url> <outbox file> <run>`. Says on its output, a line each, what was promised: `queued n`
 * once message n of this run is durable here, `stored n` once the server has it. Both ways of sending take turns.
 */
import { writeSync } from 'node:fs'
import { connect } from '../src/index.ts'
import { fileOutbox } from '../src/outbox-file.ts'

const [url = '', path = '', run = ''] = process.argv.slice(2)
// Written at once: what was said before a SIGKILL has been said.
const say = (line: string) => writeSync(1, `${line}\n`)
const outbox = fileOutbox(path)
const hub = await connect(url, { agent: 'sender', outbox })
hub.on('error', (error) => say(`error ${String(error)}`))
say('online')
for (let n = 0; ; n++) {
  const content = { run, n }
  const conversation_id = 'one-line'
  if (n % 2 === 0) {
    void outbox.add('messages.send', { to: 'sink', content, conversation_id }).then(
      () => say(`queued ${n}`),
      (error: unknown) => say(`error ${String(error)}`),
    )
  } else {
    void hub.send('sink', content, { conversation_id }).then(
      () => say(`stored ${n}`),
      (error: unknown) => say(`error ${String(error)}`),
    )
  }
  if (n % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
  if (n % 50 === 49) await outbox.add('memory.set', { key: `mark/${run}`, value: n })
  while (outbox.pending() > 80) await new Promise((resolve) => setTimeout(resolve, 1))
}
