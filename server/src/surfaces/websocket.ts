/** The socket surface: translates frames of `cadre.v1` to operations and back. Here: who may connect, and the way out. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { CadreError, closeCodes, errors } from '@cadre/contract'
import { WebSocketServer } from 'ws'
import type { Clock } from '../core/clock.ts'
import type { Caller } from '../core/context.ts'
import { Admission, type AdmissionLimits } from './admission.ts'
import { Connection, type ConnectionParts, closeMs } from './connection.ts'
import { credentialsOf } from './credentials.ts'
import { maxFrame, subprotocol } from './frames.ts'
import { PingWheel } from './ping-wheel.ts'
import { ProtocolSocket } from './protocol-socket.ts'

export interface SocketParts extends Omit<ConnectionParts, 'admission' | 'ended'> {
  server: Server
  clock: Clock
  limits: AdmissionLimits
  /** How often each connection is pinged; one that did not answer the last ping is closed as idle. */
  pingMs?: number | undefined
}

const usualPingMs = 15_000
/** How long a stranger may take to say who it is. */
const authenticateMs = 10_000

export function serveSockets(parts: SocketParts): { close(): Promise<void> } {
  const { server, access, sessions, logger, clock } = parts
  // Larger frames are refused by us, with the protocol's close code.
  const sockets = new WebSocketServer({
    noServer: true,
    WebSocket: ProtocolSocket,
    maxPayload: 4 * maxFrame,
    perMessageDeflate: false,
    // We keep them ourselves; a set here would cost a listener each.
    clientTracking: false,
    handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
  })
  const admission = new Admission(parts.limits)
  const connections = new Set<Connection>()
  /** In the order in which they came. */
  const strangers = new Set<Connection>()
  const wheel = new PingWheel<Connection>(parts.pingMs ?? usualPingMs, dismissStrangers)
  const connectionParts: ConnectionParts = {
    ...parts,
    admission,
    ended(connection, caller) {
      admission.leave(caller)
      connections.delete(connection)
      strangers.delete(connection)
      wheel.delete(connection, connection.spoke)
    },
  }
  access.onRevoked((credential) => {
    for (const connection of connections) connection.revoked(credential)
  })

  function dismissStrangers(): void {
    const before = clock.now() - authenticateMs
    for (const connection of strangers) {
      if (connection.since > before) return
      strangers.delete(connection)
      if (!connection.identity) connection.close(closeCodes.unauthorised, 'Send agent:register with a token first')
    }
  }

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', destroy)
    if (request.url?.split('?', 1)[0] !== '/ws')
      return refuse(socket, new CadreError('route_not_found', { method: 'GET', path: request.url }))
    const credentials = credentialsOf(request)
    access.authenticate(credentials).then(
      (caller) => accept(request, socket, head, caller),
      (error: unknown) => {
        // Without a credential the first frame may bring one; a wrong one, or a foreign page, is refused at once.
        const open = error instanceof CadreError && error.code === 'unauthenticated' && credentials.authorization === undefined
        if (open) accept(request, socket, head, undefined)
        else refuse(socket, error)
      },
    )
  }
  const accept = (request: IncomingMessage, socket: Duplex, head: Buffer, caller: Caller | undefined) => {
    // Gone while its key was looked up: nobody would be told of its end.
    if (socket.destroyed) return
    try {
      admission.enter(caller)
    } catch (error) {
      return refuse(socket, error)
    }
    let isOpen = false
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      isOpen = true
      const connection = new Connection(webSocket, caller, clock.now(), connectionParts)
      connections.add(connection)
      if (!caller) strangers.add(connection)
      connection.spoke = wheel.add(connection)
    })
    // Refused by its own check of the head, which calls back at once or never.
    if (!isOpen) admission.leave(caller)
  }
  server.on('upgrade', onUpgrade)

  return {
    async close() {
      server.off('upgrade', onUpgrade)
      wheel.stop()
      for (const connection of connections) connection.drain()
      const deadline = Date.now() + closeMs
      while (connections.size > 0 && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10))
      for (const connection of connections) connection.terminate()
      logger.debug('sockets closed', { left: sessions.count })
    },
  }
}

// Not a closure: that would keep the head of the request as long as the socket, 2 KB each.
function destroy(this: Duplex): void {
  this.destroy()
}

/** An upgrade that is refused gets the same problem object as any other request. */
function refuse(socket: Duplex, cause: unknown): void {
  const error = cause instanceof CadreError ? cause : new CadreError('internal', {}, { cause })
  const body = JSON.stringify(error.toProblem())
  const head = [
    `HTTP/1.1 ${errors[error.code].status} Refused`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(errors[error.code].status === 429 ? ['Retry-After: 1'] : []),
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
