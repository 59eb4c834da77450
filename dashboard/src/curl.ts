/** A `curl` line for this server that works as pasted in a POSIX shell. A server that is not on this machine wants a key. */
export function curl(method: 'GET' | 'POST', path: string, body?: unknown, origin = location.origin): string {
  const local = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::|$)/.test(origin)
  const parts = ['curl']
  if (method !== 'GET') parts.push('-X', method)
  parts.push(`${origin}/api/v1${path}`)
  if (!local) parts.push('-H', '"Authorization: Bearer $CADRE_API_KEY"')
  if (body !== undefined) parts.push('-H', quote('content-type: application/json'), '-d', quote(JSON.stringify(body)))
  return parts.join(' ')
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
