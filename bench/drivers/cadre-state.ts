/** What the running server says about itself, by its public API. */
import type { Durability } from '../lib/drivers.ts'
import { sleep } from '../lib/now.ts'

const settleMs = 5_000
const classes: Readonly<Record<string, Durability>> = { full: 'sync', extra: 'sync', normal: 'async', off: 'none' }

async function read<T>(url: string, path: string): Promise<T> {
  const response = await fetch(`${url}/api/v1/${path}`)
  if (!response.ok) throw new Error(`${path} answered ${response.status}`)
  return (await response.json()) as T
}

/** From the store's component in the health answer: `<driver>, <synchronous>`. */
export async function storeDurability(url: string): Promise<Durability> {
  const { components } = await read<{ components: { name: string; detail?: string }[] }>(url, 'health')
  const detail = components.find((component) => component.name === 'store')?.detail ?? ''
  const found = classes[detail.split(', ').at(-1) ?? '']
  if (!found) throw new Error(`the health answer does not name the durability of the store: ${detail}`)
  return found
}

/** Why some inbox still holds something, or undefined. Acknowledgements ride on a later commit, so this waits a little. */
export async function unsettledMessages(url: string): Promise<string | undefined> {
  let state = { waiting: 0, leased: 0, dead: 0 }
  for (const until = Date.now() + settleMs; Date.now() < until; await sleep(5)) {
    state = (await read<{ messages: typeof state }>(url, 'metrics')).messages
    if (state.waiting === 0 && state.leased === 0 && state.dead === 0) return undefined
  }
  return `the server still counts ${state.waiting} waiting, ${state.leased} leased and ${state.dead} dead messages`
}
