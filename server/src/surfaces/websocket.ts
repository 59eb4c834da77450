/** The socket surface: translates frames of `cadre.v1` to operations and back. Here: who may connect, and the way out. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { CadreError } from '@cadre/contract'
import { WebSocketServer } from 'ws'
import type { Caller } from '../core/context.ts'
import { Connection, type ConnectionParts, closeMs } from './connection.ts'
import { credentialsOf } from './credentials.ts'
import { maxFrame, subprotocol } from './frames.ts'

export interface SocketParts extends ConnectionParts {
  server: Server
}

const pingMs = 15_000

export function serveSockets(parts: SocketParts): { close(): Promise<void> } {
  const { server, access, sessions, logger } = parts
  // Larger frames are refused by us, with the protocol's close code.
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 4 * maxFrame,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
  })
  const connections = new Set<Connection>()
  access.onRevoked((credential) => {
    for (const connection of connections) connection.revoked(credential)
  })

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    if (request.url?.split('?', 1)[0] !== '/ws') return refuse(socket, 404, 'Connect to /ws')
    const credentials = credentialsOf(request)
    access.authenticate(credentials).then(
      (caller) => accept(request, socket, head, caller),
      (error: unknown) => {
        // Without a credential the first frame may bring one; a wrong one, or a foreign page, is refused at once.
        const open = error instanceof CadreError && error.code === 'unauthenticated' && credentials.authorization === undefined
        if (open) accept(request, socket, head, undefined)
        else
          refuse(
            socket,
            error instanceof CadreError && error.code === 'forbidden' ? 403 : 401,
            error instanceof Error ? error.message : 'refused',
          )
      },
    )
  }
  const accept = (request: IncomingMessage, socket: Duplex, head: Buffer, caller: Caller | undefined) => {
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new Connection(webSocket, caller, parts)
      connections.add(connection)
      webSocket.on('close', () => connections.delete(connection))
    })
  }
  server.on('upgrade', onUpgrade)

  const pings = setInterval(() => {
    for (const connection of connections) connection.checkAlive()
  }, pingMs)
  pings.unref()

  return {
    async close() {
      server.off('upgrade', onUpgrade)
      clearInterval(pings)
      for (const connection of connections) connection.drain()
      const deadline = Date.now() + closeMs
      while (connections.size > 0 && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10))
      for (const connection of connections) connection.terminate()
      logger.debug('sockets closed', { left: sessions.count })
    },
  }
}

function refuse(socket: Duplex, status: number, reason: string): void {
  const body = `${reason}\n`
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
