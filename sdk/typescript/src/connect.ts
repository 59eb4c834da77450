import { Hub } from './hub.ts'
import type { ConnectOptions } from './options.ts'

/**
 * Connects to a Cadre server and answers once it accepted. `url` is its http(s) or ws(s) address: CADRE_URL, the page's own origin
 * or http://localhost:8000 unless given. A server that is still starting is waited for, up to `timeout`.
 */
export function connect(url?: string | URL, options?: ConnectOptions): Promise<Hub>
export function connect(options: ConnectOptions): Promise<Hub>
export async function connect(first?: string | URL | ConnectOptions, second: ConnectOptions = {}): Promise<Hub> {
  const isAddress = first === undefined || typeof first === 'string' || first instanceof URL
  const hub = new Hub(isAddress ? first : undefined, isAddress ? second : first)
  await hub.start()
  return hub
}
