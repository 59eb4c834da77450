// A first agent: it answers messages and does tasks. Start a server (`npm start`), then `node examples/01-first-agent/agent.ts`.
import { connect } from '@cadre/sdk'

const hub = await connect({ agent: 'greeter', type: 'assistant', capabilities: ['greeting'] })

hub.onMessage((message) => `Hello ${message.sender}, you said: ${JSON.stringify(message.content)}`)

hub.onTask(async (task, { progress }) => {
  await progress(0.5, 'finding the words')
  return { greeting: `Hello, ${task.title}!` }
})

process.once('SIGINT', () => void hub.close({ drain: true }))
console.log('greeter is online')
