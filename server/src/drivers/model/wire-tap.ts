import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request as forward, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type TappedRequest = { method: string; path: string; headers: IncomingHttpHeaders; body: unknown }

export type WireTap = {
  url: string
  /** Oldest first, exactly as they crossed the wire. */
  requests: TappedRequest[]
  /** The next request is answered by `answer` and not forwarded. Resolves once that answer's connection is over. */
  answerNext(answer: (response: ServerResponse) => void): Promise<void>
  close(): Promise<void>
}

/**
 * A loopback server for tests that writes down each request and passes it on to the model server at `target`, which itself
 * strikes keys out of its journal and rewrites bodies of other providers into one shape.
 */
export async function openWireTap(target: string): Promise<WireTap> {
  const requests: TappedRequest[] = []
  const answers: ((response: ServerResponse) => void)[] = []
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const raw = Buffer.concat(chunks)
      const { method = '', url = '', headers } = incoming
      requests.push({ method, path: url, headers, body: JSON.parse(raw.toString()) as unknown })
      const answer = answers.shift()
      if (answer) return answer(response)
      const outgoing = forward(new URL(url, target), { method, headers: { ...headers, host: new URL(target).host } }, (reply) => {
        response.writeHead(reply.statusCode ?? 502, reply.headers)
        reply.pipe(response)
      })
      outgoing.on('error', () => response.destroy())
      outgoing.end(raw)
      return undefined
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    answerNext(answer) {
      const over = Promise.withResolvers<void>()
      answers.push((response) => {
        response.on('close', over.resolve)
        answer(response)
      })
      return over.promise
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
