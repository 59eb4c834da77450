/**
 * A process that holds many sockets and does next to nothing: `node idle-clients.ts <port> <count> [name of the agent the first one speaks for]`.
 * Bare TCP, so that a connection costs this process little. It says `open <n>` when all stand, `got <text>` for each message that
 * reaches one, `pings <n> <most in 100 ms>` for a line `pings` on its input, and ends when its input does.
 */
import { type Socket, connect } from 'node:net'
import { createInterface } from 'node:readline'

const [port, count, name] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]]
const upgrade = `GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`
const opening = 64
const say = (line: string) => process.stdout.write(`${line}\n`)
const pings = new Map<number, number>()
let open = 0
let begun = 0

/** One short masked frame; a mask of zeros leaves the bytes as they are. */
function frame(opcode: number, payload: Buffer): Buffer {
  const length = payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255]
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length, 0, 0, 0, 0]), payload])
}

function onFrame(socket: Socket, opcode: number, payload: Buffer): void {
  if (opcode === 9) {
    const slot = Math.floor(performance.now() / 100)
    pings.set(slot, (pings.get(slot) ?? 0) + 1)
    socket.write(frame(10, payload))
  } else if (opcode === 1 && payload.includes('"message:received"')) say(`got ${payload.toString('utf8')}`)
  else if (opcode === 8) say(`closed ${payload.readUInt16BE(0)}`)
}

/** Reads whole frames from the front of `bytes` and answers what is left. */
function readFrames(socket: Socket, bytes: Buffer): Buffer {
  let rest = bytes
  while (rest.length >= 2) {
    const short = (rest[1] as number) & 127
    const head = short < 126 ? 2 : 4
    if (short === 127) throw new Error('a frame this large was not expected')
    if (rest.length < head) break
    const length = short < 126 ? short : rest.readUInt16BE(2)
    if (rest.length < head + length) break
    onFrame(socket, (rest[0] as number) & 15, rest.subarray(head, head + length))
    rest = rest.subarray(head + length)
  }
  return rest
}

const none = Buffer.alloc(0)

function start(): void {
  if (begun === count) return
  const first = begun === 0
  begun += 1
  let upgraded = false
  let rest: Buffer = none
  const socket = connect(port, '127.0.0.1', () => socket.write(upgrade))
  socket.on('error', (error) => say(`error ${error.message}`))
  socket.on('data', (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    if (!upgraded) {
      const end = rest.indexOf('\r\n\r\n')
      if (end < 0) return
      if (!rest.toString('latin1', 0, 12).endsWith('101')) throw new Error(rest.toString('latin1', 0, 200))
      upgraded = true
      rest = rest.subarray(end + 4)
      if (first && name !== undefined)
        socket.write(frame(1, Buffer.from(JSON.stringify({ type: 'agent:register', id: 1, data: { name } }))))
      open += 1
      if (open === count) say(`open ${open}`)
      start()
    }
    rest = readFrames(socket, rest)
    if (rest.length === 0) rest = none
  })
}
for (let line = 0; line < Math.min(opening, count); line++) start()

const input = createInterface({ input: process.stdin })
input.on('line', (line) => {
  if (line !== 'pings') return
  const counts = [...pings.values()]
  say(`pings ${counts.reduce((sum, each) => sum + each, 0)} ${Math.max(0, ...counts)}`)
})
input.on('close', () => process.exit(0))
