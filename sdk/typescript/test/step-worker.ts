/**
 * A worker to be killed: `node step-worker.ts <url> <effects file> [<where it dies>]`. Writes each effect into the file, a line each, at
 * once; kills itself at the place named.
 */
import { appendFileSync } from 'node:fs'
import { connect } from '../src/index.ts'

const [url = '', effects = '', place = ''] = process.argv.slice(2)
const effect = (line: string) => appendFileSync(effects, `${line}\n`)
const here = (name: string) => {
  if (name === place) process.kill(process.pid, 'SIGKILL')
}
const hub = await connect(url, { agent: 'worker' })
hub.onTask(async (_, { step, input, approve }) => {
  const plan = await step('plan', () => {
    effect('plan')
    return { to: 'ann', pages: [1, 2] }
  })
  here('between steps')
  const mail = await step(
    'mail',
    (key) => {
      effect(`mail ${key}`)
      here('after the effect')
      return 'message 7'
    },
    { effect: 'once' },
  )
  const colour = await input<string>({ prompt: 'Which colour?', schema: { enum: ['red', 'blue'] } })
  here('after the answer')
  const pages: string[] = []
  for (const page of plan.pages) {
    pages.push(
      await step(`page ${page}`, (key) => {
        effect(`page ${key}`)
        if (page === 2) here('in a step that may be repeated')
        return `${colour} ${page}`
      }),
    )
  }
  const { approved, by, comment } = await approve({ action: 'print', args: { pages } })
  effect('end')
  return { mail, pages, approved, by, comment }
})
