/** Entry of a client process: loads one driver and serves the calls of the benchmark until the channel closes. */
import { serveFanout } from './lib/fan-client.ts'
import { serveMessages } from './lib/message-client.ts'
import { serveTasks } from './lib/task-client.ts'
import type { Answer, Question } from './lib/client-process.ts'
import type { FanDriver, MessageDriver, TaskDriver } from './lib/drivers.ts'

const [, , kind, module] = process.argv
const { driver } = (await import(module as string)) as { driver: unknown }
const serve =
  kind === 'messages'
    ? serveMessages(driver as MessageDriver)
    : kind === 'fanout'
      ? serveFanout(driver as FanDriver)
      : serveTasks(driver as TaskDriver)

process.on('message', (question: Question) => {
  const reply = (answer: Omit<Answer, 'id'>) => process.connected && process.send?.({ id: question.id, ...answer })
  serve(question.name, question.input).then(
    (value) => reply({ value }),
    (error: unknown) => reply({ error: error instanceof Error ? error.message : String(error) }),
  )
})
// Leaving by exit() lets drivers remove their temporary files.
process.once('disconnect', () => process.exit(0))
process.once('SIGTERM', () => process.exit(0))
process.once('SIGINT', () => process.exit(0))
