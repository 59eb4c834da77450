import type { IncomingMessage } from 'node:http'
import type { Credentials } from '../core/access.ts'

/** Any of these says that somebody else stands between the caller and us. */
const isProxyHeader = (name: string): boolean =>
  name === 'forwarded' || name === 'via' || name === 'x-real-ip' || name.startsWith('x-forwarded')

/** What the door needs to know of a request, read from its head alone. */
export function credentialsOf(request: IncomingMessage): Credentials {
  const { headers, socket } = request
  const one = (name: string) => {
    const value = headers[name]
    return Array.isArray(value) ? value[0] : value
  }
  return {
    authorization: headers.authorization,
    cookie: headers.cookie,
    host: headers.host,
    origin: one('origin'),
    fetchSite: one('sec-fetch-site'),
    forwarded: Object.keys(headers).some(isProxyHeader),
    loopback: isLoopback(socket.remoteAddress),
  }
}

function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return plain === '::1' || plain.startsWith('127.')
}
