/**
 * As little server as `ws` allows: each message that comes over `/control` is sent to every other connection, with `send` for each, or as
 * one frame that is built once and written to all sockets.
 */
import { createServer } from 'node:http'
import { type WebSocket, WebSocketServer } from 'ws'

interface Order {
  prepared: boolean
  contents: unknown[]
}

const server = createServer()
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false, maxPayload: 1024 * 1024 })
const everyone = new Set<WebSocket>()

function prepare(text: string): Buffer {
  const body = Buffer.from(text)
  if (body.length >= 65_536) throw new Error('too large for the benchmark')
  const head = body.length < 126 ? [0x81, body.length] : [0x81, 126, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from(head), body])
}

function sendAll({ prepared, contents }: Order): void {
  for (const content of contents) {
    const text = JSON.stringify(content)
    if (prepared) {
      const frame = prepare(text)
      // The socket under `ws`: it has no public way to write a frame that exists already.
      for (const socket of everyone) (socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(frame)
    } else for (const socket of everyone) socket.send(text)
  }
}

sockets.on('connection', (socket, request) => {
  socket.on('error', () => socket.terminate())
  if (request.url === '/control') {
    socket.on('message', (bytes: Buffer) => sendAll(JSON.parse(bytes.toString('utf8')) as Order))
    return
  }
  everyone.add(socket)
  socket.on('close', () => everyone.delete(socket))
})

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`ready at http://127.0.0.1:${address.port}\n`)
})
