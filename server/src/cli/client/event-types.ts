import { events } from '@cadre/contract'
import { usage } from './failure.ts'

const kinds = [...new Set(Object.keys(events).map((name) => name.split('.', 1)[0] as string))]

/** `task.*,message.sent` -> names of event types; a name that no event has is refused. */
export function oneOfEvents(text: string): string[] {
  const wanted = text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
  return wanted.flatMap((each) => {
    const kind = /^(\w+)(?:\.\*)?$/.exec(each)?.[1]
    const matching = Object.keys(events).filter((name) => name === each || (kind !== undefined && name.startsWith(`${kind}.`)))
    if (matching.length === 0)
      throw usage(`No event is called ${each}; kinds are ${kinds.map((name) => `${name}.*`).join(', ')}.`)
    return matching
  })
}
