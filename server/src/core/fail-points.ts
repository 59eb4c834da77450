/**
 * Named places around commits and acknowledgements at which a crash test makes this process end as `kill -9` would end it. Nothing is
 * armed unless CADRE_FAIL_POINT names one, so a passing place costs one comparison.
 */
export const failPoints = [
  'send.before-commit',
  'send.after-commit',
  'deliver.before-send',
  'acknowledge.before-commit',
  'acknowledge.after-commit',
  'answer.before-send',
] as const
export type FailPoint = (typeof failPoints)[number]

let armed: { name: string; hits: number } | undefined

/** `text` is `name` or `name:n`: the process ends when it passes that place for the nth time. Throws for a name that is not there. */
export function armFailPoint(text: string | undefined): void {
  if (text === undefined || text === '') {
    armed = undefined
    return
  }
  const [name = '', hits = '1'] = text.split(':')
  if (!(failPoints as readonly string[]).includes(name) || !/^[1-9]\d{0,8}$/.test(hits))
    throw new Error(`CADRE_FAIL_POINT takes <name>[:<hits>] with one of ${failPoints.join(', ')}`)
  armed = { name, hits: Number(hits) }
}

export function failPoint(name: FailPoint): void {
  if (armed === undefined || armed.name !== name) return
  armed.hits -= 1
  if (armed.hits === 0) process.kill(process.pid, 'SIGKILL')
}
